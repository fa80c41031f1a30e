//! Whatever is done to a managed file, it comes back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use email_engine_tests::{Fleet, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_deleted_chmoded_or_replaced_file_comes_back() {
    let fleet = Fleet::converged_with(1, 2).await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let good = fs::read(&config).unwrap();
    let mode = fs::metadata(&config).unwrap().permissions().mode();

    let back = async |what: &str| {
        wait_until(&format!("a file that was {what} is back"), async || {
            fs::symlink_metadata(&config).is_ok_and(|meta| {
                meta.is_file()
                    && meta.permissions().mode() == mode
                    && fs::read(&config).is_ok_and(|bytes| bytes == good)
            })
        })
        .await;
    };

    fs::write(&config, "postmaster nobody@example.org\n").unwrap();
    back("edited").await;
    fs::remove_file(&config).unwrap();
    back("deleted").await;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    back("made writable for all").await;
    replace_by_folder(&config);
    back("replaced by a folder").await;

    let outside = fleet.dir().join("outside");
    fs::write(&outside, "not ours").unwrap();
    fs::remove_file(&config).unwrap();
    symlink(&outside, &config).unwrap();
    back("replaced by a symlink").await;
    assert_eq!(
        fs::read_to_string(&outside).unwrap(),
        "not ours",
        "written through a symlink"
    );
}

fn replace_by_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_fights_for_is_named_once_and_comes_back_later() {
    let fleet = Fleet::converged_with(1, 1).await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let good = fs::read(&config).unwrap();
    for round in 0..7 {
        fs::write(&config, format!("edit {round}\n")).unwrap();
        wait_until(&format!("edit {round} is undone"), async || {
            fs::read(&config).is_ok_and(|bytes| bytes == good)
        })
        .await;
    }
    let log = fs::read_to_string(fleet.agents["pmta1"].log()).unwrap();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("contested"))
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("file:/etc/pmta/config"), "{}", said[0]);
    fleet.host_converged("pmta1", "the fight is over").await;
}
