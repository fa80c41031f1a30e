//! Proposals and linearizable reads: here when this node leads, through the leader when not, again
//! under the same request id when the outcome is unclear.

use std::time::Duration;

use backon::BackoffBuilder;
use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::error::Fatal;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::raft::{ReadPolicy, WriteResult};
use tokio::time::{Instant, timeout_at};

use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use super::core::Core;
use super::guard::CLOCK_LIMIT_MILLIS;
use super::handle::{ProposeError, ReadError};
use super::metric_names::COMMIT_SECONDS;
use super::net::{Answered, Lane, ProposeAnswer, ProposeRefusal, Request, Response};
use super::types::{LogCommand, Reply, Types};
use crate::command::{Answer, CLOCK_AHEAD_MILLIS, Command, Proposal};

/// Largest proposal: with the reading limit of the log, one batch stays below the cap of a frame.
pub(super) const PROPOSAL_BYTES: usize = 32 * 1024 * 1024;
/// How long one try may take before the leader is looked for again.
const TRY_WITHIN: Duration = Duration::from_secs(3);
/// How far a leader's clock may be behind the log: as far as the clocks of a quorum may differ.
const CLOCK_TOLERANCE: u64 = CLOCK_LIMIT_MILLIS.unsigned_abs();
/// How long a committed command is waited for on this node.
const APPLY_WITHIN: Duration = Duration::from_secs(5);

/// The date of the last proposal that this node put in line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated {
    /// The lead under which it was.
    term: u64,
    /// The date.
    at: Timestamp,
}

/// The answer to a proposal in line, to come.
type Enqueued = BoxStream<'static, Result<WriteResult<Types>, Fatal<Types>>>;

/// Pauses between tries.
pub(super) fn pauses() -> impl Iterator<Item = Duration> + Send {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(400))
        .with_jitter()
        .without_max_times()
        .build()
}

