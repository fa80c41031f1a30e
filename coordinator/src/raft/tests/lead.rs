//! What a leader says while it cannot do what is asked, and how it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use super::harness::{Fixture, PATIENCE, knows, leader_among, proposal, wait_for, write};
use crate::raft::handle::{Cluster, ProposeError};
use crate::raft::net::{ChangeRefusal, Lane, Member, MemberChange, ProposeRefusal};

/// Three voters that stand for election late: whoever is made the leader stays it, however slow the
/// machine is. Node 1 leads.
async fn three_patient(fixture: &mut Fixture) -> Vec<Cluster> {
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = fixture.config(node);
        config.timings.election_min = Duration::from_secs(3);
        config.timings.election_max = Duration::from_secs(5);
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    nodes[0].initialize(fixture.endpoint(1)).await.unwrap();
    for node in 2..=3 {
        let endpoint = fixture.endpoint(node);
        nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
        nodes[0].promote(NodeId(node)).await.unwrap();
    }
    nodes
}

fn leads(node: &Cluster) -> bool {
    node.core().leader() == Some(node.node())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_dates_nothing_before_it_has_applied_what_it_inherited() {
    let mut fixture = Fixture::new();
    let nodes = three_patient(&mut fixture).await;
    let next = &nodes[1];
    let peers = &next.core().peers;
    // It will be elected, and heard, but none of its entries gets anywhere.
    let held = (
        peers.hold(NodeId(1), Lane::Log).await,
        peers.hold(NodeId(3), Lane::Log).await,
    );
    nodes[0].transfer_leader(NodeId(2)).await.unwrap();
    wait_for("node 2 leads and has begun its term", || {
        let last = next.core().metrics().last_log_index;
        leads(next) && last > next.core().metrics().last_applied.map(|id| id.index)
    })
    .await;
    let before = next.core().metrics().last_log_index;
    let refused = next.core().propose_here(proposal("r1")).await.unwrap_err();
    assert!(
        matches!(&refused, ProposeRefusal::NotYet(reason) if reason.contains("inherited")),
        "{refused:?}"
    );
    assert_eq!(next.core().metrics().last_log_index, before, "not logged");
    drop(held);
    assert_eq!(write(next, "r1").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_may_take_effect_is_not_forgotten_over_a_refusal() {
    let mut fixture = Fixture::new();
    let ahead = Arc::new(AtomicU64::new(0));
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = fixture.config(node);
        let (told, system) = (Arc::clone(&ahead), crate::raft::system_clock());
        if node == 1 {
            config.clock = Arc::new(move || Timestamp(system().0 + told.load(Ordering::Relaxed)));
        }
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    nodes[0].initialize(fixture.endpoint(1)).await.unwrap();
    for node in 2..=3 {
        let endpoint = fixture.endpoint(node);
        nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
        nodes[0].promote(NodeId(node)).await.unwrap();
    }
    write(&nodes[0], "r1").await.unwrap();
    // The first try gets no further than to where it is dated, and is given up there.
    let held = nodes[0].core().dated.lock().await;
    let mut writing = Box::pin(nodes[0].propose(proposal("r2")));
    assert!(futures::poll!(&mut writing).is_pending());
    ahead.store(3_600_000, Ordering::Relaxed);
    wait_for("the clock is judged", || {
        nodes[0].refuses_writes().is_some()
    })
    .await;
    let refused = writing.await.unwrap_err();
    assert!(
        matches!(&refused, ProposeError::NoQuorum { reason } if reason.contains("may take effect")),
        "{refused}"
    );
    drop(held);
    // Who asks only now is told so plainly.
    let refused = write(&nodes[0], "r3").await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::ClockOff { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_no_majority_takes_holds_no_other_change_up() {
    let mut fixture = Fixture::new();
    let mut config = fixture.config(1);
    config.timings.change_within = Duration::from_secs(2);
    let leader = fixture.start_as(config).await.unwrap();
    let other = fixture.start(2).await;
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    let endpoint = fixture.endpoint(2);
    leader.add_learner(NodeId(2), endpoint).await.unwrap();
    leader.promote(NodeId(2)).await.unwrap();
    assert_eq!(leader_among(std::slice::from_ref(&leader)).await, 0);
    other.shutdown().await;
    let member = Member {
        node: NodeId(3),
        endpoint: "127.0.0.1:9".to_owned(),
    };
    let adding = leader.core().change_here(MemberChange::AddLearner(member));
    let added = tokio::time::timeout(PATIENCE, adding).await;
    let refused = added.expect("it is given up").unwrap_err();
    assert!(matches!(refused, ChangeRefusal::Retry(_)), "{refused:?}");
    assert!(leader.core().changing.try_lock().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_remove_itself_hands_over_and_still_reaches_the_cluster() {
    let mut fixture = Fixture::new();
    let nodes = three_patient(&mut fixture).await;
    let term = nodes[0].status().leadership.term;
    nodes[0].remove(NodeId(1)).await.unwrap();
    let rest = &nodes[1..];
    let leader = &rest[leader_among(rest).await];
    assert_eq!(leader.status().voters, [NodeId(2), NodeId(3)]);
    assert_eq!(leader.status().learners, []);
    assert!(leader.status().leadership.term > term);
    // As whoever removed it records it, through the node that was asked.
    let asked = nodes[0].core();
    assert_eq!(asked.leader(), Some(leader.node()));
    let _ = nodes[0].propose(proposal("record")).await;
    wait_for("it is recorded", || {
        rest.iter().all(|node| knows(node, "record"))
    })
    .await;
}
