//! An agent that lost its ledger but kept its identity rebuilds its host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use email_engine_tests::{Fleet, every_file, samples, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_ledger_but_kept_its_identity_rebuilds_its_host() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    let folder = agent.file("/etc/pmta");
    let good = contents(&folder);
    let keys = good
        .keys()
        .filter(|file| file.parent() == Some(&folder.join("dkim")));
    assert_eq!(keys.count(), 2, "both keys are among {:?}", good.keys());

    agent.kill();
    fs::remove_dir_all(agent.data_dir().join("executor/ledger")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    agent.start(None);

    wait_until("the host is rebuilt, its keys too", async || {
        folder.exists() && contents(&folder) == good
    })
    .await;
    fleet
        .host_converged("pmta1", "its agent got its state anew")
        .await;
    // And it is a host as any other: it follows the next change.
    fleet.apply_for("pmta1", &samples::fleet(3), false).await;
    fleet.host_converged("pmta1", "a third identity came").await;
    assert_eq!(contents(&folder.join("dkim")).len(), 3);
}

/// Mode and bytes of every file below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let of = |file: &PathBuf| {
        let mode = fs::metadata(file).map_or(0, |found| found.permissions().mode());
        (mode, fs::read(file).unwrap_or_default())
    };
    let files = every_file(folder).into_iter();
    files.map(|file| (file.clone(), of(&file))).collect()
}