impl Core {
    pub(super) async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        let got = size_of(&proposal);
        if got > PROPOSAL_BYTES {
            let limit = PROPOSAL_BYTES;
            return Err(ProposeError::TooLarge { got, limit });
        }
        let began = Instant::now();
        let deadline = began + self.timings.request_deadline;
        let mut pauses = pauses();
        // What one try did not tell, no later refusal takes back: it may take effect all the same.
        let mut unclear = false;
        loop {
            if self.is_stopping() {
                return Err(ProposeError::Stopping);
            }
            let reason = match self.try_propose(&proposal, deadline).await {
                Ok(answered) => {
                    let answer = self.applied_here(answered).await;
                    metrics::histogram!(COMMIT_SECONDS).record(began.elapsed().as_secs_f64());
                    return answer;
                }
                Err(ProposeRefusal::Retry(reason)) => {
                    unclear = true;
                    reason
                }
                Err(ProposeRefusal::NotYet(reason)) => reason,
                Err(refusal) if unclear => {
                    let reason = ProposeError::from(refusal).to_string();
                    let reason = format!("an earlier try may take effect; since then, {reason}");
                    return Err(ProposeError::NoQuorum { reason });
                }
                Err(refusal) => return Err(refusal.into()),
            };
            let pause = pauses.next().unwrap_or_default();
            if self.failure().is_some() || Instant::now() + pause >= deadline {
                return Err(ProposeError::NoQuorum { reason });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whoever reads the state next must find in it what was answered. A refusal left nothing there.
    pub(super) async fn applied_here(&self, answered: Answered) -> Result<Answer, ProposeError> {
        let Answered { index, answer } = answered;
        let deadline = Instant::now() + APPLY_WITHIN;
        match answer {
            Ok(outcome) if !self.wait_applied(index, deadline).await => {
                let outcome = Box::new(outcome);
                Err(ProposeError::NotAppliedHere { outcome })
            }
            answer => Ok(answer),
        }
    }

    async fn try_propose(&self, proposal: &Proposal, deadline: Instant) -> ProposeAnswer {
        if let Some(reason) = self.failure() {
            return Err(ProposeRefusal::NotYet(format!(
                "this node failed: {reason}"
            )));
        }
        let deadline = deadline.min(Instant::now() + TRY_WITHIN);
        let Some(leader) = self.leader() else {
            return Err(ProposeRefusal::NotYet("no leader is known".into()));
        };
        if leader == self.node {
            return timeout_at(deadline, self.propose_here(proposal.clone()))
                .await
                .unwrap_or_else(|_| {
                    Err(ProposeRefusal::Retry("no majority took it in time".into()))
                });
        }
        let request = Request::Propose(Box::new(proposal.clone()));
        match self.ask(leader, &request, deadline).await {
            Ok(Response::Propose(answer)) => answer,
            Ok(_) => Err(ProposeRefusal::Retry("the leader mixed answers up".into())),
            Err(reason) => Err(ProposeRefusal::Retry(reason)),
        }
    }

    /// Commits a proposal, when this node leads.
    pub(super) async fn propose_here(&self, proposal: Proposal) -> ProposeAnswer {
        let got = size_of(&proposal);
        if got > PROPOSAL_BYTES {
            let (got, limit) = (got as u64, PROPOSAL_BYTES as u64);
            return Err(ProposeRefusal::TooLarge { got, limit });
        }
        if self.leader() != Some(self.node) {
            let reason = format!("node {} does not lead", self.node);
            return Err(ProposeRefusal::NotYet(reason));
        }
        if let Some(reason) = self.guard.low_disk() {
            return Err(ProposeRefusal::LowDisk(reason));
        }
        if let Some(reason) = self.guard.clock_off() {
            return Err(ProposeRefusal::ClockOff(reason));
        }
        let retry = |reason: String| Err(ProposeRefusal::Retry(reason));
        let mut written = self.enqueue(proposal).await?;
        match written.next().await {
            Some(Ok(Ok(written))) => match written.response {
                Reply::Applied(answer) => Ok(Answered {
                    index: written.log_id.index,
                    answer,
                }),
                Reply::Nothing => retry("the entry was replaced".into()),
            },
            Some(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => retry(self.leads_no_more()),
            Some(Ok(Err(error))) => retry(error.to_string()),
            Some(Err(error)) => retry(error.to_string()),
            None => retry("Raft stopped".into()),
        }
    }

    /// Dates a proposal and puts it in line, as one step: the log is in order of time, and proposers
    /// that race are not refused for a millisecond. What the clock gate would refuse for its date
    /// stays out of the log.
    async fn enqueue(&self, mut proposal: Proposal) -> Result<Enqueued, ProposeRefusal> {
        let mut dated = self.dated.lock().await;
        let clock = (self.clock)();
        let metrics = self.metrics();
        let term = metrics.current_term;
        if metrics.last_applied.map(|id| id.leader_id.term) != Some(term) {
            // The last date of the inherited log is not known: one below it would be refused for good.
            let reason = "the leader has not applied all that it inherited";
            return Err(ProposeRefusal::NotYet(reason.into()));
        }
        let head = self.replica.head();
        let (applied, founded) = (head.now, head.is_founded);
        let tells = matches!(proposal.command, Command::TellTime(_));
        let exempt = tells || proposal.override_clock || !founded;
        if !exempt && clock > applied.plus(CLOCK_AHEAD_MILLIS) {
            return Err(self.time_stands_still());
        }
        // What was in line for an earlier lead may have been replaced.
        let last = dated
            .filter(|dated| dated.term == term)
            .map(|dated| dated.at);
        let floor = applied.max(last.unwrap_or_default());
        // The gate refuses what an own clock that leapt ahead has dated: such a date binds nobody.
        proposal.now = match date(clock, floor).or_else(|| date(clock, applied)) {
            Some(date) => date,
            None if proposal.override_clock => clock,
            None => {
                let behind = applied.since(clock);
                return Err(ProposeRefusal::ClockOff(format!(
                    "the leader's clock is {behind} ms behind the fleet's time, {applied}; \
                     set it right, or let an admin override it"
                )));
            }
        };
        // An override may set the fleet's time back: what follows is dated from there.
        let at = proposal.now;
        *dated = Some(Dated { term, at });
        let command = LogCommand::V1(Box::new(proposal));
        let queued = self.raft.client_write_many([command]).await;
        queued.map_err(|error| ProposeRefusal::Retry(error.to_string()))
    }

    /// After a long stop the fleet's time is moved on first, which takes the leader a moment.
    fn time_stands_still(&self) -> ProposeRefusal {
        match self.guard.time_doubted() {
            Some(reason) => ProposeRefusal::ClockOff(format!(
                "{reason}; set the clocks right, or let an admin override it"
            )),
            None => ProposeRefusal::NotYet("a majority is asked for the time".into()),
        }
    }

    pub(super) async fn linearize(&self) -> Result<(), ReadError> {
        let deadline = Instant::now() + self.timings.request_deadline;
        let mut pauses = pauses();
        loop {
            if self.is_stopping() {
                return Err(ReadError::Stopping);
            }
            let reason = match self.try_read_index(deadline).await {
                Ok(index) if self.wait_applied(index, deadline).await => return Ok(()),
                Ok(index) => format!("this node has not applied entry {index} in time"),
                Err(reason) => reason,
            };
            let pause = pauses.next().unwrap_or_default();
            if self.failure().is_some() || Instant::now() + pause >= deadline {
                return Err(ReadError::NoQuorum { reason });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_read_index(&self, deadline: Instant) -> Result<u64, String> {
        if let Some(reason) = self.failure() {
            return Err(format!("this node failed: {reason}"));
        }
        let deadline = deadline.min(Instant::now() + TRY_WITHIN);
        let leader = self.leader().ok_or("no leader is known")?;
        if leader == self.node {
            return timeout_at(deadline, self.read_index_here())
                .await
                .unwrap_or_else(|_| Err("no majority confirmed it in time".into()));
        }
        match self.ask(leader, &Request::ReadIndex, deadline).await? {
            Response::ReadIndex(answer) => answer,
            _ => Err("the leader mixed answers up".into()),
        }
    }

    /// A majority confirms that this node leads; never by a lease, for machines pause.
    pub(super) async fn read_index_here(&self) -> Result<u64, String> {
        let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
        match confirmed {
            Ok((read, _)) => Ok(read.index()),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(found))) => {
                Err(format!(
                    "no majority confirmed it in time: {} of the voters did",
                    found.got.len()
                ))
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(self.leads_no_more())
            }
            Err(RaftError::Fatal(error)) => Err(error.to_string()),
        }
    }

    fn leads_no_more(&self) -> String {
        format!("node {} does not lead any more", self.node)
    }

    /// Waits until this node has applied an entry; false when it took too long.
    pub(super) async fn wait_applied(&self, index: u64, deadline: Instant) -> bool {
        let mut applied = self.replica.applied();
        let there = applied.wait_for(|applied| applied.index >= index);
        matches!(timeout_at(deadline, there).await, Ok(Ok(_)))
    }

    /// Asks another member.
    pub(super) async fn ask(
        &self,
        node: NodeId,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, String> {
        let address = self
            .address(node)
            .ok_or_else(|| format!("node {node} is no member"))?;
        let within = deadline.saturating_duration_since(Instant::now());
        self.peers
            .call(node, &address, Lane::Control, request, within)
            .await
            .map_err(|error| format!("node {node}: {error}"))
    }
}

impl From<ProposeRefusal> for ProposeError {
    fn from(refusal: ProposeRefusal) -> Self {
        match refusal {
            ProposeRefusal::Retry(reason) | ProposeRefusal::NotYet(reason) => {
                Self::NoQuorum { reason }
            }
            ProposeRefusal::LowDisk(reason) => Self::LowDisk { reason },
            ProposeRefusal::ClockOff(reason) => Self::ClockOff { reason },
            ProposeRefusal::TooLarge { got, limit } => Self::TooLarge {
                got: usize::try_from(got).unwrap_or(usize::MAX),
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            },
        }
    }
}

/// The date of a proposal: the leader's clock, but never a little below what is in the log. A new
/// leader may be behind the old one by as much as clocks may differ; one that is further behind has
/// no date to give.
fn date(clock: Timestamp, floor: Timestamp) -> Option<Timestamp> {
    (floor.since(clock) <= CLOCK_TOLERANCE).then(|| clock.max(floor))
}

/// Counts without copying.
fn size_of(proposal: &Proposal) -> usize {
    let flavor = postcard::ser_flavors::Size::default();
    postcard::serialize_with_flavor(proposal, flavor).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_whose_clock_is_a_little_behind_dates_with_the_log() {
        let (early, late) = (Timestamp(100_000), Timestamp(130_000));
        assert_eq!(
            date(late, early),
            Some(late),
            "a clock ahead is told as it is"
        );
        assert_eq!(date(early, late), Some(late), "30 s behind follows the log");
        assert_eq!(date(early, Timestamp(130_001)), None, "further behind");
    }
}
