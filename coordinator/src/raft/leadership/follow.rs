//! Who leads, as this node may say it, and the other things that it keeps an eye on.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::{Instant as _, ServerState};
use tokio::time::Instant;

use email_engine_protocol::id::{NodeId, RequestId};
use email_engine_protocol::time::Timestamp;

use crate::command::{CLOCK_AHEAD_MILLIS, Command, Proposal, TellTime};
use crate::raft::core::Core;
use crate::raft::guard;
use crate::raft::handle::Leadership;
use crate::raft::metric_names;
use crate::raft::net::{Answered, Request, Response};
use crate::raft::types::Types;

/// How often the leader is judged although nothing changed: silence is no event.
const TICK: Duration = Duration::from_millis(200);
/// How often the disk is looked at.
const DISK_SAMPLES: Duration = Duration::from_secs(1);
/// How long another node may take to tell its clock. The answer's own delay is an error of it.
const CLOCK_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of content after which a snapshot is due, however few entries brought them: pieces of artifacts
/// are a megabyte each, and five thousand of them would be a log that no disk was planned for.
const SNAPSHOT_AFTER_BYTES: u64 = 256 * 1024 * 1024;

/// How long the fleet's time may stand still before the leader moves it: well within the clock gate.
const STILL_MILLIS: u64 = Timestamp::DAY / 2;
const HOUR_MILLIS: u64 = Timestamp::DAY / 24;
/// How long a majority may take for that.
const TELL_WITHIN: Duration = Duration::from_secs(3);

impl Core {
    fn judge(&self, metrics: &RaftMetrics<Types>) -> Leadership {
        let term = metrics.current_term;
        let leader = metrics.current_leader.map(NodeId);
        let leads = metrics.state == ServerState::Leader && leader == Some(self.node);
        let alone = metrics.membership_config.voter_ids().count() == 1;
        let limit = self.timings.leader_contact;
        let in_contact = if leads {
            let acked = metrics.last_quorum_acked.as_ref();
            alone || acked.is_some_and(|acked| acked.elapsed() < limit)
        } else {
            self.heard_at().is_some_and(|at| at.elapsed() < limit)
        };
        // The first entry of its own term: all earlier ones are applied before it.
        let applied = metrics.last_applied.as_ref();
        let ready = applied.is_some_and(|id| id.leader_id.term == term);
        Leadership {
            leader: leader.filter(|_| in_contact && metrics.running_state.is_ok()),
            term,
            is_leader: leads && ready && in_contact && metrics.running_state.is_ok(),
        }
    }
}

/// Where this node's log begins, and what its snapshot holds.
fn observe(now: &RaftMetrics<Types>) {
    // Indices are far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    let figure = |index: Option<u64>| index.unwrap_or(0) as f64;
    let purged = now.purged.as_ref().map(|id| id.index);
    let snapshot = now.snapshot.as_ref().map(|id| id.index);
    metrics::gauge!(metric_names::PURGED_INDEX).set(figure(purged));
    metrics::gauge!(metric_names::SNAPSHOT_INDEX).set(figure(snapshot));
}

/// Keeps the watch of leadership current, and notices when openraft gave up.
pub(in crate::raft) async fn follow_raft(core: Weak<Core>) {
    let Some(mut metrics) = core.upgrade().map(|core| core.raft.metrics()) else {
        return;
    };
    loop {
        let Some(core) = core.upgrade() else { return };
        let now = metrics.borrow_watched().clone();
        observe(&now);
        let leadership = core.judge(&now);
        core.lead.note(&now, leadership.leader.is_some());
        core.leadership.send_if_modified(|known| {
            let changed = *known != leadership;
            *known = leadership;
            changed
        });
        if let Err(error) = &now.running_state
            && !core.is_stopping()
        {
            core.fail(error.to_string());
        }
        if core.replica.has_grown_by(SNAPSHOT_AFTER_BYTES) {
            // An error is openraft's end, which is told above.
            let _ = core.raft.trigger().snapshot().await;
        }
        drop(core);
        if let Ok(Err(_)) = tokio::time::timeout(TICK, metrics.changed()).await {
            // openraft is gone; the last verdict stands.
            return;
        }
    }
}

/// Notices when the store fails: its own words say more than openraft's.
pub(in crate::raft) async fn follow_store(
    core: Weak<Core>,
    mut failed: tokio::sync::watch::Receiver<Option<String>>,
) {
    if let Ok(reason) = failed.wait_for(Option::is_some).await
        && let Some(core) = core.upgrade()
    {
        core.fail(reason.clone().unwrap_or_default());
    }
}

