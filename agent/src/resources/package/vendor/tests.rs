//! Package files on a machine whose tools read real files and only pretend to install them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::resources::artifact::Pieces;

/// Answers for one package, and installs by writing down what the file says.
const QUERY: &str = "if [ -e HERE/version ]; then cat HERE/version; \
    else echo \"dpkg-query: no packages found matching $4\" >&2; exit 1; fi\n";
const INSTALL: &str = "echo \"$(basename $0) $*\" | sed 's#/[^ ]*/packages/##' >> HERE/calls\n\
    if [ -e HERE/refuses ]; then cat HERE/refuses >&2; exit 100; fi\n\
    case $* in *--fix-broken) echo 'install installed 5.0r1' > HERE/version;; esac\n\
    for last; do :; done\n\
    case $last in *.deb) \
    echo \"install installed $(/usr/bin/dpkg-deb --field $last Version)\" > HERE/version;; esac\n";
const DPKG: &str = "if [ \"$2\" = --install ] && [ -e HERE/lacks ]; then \
    echo dpkg lacks something >> HERE/calls; cat HERE/lacks >&2; exit 1; fi\n\
    case $1 in --verify) echo verified >> HERE/calls; cat HERE/changed; exit 0;; \
    --compare-versions | --print-architecture) exec /usr/bin/dpkg \"$@\";; esac\n";

struct Bed {
    dir: TempDir,
    machine: Machine,
}

