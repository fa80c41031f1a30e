//! Members: the fleet state says who shall be in, Raft who is. The leader makes them the same,
//! level-triggered, so that a step that was cut off is taken again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::NodeId;

use super::SUPPORTS_VERSION;
use super::listeners::Endpoints;
use super::rooms::membership;
use crate::api::MembershipError;
use crate::command::{Answer, Command, PlaceNode, Proposal, SetNode};
use crate::push::proposal;
use crate::raft::{Cluster, ProposeError, RaftStatus};
use crate::state::FleetState;

/// Between two looks, when nothing wakes it.
const LOOK: Duration = Duration::from_secs(5);
/// Whoever changes Raft's members records it next, under the name of the operator who wanted it. What
/// is not recorded for so long was cut off in between.
const RECORDED_WITHIN: Duration = Duration::from_secs(15);

/// One step towards the members that the state says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Let it follow.
    AddLearner(NodeId, String),
    /// Its number was removed: out.
    Remove(NodeId),
    /// Raft has made it so, but the state does not say so yet.
    Record(NodeId, MemberRole),
}

/// Records that are owed, and since when.
#[derive(Debug, Default)]
struct Owed(BTreeMap<NodeId, Instant>);

impl Owed {
    /// Of these steps those that are to be taken now: records only when nobody else makes them.
    fn due(&mut self, mut steps: Vec<Step>, now: Instant) -> Vec<Step> {
        let before = std::mem::take(&mut self.0);
        steps.retain(|step| {
            let Step::Record(node, _) = step else {
                return true;
            };
            let since = before.get(node).copied().unwrap_or(now);
            self.0.insert(*node, since);
            now.duration_since(since) >= RECORDED_WITHIN
        });
        steps
    }
}

