//! An agent that lost its executor's folder says so, and comes back with a replacing token.

use std::fs;

use email_engine_protocol::join::JoinToken;
use email_engine_tests::{Fleet, wait_until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_executors_keys_says_how_to_come_back_and_does() {
    let mut fleet = Fleet::converged_with(1, 2).await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    let token_file = agent.data_dir().join("new-token");
    agent.kill();
    fs::remove_dir_all(agent.data_dir().join("executor")).unwrap();
    let config = agent.file("/etc/pmta/config");
    fs::remove_file(&config).unwrap();
    let log = agent.log();
    fs::write(&log, "").unwrap();
    agent.set(
        "EMAIL_ENGINE_AGENT_JOIN_TOKEN_FILE",
        token_file.to_str().unwrap(),
    );
    agent.start(None);

    let text = || fs::read_to_string(&log).unwrap();
    let order = "email-engine token create --host pmta1 --role powermta --replace";
    wait_until("it says what is lost and how to come back", async || {
        let text = text();
        text.contains("the executor's keys are lost") && text.contains(order)
    })
    .await;
    assert!(text().contains(token_file.to_str().unwrap()), "{}", text());
    // A token that was taken back is refused, and shown once only.
    let admission = json!({ "host": { "host": "pmta1", "role": "powermta" } });
    let stale = fleet.token(&admission, true).await;
    let id = stale.parse::<JoinToken>().unwrap().id;
    fleet.api().delete(&format!("/tokens/{id}")).await.ok();
    fs::write(&token_file, stale).unwrap();
    wait_until("the token is refused", async || {
        text().contains("refuses the join token")
    })
    .await;
    assert!(fleet.agents.get_mut("pmta1").unwrap().daemon().is_running());
    assert!(!config.exists(), "nobody told it what to do");
    // It waits quietly: the coordinator is not asked again and again.
    assert!(!text().contains("the coordinator refuses"), "{}", text());
    assert_eq!(text().matches("enrolling").count(), 1, "{}", text());

    fs::write(&token_file, fleet.token(&admission, true).await).unwrap();
    wait_until("the host is rebuilt with no restart", async || {
        config.exists()
    })
    .await;
    fleet
        .host_converged("pmta1", "its agent was enrolled anew")
        .await;

    // The token is used up and still there: a restart does not care.
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();
    fs::remove_file(&config).unwrap();
    agent.start(None);
    wait_until("it is an ordinary host again", async || config.exists()).await;
    fleet.host_converged("pmta1", "it was restarted").await;
}
