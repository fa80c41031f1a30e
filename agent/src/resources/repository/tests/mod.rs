//! Sources of packages on a machine whose tools only write down how they were called; and, each in a file
//! of its own, what real ones make of them.

mod apt;
mod back;
mod dnf;
mod lines;
mod vendor;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use email_engine_protocol::desired::{
    AptSource, DnfSource, OnRemove, Policy, Resource, Spec, is_repository_uri,
};
use tempfile::TempDir;

use super::*;
use crate::reconciler::plan::tests::{config, file};

/// A block with nothing in it but the beginning of a public key.
const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAEE\n-----END PGP PUBLIC KEY BLOCK-----\n";
const OTHER_KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAEF\n-----END PGP PUBLIC KEY BLOCK-----\n";

const SOURCE: &str = "etc/apt/sources.list.d/email-engine-vendor.sources";
const KEYRING: &str = "etc/apt/keyrings/email-engine-vendor.asc";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn spec(uri: &str) -> PackageRepositorySpec {
    PackageRepositorySpec {
        name: "vendor".to_owned(),
        enabled: true,
        apt: Some(AptSource {
            uris: texts(&[uri]),
            suites: texts(&["stable"]),
            components: texts(&["main"]),
            architectures: Vec::new(),
            key: KEY.to_owned(),
        }),
        dnf: None,
    }
}

fn id() -> ResourceId {
    ResourceId::new("package_repository:vendor").unwrap()
}

/// A repository that apt reads, as part of a state.
pub(crate) fn resource(uri: &str) -> Resource {
    of(spec(uri))
}

