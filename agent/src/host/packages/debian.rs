//! Debian's package tools: dpkg-query is asked, apt does.

use std::path::{Path, PathBuf};

use email_engine_protocol::desired::PackageSpec;

use super::{INSTALL, PackageFile, QUICK, READ, argument, failed, is_there, verify};
use crate::host::reach::Reach;
use crate::host::real::must;
use crate::host::spawn;
use crate::host::system::{Ended, PackageSeen, Presence, SystemError};

/// The tools, in their folder.
#[derive(Debug)]
pub(super) struct Debian {
    folder: PathBuf,
    reach: Reach,
}

/// A configuration file that somebody changed stays as it is, and nobody is asked.
const KEEP: &str = "Dpkg::Options::=--force-confold";
/// Somebody else may be installing: the machine's own upgrades, for example.
const LOCK: &str = "DPkg::Lock::Timeout=120";

/// How everything is installed: without a question, and without removing anything for it.
const INSTALLING: [&str; 8] = [
    "install",
    "-y",
    "--no-install-recommends",
    "--no-remove",
    "-o",
    KEEP,
    "-o",
    LOCK,
];
/// How the lists of one source are read: the others are left out and their lists kept, everything that is
/// wrong counts, and who does not answer is not waited for as long as apt would.
const ONE_SOURCE: [&str; 6] = [
    "Dir::Etc::sourceparts=-",
    "APT::Get::List-Cleanup=0",
    "APT::Update::Error-Mode=any",
    "Acquire::Retries=1",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
];
/// What apt says when its lists may be older than its repositories, or were never fetched.
const STALE: [&str; 6] = [
    "Unable to locate package",
    "has no installation candidate",
    "unmet dependencies",
    " 404 ",
    "Unable to fetch some archives",
    "' was not found",
];

/// Reads one line of `${db:Status-Want} ${db:Status-Status} ${Version}` (dpkg-query(1)). What is not
/// understood is not guessed.
pub(super) fn parse(line: &str) -> Option<PackageSeen> {
    let mut fields = line.trim_end().split(' ');
    let held = match fields.next()? {
        "hold" => true,
        "deinstall" | "install" | "purge" | "unknown" => false,
        _ => return None,
    };
    let status = fields.next()?;
    let version = fields.next();
    let presence = match (status, version) {
        ("not-installed" | "config-files", _) => Presence::Gone,
        ("installed", Some(version)) => Presence::Installed(version.to_owned()),
        (
            "half-configured" | "half-installed" | "triggers-awaited" | "triggers-pending"
            | "unpacked",
            version,
        ) => Presence::Partly {
            word: status.to_owned(),
            version: version.map(str::to_owned),
        },
        _ => return None,
    };
    let held = held && presence != Presence::Gone;
    fields
        .next()
        .is_none()
        .then_some(PackageSeen { presence, held })
}

impl Debian {
    pub(super) fn new(folder: &Path, reach: Reach) -> Self {
        Self {
            folder: folder.to_owned(),
            reach,
        }
    }