impl Bed {
    /// Nothing, said loudly, where no package can be made.
    fn new() -> Option<Self> {
        if !Path::new("/usr/bin/dpkg-deb").exists() {
            eprintln!("NOT RUN: dpkg-deb is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let tools = dir.path().join("tools");
        fs::create_dir_all(dir.path().join("root")).unwrap();
        fs::create_dir(&tools).unwrap();
        for (name, script) in [
            ("dpkg-query", QUERY.to_owned()),
            ("dpkg-deb", "exec /usr/bin/dpkg-deb \"$@\"\n".to_owned()),
            ("dpkg", format!("{DPKG}{INSTALL}")),
            ("apt-get", INSTALL.to_owned()),
            ("apt-mark", INSTALL.to_owned()),
        ] {
            let place = tools.join(name);
            let script = script.replace("HERE", &dir.path().display().to_string());
            fs::write(&place, format!("#!/bin/sh\n{script}")).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Machine::with_package_tools(&dir.path().join("root"), &tools);
        Some(Self { dir, machine })
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.dir.path().join("calls"));
        text.lines().map(str::to_owned).collect()
    }

    /// A package file of these words.
    fn deb(&self, name: &str, version: &str, architecture: &str) -> Vec<u8> {
        let root = self.dir.path().join("made");
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::write(root.join("data"), "x".repeat(100_000)).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
             Maintainer: nobody\nDescription: a sample\n"
        );
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        let file = self.dir.path().join("made.deb");
        let built = Command::new("/usr/bin/dpkg-deb")
            .args(["-Zgzip", "--build"])
            .args([&root, &file])
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        fs::read(file).unwrap()
    }

    fn apply(
        &mut self,
        bytes: &[u8],
        change: impl FnOnce(&mut VendorPackageSpec),
    ) -> Result<Finding, String> {
        let (pieces, artifact) = Pieces::of(bytes);
        let mut spec = spec(&artifact);
        change(&mut spec);
        let artifact = spec.artifact.clone().unwrap();
        apply(&mut self.machine, &pieces, &id(), &spec, &artifact)
            .map_err(|error| error.to_string())?;
        Ok(observe(&mut self.machine, &id(), &spec, &artifact))
    }
}

fn id() -> ResourceId {
    ResourceId::new("package:powermta").unwrap()
}

fn spec(artifact: &ArtifactRef) -> VendorPackageSpec {
    VendorPackageSpec {
        package: PackageSpec {
            name: "powermta".to_owned(),
            version: None,
            hold: false,
        },
        artifact: Some(artifact.clone()),
        downgrade: false,
        verify: false,
    }
}

const WORDS: &str = "apt-get install -y --no-install-recommends --no-remove -o \
    Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120 --allow-change-held-packages";

#[test]
fn a_file_is_installed_known_again_upgraded_and_only_on_the_roles_word_downgraded() {
    let Some(mut bed) = Bed::new() else { return };
    let (one, two) = (
        bed.deb("PowerMTA", "5.0r1", "all"),
        bed.deb("powermta", "5.0r2", "all"),
    );
    let (_, artifact) = Pieces::of(&one);
    let before = observe(&mut bed.machine, &id(), &spec(&artifact), &artifact);
    assert!(matches!(before, Finding::Differs(_)), "{before:?}");
    assert_eq!(bed.apply(&one, |_| ()), Ok(Finding::Right));
    let file = format!("{}.deb", artifact.sha256);
    assert_eq!(bed.calls(), [format!("{WORDS} -- {file}")]);

    // Nothing is left for it to do, also when what was read is lost.
    bed.machine.notes.remove(READ).unwrap();
    assert_eq!(bed.apply(&one, |_| ()), Ok(Finding::Right));
    assert_eq!(bed.calls(), Vec::<String>::new());
    assert_eq!(
        bed.machine.notes.list(STAGED).unwrap(),
        Vec::<String>::new()
    );

    assert_eq!(bed.apply(&two, |_| ()), Ok(Finding::Right));
    assert_eq!(bed.calls().len(), 1);
    let stays = bed.apply(&one, |_| ()).unwrap();
    let Finding::Noted(said) = &stays else {
        panic!("{stays:?}");
    };
    assert!(
        said.contains("powermta 5.0r2 is installed, newer than 5.0r1"),
        "{said}"
    );
    assert!(said.contains("downgrade = true"), "{said}");
    assert!(stays.is_satisfied(), "what comes after it goes on");
    assert_eq!(bed.calls(), Vec::<String>::new());
    let held = bed.apply(&one, |spec| spec.package.hold = true);
    assert!(matches!(held, Ok(Finding::Differs(_))), "{held:?}");
    assert_eq!(bed.calls(), ["apt-mark hold -- powermta"]);
    assert_eq!(
        bed.apply(&one, |spec| spec.downgrade = true),
        Ok(Finding::Right)
    );
    assert_eq!(
        bed.calls(),
        [format!("{WORDS} --allow-downgrades -- {file}")]
    );
}

#[test]
fn what_was_cut_off_is_finished_and_unpacked_again() {
    let Some(mut bed) = Bed::new() else { return };
    let one = bed.deb("powermta", "5.0r1", "all");
    for word in ["half-configured", "half-installed", "unpacked"] {
        bed.write("version", &format!("install {word} 5.0r1\n"));
        assert_eq!(bed.apply(&one, |_| ()), Ok(Finding::Right));
        let calls = bed.calls();
        assert_eq!(calls[0], "dpkg --force-confold --configure -a");
        assert!(
            calls[1].starts_with("dpkg --force-confold --install -- "),
            "{calls:?}"
        );
    }
}

#[test]
fn what_is_newer_and_was_cut_off_is_not_downgraded_without_the_roles_word() {
    let Some(mut bed) = Bed::new() else { return };
    let one = bed.deb("powermta", "5.0r1", "all");
    bed.write("version", "install half-configured 5.5\n");
    let refused = bed.apply(&one, |_| ()).unwrap_err();
    assert!(
        refused.contains("powermta 5.5 is half-configured, newer than 5.0r1"),
        "{refused}"
    );
    assert_eq!(bed.calls(), ["dpkg --force-confold --configure -a"]);
    let done = bed.apply(&one, |spec| spec.downgrade = true);
    assert_eq!(done, Ok(Finding::Right));
}

#[test]
fn what_a_package_that_was_cut_off_depends_on_is_installed() {
    let Some(mut bed) = Bed::new() else { return };
    let one = bed.deb("powermta", "5.0r1", "all");
    bed.write("version", "install unpacked 5.0r1\n");
    bed.write("lacks", "powermta depends on libsomewhere\n");
    assert_eq!(bed.apply(&one, |_| ()), Ok(Finding::Right));
    let calls = bed.calls();
    assert_eq!(calls[1], "dpkg lacks something");
    assert_eq!(calls[2..], [format!("{WORDS} --fix-broken")]);
}

#[test]
fn a_hold_is_set_and_taken_back() {
    let Some(mut bed) = Bed::new() else { return };
    let one = bed.deb("powermta", "5.0r1", "all");
    bed.write("version", "hold installed 5.0r1\n");
    let _ = bed.apply(&one, |_| ());
    assert_eq!(bed.calls(), ["apt-mark unhold -- powermta"]);
    bed.write("version", "install installed 5.0r1\n");
    let _ = bed.apply(&one, |spec| spec.package.hold = true);
    assert_eq!(bed.calls(), ["apt-mark hold -- powermta"]);
}

#[test]
fn a_file_that_this_machine_cannot_have_is_refused_before_anything_is_installed() {
    let Some(mut bed) = Bed::new() else { return };
    let good = bed.deb("powermta", "5.0r1", "all");
    let cut = good[..good.len() / 2].to_vec();
    let other = bed.deb("exim4", "5.0r1", "all");
    let foreign = bed.deb("powermta", "5.0r1", "sparc");
    let odd = bed.deb("powermta", "1", "all");
    for (bytes, words) in [
        (
            &b"PK\x03\x04 a zip"[..],
            &["is no package", ".deb files"][..],
        ),
        (
            b"\xed\xab\xee\xdb\x03\x00 an rpm",
            &["is a .rpm", ".deb files"],
        ),
        (&cut, &["unexpected end of file"]),
        (&good[..60], &["dpkg-deb"]),
        (&other, &["holds package exim4", "accepted is powermta"]),
        (&foreign, &["for sparc machines", "all"]),
        (&odd, &["has version 1", "accepted is 5.0r1"]),
    ] {
        let refused = bed.apply(bytes, |spec| {
            spec.package.version = Some("5.0r1".to_owned())
        });
        let refused = refused.unwrap_err();
        for word in words {
            assert!(refused.contains(word), "{word}: {refused}");
        }
        assert_eq!(bed.calls(), Vec::<String>::new(), "{refused}");
    }
    assert_eq!(
        bed.machine.notes.list(STAGED).unwrap().len(),
        1,
        "one waits at most"
    );
}

#[test]
fn pieces_that_together_are_another_file_reach_no_tool() {
    let Some(mut bed) = Bed::new() else { return };
    let good = bed.deb("powermta", "5.0r1", "all");
    let other = ContentHash::of(b"other");
    let refused = bed.apply(&good, |spec| spec.artifact.as_mut().unwrap().sha256 = other);
    assert!(refused.unwrap_err().contains("together are another"));
    assert_eq!(bed.calls(), Vec::<String>::new());
}

#[test]
fn what_the_package_tool_refuses_is_said_in_its_words_and_tried_again() {
    let Some(mut bed) = Bed::new() else { return };
    let good = bed.deb("powermta", "5.0r1", "all");
    let said = "The following packages have unmet dependencies:\n powermta : Depends: libnowhere\n";
    bed.write("refuses", said);
    let refused = bed.apply(&good, |_| ()).unwrap_err();
    assert!(refused.contains("Depends: libnowhere"), "{refused}");
    fs::remove_file(bed.dir.path().join("refuses")).unwrap();
    bed.calls();
    assert_eq!(bed.apply(&good, |_| ()), Ok(Finding::Right));
    assert_eq!(bed.calls().len(), 1);
}

#[test]
fn files_that_somebody_changed_are_told_once_an_hour_and_not_repaired() {
    let Some(mut bed) = Bed::new() else { return };
    let one = bed.deb("powermta", "5.0r1", "all");
    bed.write("changed", "");
    assert_eq!(bed.apply(&one, |_| ()), Ok(Finding::Right));
    bed.calls();
    let (_, artifact) = Pieces::of(&one);
    let mut spec = spec(&artifact);
    spec.verify = true;
    let look =
        |bed: &mut Bed| crate::resources::package::observe_vendor(&mut bed.machine, &id(), &spec);
    assert_eq!(look(&mut bed), Finding::Right);
    bed.write(
        "changed",
        "??5?????? c /etc/pmta/config\n??5??????   /usr/sbin/pmtad\n",
    );
    assert_eq!(
        look(&mut bed),
        Finding::Right,
        "not looked through again yet"
    );
    assert_eq!(bed.calls(), ["verified"]);
    bed.machine.looked_through.clear();
    let noted = look(&mut bed);
    let Finding::Noted(text) = &noted else {
        panic!("{noted:?}");
    };
    assert!(text.ends_with("brought them: /usr/sbin/pmtad"), "{text}");
    assert!(noted.is_satisfied(), "nothing is done about it");
    bed.write("changed", "odd words\n");
    bed.machine.looked_through.clear();
    let unverified = look(&mut bed);
    assert!(
        matches!(unverified, Finding::Unverified(_)),
        "{unverified:?}"
    );
}
