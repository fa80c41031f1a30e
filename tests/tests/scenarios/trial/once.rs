//! A trial that ends by itself: where it got to, and why not further.

use std::fs;

use email_engine_tests::samples;

use super::{HEAD, once};

#[test]
fn a_trial_converges_starts_again_from_its_folder_and_says_what_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    for (round, emptied) in [("first", false), ("second", false), ("third", true)] {
        if emptied {
            // As after a reinstallation of the machine: a new agent takes the place of the old one.
            fs::remove_dir_all(dir.join("hosts/pmta1/agent")).unwrap();
        }
        let ended = once(&dir, &["--nodes", "1"]);
        let said = String::from_utf8_lossy(&ended.stdout);
        let noted = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{round}: {said}\n{noted}");
        let mut rows = said.lines().map(|line| line.split_whitespace());
        assert!(rows.any(|cells| cells.eq(HEAD)), "{round}: {said}");
        for host in ["pmta1", "mailwizz1", "api1"] {
            let row = |line: &str| line.contains(host) && line.ends_with("  converged");
            assert!(
                said.lines().any(row),
                "{round}: no row of {host}: {said}\n{noted}"
            );
            let progress = format!("host {host}: ");
            assert!(
                noted.lines().any(|line| line.starts_with(&progress)),
                "{round}: no progress of {host}: {noted}"
            );
        }
        assert!(noted.contains("all processes ended"), "{round}: {noted}");
    }
    assert!(dir.join("hosts/pmta1/root/etc/pmta/config").exists());
    assert!(dir.join("nodes/1/endpoints.json").exists());
    assert_eq!(fs::read_to_string(dir.join(".gitignore")).unwrap(), "*\n");

    // An agent that cannot start again.
    fs::write(dir.join("hosts/pmta1/agent/executor/keys"), "rotten").unwrap();
    let ended = once(&dir, &["--nodes", "1", "--timeout", "3"]);
    let noted = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{noted}");
    assert!(
        noted.contains("the fleet has converged not within 3 s\n"),
        "{noted}"
    );
    assert!(
        noted.contains("\n  - pmta1 is not connected: its agent is not connected"),
        "{noted}"
    );
    assert!(noted.contains("agent pmta1: "), "its end is told: {noted}");
}

#[test]
fn what_cannot_be_a_cluster_or_a_first_fleet_founds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    let file = folder.path().join("fleet.toml");
    let mut fleet = samples::fleet(2);
    fleet["ips"][1]["address"] = fleet["ips"][0]["address"].clone();
    fs::write(&file, toml::to_string(&fleet).unwrap()).unwrap();
    let refused = |arguments: &[&str], code: i32| {
        let ended = once(&dir, arguments);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let text = refused(&["--fleet", file.to_str().unwrap()], 1);
    assert!(text.contains("fleet.toml: "), "{text}");
    assert!(text.contains("ips[1].address"), "{text}");
    let text = refused(&["--nodes", "4"], 64);
    assert!(text.contains("accepted: 1, 3, 5 or 7"), "{text}");
    assert!(!dir.join("admin.toml").exists() && !dir.join("nodes/1").exists());

    // The folder of a trial of three, as far as is asked for: two of them cannot just be left out.
    for name in [
        "admin.toml",
        "nodes/1.joined",
        "nodes/2.joined",
        "nodes/3.joined",
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
    }
    let text = refused(&["--nodes", "1"], 1);
    assert!(text.contains("has 3 nodes, not 1"), "{text}");
}
