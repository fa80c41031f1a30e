//! Who has no certificate, or one of another cluster, gets nowhere.

use std::process::Command;

use email_engine_agent::identity::IdentityStore;
use email_engine_tests::{Fleet, binary, lying, samples, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_speak_to_a_coordinator_of_another_cluster() {
    let mut ours = Fleet::converged_with(1, 1).await;
    let theirs = Fleet::single().await;
    theirs.apply(&samples::fleet(1)).await;

    // Our cluster is gone, and what the agent believes to be its address is the other cluster's.
    ours.nodes.get_mut(&1).unwrap().kill();
    let agent = ours.agents.get_mut("pmta1").unwrap();
    agent.kill();
    let endpoint = theirs.nodes[&1].endpoints().agent.clone();
    IdentityStore::open(&agent.data_dir())
        .unwrap()
        .save_coordinators(&[endpoint])
        .unwrap();
    agent.start(None);
    wait_until(
        "the agent has refused the other cluster's certificate",
        async || {
            std::fs::read_to_string(agent.log())
                .is_ok_and(|log| log.contains("belongs to another cluster"))
        },
    )
    .await;
    assert!(theirs.host("pmta1").await["connected"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_certificate_is_closed_before_a_stream_is_read() {
    let fleet = Fleet::single().await;
    let endpoint = fleet.nodes[&1].endpoints().agent.clone();
    let closed = lying::dial_without_certificate(&endpoint).await;
    assert!(closed.contains("denied"), "{closed}");
}

#[test]
fn a_port_in_use_is_said_with_the_key_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |subcommand: &str, api: &str| {
        let mut command = Command::new(binary("email-engine-coordinator"));
        command
            .arg(subcommand)
            .env("EMAIL_ENGINE_COORDINATOR_DATA_DIR", folder.path())
            .env("EMAIL_ENGINE_COORDINATOR_MODE", "sandbox")
            .env("EMAIL_ENGINE_COORDINATOR_AGENT_LISTEN", "127.0.0.1:0")
            .env("EMAIL_ENGINE_COORDINATOR_RAFT_LISTEN", "127.0.0.1:0")
            .env("EMAIL_ENGINE_COORDINATOR_API_LISTEN", api);
        command
    };
    let founded = run("init", "127.0.0.1:0").output().unwrap();
    let complaint = String::from_utf8_lossy(&founded.stderr);
    assert!(founded.status.success(), "{complaint}");
    let refused = run("run", &address).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains(&address) && said.contains("api_listen"),
        "{said}"
    );
}
