//! Who is not let in, and what is not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::time::Timestamp;

use super::harness::{Authority, CLUSTER, Fixture, knows, proposal, wait_for, with_body, write};
use crate::pki::NodeIdentity;
use crate::raft::handle::ProposeError;
use crate::raft::net::{Lane, Peers, Request, Response, Server};

/// Asks for the clock of the node at `address`, under an identity, as whoever it is.
async fn ask(identity: NodeIdentity, node: u64, address: &str) -> Result<u64, String> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let cluster = identity.cluster;
    let server = Server::open(socket, &identity).unwrap();
    let identity = watch::Sender::new(Arc::new(identity)).subscribe();
    let nowhere = Arc::new(|_| None);
    let peers = Peers::new(
        cluster,
        server.endpoint(),
        identity,
        nowhere,
        Arc::new(|_| false),
    );
    let within = Duration::from_secs(5);
    let asked = peers.call(
        NodeId(node),
        address,
        Lane::Control,
        &Request::Clock,
        within,
    );
    match asked.await {
        Ok(Response::Clock(now)) => Ok(now),
        Ok(_) => Err("another answer".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_of_this_cluster_are_answered() {
    let mut fixture = Fixture::new();
    let _node = fixture.start(1).await;
    let address = fixture.endpoint(1);
    let good = fixture.authority.identity(CLUSTER, 2, 2);
    assert!(ask(good, 1, &address).await.is_ok());

    let mut foreign = Authority::new().identity(CLUSTER, 2, 2);
    foreign.root = fixture.authority.identity(CLUSTER, 2, 2).root;
    let refused = ask(foreign, 1, &address).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");

    let other = fixture.authority.identity(ClusterId([9; 16]), 2, 2);
    let other = NodeIdentity {
        cluster: CLUSTER,
        ..other
    };
    let refused = ask(other, 1, &address).await.unwrap_err();
    assert!(refused.contains("not a node of this cluster"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_than_was_dialled_is_refused() {
    let mut fixture = Fixture::new();
    let _one = fixture.start(1).await;
    let own = fixture.authority.identity(CLUSTER, 2, 2);
    let refused = ask(own.clone(), 3, &fixture.endpoint(1)).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    // A certificate whose two names contradict each other.
    let posing = fixture.authority.identity(CLUSTER, 4, 3);
    let config = fixture.config_as(4, posing);
    let _four = fixture.start_as(config).await.unwrap();
    let refused = ask(own, 3, &fixture.endpoint(4)).await.unwrap_err();
    assert!(
        refused.contains("dialled node 3, node 4 answered"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_and_an_oversized_command_are_refused() {
    let mut fixture = Fixture::new();
    let mut config = fixture.config(1);
    config.min_free_bytes = u64::MAX;
    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    let refused = write(&node, "r1").await.unwrap_err();
    assert!(matches!(refused, ProposeError::LowDisk { .. }), "{refused}");
    assert_eq!(node.view(|state| state.revision), 0, "reads go on");
    let huge = with_body("r2", &vec![0; 33 * 1024 * 1024]);
    let refused = node.propose(huge).await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::TooLarge { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_off_stops_proposing_until_it_is_right() {
    let mut fixture = Fixture::new();
    let ahead = Arc::new(AtomicU64::new(0));
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = fixture.config(node);
        let (ahead, system) = (Arc::clone(&ahead), crate::raft::system_clock());
        let leads = node == 1;
        config.clock = Arc::new(move || {
            let off = if leads {
                ahead.load(Ordering::Relaxed)
            } else {
                0
            };
            Timestamp(system().0 + off)
        });
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    nodes[0].initialize(fixture.endpoint(1)).await.unwrap();
    for node in 2..=3 {
        let endpoint = fixture.endpoint(node);
        nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
        nodes[0].promote(NodeId(node)).await.unwrap();
    }
    write(&nodes[0], "r1").await.unwrap();
    ahead.store(3_600_000, Ordering::Relaxed);
    wait_for("the clock is judged", || {
        nodes[0].refuses_writes().is_some()
    })
    .await;
    let refused = write(&nodes[1], "r2").await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::ClockOff { .. }),
        "{refused}"
    );
    ahead.store(0, Ordering::Relaxed);
    wait_for("the clock is right", || nodes[0].refuses_writes().is_none()).await;
    assert_eq!(write(&nodes[1], "r3").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_far_behind_its_log_writes_nothing_to_it() {
    let mut fixture = Fixture::new();
    let now = Arc::new(AtomicU64::new(1_000_000));
    let mut config = fixture.config(1);
    let told = Arc::clone(&now);
    config.clock = Arc::new(move || Timestamp(told.load(Ordering::Relaxed)));
    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    write(&node, "r1").await.unwrap();
    now.store(1_000_000 - 30_001, Ordering::Relaxed);
    let before = node.status().last_index;
    let refused = write(&node, "r2").await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::ClockOff { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("30001 ms behind"), "{refused}");
    assert_eq!(node.status().last_index, before, "nothing was logged");
    assert!(!knows(&node, "r2"));
    // An admin may say that this clock is right; from then on it is.
    let mut overriding = proposal("r3");
    overriding.override_clock = true;
    node.propose(overriding).await.unwrap().unwrap();
    assert_eq!(write(&node, "r2").await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leapt_ahead_for_a_moment_stops_nothing_once_it_is_right_again() {
    let mut fixture = Fixture::new();
    let right = 1_000_000;
    let now = Arc::new(AtomicU64::new(right));
    let mut config = fixture.config(1);
    let told = Arc::clone(&now);
    config.clock = Arc::new(move || Timestamp(told.load(Ordering::Relaxed)));
    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    write(&node, "r1").await.unwrap();
    now.store(right + 25 * 3_600_000, Ordering::Relaxed);
    // The leader has dated its own attempt to move the fleet's time on, and the gate refused it.
    let refused = write(&node, "r2").await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::ClockOff { .. }),
        "{refused}"
    );
    assert_eq!(node.view(|state| state.now), Timestamp(right));
    now.store(right, Ordering::Relaxed);
    assert_eq!(write(&node, "r3").await.unwrap(), 2);
    assert_eq!(node.view(|state| state.now), Timestamp(right));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_fails_stops_taking_part_and_still_reads() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    write(&nodes[2], "r1").await.unwrap();
    let failed = nodes[2].failed();
    if let Some(store) = nodes[2].core().store.read().unwrap().as_ref() {
        store.break_down();
    }
    assert_eq!(write(&nodes[0], "r2").await.unwrap(), 2, "two are enough");
    wait_for("the failure is known", || failed.borrow().is_some()).await;
    assert_eq!(failed.borrow().as_deref(), Some("no space left"));
    // The others have committed the second: it may have heard so before its own copy failed.
    let revision = nodes[2].view(|state| state.revision);
    assert!((1..=2).contains(&revision), "{revision}");
    let refused = write(&nodes[2], "r3").await.unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    wait_for("it names no leader", || {
        nodes[2].leadership().borrow().leader.is_none()
    })
    .await;
}
