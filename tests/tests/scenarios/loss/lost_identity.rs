//! A host whose network half lost its identity keeps what it is, and comes back by a replacing token.

use std::fs;

use email_engine_tests::{Fleet, samples, wait_for, wait_until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_network_half_that_lost_its_identity_comes_back_by_a_token_and_the_executor_is_told_nothing()
 {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet
        .start_prepared_agents(&["pmta1"], |_, agent| agent.apart())
        .await;
    fleet.converged("its agent was enrolled").await;
    let admission = json!({ "host": { "host": "pmta1", "role": "powermta" } });
    let token = fleet.token(&admission, true).await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    assert_eq!(agent.status()["identity_lost"], false);
    agent.kill_network();
    fs::remove_dir_all(agent.data_dir().join("identity")).unwrap();
    // As on a host that was let in before anybody was told of its token.
    fs::remove_file(agent.data_dir().join("executor/expected")).unwrap();
    let status = agent.status();
    assert_eq!(status["identity_lost"], true, "{status}");
    assert_eq!(status["enrolled"]["host"], "pmta1", "{status}");

    // Without a token the host is kept as it is.
    let log = agent.log();
    fs::write(&log, "").unwrap();
    agent.start_network(None);
    wait_until("it says what is missing", async || {
        let text = fs::read_to_string(&log).unwrap();
        text.contains("there is no join token") && text.contains("the last good state is kept")
    })
    .await;
    let config = agent.file("/etc/pmta/config");
    fs::remove_file(&config).unwrap();
    wait_until("a file comes back", async || config.exists()).await;

    agent.kill_network();
    agent.start_network(Some(&token));
    wait_for("it is connected", async || {
        let view = fleet.host("pmta1").await;
        let connected = !view["connected"].is_null();
        connected.then_some(()).ok_or(view)
    })
    .await;
    fleet
        .host_converged("pmta1", "its network half is back")
        .await;
    assert_eq!(fleet.agents["pmta1"].status()["identity_lost"], false);
}
