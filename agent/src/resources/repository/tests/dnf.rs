//! A real dnf, which installs into a folder of its own.

use std::process::Command;

use email_engine_protocol::desired::PackageSpec;

use super::vendor::{Signer, is_possible, run, serve};
use super::*;
use crate::host::Presence;

struct Dnf {
    dir: TempDir,
    machine: Machine,
    uri: String,
    vendor: Signer,
}

impl Dnf {
    fn new() -> Option<Self> {
        let needed = [
            "/usr/bin/dnf",
            "/usr/bin/rpmbuild",
            "/usr/bin/rpmsign",
            "/usr/bin/createrepo_c",
            "/usr/bin/gpg",
        ];
        if !is_possible(&needed) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (root, tools) = (dir.path().join("root"), dir.path().join("tools"));
        for folder in [
            "root/etc/yum.repos.d",
            "root/etc/pki/rpm-gpg",
            "tools",
            "served",
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let here = root.display();
        // It looks for keys in the machine's own folder.
        let script = format!(
            "exec /usr/bin/unshare --mount /bin/sh -ec \
             'mount -t overlay -o lowerdir={here}/etc:/etc none /etc\nexec \"$@\"' sh \
             /usr/bin/dnf --installroot={here} --releasever=9 \"$@\"\n"
        );
        program(&tools, "dnf", &script);
        program(
            &tools,
            "rpm",
            &format!("exec /usr/bin/rpm --root {here} \"$@\"\n"),
        );
        let vendor = Signer::new(dir.path().join("vendor"), "vendor");
        let uri = serve(&dir.path().join("served"));
        let made = Self {
            machine: Machine::with_package_tools(&root, &tools),
            dir,
            uri,
            vendor,
        };
        made.publish(&made.vendor);
        Some(made)
    }

    /// Puts a package on the shelf, and signs it and the list of it.
    fn publish(&self, signer: &Signer) {
        let (top, served) = (self.dir.path().join("top"), self.dir.path().join("served"));
        fs::create_dir_all(&top).unwrap();
        let text = "Name: sample\nVersion: 1.0\nRelease: 1\nSummary: a sample\nLicense: MIT\n\
                    BuildArch: noarch\nAutoReqProv: no\n%description\nA sample.\n%install\n\
                    mkdir -p %{buildroot}/opt\necho one > %{buildroot}/opt/sample\n%files\n/opt/sample\n";
        fs::write(top.join("spec"), text).unwrap();
        let mut build = Command::new("/usr/bin/rpmbuild");
        build.env("HOME", &top).args(["-bb", "--quiet", "--define"]);
        run(build
            .arg(format!("_topdir {}", top.display()))
            .arg(top.join("spec")));
        let file = served.join("sample.rpm");
        fs::copy(top.join("RPMS/noarch/sample-1.0-1.noarch.rpm"), &file).unwrap();
        let home = format!("_gpg_path {}", signer.home.display());
        let mut sign = Command::new("/usr/bin/rpmsign");
        sign.env("HOME", &top)
            .args(["--define", "_gpg_name example.com", "--define", &home])
            .args(["--define", "__gpg /usr/bin/gpg", "--addsign"]);
        run(sign.arg(&file));
        run(Command::new("/usr/bin/createrepo_c")
            .arg("--quiet")
            .arg(&served));
        let list = served.join("repodata/repomd.xml");
        signer.gpg(&["--armor", "--detach-sign", list.to_str().unwrap()]);
    }

    fn spec(&self, signer: &Signer, signed_lists: bool) -> PackageRepositorySpec {
        let mut spec = spec(URI);
        spec.apt = None;
        spec.dnf = Some(DnfSource {
            uris: vec![self.uri.clone()],
            signed_lists,
            key: signer.key(),
        });
        spec
    }

    fn apply(&mut self, spec: &PackageRepositorySpec) -> Result<Finding, String> {
        apply(&mut self.machine, &id(), spec).map_err(|error| error.to_string())?;
        Ok(observe(&mut self.machine, spec))
    }

    fn install(&mut self) -> Result<(), String> {
        let package = PackageSpec {
            name: "sample".to_owned(),
            version: None,
            hold: false,
        };
        let done = self.machine.system.install(&id(), &package);
        done.map_err(|error| error.to_string())
    }

    fn presence(&mut self) -> Presence {
        self.machine
            .system
            .package(&id(), "sample")
            .unwrap()
            .presence
    }
}

#[test]
fn a_package_of_a_signed_repository_is_installed_by_a_real_dnf() {
    let Some(mut dnf) = Dnf::new() else { return };
    let spec = dnf.spec(&dnf.vendor, true);
    assert_eq!(
        config(vec![of(spec.clone())]).check(),
        Ok(()),
        "a real key is one"
    );
    assert_eq!(dnf.presence(), Presence::Gone);
    assert_eq!(dnf.apply(&spec), Ok(Finding::Right));
    dnf.install().unwrap();
    assert_eq!(dnf.presence(), Presence::Installed("1.0-1".to_owned()));
    let installed = dnf.dir.path().join("root/opt/sample");
    assert_eq!(fs::read_to_string(installed).unwrap(), "one\n");
}

#[test]
fn lists_that_another_key_signed_are_refused_by_name_and_do_not_stay() {
    let Some(mut dnf) = Dnf::new() else { return };
    let stranger = Signer::new(dnf.dir.path().join("stranger"), "stranger");
    let refused = dnf.apply(&dnf.spec(&stranger, true)).unwrap_err();
    assert!(
        refused.contains("email-engine-vendor") && refused.contains("GPG"),
        "{refused}"
    );
    let folder = dnf.dir.path().join("root/etc/yum.repos.d");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    assert!(dnf.install().is_err());
    assert_eq!(dnf.presence(), Presence::Gone);
}

#[test]
fn a_package_that_another_key_signed_is_not_installed_although_its_list_was_read() {
    let Some(mut dnf) = Dnf::new() else { return };
    let stranger = Signer::new(dnf.dir.path().join("stranger"), "stranger");
    assert_eq!(dnf.apply(&dnf.spec(&stranger, false)), Ok(Finding::Right));
    let refused = dnf.install().unwrap_err();
    assert!(
        refused.contains("sample") && refused.contains("GPG"),
        "{refused}"
    );
    assert_eq!(dnf.presence(), Presence::Gone);
}

#[test]
fn a_repository_that_is_not_there_is_told_by_dnf() {
    let Some(mut dnf) = Dnf::new() else { return };
    let mut spec = dnf.spec(&dnf.vendor, true);
    spec.dnf.as_mut().unwrap().uris = vec![format!("{}/nowhere/", dnf.uri)];
    let refused = dnf.apply(&spec).unwrap_err();
    assert!(
        refused.contains("nowhere") || refused.contains("repomd.xml"),
        "{refused}"
    );
    // The rest of the machine's repositories goes on.
    let good = dnf.spec(&dnf.vendor, true);
    dnf.machine.unread.clear();
    assert_eq!(dnf.apply(&good), Ok(Finding::Right));
}
