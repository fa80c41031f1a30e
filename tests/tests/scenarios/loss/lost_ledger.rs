//! An agent that lost its ledger but kept its identity rebuilds its host.

use std::fs;

use email_engine_tests::{Fleet, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_ledger_but_kept_its_identity_rebuilds_its_host() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    let config = agent.file("/etc/pmta/config");
    let good = fs::read(&config).unwrap();

    agent.kill();
    fs::remove_dir_all(agent.data_dir().join("executor/ledger")).unwrap();
    fs::remove_dir_all(agent.file("/etc/pmta")).unwrap();
    agent.start(None);

    wait_until("the host is rebuilt", async || {
        fs::read(&config).is_ok_and(|now| now == good)
    })
    .await;
    fleet
        .host_converged("pmta1", "its agent got its state anew")
        .await;
}
