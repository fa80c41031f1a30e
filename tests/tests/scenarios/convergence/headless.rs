//! With no coordinator an agent keeps its host, also after its own restart.

use std::fs;

use email_engine_tests::{Fleet, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_no_coordinator_keeps_repairing_also_after_its_restart() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let key = fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/dkim"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let good = (fs::read(&config).unwrap(), fs::read(&key).unwrap());
    let intact = || {
        fs::read(&config).is_ok_and(|bytes| bytes == good.0)
            && fs::read(&key).is_ok_and(|bytes| bytes == good.1)
    };

    fleet.nodes.get_mut(&1).unwrap().kill();
    fs::remove_file(&config).unwrap();
    wait_until("a file is repaired without a coordinator", async || {
        intact()
    })
    .await;

    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();
    fs::write(&config, "edited while the agent was down").unwrap();
    fs::remove_file(&key).unwrap();
    agent.start(None);
    wait_until("a restarted agent repairs from its ledger", async || {
        intact()
    })
    .await;
}