fn of(spec: PackageRepositorySpec) -> Resource {
    Resource {
        id: id(),
        spec: Spec::PackageRepository(spec),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

/// Writes a program of one's own.
fn program(folder: &Path, name: &str, script: &str) {
    let place = folder.join(name);
    fs::write(&place, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
}

struct Bed {
    dir: TempDir,
    machine: Machine,
}

impl Bed {
    /// Tools of one family, which fail with what stands in `refuses`.
    fn new(tools: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, folder) = (dir.path().join("root"), dir.path().join("tools"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&folder).unwrap();
        let here = dir.path().display();
        let script = format!(
            "echo \"$(basename $0) $*\" >> {here}/calls\n\
             if [ -e {here}/refuses ]; then cat {here}/refuses >&2; exit 100; fi\n"
        );
        for tool in tools {
            program(&folder, tool, &script);
        }
        let machine = Machine::with_package_tools(&root, &folder);
        Self { dir, machine }
    }

    fn debian() -> Self {
        Self::new(&["dpkg-query", "apt-get", "apt-cache"])
    }

    /// The same machine for another life of the agent.
    fn life(&self) -> Machine {
        let here = self.dir.path();
        Machine::with_package_tools(&here.join("root"), &here.join("tools"))
    }

    fn apply(&mut self, spec: &PackageRepositorySpec) -> Result<Finding, String> {
        apply(&mut self.machine, &id(), spec).map_err(|error| error.to_string())?;
        Ok(observe(&mut self.machine, spec))
    }

    fn remove(&mut self, on_remove: OnRemove) {
        let item = Item {
            id: id(),
            on_remove,
            secret: false,
            applied: None,
        };
        remove(&mut self.machine, &item, "vendor").unwrap();
    }

    fn refuses(&self, words: Option<&str>) {
        let place = self.dir.path().join("refuses");
        match words {
            Some(words) => fs::write(place, words).unwrap(),
            None => fs::remove_file(place).unwrap(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// The source and its key.
    fn pair(&self) -> [Option<String>; 2] {
        [SOURCE, KEYRING].map(|path| fs::read_to_string(self.at(path)).ok())
    }

    /// How the tools were called since this was asked last.
    fn calls(&self) -> String {
        let place = self.dir.path().join("calls");
        let calls = fs::read_to_string(&place).unwrap_or_default();
        let _ = fs::remove_file(place);
        calls
    }
}

const URI: &str = "https://packages.example.com/apt/";

#[test]
fn a_source_stands_with_its_key_once_its_lists_were_read_and_is_looked_at_without_a_program() {
    let mut bed = Bed::debian();
    let spec = spec(URI);
    let missing = observe(&mut bed.machine, &spec);
    assert!(
        matches!(&missing, Finding::Differs(text) if text.contains(SOURCE) && text.contains("not read yet")),
        "{missing:?}"
    );
    assert!(!bed.at("etc").exists(), "looking makes nothing");
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    assert_eq!(
        bed.read(SOURCE),
        "# Written by Email-Engine; what is changed here is changed back.\nEnabled: yes\nTypes: deb\n\
         URIs: https://packages.example.com/apt/\nSuites: stable\nComponents: main\n\
         Signed-By: /etc/apt/keyrings/email-engine-vendor.asc\n"
    );
    assert_eq!(bed.read(KEYRING), KEY);
    for path in [SOURCE, KEYRING] {
        let mode = fs::metadata(bed.at(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{path}");
    }
    let calls = bed.calls();
    assert!(
        calls.starts_with(&format!(
            "apt-get update -o Dir::Etc::sourcelist=/{SOURCE} -o"
        )) && calls.ends_with("apt-cache policy\n"),
        "{calls}"
    );
    assert_eq!(observe(&mut bed.machine, &spec), Finding::Right);
    assert_eq!(bed.calls(), "", "no program runs for a look");
}

#[test]
fn drift_is_put_right_without_asking_the_repository_again() {
    let mut bed = Bed::debian();
    let spec = spec(URI);
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    bed.calls();
    bed.refuses(Some("it does not answer"));
    let open = fs::Permissions::from_mode(0o666);
    for (what, undo) in [
        ("has another content", "echo 'Trusted: yes' >> "),
        ("has another content", "echo > "),
        ("is missing", "rm "),
    ] {
        for path in [SOURCE, KEYRING] {
            let line = format!("{undo}{}", bed.at(path).display());
            let done = std::process::Command::new("sh")
                .args(["-c", &line])
                .status();
            assert!(done.unwrap().success());
            let found = observe(&mut bed.machine, &spec);
            assert_eq!(found, Finding::Differs(format!("/{path} {what}")));
            assert_eq!(bed.apply(&spec), Ok(Finding::Right));
        }
    }
    fs::write(bed.at(SOURCE), "#".repeat(1024 * 1024)).unwrap();
    assert!(!observe(&mut bed.machine, &spec).is_satisfied());
    assert_eq!(
        bed.apply(&spec),
        Ok(Finding::Right),
        "larger than any of ours"
    );
    fs::set_permissions(bed.at(KEYRING), open).unwrap();
    let found = observe(&mut bed.machine, &spec);
    assert_eq!(
        found,
        Finding::Differs(format!("/{KEYRING} has mode 0666, not 0644"))
    );
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    assert_eq!(bed.calls(), "");
}

#[test]
fn what_cannot_be_read_does_not_stay_and_is_not_tried_again_at_once() {
    let mut bed = Bed::debian();
    let words = "E: The repository 'https://packages.example.com/apt stable' is not signed.";
    bed.refuses(Some(words));
    let refused = bed.apply(&spec(URI)).unwrap_err();
    assert!(refused.contains(words), "in the tool's words: {refused}");
    for path in [SOURCE, KEYRING] {
        assert!(!bed.at(path).exists(), "{path}");
    }
    assert!(bed.calls().contains("update"));
    let again = bed.apply(&spec(URI)).unwrap_err();
    assert_eq!((again, bed.calls()), (refused, String::new()));
    let kept = bed.machine.unread.get_mut("vendor").unwrap();
    kept.0 -= PAUSE;
    bed.refuses(None);
    assert_eq!(bed.apply(&spec(URI)), Ok(Finding::Right));
    assert!(bed.machine.unread.is_empty());
}

#[test]
fn another_wish_is_tried_at_once_and_what_was_read_before_comes_back_when_it_fails() {
    let mut bed = Bed::debian();
    assert_eq!(bed.apply(&spec(URI)), Ok(Finding::Right));
    let good = (bed.read(SOURCE), bed.read(KEYRING));
    bed.refuses(Some("NO_PUBKEY 28A9D830AE844942"));
    let mut rotated = spec("https://packages.example.com/new/");
    OTHER_KEY.clone_into(&mut rotated.apt.as_mut().unwrap().key);
    for spec in [&rotated, &spec("https://packages.example.com/other/")] {
        bed.calls();
        let refused = bed.apply(spec).unwrap_err();
        assert!(refused.contains("NO_PUBKEY"), "{refused}");
        assert!(bed.calls().contains("update"), "it is another wish");
        assert_eq!((bed.read(SOURCE), bed.read(KEYRING)), good);
    }
    // What somebody else has put there since comes not back.
    fs::write(
        bed.at(SOURCE),
        "Types: deb\nURIs: http://evil.example.net/\n",
    )
    .unwrap();
    bed.machine.unread.clear();
    bed.apply(&rotated).unwrap_err();
    assert_eq!((bed.read(SOURCE), bed.read(KEYRING)), good);
}

#[test]
fn it_goes_with_its_key_or_stays_and_is_passed_over() {
    let mut bed = Bed::debian();
    let spec = spec(URI);
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    bed.remove(OnRemove::Leave);
    assert_eq!(observe(&mut bed.machine, &spec), Finding::Right);
    bed.remove(OnRemove::Disable);
    assert!(
        bed.read(SOURCE).contains("\nEnabled: no\n"),
        "{}",
        bed.read(SOURCE)
    );
    assert_eq!(bed.read(KEYRING), KEY);
    bed.remove(OnRemove::Delete);
    for path in [SOURCE, KEYRING] {
        assert!(!bed.at(path).exists(), "{path}");
    }
    bed.remove(OnRemove::Delete);
    bed.calls();
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    assert!(
        bed.calls().contains("update"),
        "one that comes back is read"
    );
}

#[test]
fn one_that_is_not_to_be_asked_is_written_down_and_not_read() {
    let mut bed = Bed::debian();
    bed.refuses(Some("it does not answer"));
    let mut spec = spec(URI);
    spec.enabled = false;
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    assert!(bed.read(SOURCE).contains("\nEnabled: no\n"));
    assert_eq!(bed.calls(), "");
}

#[test]
fn a_host_with_the_other_tool_says_so_and_is_not_touched() {
    let mut bed = Bed::new(&["rpm", "dnf"]);
    let refused = bed.apply(&spec(URI)).unwrap_err();
    let words = "this host installs packages by dnf, and vendor is described for apt alone";
    assert_eq!(refused, words);
    let found = observe(&mut bed.machine, &spec(URI));
    assert_eq!(found, Finding::Differs(words.to_owned()));
    assert!(!bed.at("etc").exists());
    let mut neither = Bed::new(&[]);
    let refused = neither.apply(&spec(URI)).unwrap_err();
    assert!(refused.contains("neither dpkg nor rpm"), "{refused}");
    let found = observe(&mut neither.machine, &spec(URI));
    assert!(matches!(found, Finding::Unknown(_)), "{found:?}");
}

#[test]
fn dnf_gets_a_repository_of_its_own_which_checks_every_package() {
    let mut bed = Bed::new(&["rpm", "dnf"]);
    let mut spec = spec(URI);
    spec.dnf = Some(DnfSource {
        uris: texts(&["https://packages.example.com/el$releasever/"]),
        signed_lists: false,
        key: OTHER_KEY.to_owned(),
    });
    assert_eq!(bed.apply(&spec), Ok(Finding::Right));
    assert_eq!(
        bed.read("etc/yum.repos.d/email-engine-vendor.repo"),
        "# Written by Email-Engine; what is changed here is changed back.\n[email-engine-vendor]\n\
         name=vendor\nbaseurl=https://packages.example.com/el$releasever/\nenabled=1\ngpgcheck=1\n\
         repo_gpgcheck=0\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-email-engine-vendor\n\
         skip_if_unavailable=1\n"
    );
    assert_eq!(
        bed.read("etc/pki/rpm-gpg/RPM-GPG-KEY-email-engine-vendor"),
        OTHER_KEY
    );
    let calls = bed.calls();
    assert!(
        calls.contains("dnf -y makecache --refresh --repo=email-engine-vendor"),
        "{calls}"
    );
    bed.remove(OnRemove::Disable);
    let text = bed.read("etc/yum.repos.d/email-engine-vendor.repo");
    assert!(text.contains("\nenabled=0\ngpgcheck=1\n"), "{text}");
}

#[test]
fn the_samples_are_what_a_state_may_hold() {
    assert!(is_repository_uri(URI));
    assert_eq!(config(vec![resource(URI), file("/a")]).check(), Ok(()));
}
