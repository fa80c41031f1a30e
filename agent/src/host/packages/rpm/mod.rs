//! The tools of the RPM family: rpm is asked, dnf does; where there is no dnf, rpm does.

use std::path::{Path, PathBuf};

use email_engine_protocol::desired::PackageSpec;

use super::{INSTALL, PackageFile, QUICK, READ, argument, failed, is_there, vercmp, verify};
use crate::host::reach::Reach;
use crate::host::real::must;
use crate::host::spawn;
use crate::host::system::{PackageSeen, Presence, SystemError};

/// A whole version, with the epoch only where there is one.
const VERSION: &str = "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";
const WORDS: &str = "%{NAME}\\n%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n%{ARCH}\\n%|SOURCEPACKAGE?{source}:{binary}|\\n";

#[derive(Debug)]
pub(super) struct Rpm {
    folder: PathBuf,
    reach: Reach,
    /// Another root than the machine's, with a database of its own.
    root: Option<String>,
}

impl Rpm {
    pub(super) fn new(folder: &Path, reach: Reach) -> Self {
        Self {
            folder: folder.to_owned(),
            reach,
            root: None,
        }
    }

    fn tool(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn rooted<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let root = self.root.iter().flat_map(|root| ["--root", root.as_str()]);
        root.chain(arguments.iter().copied()).collect()
    }

    fn ask(&self, arguments: &[&str]) -> Result<spawn::Answer, SystemError> {
        spawn::query(&self.tool("rpm"), &self.rooted(arguments), QUICK)
    }

    pub(super) fn look(&self, name: &str) -> Result<PackageSeen, SystemError> {
        let answer = self.ask(&["-q", "--qf", VERSION, "--", name])?;
        let presence = match answer.code {
            0 => {
                let mut versions: Vec<&str> = answer.output.lines().collect();
                versions.dedup();
                match versions[..] {
                    [only] if !only.contains(' ') => Presence::Installed(only.to_owned()),
                    // An upgrade that was cut off leaves both in the database.
                    [_, _, ..] => Presence::Partly {
                        word: format!("{} at once", versions.join(" and ")),
                        version: newest(&versions),
                    },
                    _ => {
                        let odd = format!("{:?} is not understood", answer.output);
                        return Err(failed(self.tool("rpm"), 0, odd));
                    }
                }
            }
            // It says the same of a database that it cannot open, with an error beside it.
            1 if answer.output == format!("package {name} is not installed")
                && !answer.errors.contains("error: ") =>
            {
                Presence::Gone
            }
            code => {
                let said = format!("{} {}", answer.errors, answer.output);
                return Err(failed(self.tool("rpm"), code, said));
            }
        };
        Ok(PackageSeen {
            presence,
            held: false,
        })
    }

    pub(super) fn install(&self, spec: &PackageSpec) -> Result<(), SystemError> {
        if !is_there(&self.look(&spec.name)?.presence, spec) {
            let wanted = spec.version.as_ref().map_or_else(
                || spec.name.clone(),
                |version| format!("{}-{version}", spec.name),
            );
            self.dnf(&["install", &wanted])?;
        }
        self.hold(&spec.name, spec.hold)
    }

    fn dnf(&self, words: &[&str]) -> Result<(), SystemError> {
        let mut arguments = vec!["-y", "--setopt=install_weak_deps=False"];
        arguments.extend(words);
        must(self.reach, &self.tool("dnf"), &arguments, INSTALL).map(|_| ())
    }

    /// Reads the lists of one repository alone. Elsewhere one that does not answer is passed over.
    pub(super) fn read_source(&self, name: &str) -> Result<(), SystemError> {
        let (only, strict) = (
            format!("--repo={name}"),
            format!("--setopt={name}.skip_if_unavailable=0"),
        );
        let words = ["-y", "makecache", "--refresh", &only, &strict];
        must(self.reach, &self.tool("dnf"), &words, READ).map(|_| ())
    }

    fn has_dnf(&self) -> bool {
        self.root.is_none() && self.folder.join("dnf").exists()
    }

