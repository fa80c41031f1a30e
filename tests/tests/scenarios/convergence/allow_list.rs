//! A host takes nothing that its own allow-list does not name.

use std::fs;

use email_engine_tests::{AgentProcess, Fleet, samples, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_state_outside_the_hosts_own_list_changes_nothing_until_the_list_allows_it() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let list = fleet.dir().join("allow.toml");
    fs::write(&list, "paths = [\"/etc/pmta\", \"/etc/pmta/config\"]\n").unwrap();
    let token = fleet.host_token("pmta1", "powermta").await;
    let mut agent = AgentProcess::new("pmta1", &fleet.host_dir("pmta1"));
    agent.set("EMAIL_ENGINE_AGENT_ALLOW_LIST", list.to_str().unwrap());
    agent.start(Some(&token));

    let reason = wait_for("the host says what it refused", async || {
        let view = fleet.host("pmta1").await;
        let reason = view["attempted"]["reason"].as_str().map(str::to_owned);
        reason.ok_or_else(|| view.to_string())
    })
    .await;
    assert!(
        reason.contains("allow.toml allows /etc/pmta/dkim"),
        "{reason}"
    );
    assert_eq!(
        fs::read_dir(agent.root()).unwrap().count(),
        0,
        "something was made"
    );

    let built_in = agent
        .command(None)
        .env_remove("EMAIL_ENGINE_AGENT_ALLOW_LIST")
        .get_program()
        .to_owned();
    let shown = std::process::Command::new(built_in)
        .arg("show-allow-list")
        .output()
        .unwrap();
    fs::write(&list, shown.stdout).unwrap();
    agent.daemon().stop();
    agent.start(None);
    fleet.agents.insert("pmta1".to_owned(), agent);
    fleet.host_converged("pmta1", "its list was mended").await;
}
