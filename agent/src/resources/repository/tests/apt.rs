//! A real apt, which has its own folders within a temporary one.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::PackageSpec;

use super::vendor::{Signer, is_possible, run, serve};
use super::*;
use crate::host::{PackageSeen, Presence};

/// Folders that are apt's and dpkg's, and stand in the place of the machine's while they run.
const BOUND: [&str; 4] = ["etc/apt", "var/lib/apt", "var/cache/apt", "var/lib/dpkg"];

struct Apt {
    dir: TempDir,
    machine: Machine,
    uri: String,
    vendor: Signer,
}

impl Apt {
    fn new() -> Option<Self> {
        let needed = ["/usr/bin/apt-get", "/usr/bin/dpkg-deb", "/usr/bin/gpg"];
        if !is_possible(&needed) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (root, tools) = (dir.path().join("root"), dir.path().join("tools"));
        for folder in [
            "etc/apt/sources.list.d",
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/log/apt",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
        fs::create_dir(&tools).unwrap();
        let here = root.display();
        let binds = BOUND.map(|path| format!("mount --bind {here}/{path} /{path}\n"));
        for name in ["apt-get", "apt-cache", "apt-mark"] {
            let script = format!(
                "exec /usr/bin/unshare --mount /bin/sh -ec '{}exec \"$@\"' sh /usr/bin/{name} \
                 -o DPkg::Options::=--instdir={here} -o DPkg::Options::=--log={here}/var/log/dpkg.log \
                 -o Dir::Log={here}/var/log/apt \"$@\"\n",
                binds.concat()
            );
            program(&tools, name, &script);
        }
        let query = format!("exec /usr/bin/dpkg-query --admindir={here}/var/lib/dpkg \"$@\"\n");
        program(&tools, "dpkg-query", &query);
        let machine = Machine::with_package_tools(&root, &tools);
        let served = dir.path().join("served");
        fs::create_dir(&served).unwrap();
        let vendor = Signer::new(dir.path().join("vendor"), "vendor");
        let uri = serve(&served);
        let made = Self {
            dir,
            machine,
            uri,
            vendor,
        };
        made.publish("1.0", Some(&made.vendor));
        Some(made)
    }

    /// Puts a package of this version on the shelf, and signs the list of it.
    fn publish(&self, version: &str, signer: Option<&Signer>) {
        let made = self.dir.path().join("made");
        fs::create_dir_all(made.join("DEBIAN")).unwrap();
        fs::create_dir_all(made.join("opt")).unwrap();
        fs::write(made.join("opt/sample"), version).unwrap();
        let control = format!(
            "Package: sample\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\n\
             Description: a sample\n"
        );
        fs::write(made.join("DEBIAN/control"), &control).unwrap();
        let served = self.dir.path().join("served");
        let file = served.join(format!("pool/sample_{version}_all.deb"));
        let lists = served.join("dists/stable/main/binary-all");
        fs::create_dir_all(served.join("pool")).unwrap();
        fs::create_dir_all(&lists).unwrap();
        let mut build = std::process::Command::new("/usr/bin/dpkg-deb");
        run(build.args(["-Zgzip", "--build"]).args([&made, &file]));
        let bytes = fs::read(&file).unwrap();
        let packages = format!(
            "{control}Filename: pool/sample_{version}_all.deb\nSize: {}\nSHA256: {}\n",
            bytes.len(),
            ContentHash::of(&bytes)
        );
        fs::write(lists.join("Packages"), &packages).unwrap();
        let release = format!(
            "Origin: vendor\nSuite: stable\nCodename: stable\nArchitectures: all\nComponents: main\n\
             Date: Sun, 01 Nov 2026 00:00:00 UTC\nSHA256:\n {} {} main/binary-all/Packages\n",
            ContentHash::of(packages.as_bytes()),
            packages.len()
        );
        let place = served.join("dists/stable");
        fs::write(place.join("Release"), release).unwrap();
        let _ = fs::remove_file(place.join("InRelease"));
        if let Some(signer) = signer {
            let (plain, signed) = (place.join("Release"), place.join("InRelease"));
            let paths = [&signed, &plain].map(|path| path.to_str().unwrap());
            signer.gpg(&["--clearsign", "--output", paths[0], paths[1]]);
        }
    }

    fn spec(&self, signer: &Signer) -> PackageRepositorySpec {
        let mut spec = spec(&self.uri);
        let apt = spec.apt.as_mut().unwrap();
        (apt.key, apt.architectures) = (signer.key(), Vec::new());
        let state = config(vec![of(spec.clone())]);
        assert_eq!(state.check(), Ok(()), "a real key is one");
        spec
    }

    fn apply(&mut self, spec: &PackageRepositorySpec) -> Result<Finding, String> {
        self.machine.unread.clear();
        apply(&mut self.machine, &id(), spec).map_err(|error| error.to_string())?;
        Ok(observe(&mut self.machine, spec))
    }

    fn install(&mut self) -> Result<PackageSeen, String> {
        let package = PackageSpec {
            name: "sample".to_owned(),
            version: None,
            hold: false,
        };
        let done = self.machine.system.install(&id(), &package);
        done.map_err(|error| error.to_string())?;
        Ok(self.machine.system.package(&id(), "sample").unwrap())
    }

    fn sources(&self) -> usize {
        let folder = self.dir.path().join("root/etc/apt/sources.list.d");
        fs::read_dir(folder).unwrap().count()
    }
}

#[test]
fn a_package_of_a_signed_repository_is_installed_by_a_real_apt() {
    let Some(mut apt) = Apt::new() else { return };
    let refused = apt.install().unwrap_err();
    assert!(refused.contains("knows no package sample"), "{refused}");
    let spec = apt.spec(&apt.vendor);
    assert_eq!(apt.apply(&spec), Ok(Finding::Right));
    let seen = apt.install().unwrap();
    assert_eq!(seen.presence, Presence::Installed("1.0".to_owned()));
    let installed = apt.dir.path().join("root/opt/sample");
    assert_eq!(fs::read_to_string(installed).unwrap(), "1.0");
}

#[test]
fn a_repository_that_another_key_signed_is_refused_by_name_and_nothing_comes_of_it() {
    let Some(mut apt) = Apt::new() else { return };
    let stranger = Signer::new(apt.dir.path().join("stranger"), "stranger");
    let spec = apt.spec(&stranger);
    let refused = apt.apply(&spec).unwrap_err();
    let number = apt.vendor.number();
    assert!(
        refused.contains(&format!("NO_PUBKEY {number}")) && refused.contains(&apt.uri),
        "{refused}"
    );
    assert_eq!(apt.sources(), 0, "it does not stay");
    let refused = apt.install().unwrap_err();
    assert!(refused.contains("knows no package sample"), "{refused}");
}

#[test]
fn a_repository_that_changes_hands_keeps_its_old_lists_and_is_not_right() {
    let Some(mut apt) = Apt::new() else { return };
    let stranger = Signer::new(apt.dir.path().join("stranger"), "stranger");
    let good = apt.spec(&apt.vendor);
    assert_eq!(apt.apply(&good), Ok(Finding::Right));
    // Whoever has taken it over signs with a key of their own, or not at all.
    for signer in [Some(&stranger), None] {
        apt.publish("6.6.6", signer);
        let mut asked_anew = good.clone();
        asked_anew.apt.as_mut().unwrap().architectures = texts(&["amd64"]);
        let refused = apt.apply(&asked_anew).unwrap_err();
        assert!(refused.contains("apt-get update"), "{refused}");
        assert_eq!(
            observe(&mut apt.machine, &good),
            Finding::Right,
            "it is as before"
        );
    }
    apt.publish("1.0", Some(&apt.vendor));
    let seen = apt.install().unwrap();
    assert_eq!(seen.presence, Presence::Installed("1.0".to_owned()));
}

#[test]
fn a_source_that_contradicts_one_of_the_machines_own_does_not_stop_apt() {
    let Some(mut apt) = Apt::new() else { return };
    let own = apt.dir.path().join("root/etc/apt/sources.list.d/own.list");
    let keyring = apt.dir.path().join("root/etc/apt/keyrings");
    fs::create_dir(&keyring).unwrap();
    fs::write(keyring.join("own.asc"), apt.vendor.key()).unwrap();
    let line = format!(
        "deb [signed-by=/etc/apt/keyrings/own.asc] {} stable main\n",
        apt.uri
    );
    fs::write(&own, line).unwrap();
    let spec = apt.spec(&apt.vendor);
    let refused = apt.apply(&spec).unwrap_err();
    assert!(
        refused.contains("Conflicting values set for option Signed-By"),
        "{refused}"
    );
    assert_eq!(apt.sources(), 1);
    let seen = apt.install().unwrap();
    assert_eq!(seen.presence, Presence::Installed("1.0".to_owned()));
}
