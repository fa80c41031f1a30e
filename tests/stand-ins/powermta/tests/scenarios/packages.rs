//! The packages hold what the product's hold, where it has it, under the same modes.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What belongs to root as it is packed; the scripts then give it to the group and the daemon's user,
/// which the package itself makes.
const FILES: [(&str, &str); 15] = [
    ("-rw-r-----", "/etc/pmta/config"),
    ("-rw-r-----", "/etc/pmta/config-defaults"),
    ("-rw-r-----", "/etc/pmta/license"),
    ("drwxr-xr-x", "/opt/pmta"),
    ("-rwxr-xr-x", "/usr/sbin/pmta"),
    ("-rwxr-xr-x", "/usr/sbin/pmtaacctfind"),
    ("-rwxr-xr-x", "/usr/sbin/pmtad"),
    ("-rwxr-xr-x", "/usr/sbin/pmtagetfile"),
    ("-rwxr-xr-x", "/usr/sbin/pmtahttpd"),
    ("-rwxr-xr-x", "/usr/sbin/pmtakeytool"),
    ("-rwxr-xr-x", "/usr/sbin/pmtastats"),
    ("-rwxr-xr-x", "/usr/sbin/pmtawatch"),
    ("drwxr-xr-x", "/var/lib/pmta"),
    ("drwxr-xr-x", "/var/log/pmta"),
    ("drwxr-xr-x", "/var/spool/pmta"),
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

/// A folder with the packages that this machine can make.
fn packed() -> TempDir {
    let folder = TempDir::new().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_pmtad")).parent().unwrap();
    let made = run(Command::new(here.join("packaging/build"))
        .arg(binaries)
        .arg(folder.path()));
    assert!(made.contains("PowerMTA-5.0r1.deb"), "{made}");
    folder
}

/// Every file in a list of `mode owners... path` has its mode, and root as owner and group.
fn assert_files(listed: &str, owners: &str) {
    for (mode, path) in FILES {
        let found = listed.lines().find(|line| {
            let last = line.split_whitespace().next_back().unwrap_or_default();
            last.trim_start_matches('.').trim_end_matches('/') == path
        });
        let line = found.unwrap_or_else(|| panic!("{path} is missing:\n{listed}"));
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[0], mode, "{line}");
        assert!(words[1..].join(" ").contains(owners), "{line}");
    }
}

#[test]
fn the_packages_have_the_layout_of_the_product() {
    let folder = packed();
    let deb = folder.path().join("PowerMTA-5.0r1.deb");
    assert_files(
        &run(Command::new("dpkg-deb").arg("-c").arg(&deb)),
        "root/root",
    );
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root));
    let live = root.join("etc/pmta/config");
    let tested = Command::new(root.join("usr/sbin/pmta"))
        .arg(format!("--config={}", live.display()))
        .args(["test", "config"])
        .status()
        .unwrap();
    assert!(tested.success(), "what is shipped is accepted");
    let absent = Command::new(root.join("usr/sbin/pmtawatch"))
        .output()
        .unwrap();
    assert!(!absent.status.success());
    assert_eq!(
        String::from_utf8(absent.stderr).unwrap(),
        "pmtawatch: the stand-in for PowerMTA has no such program\n"
    );
    let on_forge = std::env::var("CI").is_ok_and(|value| value == "true");
    if let Some(rpm) = rpm_in(folder.path(), on_forge) {
        assert_files(
            &run(Command::new("rpm").arg("-qplv").arg(&rpm)),
            "root root",
        );
        let name = run(Command::new("rpm")
            .args(["-qp", "--qf", "%{NAME}-%{VERSION}%{RELEASE}"])
            .arg(&rpm));
        assert_eq!(name, "PowerMTA-5.0r1");
    }
}

/// The RPM, unless the machine cannot make one: then half of the test is not run, which is said, and
/// on the forge, where nobody would read it, is a failure.
fn rpm_in(folder: &Path, on_forge: bool) -> Option<PathBuf> {
    let rpm = folder.join("PowerMTA-5.0r1.rpm");
    if rpm.exists() {
        return Some(rpm);
    }
    let reason = "rpmbuild is not installed (package rpm)";
    assert!(!on_forge, "no RPM was made: {reason}");
    eprintln!("NOT RUN: {reason}");
    None
}

#[test]
#[should_panic(expected = "no RPM was made")]
fn on_the_forge_half_a_test_is_no_test() {
    rpm_in(TempDir::new().unwrap().path(), true);
}
