//! The packages hold what the product's hold, where it has it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const FILES: [&str; 8] = [
    "/etc/pmta/config",
    "/etc/pmta/config-defaults",
    "/etc/pmta/license",
    "/usr/sbin/pmta",
    "/usr/sbin/pmtad",
    "/var/spool/pmta",
    "/var/log/pmta",
    "/var/lib/pmta",
];

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_packages_have_the_layout_of_the_product() {
    let folder = TempDir::new().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_pmtad")).parent().unwrap();
    let made = run(Command::new(here.join("packaging/build"))
        .arg(binaries)
        .arg(folder.path()));
    assert!(made.contains("PowerMTA-5.0r1.deb"), "{made}");

    let deb = folder.path().join("PowerMTA-5.0r1.deb");
    let listed = run(Command::new("dpkg-deb").arg("-c").arg(&deb));
    for file in FILES {
        assert!(
            listed.contains(&format!(" .{file}")),
            "{file} is missing:\n{listed}"
        );
    }
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root));
    let live = root.join("etc/pmta/config");
    let tested = Command::new(root.join("usr/sbin/pmta"))
        .arg(format!("--config={}", live.display()))
        .args(["test", "config"])
        .status()
        .unwrap();
    assert!(tested.success(), "what is shipped is accepted");

    // The script says so when the machine has no rpmbuild.
    let rpm = folder.path().join("PowerMTA-5.0r1.rpm");
    if rpm.exists() {
        let listed = run(Command::new("rpm").args(["-qpl"]).arg(&rpm));
        for file in FILES {
            assert!(
                listed.lines().any(|line| line == file),
                "{file} is missing:\n{listed}"
            );
        }
        let name = run(Command::new("rpm")
            .args(["-qp", "--qf", "%{NAME}-%{VERSION}%{RELEASE}"])
            .arg(&rpm));
        assert_eq!(name, "PowerMTA-5.0r1");
    }
}
