//! Who has no certificate, or one of another cluster, gets nowhere.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use email_engine_agent::identity::IdentityStore;
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_ENROLL, ALPN_RAFT};
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
    // Nor at the nodes' own door, which is for no host at all, not even for one of theirs.
    let raft = &ours.nodes[&1].endpoints().raft;
    let ending = lying::dial_as_host(&stranger, raft, ALPN_RAFT).await;
    assert!(ending.reason.contains("certificate"), "{ending:?}");
    let raft = &theirs.nodes[&1].endpoints().raft;
    let ending = lying::dial_as_host(&stranger, raft, ALPN_RAFT).await;
    assert!(
        ending.reason.contains("not a node of this cluster"),
        "{ending:?}"
    );
}

#[test]
fn a_port_in_use_is_said_with_the_key_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let run = |subcommand: &str, taken: Option<(&str, &str)>| {
        let mut command = Command::new(binary("email-engine-coordinator"));
        command
            .arg(subcommand)
            .env("EMAIL_ENGINE_COORDINATOR_DATA_DIR", folder.path())
            .env("EMAIL_ENGINE_COORDINATOR_MODE", "sandbox");
        for key in ["agent_listen", "raft_listen", "api_listen"] {
            let address = taken.filter(|(taken, _)| *taken == key);
            let address = address.map_or("127.0.0.1:0", |(_, address)| address);
            let name = key.to_uppercase();
            command.env(format!("EMAIL_ENGINE_COORDINATOR_{name}"), address);
        }
        command.output().unwrap()
    };
    let founded = run("init", None);
    let complaint = String::from_utf8_lossy(&founded.stderr);
    assert!(founded.status.success(), "{complaint}");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (key, address, protocol) in [
        ("api_listen", tcp.local_addr(), "TCP"),
        ("agent_listen", udp.local_addr(), "UDP"),
        ("raft_listen", udp.local_addr(), "UDP"),
    ] {
        let address = address.unwrap().to_string();
        let refused = run("run", Some((key, &address)));
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let why = format!("cannot listen on {address} ({protocol}): Address already in use");
        let cure = format!("; set `{key}` to an address and port that is free");
        assert!(said.contains(&why) && said.contains(&cure), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_mail_server_opens_no_door_of_the_cluster() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("it has a certificate for submission").await;
    let mut files = std::fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/tls")).unwrap();
    let pem = std::fs::read(files.next().unwrap().unwrap().path()).unwrap();
    let endpoints = fleet.nodes[&1].endpoints();
    let doors = [
        (&endpoints.agent, ALPN_AGENT),
        (&endpoints.agent, ALPN_ENROLL),
        (&endpoints.raft, ALPN_RAFT),
    ];
    for (endpoint, alpn) in doors {
        let ending = lying::dial_with_pem(&pem, endpoint, alpn).await;
        assert!(ending.reason.contains("certificate"), "{ending:?}");
    }
}
