//! Who takes part: one change at a time, checked after it was made.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use tokio::time::{Instant, timeout};

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::NodeId;

use super::core::Core;
use super::handle::MembershipError;
use super::net::{ChangeRefusal, Member, MemberChange, Request, Response};
use super::propose::pauses;
use super::types::{NodeAddress, Types};

/// How many entries a learner may lack when it gets its vote.
const LAG: u64 = 50;

type Refused = Result<(), ChangeRefusal>;
type WriteError = RaftError<Types, ClientWriteError<Types>>;

fn retry(reason: impl std::fmt::Display) -> ChangeRefusal {
    ChangeRefusal::Retry(reason.to_string())
}

fn wrong(reason: impl std::fmt::Display) -> ChangeRefusal {
    ChangeRefusal::Wrong(reason.to_string())
}

impl Core {
    /// Founds the cluster with this node as its only member. One that has data is founded already, be
    /// it that a crash left no more of it than the first entry.
    pub(super) async fn initialize(&self, endpoint: String) -> Result<(), MembershipError> {
        let members = BTreeMap::from([(self.node.0, NodeAddress { endpoint })]);
        let refused = |reason: String| MembershipError::Refused { reason };
        match self.raft.initialize(members).await {
            Ok(()) => {}
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => return Ok(()),
            Err(error) => return Err(refused(error.to_string())),
        }
        let mut leadership = self.leadership.subscribe();
        let leads = leadership.wait_for(|leadership| leadership.is_leader);
        match timeout(self.timings.request_deadline, leads).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(refused("the founding node does not lead in time".into())),
        }
    }

    /// Changes the membership through whichever node leads.
    pub(super) async fn change(&self, change: MemberChange) -> Result<(), MembershipError> {
        let deadline = Instant::now() + self.timings.change_within;
        let mut pauses = pauses();
        loop {
            if self.is_stopping() {
                return Err(MembershipError::Stopping);
            }
            let reason = match self.try_change(change.clone(), deadline).await {
                Ok(()) => return Ok(()),
                Err(ChangeRefusal::Wrong(reason)) => {
                    return Err(MembershipError::Refused { reason });
                }
                Err(ChangeRefusal::Retry(reason)) => reason,
            };
            let pause = pauses.next().unwrap_or_default();
            if self.failure().is_some() || Instant::now() + pause >= deadline {
                return Err(MembershipError::NoQuorum { reason });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_change(&self, change: MemberChange, deadline: Instant) -> Refused {
        let leader = self.leader().ok_or_else(|| retry("no leader is known"))?;
        if leader == self.node {
            return self.change_here(change).await;
        }
        let request = Request::Change(change);
        match self.ask(leader, &request, deadline).await.map_err(retry)? {
            Response::Change(answer) => answer,
            _ => Err(retry("the leader mixed answers up")),
        }
    }

    /// Changes the membership, when this node leads.
    pub(super) async fn change_here(&self, change: MemberChange) -> Refused {
        let _one_at_a_time = self.changing.lock().await;
        if !self.leadership.borrow().is_leader {
            return Err(retry(format!("node {} does not lead yet", self.node)));
        }
        match change {
            MemberChange::AddLearner(member) => self.add_learner(member).await,
            MemberChange::Promote(node) => self.promote(node).await,
            MemberChange::Remove(node) => self.remove(node).await,
            MemberChange::TransferLeader(node) => self.transfer(node).await,
        }
    }

    async fn add_learner(&self, member: Member) -> Refused {
        self.check_not_removed(member.node)?;
        let (voters, _) = self.members();
        if voters.contains(&member.node.0) {
            return Ok(());
        }
        let address = NodeAddress {
            endpoint: member.endpoint,
        };
        self.in_time(self.raft.add_learner(member.node.0, address, false))
            .await?;
        self.check(|voters, learners| {
            learners.contains(&member.node.0) && !voters.contains(&member.node.0)
        })
    }

    /// The record of a learner's removal comes before Raft's own, and revokes its certificates: with a
    /// vote it could neither be heard nor be voted out again.
    fn check_not_removed(&self, node: NodeId) -> Refused {
        let removed = self.replica.view(|image| {
            let known = image.fleet.nodes.get(&node);
            known.is_some_and(|known| known.role == MemberRole::Removed)
        });
        if removed {
            return Err(wrong(format!(
                "node {node} was removed, and numbers are never used again: join under a new one"
            )));
        }
        Ok(())
    }

    async fn promote(&self, node: NodeId) -> Refused {
        self.check_not_removed(node)?;
        let (voters, learners) = self.members();
        if voters.contains(&node.0) {
            return Ok(());
        }
        if !learners.contains(&node.0) {
            return Err(wrong(format!("node {node} is no learner")));
        }
        self.wait_caught_up(node).await?;
        // That may have taken long.
        self.check_not_removed(node)?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node.0]));
        self.commit(change).await?;
        self.check(|voters, learners| voters.contains(&node.0) && !learners.contains(&node.0))
    }

    /// A voter that still lacks much would count for a majority that it cannot serve.
    async fn wait_caught_up(&self, node: NodeId) -> Refused {
        let wait = self.raft.wait(Some(self.timings.change_within / 2));
        let caught_up = wait.metrics(
            |metrics| {
                let matched = metrics
                    .replication
                    .as_ref()
                    .and_then(|all| all.get(&node.0));
                let matched = matched.and_then(|id| id.as_ref()).map(|id| id.index);
                matched.is_some_and(|at| at + LAG >= metrics.last_log_index.unwrap_or(0))
            },
            "the learner catches up",
        );
        match caught_up.await {
            Ok(_) => Ok(()),
            Err(_) => Err(wrong(format!(
                "node {node} has not caught up yet: is it running and reachable?"
            ))),
        }
    }

    async fn remove(&self, node: NodeId) -> Refused {
        let (voters, learners) = self.members();
        if voters.contains(&node.0) {
            if voters.len() == 1 {
                return Err(wrong(format!("node {node} is the last voter")));
            }
            if node == self.node {
                return Err(self.hand_over().await);
            }
            // Not retained: a removed voter must not go on as a learner that nobody asked for.
            self.commit(ChangeMembers::RemoveVoters(BTreeSet::from([node.0])))
                .await?;
        } else if learners.contains(&node.0) {
            self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([node.0])))
                .await?;
        }
        self.check(|voters, learners| !voters.contains(&node.0) && !learners.contains(&node.0))
    }

    /// A leader does not take itself out: it would step down at once, knowing of no leader that it
    /// could tell anything, not even that it is gone. Its successor does it, when asked again.
    async fn hand_over(&self) -> ChangeRefusal {
        let Some(successor) = self.successor() else {
            return retry("no other voter is known");
        };
        match self.transfer(successor).await {
            Ok(()) => retry(format!("node {} leads no more", self.node)),
            Err(ChangeRefusal::Retry(reason) | ChangeRefusal::Wrong(reason)) => retry(reason),
        }
    }

    /// The voter that has most of the log, and of these the one that was heard last.
    fn successor(&self) -> Option<NodeId> {
        let metrics = self.metrics();
        let matched = metrics.replication.unwrap_or_default();
        let heard = metrics.heartbeat.unwrap_or_default();
        let (voters, _) = self.members();
        let others = voters.into_iter().filter(|node| *node != self.node.0);
        let best = others.max_by_key(|node| {
            let heard = heard.get(node).copied().flatten();
            (matched.get(node).copied().flatten(), heard)
        });
        best.map(NodeId)
    }

    async fn transfer(&self, node: NodeId) -> Refused {
        if !self.members().0.contains(&node.0) {
            return Err(wrong(format!("node {node} is no voter")));
        }
        if node == self.node {
            return Ok(());
        }
        let asked = self.raft.trigger().transfer_leader(node.0).await;
        asked.map_err(retry)?;
        let wait = self.raft.wait(Some(self.timings.election_max * 3));
        let led = wait.metrics(
            |metrics| {
                let leader = metrics.current_leader;
                leader.is_some_and(|leader| leader != self.node.0)
            },
            "another node leads",
        );
        led.await
            .map(|_| ())
            .map_err(|_| wrong("the lead was not taken over in time"))
    }

    async fn commit(&self, change: ChangeMembers<u64, NodeAddress>) -> Refused {
        self.in_time(self.raft.change_membership(change, false))
            .await
    }

    /// Changes wait for each other: none may wait for ever for a majority.
    async fn in_time<T>(&self, change: impl Future<Output = Result<T, WriteError>>) -> Refused {
        match timeout(self.timings.change_within / 2, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(retry("no majority took the change in time")),
        }
    }

    /// What openraft answered is not enough: the membership of now must be what was asked for.
    fn check(&self, good: impl Fn(&BTreeSet<u64>, &BTreeSet<u64>) -> bool) -> Refused {
        let metrics = self.metrics();
        let joint = metrics.membership_config.get_joint_config().len() > 1;
        let (voters, learners) = self.members();
        if !joint && good(&voters, &learners) {
            Ok(())
        } else {
            Err(retry("the membership is not yet what was asked for"))
        }
    }

    /// Voters and learners.
    pub(super) fn members(&self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let voters = membership.voter_ids().collect();
        let learners = membership.learner_ids().collect();
        (voters, learners)
    }
}

fn refusal(error: &WriteError) -> ChangeRefusal {
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::EmptyMembership(_) | ChangeMembershipError::LearnerNotFound(_),
        )) => wrong(error),
        _ => retry(error),
    }
}
