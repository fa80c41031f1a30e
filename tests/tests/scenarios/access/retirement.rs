//! A retired host is wiped of its secrets and cut off.

use std::fs;

use email_engine_tests::{Fleet, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_host_is_wiped_of_secrets_and_cut_off() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let keys = fleet.agents["pmta1"].file("/etc/pmta/dkim");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1);
    let refused = fleet.api().delete("/hosts/pmta1").await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "in-use"),
        "identities are placed on it"
    );

    fleet.api().delete("/ips/198.51.100.1").await.ok();
    // Nothing is in its queue; the host says so in a moment.
    wait_for("nothing drains on the host any more", async || {
        let answer = fleet.api().delete("/hosts/pmta1").await;
        if answer.code() == "in-use" {
            Err(answer)
        } else {
            Ok(answer)
        }
    })
    .await
    .ok();

    let status = fleet
        .agents
        .get_mut("pmta1")
        .unwrap()
        .daemon()
        .wait_exit("its host was retired");
    assert_eq!(status.code(), Some(5), "retired");
    wait_for("the host is on record as retired", async || {
        let view = fleet.host("pmta1").await;
        if view["lifecycle"] == "retired" {
            Ok(())
        } else {
            Err(view.to_string())
        }
    })
    .await;
    assert!(fs::read_dir(&keys).map_or(true, |mut entries| entries.next().is_none()));
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    assert!(
        !agent.data_dir().join("identity/identity").exists(),
        "it forgot its identity"
    );
}
