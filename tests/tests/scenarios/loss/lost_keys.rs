//! An agent that lost its executor's folder says so, and comes back with a replacing token.

use std::fs;

use email_engine_protocol::join::JoinToken;
use email_engine_tests::{Fleet, samples, wait_for, wait_until};
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
    // And the cluster says so of a host that would only be silent.
    let status = wait_for("the status names the reason", async || {
        let status = fleet.api().try_get("/status").await?.body;
        let said = status["reasons"].to_string();
        let known = said.contains("pmta1: its agent is not connected; it called at")
            && said.contains("its agent holds and changes nothing: the executor's keys are lost");
        known.then(|| said.clone()).ok_or(said)
    })
    .await;
    assert!(status.contains("--replace"), "the cure is told: {status}");
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
    let view = fleet
        .host_converged("pmta1", "its agent was enrolled anew")
        .await;
    assert!(view["turned_away"].is_null(), "{view}");

    // The token is used up and still there: a restart does not care.
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();
    fs::remove_file(&config).unwrap();
    agent.start(None);
    wait_until("it is an ordinary host again", async || config.exists()).await;
    fleet.host_converged("pmta1", "it was restarted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_lost_its_folder_comes_back_when_it_is_told_anew_whom_it_belongs_to() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet
        .start_prepared_agents(&["pmta1"], |_, agent| agent.apart())
        .await;
    fleet.converged("its agent was enrolled").await;
    let admission = json!({ "host": { "host": "pmta1", "role": "powermta" } });
    let token = fleet.token(&admission, true).await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    let config = agent.file("/etc/pmta/config");
    agent.kill();
    fs::remove_dir_all(agent.data_dir().join("executor")).unwrap();
    fs::remove_file(&config).unwrap();
    let log = agent.log();
    fs::write(&log, "").unwrap();

    // A token that the network half alone was given is not spent.
    agent.start_executor();
    agent.start_network(Some(&token));
    let cure = "run `email-engine-bootstrap agent --join-file FILE` with it as root";
    wait_until("it says what is lost and how to come back", async || {
        let text = fs::read_to_string(&log).unwrap();
        text.contains(cure) && text.contains("nobody has told this machine whom it may belong to")
    })
    .await;
    let id = token.parse::<JoinToken>().unwrap().id;
    let tokens = fleet.api().get("/tokens").await.ok();
    let mut listed = tokens.as_array().unwrap().iter();
    let ours = listed.find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!(ours["state"], "open", "{ours}");
    assert!(!config.exists(), "nobody told it what to do");

    // The token was there first; the executor is told, and nobody is started anew.
    fleet.agents["pmta1"].expect(&token);
    wait_until("the host is rebuilt", async || config.exists()).await;
    fleet
        .host_converged("pmta1", "its agent was enrolled anew")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_start_tells_the_cluster_why() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    // With its certificate for submission, or the next target comes while it is silent.
    fleet.converged("its agent was enrolled").await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();
    let keys = agent.data_dir().join("executor/keys");
    let good = fs::read(&keys).unwrap();
    fs::write(&keys, "rotten").unwrap();
    agent.start(None);
    let ended = agent.daemon().wait_exit("its keys are damaged");
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let view = wait_for("the host says why it is silent", async || {
        let view = fleet.api().try_get("/hosts/pmta1").await?.body;
        let reason = view["turned_away"]["reason"].as_str().unwrap_or_default();
        let told = reason.contains("keys is damaged") && view["connected"].is_null();
        told.then(|| view.clone()).ok_or_else(|| view.to_string())
    })
    .await;
    assert_eq!(
        view["convergence"], "converged",
        "what it was last known to be"
    );

    fs::write(&keys, good).unwrap();
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    wait_until("it is connected and nothing is wrong", async || {
        let view = fleet.host("pmta1").await;
        !view["connected"].is_null() && view["turned_away"].is_null()
    })
    .await;
}