/// Records this node's own end points, then keeps the members in step while it leads.
pub(super) async fn follow(
    cluster: Cluster,
    endpoints: Endpoints,
    mut stopping: watch::Receiver<bool>,
) {
    let mut applied = cluster.applied();
    let mut recorded = Recorded::NotYet;
    let mut owed = Owed::default();
    loop {
        if recorded != Recorded::Done {
            recorded = record_endpoints(&cluster, &endpoints).await;
        }
        let leads = cluster.leadership().borrow().is_leader;
        let mut is_stuck = recorded == Recorded::Refused;
        if leads {
            let status = cluster.status();
            let steps = cluster.view(|state| steps(state, &status));
            for step in owed.due(steps, Instant::now()) {
                is_stuck |= !take(&cluster, step).await;
            }
        } else {
            owed = Owed::default();
        }
        // A refusal is an entry too: it must not wake whoever caused it.
        tokio::select! {
            changed = applied.changed(), if !is_stuck => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

fn steps(state: &FleetState, raft: &RaftStatus) -> Vec<Step> {
    let mut steps = Vec::new();
    for node in state.nodes.values() {
        let votes = raft.voters.contains(&node.id);
        let follows = raft.learners.contains(&node.id);
        match node.role {
            MemberRole::Learner if votes => {
                steps.push(Step::Record(node.id, MemberRole::Voter));
            }
            MemberRole::Learner if !follows => {
                steps.push(Step::AddLearner(node.id, node.raft_endpoint.clone()));
            }
            MemberRole::Removed if votes || follows => steps.push(Step::Remove(node.id)),
            // Nobody votes in the state before it does in Raft: it was taken out there.
            MemberRole::Voter if !votes && !follows => {
                steps.push(Step::Record(node.id, MemberRole::Removed));
            }
            MemberRole::Learner | MemberRole::Voter | MemberRole::Removed => {}
        }
    }
    steps
}

/// Takes a step; false when it could not be taken.
async fn take(cluster: &Cluster, step: Step) -> bool {
    let taken = match step.clone() {
        Step::AddLearner(node, endpoint) => cluster
            .add_learner(node, endpoint)
            .await
            .map_err(membership),
        Step::Remove(node) => cluster.remove(node).await.map_err(membership),
        Step::Record(node, role) => record(cluster, own_word(cluster, node, role)).await,
    };
    match &taken {
        Ok(()) => tracing::info!(?step, "members changed"),
        Err(error) => tracing::warn!(?step, %error, "members not changed yet"),
    }
    taken.is_ok()
}

/// Records a node's part in the fleet state. A node that removed itself is told no more of what is
/// committed: that the record is, is enough.
pub(super) async fn record(cluster: &Cluster, record: Proposal) -> Result<(), MembershipError> {
    match cluster.propose(record).await {
        Err(ProposeError::NotAppliedHere { .. }) => Ok(()),
        answered => Ok(answered?.map(|_| ())?),
    }
}

/// The record of a change that nobody else is there to record.
fn own_word(cluster: &Cluster, node: NodeId, role: MemberRole) -> Proposal {
    let command = Command::SetNode(SetNode::role(node, role));
    let actor = format!("node {}", cluster.node());
    let reason = "Raft's members were changed, and the record of it was cut off";
    proposal(cluster, actor, reason, command)
}

/// How far this node's end points are known to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    /// As far as they will be.
    Done,
    /// The state has to move first.
    NotYet,
    /// They were proposed in vain: again after a pause, for that was an entry, too.
    Refused,
}

/// Tells the cluster where this node is reached, when that or its software changed.
async fn record_endpoints(cluster: &Cluster, endpoints: &Endpoints) -> Recorded {
    let id = cluster.node();
    let command = match cluster.view(|state| own_record(state, id, endpoints)) {
        Own::Unknown => return Recorded::NotYet,
        Own::Current => return Recorded::Done,
        Own::Differs(command) => *command,
    };
    let proposed = proposal(cluster, format!("node {id}"), "its end points", command);
    recorded(cluster.propose(proposed).await)
}

fn recorded(answer: Result<Answer, ProposeError>) -> Recorded {
    match answer {
        Ok(Ok(_)) => Recorded::Done,
        Ok(Err(rejection)) => {
            tracing::error!(%rejection, "this node's end points are refused");
            Recorded::Done
        }
        Err(error) => {
            tracing::warn!(%error, "this node's end points are not recorded yet");
            Recorded::Refused
        }
    }
}

/// A node's own record, as this node has the state.
#[derive(Debug)]
enum Own {
    /// The state does not know the node yet.
    Unknown,
    /// It says what it should.
    Current,
    /// What would set it right.
    Differs(Box<Command>),
}

/// The command does not name the role, which others change: a node that lags would take its own vote
/// back.
fn own_record(state: &FleetState, id: NodeId, endpoints: &Endpoints) -> Own {
    let Some(node) = state.nodes.get(&id) else {
        return Own::Unknown;
    };
    let same = node.raft_endpoint == endpoints.raft
        && node.agent_endpoint == endpoints.agent
        && node.api_endpoint == endpoints.api
        && node.supports_version == SUPPORTS_VERSION;
    if same {
        return Own::Current;
    }
    let Endpoints { raft, agent, api } = endpoints.clone();
    Own::Differs(Box::new(Command::PlaceNode(PlaceNode {
        node: id,
        endpoints: (raft, agent, api),
        supports_version: SUPPORTS_VERSION,
    })))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::command::RenewCertificate;
    use crate::command::fixture::{Fleet, node, node_token, redeem_node};
    use crate::raft::Leadership;
    use crate::state::CertificateSubject;

    #[test]
    fn each_difference_between_state_and_raft_is_one_step() {
        let mut state = FleetState::default();
        state.nodes.extend([
            node(1, MemberRole::Voter),
            node(2, MemberRole::Learner),
            node(3, MemberRole::Learner),
            node(4, MemberRole::Learner),
            node(5, MemberRole::Removed),
            node(6, MemberRole::Removed),
            node(7, MemberRole::Voter),
        ]);
        let raft = RaftStatus {
            node: NodeId(1),
            leadership: Leadership::default(),
            last_index: 1,
            applied_index: 1,
            voters: vec![NodeId(1), NodeId(3)],
            learners: vec![NodeId(4), NodeId(5)],
            contacts: None,
        };
        let wanted = [
            Step::AddLearner(NodeId(2), "192.0.2.2:7444".to_owned()),
            Step::Record(NodeId(3), MemberRole::Voter),
            Step::Remove(NodeId(5)),
            Step::Record(NodeId(7), MemberRole::Removed),
        ];
        assert_eq!(steps(&state, &raft), wanted);
    }

    #[test]
    fn a_removal_that_was_cut_off_after_raft_is_finished_and_its_certificate_revoked() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::IssueToken(node_token("n1")));
        fleet.accept(redeem_node("n1", 1));
        let subject = CertificateSubject::Node(NodeId(2));
        let serial = CertificateSerial([2; 16]);
        fleet.accept(Command::RenewCertificate(RenewCertificate {
            subject,
            current_spki: ContentHash([2; 32]),
            spki: ContentHash([2; 32]),
            serial,
            not_after: fleet.now().plus(Timestamp::DAY),
        }));
        let voter = SetNode::role(NodeId(2), MemberRole::Voter);
        fleet.accept(Command::SetNode(voter));
        // Raft let it go, and then nobody made the record.
        let raft = RaftStatus {
            node: NodeId(1),
            leadership: Leadership::default(),
            last_index: 1,
            applied_index: 1,
            voters: vec![NodeId(1)],
            learners: Vec::new(),
            contacts: None,
        };
        let [Step::Record(node, role)] = steps(&fleet.state, &raft)[..] else {
            panic!("{:?}", steps(&fleet.state, &raft));
        };
        fleet.accept(Command::SetNode(SetNode::role(node, role)));
        assert!(fleet.state.revoked.contains(&serial));
        assert_eq!(steps(&fleet.state, &raft), []);
    }

    #[test]
    fn a_record_is_left_to_whoever_wanted_the_change_for_a_while() {
        let mut owed = Owed::default();
        let now = Instant::now();
        let record = || Step::Record(NodeId(3), MemberRole::Voter);
        let other = || Step::Remove(NodeId(5));
        let due = owed.due(vec![record(), other()], now);
        assert_eq!(due, [other()]);
        let later = now + RECORDED_WITHIN;
        assert_eq!(owed.due(vec![record()], later), [record()]);
        // It was made, and is owed anew for another change.
        assert_eq!(owed.due(Vec::new(), later), []);
        assert_eq!(owed.due(vec![record()], later + RECORDED_WITHIN), []);
    }

    #[test]
    fn a_nodes_own_record_never_takes_its_role_back() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::IssueToken(node_token("n1")));
        fleet.accept(redeem_node("n1", 1));
        let moved = || "192.0.2.99:7444".to_owned();
        let endpoints = Endpoints {
            raft: moved(),
            agent: moved(),
            api: moved(),
        };
        let own = |state: &FleetState| match own_record(state, NodeId(2), &endpoints) {
            Own::Differs(command) => *command,
            other => panic!("{other:?}"),
        };
        // Made while it was a learner, applied after it got its vote.
        let late = own(&fleet.state);
        let role = MemberRole::Voter;
        fleet.accept(Command::SetNode(SetNode {
            node: NodeId(2),
            role,
            endpoints: None,
            supports_version: None,
        }));
        // A fleet in which other things change all the time does not keep it from being recorded.
        fleet.accept(Command::IssueToken(node_token("n2")));
        fleet.accept(late);
        let node = &fleet.state.nodes[&NodeId(2)];
        assert_eq!((node.role, &node.raft_endpoint), (role, &moved()));
        assert!(matches!(
            own_record(&fleet.state, NodeId(2), &endpoints),
            Own::Current
        ));
        assert!(matches!(
            own_record(&fleet.state, NodeId(9), &endpoints),
            Own::Unknown
        ));
    }
}
