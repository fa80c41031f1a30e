//! What the planner renders is accepted here, by a parser that was written apart from it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Its golden files: text, not code, so the two still share nothing.
const RENDERED: &str = "../../../coordinator/tests/planner/golden";

#[test]
fn the_golden_configurations_of_the_planner_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(RENDERED);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "config")
        {
            assert_accepted(&path);
            count += 1;
        }
    }
    assert!(
        count > 0,
        "no rendered configuration is in {}",
        folder.display()
    );
}

/// With the files of `/etc/pmta` in a folder: something that looks like a key in each, and a certificate.
fn assert_accepted(path: &Path) {
    let root = TempDir::new().unwrap();
    let etc = root.path().display().to_string();
    let text = fs::read_to_string(path).unwrap().replace("/etc/pmta", &etc);
    for line in text
        .lines()
        .filter(|line| line.trim().starts_with("domain-key "))
    {
        let key = Path::new(line.rsplit(',').next().unwrap().trim());
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        fs::write(
            key,
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
    }
    for line in text.lines().map(str::trim) {
        let Some(file) = line.strip_prefix("tls-certificate ") else {
            continue;
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
        fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
        fs::write(file, pem).unwrap();
    }
    let live = root.path().join("config");
    fs::write(&live, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pmta"))
        .arg(format!("--config={}", live.display()))
        .args(["test", "config"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.display());
}