/// Looks at the disk, for as long as the node lives.
pub(in crate::raft) async fn watch_disk(core: Weak<Core>) {
    loop {
        let Some(node) = core.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            node.guard.look_at_disk(&node.data_dir, node.min_free_bytes);
        });
        if looked.await.is_err() {
            return;
        }
        tokio::time::sleep(DISK_SAMPLES).await;
    }
}

/// Ends connections to nodes whose certificate was revoked, for as long as the node lives.
pub(in crate::raft) async fn watch_revocations(core: Weak<Core>) {
    let Some(mut applied) = core.upgrade().map(|core| core.replica.applied()) else {
        return;
    };
    loop {
        let Some(node) = core.upgrade() else { return };
        let all = node.peers.end_revoked();
        drop(node);
        if !all {
            tokio::time::sleep(TICK).await;
        } else if applied.changed().await.is_err() {
            return;
        }
    }
}

/// While this node leads: compares its clock with the other voters', and keeps the fleet's time going.
pub(in crate::raft) async fn watch_clocks(core: Weak<Core>) {
    let Some(mut leadership) = core.upgrade().map(|core| core.leadership.subscribe()) else {
        return;
    };
    loop {
        let Some(node) = core.upgrade() else { return };
        if node.leader() == Some(node.node) {
            let clocks = sample_clocks(&node).await;
            let (voters, _) = node.members();
            let offsets = clocks.values().copied().collect();
            node.guard
                .judge_clock(guard::clock_verdict(offsets, voters.len()));
            node.tell_time(clocks, voters.len()).await;
        } else {
            node.guard.forget_clock();
        }
        let pause = node.timings.clock_samples;
        drop(node);
        if let Ok(Err(_)) = tokio::time::timeout(pause, leadership.changed()).await {
            return;
        }
    }
}

impl Core {
    /// Moves the fleet's time on when it stood still for half a day: nobody changed anything, or the
    /// cluster was stopped. Further than the clock gate lets anyone go only with a majority that
    /// tells the same time; until there is one, why not is what writers are told.
    async fn tell_time(&self, clocks: BTreeMap<NodeId, i64>, voters: usize) {
        let clock = (self.clock)();
        let head = self.replica.head();
        let now = head.now;
        let still = clock.since(now);
        if !head.is_founded || still < STILL_MILLIS {
            self.guard.doubt_time(None);
            return;
        }
        if !self.leadership.borrow().is_leader || self.guard.clock_off().is_some() {
            return;
        }
        let agreeing = guard::agreeing(&clocks);
        let doubt = |why: String| {
            let reason = format!(
                "the leader's clock is {} h ahead of the fleet's time, {now}, and {why}",
                still / HOUR_MILLIS
            );
            self.guard
                .doubt_time((still > CLOCK_AHEAD_MILLIS).then_some(reason));
        };
        if agreeing <= voters / 2 {
            doubt(format!(
                "only {agreeing} of {voters} voters tell the same time"
            ));
            return;
        }
        let proposal = Proposal {
            actor: format!("node {}", self.node),
            request: RequestId::new(format!("tell-time-{}-{}", self.node, clock.0))
                .expect("it is a request id"),
            reason: format!(
                "nothing was written for {} h; {agreeing} of {voters} voters tell this time",
                still / HOUR_MILLIS
            ),
            now: clock,
            override_clock: false,
            command: Command::TellTime(TellTime { clocks }),
        };
        match tokio::time::timeout(TELL_WITHIN, self.propose_here(proposal)).await {
            Ok(Ok(Answered { answer: Ok(_), .. })) => {
                self.guard.doubt_time(None);
                tracing::info!(hours = still / HOUR_MILLIS, "the fleet's time goes on");
            }
            Ok(Ok(Answered {
                answer: Err(rejection),
                ..
            })) => doubt(rejection.to_string()),
            // Without a majority, or another leads: nothing was learnt about the clock.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

async fn sample_clocks(core: &Core) -> BTreeMap<NodeId, i64> {
    let (voters, _) = core.members();
    let samples = voters.into_iter().map(NodeId).map(|voter| async move {
        if voter == core.node {
            return Some((voter, 0));
        }
        let asked = (core.clock)().0;
        let deadline = Instant::now() + CLOCK_WITHIN;
        match core.ask(voter, &Request::Clock, deadline).await {
            Ok(Response::Clock(theirs)) => {
                let answered = (core.clock)().0;
                // Theirs was read about half-way between question and answer.
                let ours = asked + answered.saturating_sub(asked) / 2;
                let off = i64::try_from(i128::from(theirs) - i128::from(ours)).ok()?;
                Some((voter, off))
            }
            _ => None,
        }
    });
    let samples = futures::future::join_all(samples).await;
    samples.into_iter().flatten().collect()
}