    pub(super) fn inspect(&self, file: &Path) -> Result<PackageFile, SystemError> {
        let file = argument(file)?;
        let tool = self.tool("rpm");
        let whole = spawn::query(&tool, &["-K", "--nosignature", "--", file], READ)?;
        if whole.code != 0 {
            let said = format!("{} {}", whole.output, whole.errors);
            return Err(failed(tool, whole.code, said));
        }
        let answer = self.ask(&["-qp", "--nosignature", "--qf", WORDS, "--", file])?;
        let lines: Vec<&str> = answer.output.lines().collect();
        match (answer.code, &lines[..]) {
            (0, [name, version, architecture, "binary"]) => Ok(PackageFile {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                architecture: (*architecture).to_owned(),
            }),
            (0, [.., "source"]) => {
                let reason = "it holds sources: a package of programs is accepted".to_owned();
                Err(failed(tool, 0, reason))
            }
            (code, _) => {
                let said = format!("{} {}", answer.output, answer.errors);
                Err(failed(tool, code, said))
            }
        }
    }

    pub(super) fn architecture(&self) -> Result<String, SystemError> {
        let answer = self.ask(&["--eval", "%{_arch}"])?;
        if answer.code == 0 && !answer.output.is_empty() {
            return Ok(answer.output);
        }
        Err(failed(self.tool("rpm"), answer.code, answer.errors))
    }

    pub(super) fn changed(&self, name: &str) -> Result<Vec<String>, SystemError> {
        let words = self.rooted(&["-V", "--nodeps", "--noscripts", "--", name]);
        verify::changed(&self.tool("rpm"), &words)
    }

    pub(super) fn install_file(
        &self,
        file: &Path,
        seen: &Presence,
        downgrade: bool,
    ) -> Result<(), SystemError> {
        let file = argument(file)?;
        // dnf has nothing to do where one of two versions is the file's.
        let is_double = matches!(seen, Presence::Partly { .. });
        if self.has_dnf() && !is_double {
            let verb = if downgrade { "downgrade" } else { "install" };
            return self.dnf(&[verb, file]);
        }
        let mut words = vec!["-U", "--nosignature", "--replacepkgs"];
        if downgrade || is_double {
            words.push("--oldpackage");
        }
        words.extend(["--", file]);
        must(self.reach, &self.tool("rpm"), &self.rooted(&words), INSTALL).map(|_| ())
    }

    /// dnf's own holds are a plugin that not every machine has.
    pub(super) fn hold(&self, name: &str, held: bool) -> Result<(), SystemError> {
        if !held {
            return Ok(());
        }
        let reason = format!("{name} cannot be held: that is only known of apt");
        Err(failed(self.tool("dnf"), 0, reason))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), SystemError> {
        let Some(name) = self.known_as(name)? else {
            return Ok(());
        };
        if self.has_dnf() {
            return self.dnf(&["remove", "--noautoremove", &name]);
        }
        let words = self.rooted(&["-e", "--", &name]);
        must(self.reach, &self.tool("rpm"), &words, INSTALL).map(|_| ())
    }

    /// The name with the capitals that the package gave itself; nothing when it is not installed.
    fn known_as(&self, name: &str) -> Result<Option<String>, SystemError> {
        if self.look(name)?.presence != Presence::Gone {
            return Ok(Some(name.to_owned()));
        }
        // Letters in either case; every other sign of a name stands for itself.
        let pattern: String = name
            .chars()
            .map(|c| match c {
                'a'..='z' => format!("[{c}{}]", c.to_ascii_uppercase()),
                '+' => "[+]".to_owned(),
                c => c.to_string(),
            })
            .collect();
        let answer = self.ask(&["-qa", "--qf", "%{NAME}\\n", "--", &pattern])?;
        if answer.code != 0 {
            return Err(failed(self.tool("rpm"), answer.code, answer.errors));
        }
        let mut lines = answer.output.lines();
        Ok(lines
            .find(|line| line.eq_ignore_ascii_case(name))
            .map(str::to_owned))
    }
}

fn newest(versions: &[&str]) -> Option<String> {
    let newest = versions.iter().max_by(|a, b| vercmp::compare(a, b));
    newest.map(|version| (*version).to_owned())
}

#[cfg(test)]
mod tests;
