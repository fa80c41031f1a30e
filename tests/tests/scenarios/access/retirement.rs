//! A retired host is wiped of its secrets and cut off.

use std::fs;
use std::path::{Path, PathBuf};

use email_engine_protocol::wire::RefusalCode;
use email_engine_tests::lying::Session;
use email_engine_tests::{Fleet, Haystack, every_file, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_host_is_wiped_of_secrets_and_cut_off() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let refused = fleet.api().delete("/hosts/pmta1").await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "in-use"),
        "identities are placed on it"
    );
    // It sleeps while its identity is removed and it is retired: only the latter can wipe it.
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let home = fleet.host_dir("pmta1");
    let needle = middle_of_the_key(&fleet.agents["pmta1"].file("/etc/pmta/dkim"));
    assert_ne!(holders(&home, &needle), Vec::<PathBuf>::new());
    let stolen = steal_identity(&fleet);
    let endpoint = fleet.nodes[&1].endpoints().agent.clone();
    let session = Session::open(&stolen, &endpoint).await;
    drop(session.expect("a copy is as good as the original, until then"));
    // Asleep, it cannot say that nothing is left in the queue: the operator gives that up.
    let path = "/ips/198.51.100.1?now=true&last=true";
    fleet.api().delete(path).await.ok();
    fleet.api().delete("/hosts/pmta1").await.ok();
    assert_eq!(fleet.host("pmta1").await["lifecycle"], "retiring");
    assert_ne!(holders(&home, &needle), Vec::<PathBuf>::new());

    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.start(None);
    let status = agent.daemon().wait_exit("its host was retired");
    assert_eq!(status.code(), Some(5), "retired");
    let identity = agent.data_dir().join("identity/identity");
    assert!(!identity.exists(), "it forgot its identity");
    assert_eq!(holders(&home, &needle), Vec::<PathBuf>::new());
    wait_for("the host is on record as retired", async || {
        let view = fleet.host("pmta1").await;
        let retired = view["lifecycle"] == "retired";
        retired.then_some(()).ok_or(view)
    })
    .await;

    // Whoever kept a copy of its identity is not let in by it.
    let ending = Session::open(&stolen, &endpoint).await.unwrap_err();
    assert_eq!(ending.code, Some(18), "{ending:?}");
    let said = ending.refusal.as_ref().map(|refusal| refusal.code);
    assert!(
        matches!(said, None | Some(RefusalCode::Revoked)),
        "{ending:?}"
    );
}

/// A line from the middle of the one key in a folder, as text and as the bytes that it stands for.
fn middle_of_the_key(folder: &Path) -> [Vec<u8>; 2] {
    let keys = every_file(folder);
    assert_eq!(keys.len(), 1, "{keys:?}");
    let pem = fs::read_to_string(&keys[0]).unwrap();
    let line = pem.lines().nth(10).unwrap().as_bytes();
    [line.to_vec(), data_encoding::BASE64.decode(line).unwrap()]
}

/// Files below a folder that hold one of these.
fn holders(folder: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut files = every_file(folder);
    files.retain(|file| {
        let bytes = Haystack::of(file);
        needles.iter().any(|needle| bytes.holds(needle))
    });
    files
}

/// Copies what the agent shows to coordinators, and gives the data folder of the copy.
fn steal_identity(fleet: &Fleet) -> PathBuf {
    let copy = fleet.dir().join("stolen");
    fs::create_dir_all(copy.join("identity")).unwrap();
    for file in every_file(&fleet.agents["pmta1"].data_dir().join("identity")) {
        let name = file.file_name().unwrap();
        fs::copy(&file, copy.join("identity").join(name)).unwrap();
    }
    copy
}
