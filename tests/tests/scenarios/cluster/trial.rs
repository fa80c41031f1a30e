//! `email-engine trial`: everything on one machine, and again from the same folder.

use std::path::Path;
use std::process::{Command, Output};

use email_engine_tests::binary;

fn trial(dir: &Path) -> Output {
    Command::new(binary("email-engine"))
        .args(["trial", "--once", "--nodes", "1", "--dir"])
        .arg(dir)
        .output()
        .unwrap()
}

#[test]
fn a_trial_converges_shows_its_hosts_and_starts_again_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    for (round, emptied) in [("first", false), ("second", false), ("third", true)] {
        if emptied {
            // As after a reinstallation of the machine: a new agent takes the place of the old one.
            std::fs::remove_dir_all(dir.join("hosts/pmta1/agent")).unwrap();
        }
        let ended = trial(&dir);
        let said = String::from_utf8_lossy(&ended.stdout);
        let noted = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{round}: {said}\n{noted}");
        for host in ["pmta1", "mailwizz1", "api1"] {
            let row = |line: &str| line.contains(host) && line.contains("converged");
            assert!(
                said.lines().any(row),
                "{round}: no row of {host}: {said}\n{noted}"
            );
        }
        assert!(noted.contains("all processes ended"), "{round}: {noted}");
    }
    assert!(dir.join("hosts/pmta1/root/etc/pmta/config").exists());
    assert_eq!(
        std::fs::read_to_string(dir.join(".gitignore")).unwrap(),
        "*\n"
    );
}

#[test]
fn a_trial_whose_key_is_not_accepted_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    assert!(trial(&dir).status.success());
    let admin = dir.join("admin.toml");
    // A revoked key and one of another cluster are told apart from a good one in the same way.
    let text = std::fs::read_to_string(&admin).unwrap();
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("api_key = \""))
        .unwrap()
        .trim_end_matches('"');
    let (head, end) = key.split_at(key.len() - 8);
    let other: String = end.chars().rev().collect();
    assert_ne!(other, end);
    std::fs::write(&admin, text.replace(key, &format!("{head}{other}"))).unwrap();
    let ended = trial(&dir);
    let noted = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(noted.contains("is not accepted"), "{noted}");
}
