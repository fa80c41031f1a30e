//! Secrets: opened only by their host, written only where they belong, gone when they should be.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use email_engine_protocol::desired::{FileContent, Spec};
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::{Convergence, Stage};

use super::rig::{Rig, generation, wait_for};
use crate::halves::ToExecutor;

const KEY: &str = "-----BEGIN PRIVATE KEY----- hunter2";

/// Every file below a folder that holds these bytes.
pub(super) fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path)
                .unwrap()
                .windows(needle.len())
                .any(|part| part == needle)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_secret_is_at_its_path_with_its_mode_and_nowhere_else() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/pmta/key.pem", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    let path = rig.at("/etc/pmta/key.pem");
    assert_eq!(std::fs::read(&path).unwrap(), KEY.as_bytes());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(
        files_with(rig.dir.path(), KEY.as_bytes()),
        std::slice::from_ref(&path)
    );
    std::fs::write(&path, "evil").unwrap();
    wait_for("the secret comes back", || {
        std::fs::read(&path).is_ok_and(|bytes| bytes == KEY.as_bytes())
    });
}

#[test]
fn a_secret_behind_a_variable_is_a_line_that_comes_back_and_is_taken_away() {
    let mut rig = Rig::new();
    let mut key = rig.secret_file("/etc/api.env", "tenant/a/api-key", 1, KEY);
    let Spec::File(file) = &mut key.spec else {
        panic!("a file");
    };
    let secret = file.content.secret().unwrap().clone();
    let name = "API_KEY".to_owned();
    file.content = FileContent::Variable { name, secret };
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    let path = rig.at("/etc/api.env");
    let line = format!("API_KEY={KEY}\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    assert_eq!(
        files_with(rig.dir.path(), KEY.as_bytes()),
        std::slice::from_ref(&path)
    );
    // The secret alone, another name, and a line too much.
    for other in [
        KEY,
        &line.replace("API", "APP"),
        &format!("{line}PATH=/tmp\n"),
    ] {
        std::fs::write(&path, other).unwrap();
        wait_for("the line comes back", || {
            std::fs::read_to_string(&path).is_ok_and(|text| text == line)
        });
    }
    let mut empty = rig.config(Vec::new());
    empty.large_removal = true;
    rig.converge(&empty, 2);
    wait_for("the line goes with its resource", || !path.exists());
}

#[test]
fn a_secret_sealed_for_another_host_is_refused() {
    let mut rig = Rig::with_audit(std::time::Duration::from_millis(100));
    let key = rig.secret_file("/etc/key", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    let target = rig.target(&config, generation(1));
    rig.misdirected = Some(HostId::new("pmta2").unwrap());
    rig.tell(ToExecutor::Offer(rig.plan.sign(&target)));
    let report = rig.report_where("the foreign secret is refused", |report| {
        report.generations.attempted.is_some()
    });
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Fetch);
    assert!(attempt.reason.contains("dkim/a"), "{}", attempt.reason);
    // Asked again, the rig answers rightly.
    let report = rig.report_where("the right one is taken", |report| {
        report.generations.accepted == Some(generation(1))
            && report.convergence == Convergence::Converged
    });
    assert_eq!(report.counts.converged, 1);
}

#[test]
fn a_rotated_secret_is_fetched_and_the_old_one_forgotten() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    let key = rig.secret_file("/etc/key", "dkim/a", 2, "second");
    let config = rig.config(vec![key]);
    rig.converge(&config, 2);
    assert_eq!(std::fs::read(rig.at("/etc/key")).unwrap(), b"second");
    wait_for("the old sealed secret goes", || {
        std::fs::read_dir(rig.data().join("ledger/secrets"))
            .unwrap()
            .count()
            == 1
    });
}

#[test]
fn sealed_secrets_that_a_crash_left_in_the_ledger_go_at_the_next_start() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    rig.stop();
    let left = rig.data().join("ledger/secrets").join("ab".repeat(32));
    std::fs::write(&left, "sealed").unwrap();
    rig.start_alone();
    wait_for("what no state needs goes", || !left.exists());
    let kept = std::fs::read_dir(rig.data().join("ledger/secrets")).unwrap();
    assert_eq!(kept.count(), 1);
}

