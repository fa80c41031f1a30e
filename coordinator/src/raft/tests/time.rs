//! The fleet's time after a long stop: it goes on by itself when a majority tells the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use super::harness::{Fixture, leader_among, wait_for, with_command};
use crate::command::fixture::{found, node_token, redeem_node, tenant};
use crate::command::{Command, CreateTenant, SetNode};
use crate::raft::handle::{Cluster, ProposeError};
use crate::raft::start::start_with;
use crate::state::FleetState;

const WEEK: u64 = 7 * Timestamp::DAY;

/// Nodes that carry the real rules out, each with a clock of its own.
struct Clocked {
    fixture: Fixture,
    clocks: Vec<Arc<AtomicU64>>,
}

impl Clocked {
    fn new(nodes: usize) -> Self {
        let begin = crate::raft::system_clock()().0;
        let clocks = (0..nodes).map(|_| Arc::new(AtomicU64::new(begin)));
        Self {
            fixture: Fixture::new(),
            clocks: clocks.collect(),
        }
    }

    /// Starts these nodes, and sets the names under which the state knows their end points.
    async fn start(&mut self, nodes: impl IntoIterator<Item = u64>) -> Vec<Cluster> {
        let mut started = Vec::new();
        for node in nodes {
            let mut config = self.fixture.config(node);
            let at = usize::try_from(node).unwrap() - 1;
            let clock = Arc::clone(&self.clocks[at]);
            config.clock = Arc::new(move || Timestamp(clock.load(Ordering::Relaxed)));
            let started_node = start_with(config, FleetState::apply).await.unwrap();
            started.push(started_node);
        }
        started
    }

    fn advance(&self, node: usize, by: u64) {
        self.clocks[node - 1].fetch_add(by, Ordering::Relaxed);
    }

    async fn founded(&mut self) -> Vec<Cluster> {
        let count = self.clocks.len() as u64;
        let nodes = self.start(1..=count).await;
        let endpoint = self.fixture.endpoint(1);
        nodes[0].initialize(endpoint.clone()).await.unwrap();
        let mut founding = found();
        founding.node.raft_endpoint = endpoint;
        run(&nodes[0], "found", Command::Found(Box::new(founding))).await;
        for node in 2..=count {
            let number = u8::try_from(node).unwrap();
            let token = format!("n{node}");
            let issue = Command::IssueToken(node_token(&token));
            run(&nodes[0], &format!("issue-{node}"), issue).await;
            let redeem = redeem_node(&token, number);
            run(&nodes[0], &format!("redeem-{node}"), redeem).await;
            let endpoint = self.fixture.endpoint(node);
            let set = Command::SetNode(SetNode {
                node: NodeId(node),
                role: MemberRole::Voter,
                endpoints: Some((endpoint.clone(), "192.0.2.1:1".into(), "192.0.2.1:2".into())),
                supports_version: None,
            });
            run(&nodes[0], &format!("set-{node}"), set).await;
            nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
            nodes[0].promote(NodeId(node)).await.unwrap();
        }
        nodes
    }
}

async fn run(node: &Cluster, request: &str, command: Command) {
    let proposal = with_command(request, command);
    node.propose(proposal).await.unwrap().unwrap();
}

fn create(name: &str) -> Command {
    Command::CreateTenant(CreateTenant {
        tenant: tenant(name),
    })
}

async fn stop(nodes: Vec<Cluster>) {
    for node in &nodes {
        node.shutdown().await;
    }
}

fn told(node: &Cluster) -> usize {
    node.view(|state| {
        let told = |command: &str| command == "tell-time";
        state.audit.iter().filter(|row| told(&row.command)).count()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_stopped_for_a_week_takes_writes_again_by_itself() {
    for count in [1, 3] {
        let mut clocked = Clocked::new(count);
        let nodes = clocked.founded().await;
        run(&nodes[0], "before", create("client-1")).await;
        stop(nodes).await;
        for node in 1..=count {
            clocked.advance(node, WEEK);
        }
        let nodes = clocked.start(1..=count as u64).await;
        // Whoever leads asks the others, who may not be heard at once; until then writers are told so.
        wait_for("the fleet's time goes on", || {
            told(nodes.last().unwrap()) == 1
        })
        .await;
        run(nodes.last().unwrap(), "after", create("client-2")).await;
        let now = clocked.clocks[0].load(Ordering::Relaxed);
        let node = nodes.last().unwrap();
        assert_eq!(node.view(|state| state.now), Timestamp(now));
        assert_eq!(told(node), 1, "it is in the audit once");
        let entry = node.view(|state| {
            let entry = state.audit.iter().find(|row| row.command == "tell-time");
            entry.map(|entry| (entry.actor.clone(), entry.reason.clone()))
        });
        let (actor, reason) = entry.unwrap();
        assert!(actor.starts_with("node "), "{actor}");
        assert!(reason.contains("168 h"), "{reason}");
        stop(nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_nobody_changes_is_told_the_time_twice_a_day_and_no_more() {
    let mut clocked = Clocked::new(1);
    let nodes = clocked.founded().await;
    let begin = nodes[0].view(|state| state.now);
    let (last, revision) = (
        nodes[0].status().last_index,
        nodes[0].view(|state| state.revision),
    );
    let hours = |hours: u64| hours * Timestamp::DAY / 24;
    for at in 1..=4 {
        clocked.advance(1, hours(12));
        let now = begin.plus(hours(12 * at));
        wait_for("the time goes on", || {
            nodes[0].view(|state| state.now >= now)
        })
        .await;
    }
    assert_eq!(nodes[0].status().last_index, last + 4);
    assert_eq!(nodes[0].view(|state| state.revision), revision);
    assert_eq!(told(&nodes[0]), 0, "nothing to remark");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_with_a_wrong_clock_does_not_move_the_time_of_three() {
    let mut clocked = Clocked::new(3);
    let nodes = clocked.founded().await;
    stop(nodes).await;
    clocked.advance(1, WEEK);
    // Of the two others only one is there: no median speaks against the leader.
    let nodes = clocked.start(1..=2).await;
    if leader_among(&nodes).await != 0 {
        nodes[1].transfer_leader(NodeId(1)).await.unwrap();
    }
    wait_for("node 1 leads and doubts its clock", || {
        nodes[0].leadership().borrow().is_leader && nodes[0].refuses_writes().is_some()
    })
    .await;
    let doubt = nodes[0].refuses_writes().unwrap();
    assert!(doubt.contains("only 1 of 3 voters"), "{doubt}");
    let proposal = with_command("alone", create("client-1"));
    let refused = nodes[1].propose(proposal).await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::ClockOff { .. }),
        "{refused}"
    );
    let right = Timestamp(clocked.clocks[1].load(Ordering::Relaxed));
    assert!(nodes[0].view(|state| state.now) <= right);
    nodes[0].transfer_leader(NodeId(2)).await.unwrap();
    run(&nodes[0], "right", create("client-1")).await;
    assert!(nodes[0].view(|state| state.now) <= right);
}
