//! Who has no certificate, or one of another cluster, gets nowhere.

use std::process::Command;

use email_engine_agent::identity::IdentityStore;
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_RAFT};
use email_engine_tests::lying::{self, Session};
use email_engine_tests::{Fleet, binary, samples, wait_until};

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
    let node = &fleet.nodes[&1];
    // It opens a stream and says Hello on it, and gets not a byte.
    let ending = lying::dial_without_certificate(&node.endpoints().agent, ALPN_AGENT).await;
    assert_eq!(ending.code, Some(3), "{ending:?}");
    assert!(ending.reason.contains("denied"), "{ending:?}");
    let denied = "email_engine_agent_denied_total{reason=\"no-certificate\"}";
    assert_eq!(fleet.api_of(1).metric(denied).await, 1.0);

    // Nodes among themselves ask for a certificate in the handshake already.
    let ending = lying::dial_without_certificate(&node.endpoints().raft, ALPN_RAFT).await;
    assert!(ending.reason.contains("certificate"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_cluster_is_not_let_in() {
    let ours = Fleet::single().await;
    let mut theirs = Fleet::single().await;
    for fleet in [&ours, &theirs] {
        // The same names in both, so that only the cluster tells the two hosts apart.
        fleet.apply(&samples::fleet(0)).await;
    }
    theirs.start_agents(&["pmta1"]).await;
    theirs.converged("it is a host of theirs").await;
    theirs.agents.get_mut("pmta1").unwrap().kill();
    let stranger = theirs.agents["pmta1"].data_dir();

    let at_home = &theirs.nodes[&1].endpoints().agent;
    Session::open(&stranger, at_home).await.unwrap();
    let endpoint = &ours.nodes[&1].endpoints().agent;
    let ending = Session::open(&stranger, endpoint).await.unwrap_err();
    assert!(ending.refusal.is_none(), "a stranger is told nothing");
    assert!(ending.reason.contains("certificate"), "{ending:?}");
    assert_eq!(ours.host("pmta1").await["lifecycle"], "declared");
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