#[test]
fn an_identity_that_moves_away_leaves_no_key_behind() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/dkim/moved.pem", "dkim/moved", 1, KEY);
    let others: Vec<_> = (0..5)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let mut all = others.clone();
    all.push(key);
    let config = rig.config(all);
    rig.converge(&config, 1);
    let config = rig.config(others);
    rig.converge(&config, 2);
    assert_eq!(
        files_with(rig.dir.path(), KEY.as_bytes()),
        Vec::<PathBuf>::new()
    );
    assert!(!rig.at("/etc/dkim/moved.pem").exists());
    wait_for("its sealed form goes too", || {
        std::fs::read_dir(rig.data().join("ledger/secrets"))
            .unwrap()
            .count()
            == 0
    });
}

#[test]
fn a_key_whose_path_changes_leaves_the_old_path_empty() {
    let mut rig = Rig::new();
    let mut key = rig.secret_file("/etc/dkim/old.pem", "dkim/a", 1, KEY);
    key.id = email_engine_protocol::id::ResourceId::new("file:key").unwrap();
    let others: Vec<_> = (0..5)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    let mut all = others.clone();
    all.push(key);
    let config = rig.config(all);
    rig.converge(&config, 1);
    let mut key = rig.secret_file("/etc/dkim/new.pem", "dkim/a", 1, KEY);
    key.id = email_engine_protocol::id::ResourceId::new("file:key").unwrap();
    let mut all = others;
    all.push(key);
    let config = rig.config(all);
    rig.converge(&config, 2);
    let expected = [rig.at("/etc/dkim/new.pem")];
    assert_eq!(files_with(rig.dir.path(), KEY.as_bytes()), expected);
}

#[test]
fn a_key_whose_folder_becomes_a_file_is_wiped_and_not_moved_aside() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/dkim/a.pem", "dkim/a", 1, KEY);
    let mut all: Vec<_> = (0..5)
        .map(|at| rig.file(&format!("/etc/{at}"), "x"))
        .collect();
    all.push(key);
    let config = rig.config(all.clone());
    rig.converge(&config, 1);
    all.pop();
    all.push(rig.file("/etc/dkim", "a file now"));
    let config = rig.config(all);
    rig.converge(&config, 2);
    let held = files_with(rig.dir.path(), KEY.as_bytes());
    assert_eq!(held, Vec::<PathBuf>::new());
    assert_eq!(std::fs::read(rig.at("/etc/dkim")).unwrap(), b"a file now");
}

#[test]
fn a_staged_copy_of_a_crash_is_swept_at_the_next_start() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    rig.stop();
    let hash = email_engine_protocol::bytes::ContentHash::of(b"key").to_string();
    let staged = rig.at(&format!("/etc/.email-engine.{}.tmp", &hash[..16]));
    std::fs::write(&staged, KEY).unwrap();
    rig.start_alone();
    wait_for("the staged copy goes", || !staged.exists());
    assert_eq!(std::fs::read(rig.at("/etc/key")).unwrap(), KEY.as_bytes());
}

#[test]
fn secrets_that_were_sealed_for_lost_keys_are_asked_for_again() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, KEY);
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    rig.stop();
    let old = rig.keys;
    std::fs::remove_file(rig.data().join("keys")).unwrap();
    std::fs::remove_file(rig.at("/etc/key")).unwrap();
    // The ledger is still there; the cluster was told of the new keys by a new enrolment.
    rig.restart();
    assert_ne!(rig.keys, old);
    let report = rig.report_where("the secret is there again", |report| {
        report.convergence == Convergence::Converged
    });
    assert_eq!(report.generations.attempted, None);
    assert_eq!(std::fs::read(rig.at("/etc/key")).unwrap(), KEY.as_bytes());
}