    fn tool(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(super) fn look(&self, name: &str) -> Result<PackageSeen, SystemError> {
        let tool = self.tool("dpkg-query");
        let format = "-f=${db:Status-Want} ${db:Status-Status} ${Version}\\n";
        let answer = spawn::query(&tool, &["-W", format, "--", name], QUICK)?;
        let unknown = format!("no packages found matching {name}");
        match answer.code {
            0 => {
                // One line for each architecture that it is known in.
                let lines = answer.output.lines().map(parse);
                let seen: Option<Vec<PackageSeen>> = lines.collect();
                seen.and_then(|seen| seen.into_iter().max_by_key(rank))
                    .ok_or_else(|| {
                        let odd = format!("{:?} is not understood", answer.output);
                        failed(tool, 0, odd)
                    })
            }
            1 if answer.output.is_empty() && answer.errors.ends_with(&unknown) => {
                Ok(PackageSeen::default())
            }
            code => Err(failed(tool, code, answer.errors)),
        }
    }

    pub(super) fn install(&self, spec: &PackageSpec) -> Result<(), SystemError> {
        if !is_there(&self.look(&spec.name)?.presence, spec) {
            let mut may_update = true;
            if self.must_be_known(&spec.name).is_err() {
                self.update();
                may_update = false;
                self.must_be_known(&spec.name)?;
            }
            let wanted = spec.version.as_ref().map_or_else(
                || spec.name.clone(),
                |version| format!("{}={version}", spec.name),
            );
            let mut arguments = INSTALLING.to_vec();
            arguments.extend(["--allow-change-held-packages", "--allow-downgrades", "--"]);
            arguments.push(&wanted);
            self.apt_install(&arguments, may_update)?;
        }
        self.hold(&spec.name, spec.hold)
    }

    pub(super) fn hold(&self, name: &str, held: bool) -> Result<(), SystemError> {
        let verb = if held { "hold" } else { "unhold" };
        let mark = self.tool("apt-mark");
        must(self.reach, &mark, &[verb, "--", name], QUICK).map(|_| ())
    }

    /// Does something, after what was cut off before is finished: apt refuses to begin beside that.
    fn apt_get(&self, arguments: &[&str]) -> Result<(), SystemError> {
        let tool = self.tool("apt-get");
        match must(self.reach, &tool, arguments, INSTALL) {
            Err(SystemError::Failed { output, .. }) if output.contains("dpkg --configure -a") => {
                self.finish()?;
                must(self.reach, &tool, arguments, INSTALL).map(|_| ())
            }
            done => done.map(|_| ()),
        }
    }

    /// Installs something, and once more with new lists where old ones may be why it failed.
    fn apt_install(&self, arguments: &[&str], may_update: bool) -> Result<(), SystemError> {
        match self.apt_get(arguments) {
            Err(SystemError::Failed { output, .. })
                if may_update && STALE.iter().any(|words| output.contains(words)) =>
            {
                self.update();
                self.apt_get(arguments)
            }
            done => done,
        }
    }

    /// Fetches the lists of packages. One repository that does not answer is no reason to stop: whether
    /// it was needed is seen afterwards.
    fn update(&self) {
        if let Err(error) = must(self.reach, &self.tool("apt-get"), &["update"], READ) {
            tracing::warn!(%error, "not all lists of packages are new");
        }
    }

    /// Reads one source alone: what other sources lack is not its fault. Without the mode, a signature that
    /// is no good is a warning where older lists are there. apt does nothing at all while two sources
    /// contradict each other, so all of them are looked at afterwards.
    pub(super) fn read_source(&self, file: &str) -> Result<(), SystemError> {
        let only = format!("Dir::Etc::sourcelist={file}");
        let mut words = vec!["update", "-o", only.as_str()];
        words.extend(ONE_SOURCE.iter().flat_map(|option| ["-o", option]));
        must(self.reach, &self.tool("apt-get"), &words, READ)?;
        let tool = self.tool("apt-cache");
        let answer = spawn::query(&tool, &["policy"], QUICK)?;
        if answer.code == 0 {
            return Ok(());
        }
        Err(failed(tool, answer.code, answer.errors))
    }

    /// Configures what dpkg was cut off in. A package that cannot be is for whoever wants it to say.
    pub(super) fn finish(&self) -> Result<Ended, SystemError> {
        let arguments = ["--force-confold", "--configure", "-a"];
        self.reach.run(&self.tool("dpkg"), &arguments, INSTALL)
    }

    /// Reads all of a package file without running anything of it.
    pub(super) fn inspect(&self, file: &Path) -> Result<PackageFile, SystemError> {
        let file = argument(file)?;
        let tool = self.tool("dpkg-deb");
        let fields = ["Package", "Version", "Architecture"];
        let answer = spawn::query(&tool, &[&["--field", file], &fields[..]].concat(), QUICK)?;
        if answer.code != 0 {
            return Err(failed(tool, answer.code, answer.errors));
        }
        let field = |name: &str| {
            let value = answer
                .output
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.map(str::to_owned).ok_or_else(|| {
                let reason = format!("its control file has no {name}: {:?}", answer.output);
                failed(tool.clone(), 0, reason)
            })
        };
        let found = PackageFile {
            // As dpkg itself writes names down.
            name: field("Package")?.to_ascii_lowercase(),
            version: field("Version")?,
            architecture: field("Architecture")?,
        };
        let whole = spawn::query(&tool, &["--fsys-tarfile", file], READ)?;
        if whole.code != 0 {
            return Err(failed(tool, whole.code, whole.errors));
        }
        Ok(found)
    }

    pub(super) fn architecture(&self) -> Result<String, SystemError> {
        let tool = self.tool("dpkg");
        let answer = spawn::query(&tool, &["--print-architecture"], QUICK)?;
        if answer.code == 0 && !answer.output.is_empty() {
            return Ok(answer.output);
        }
        Err(failed(tool, answer.code, answer.errors))
    }

    pub(super) fn is_older(&self, one: &str, other: &str) -> Result<bool, SystemError> {
        let tool = self.tool("dpkg");
        let answer = spawn::query(&tool, &["--compare-versions", one, "lt", other], QUICK)?;
        match answer.code {
            0 => Ok(true),
            1 => Ok(false),
            code => Err(failed(tool, code, answer.errors)),
        }
    }

    pub(super) fn changed(&self, name: &str) -> Result<Vec<String>, SystemError> {
        verify::changed(&self.tool("dpkg"), &["--verify", "--", name])
    }

    pub(super) fn install_file(
        &self,
        file: &Path,
        seen: &Presence,
        downgrade: bool,
    ) -> Result<(), SystemError> {
        let file = argument(file)?;
        let mut words = INSTALLING.to_vec();
        words.push("--allow-change-held-packages");
        if let Presence::Partly { .. } = seen {
            // Unpacked again: apt does not begin with what is half there.
            let again = ["--force-confold", "--install", "--", file];
            match must(self.reach, &self.tool("dpkg"), &again, INSTALL) {
                Err(error @ SystemError::Failed { .. }) => {
                    tracing::warn!(%error, "what it depends on is installed next");
                }
                done => return done.map(|_| ()),
            }
            words.push("--fix-broken");
            return self.apt_install(&words, true);
        }
        if downgrade {
            words.push("--allow-downgrades");
        }
        words.extend(["--", file]);
        self.apt_install(&words, true)
    }

    /// apt takes a name that it does not know for a pattern, or for an action on a shorter one.
    fn must_be_known(&self, name: &str) -> Result<(), SystemError> {
        let tool = self.tool("apt-cache");
        let answer = spawn::query(&tool, &["policy", "--", name], QUICK)?;
        if answer.code == 0 && answer.output.lines().next() == Some(&format!("{name}:")) {
            return Ok(());
        }
        let reason = format!("knows no package {name}: {}", answer.errors);
        Err(failed(tool, answer.code, reason))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), SystemError> {
        // apt fails for a name that it does not know, and the removal would never end.
        if self.look(name)?.presence == Presence::Gone {
            return Ok(());
        }
        self.apt_get(&["remove", "-y", "--allow-change-held-packages", "--", name])
    }
}

/// Which of several architectures counts: the one in which there is most of it.
pub(super) const fn rank(seen: &PackageSeen) -> u8 {
    match seen.presence {
        Presence::Gone => 0,
        Presence::Installed(_) => 1,
        Presence::Partly { .. } => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tools(dir: &Path, query: &str) -> Debian {
        let note = format!("echo \"$0 $*\" >> {}/calls\n", dir.display());
        let policy = "[ \"$3\" = known ] && echo known: || echo \"$3x:\"\n";
        for (name, script) in [
            ("dpkg-query", query),
            ("apt-cache", policy),
            ("apt-get", &note),
            ("apt-mark", &note),
        ] {
            let place = dir.join(name);
            std::fs::write(&place, format!("#!/bin/sh\n{script}")).unwrap();
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Debian::new(dir, Reach::default())
    }

    #[test]
    fn every_state_of_a_package_has_one_meaning_and_the_rest_is_not_guessed() {
        let of = |line: &str| parse(line).map(|seen| (seen.presence, seen.held));
        let installed = Presence::Installed("5.0r8".to_owned());
        assert_eq!(of("hold installed 5.0r8"), Some((installed.clone(), true)));
        assert_eq!(of("install installed 5.0r8"), Some((installed, false)));
        for gone in ["deinstall config-files 1.22.1-9", "unknown not-installed "] {
            assert_eq!(of(gone), Some((Presence::Gone, false)), "{gone}");
        }
        for word in [
            "half-configured",
            "half-installed",
            "triggers-awaited",
            "triggers-pending",
            "unpacked",
        ] {
            for version in [Some("1".to_owned()), None] {
                let line = format!("install {word} {}", version.as_deref().unwrap_or(""));
                let word = word.to_owned();
                let partly = Presence::Partly { word, version };
                assert_eq!(of(&line), Some((partly, false)));
            }
        }
        for odd in [
            "",
            "install",
            "install installed",
            "install installed 1 2",
            "install strange 1",
            "dpkg-query: warning: parsing file",
        ] {
            assert_eq!(of(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_warning_is_no_answer_and_no_other_failure_means_gone() {
        let dir = tempfile::tempdir().unwrap();
        let warned = "echo 'dpkg-query: warning: bad line' >&2; echo 'install installed 1'\n";
        let seen = tools(dir.path(), warned).look("known").unwrap();
        assert_eq!(seen.presence, Presence::Installed("1".to_owned()));
        let gone = "echo 'dpkg-query: no packages found matching known' >&2; exit 1\n";
        let seen = tools(dir.path(), gone).look("known").unwrap();
        assert_eq!(seen, PackageSeen::default());
        for script in [
            "exit 1\n",
            "echo 'database is locked' >&2; exit 1\n",
            "exit 0\n",
        ] {
            let seen = tools(dir.path(), script).look("known");
            assert!(
                matches!(seen, Err(SystemError::Failed { .. })),
                "{script}: {seen:?}"
            );
        }
    }

    #[test]
    fn what_is_partly_there_is_removed_and_only_what_apt_knows_exactly_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let tools = tools(dir.path(), "echo 'install half-configured 1'\n");
        let spec = |name: &str| PackageSpec {
            name: name.to_owned(),
            version: None,
            hold: false,
        };
        let error = tools.install(&spec("known+")).unwrap_err().to_string();
        assert!(error.contains("knows no package known+"), "{error}");
        let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
        assert!(calls.contains("apt-get update"), "{calls}");
        assert!(!calls.contains("known+"), "nothing was asked of apt");
        tools.install(&spec("known")).unwrap();
        tools.remove("known").unwrap();
        let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
        assert!(
            calls.contains("-- known\n") && calls.contains("apt-get remove -y"),
            "{calls}"
        );
        assert!(calls.contains("--no-remove"), "{calls}");
    }

    /// Tools whose lists are old: what they say then, and what they need to know a package.
    fn stale(dir: &Path, said: &str, knows: &str) -> Debian {
        let gone = "echo \"dpkg-query: no packages found matching $4\" >&2; exit 1\n";
        let tools = tools(dir, gone);
        let here = dir.display();
        let apt = format!(
            "echo \"$1\" >> {here}/calls\n\
             [ $1 = update ] && touch {here}/updated\n\
             [ $1 = update ] || [ -e {here}/updated ] || {{ echo '{said}' >&2; exit 100; }}\n"
        );
        let policy = format!("[ -e {here}/{knows} ] && echo \"$3:\"\n");
        for (name, script) in [("apt-get", apt), ("apt-cache", policy)] {
            std::fs::write(dir.join(name), format!("#!/bin/sh\n{script}exit 0\n")).unwrap();
        }
        tools
    }

    fn calls(dir: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(dir.join("calls")).unwrap();
        let apt = |line: &&str| !line.contains("apt-mark");
        text.lines().filter(apt).map(str::to_owned).collect()
    }

    #[test]
    fn a_package_is_installed_with_new_lists_where_old_ones_may_be_why_it_is_not() {
        let spec = PackageSpec {
            name: "known".to_owned(),
            version: None,
            hold: false,
        };
        for said in [
            "E: Unable to locate package known",
            "E: Package known has no installation candidate",
            "The following packages have unmet dependencies:",
            "Err:1 http://deb.debian.org known 404  Not Found",
        ] {
            let dir = tempfile::tempdir().unwrap();
            stale(dir.path(), said, "apt-get").install(&spec).unwrap();
            assert_eq!(calls(dir.path()), ["install", "update", "install"]);
        }
        let dir = tempfile::tempdir().unwrap();
        stale(dir.path(), "", "updated").install(&spec).unwrap();
        assert_eq!(calls(dir.path()), ["update", "install"], "it was unknown");
    }

    #[test]
    fn lists_are_fetched_once_and_only_where_that_may_help() {
        let dir = tempfile::tempdir().unwrap();
        let said = "E: Packages need to be removed but remove is disabled.";
        let tools = stale(dir.path(), said, "apt-get");
        let file = dir.path().join("a.deb");
        let refused = tools.install_file(&file, &Presence::Gone, false);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("remove is disabled"), "{refused}");
        assert_eq!(calls(dir.path()), ["install"]);

        let dir = tempfile::tempdir().unwrap();
        let tools = stale(dir.path(), "unmet dependencies", "apt-get");
        let never = std::fs::read_to_string(dir.path().join("apt-get")).unwrap();
        let never = never.replace("-e ", "! -e ");
        std::fs::write(dir.path().join("apt-get"), never).unwrap();
        std::fs::write(dir.path().join("updated"), "").unwrap();
        let refused = tools.install_file(&file, &Presence::Gone, false);
        assert!(refused.unwrap_err().to_string().contains("unmet"));
        assert_eq!(calls(dir.path()), ["install", "update", "install"]);
    }
}
