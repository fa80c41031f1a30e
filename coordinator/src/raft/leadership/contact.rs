//! Which members answer the leader: its own word on it, and how the other nodes get that.
//!
//! A dead node is no event anywhere: the majority goes on without it. The leader alone sends
//! something to everybody all the time, so its silence about a member is what there is to know.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use openraft::{Instant as _, ServerState};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use email_engine_protocol::id::NodeId;

use crate::raft::config::Timings;
use crate::raft::core::Core;
use crate::raft::handle::Cluster;
use crate::raft::net::{Request, Response};
use crate::raft::told::TELL_WITHIN;
use crate::raft::types::Types;

/// Silence after which a member counts as unreachable. A slow flush, a lost connection that is dialled
/// again, or a quick restart shall alarm nobody: each is over within about three seconds. Agents of a
/// node that is cut off look elsewhere after ten, and an operator should know by then.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(5);

/// What the leader hears of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerContact {
    /// Which.
    pub node: NodeId,
    /// Last log index known to be on it.
    pub matched: Option<u64>,
    /// The leader's verdict.
    pub hearing: Hearing,
    /// Milliseconds since it answered last; since the leader took over, if it did not since. An age,
    /// because the clocks of nodes differ.
    pub silent_millis: u64,
}

/// Whether a member answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hearing {
    /// It does.
    Answers,
    /// It has not yet, and its leader is new: too early to tell.
    NotYet,
    /// It does not.
    Unreachable,
}

/// Why there is no leader's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoWord {
    /// What was seen last.
    pub reason: String,
    /// Milliseconds since this node last knew of a leader.
    pub since_millis: u64,
}

/// What the leader hears of every member.
pub type Contacts = Result<Vec<PeerContact>, NoWord>;

/// Since when somebody leads, for verdicts on silence.
#[derive(Debug)]
pub(in crate::raft) struct Lead {
    /// This node leads under this term since then.
    own: Mutex<Option<(u64, Instant)>>,
    /// When a leader was known last; when this node started, before that.
    known: Mutex<Instant>,
}

impl Default for Lead {
    fn default() -> Self {
        Self {
            own: Mutex::new(None),
            known: Mutex::new(Instant::now()),
        }
    }
}

impl Lead {
    /// Takes openraft's figures of now, and whether a leader is known by them.
    pub(in crate::raft) fn note(&self, metrics: &RaftMetrics<Types>, is_known: bool) {
        let leads = metrics.state == ServerState::Leader;
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if !leads {
            *own = None;
        } else if own.is_none_or(|(term, _)| term != metrics.current_term) {
            *own = Some((metrics.current_term, Instant::now()));
        }
        if is_known {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// For how long this node leads under this term.
    fn led(&self, term: u64) -> Duration {
        let own = *self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.filter(|(of, _)| *of == term)
            .map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    fn no_word(&self, reason: impl Into<String>) -> NoWord {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        NoWord {
            reason: reason.into(),
            since_millis: millis(known.elapsed()),
        }
    }
}

/// A leader's verdict on a member that answered so long ago, or not since it took over.
fn judge(answered: Option<Duration>, led: Duration, limit: Duration) -> (Hearing, Duration) {
    let silent = answered.unwrap_or(led);
    let hearing = match answered {
        _ if silent > limit => Hearing::Unreachable,
        Some(_) => Hearing::Answers,
        None => Hearing::NotYet,
    };
    (hearing, silent)
}

impl Timings {
    /// Silence after which a member counts as unreachable.
    pub(in crate::raft) fn unreachable(&self) -> Duration {
        UNREACHABLE_AFTER.max(self.heartbeat * 10)
    }
}

impl Core {
    /// What this node hears, while it leads and a majority answers it.
    pub(in crate::raft) fn own_contacts(&self) -> Option<Vec<PeerContact>> {
        if self.leadership.borrow().leader != Some(self.node) {
            return None;
        }
        let metrics = self.metrics();
        let (led, limit) = (
            self.lead.led(metrics.current_term),
            self.timings.unreachable(),
        );
        let matched = metrics.replication.unwrap_or_default();
        let peers = metrics.heartbeat?.into_iter().map(|(node, answered)| {
            if node == self.node.0 {
                return PeerContact {
                    node: self.node,
                    matched: metrics.last_log_index,
                    hearing: Hearing::Answers,
                    silent_millis: 0,
                };
            }
            let answered = answered.map(|at| at.elapsed());
            let (hearing, silent) = judge(answered, led, limit);
            PeerContact {
                node: NodeId(node),
                matched: matched.get(&node).copied().flatten().map(|id| id.index),
                hearing,
                silent_millis: millis(silent),
            }
        });
        Some(peers.collect())
    }
}

impl Cluster {
    /// What the leader hears of every member, or why there is no leader's word within a second.
    ///
    /// # Errors
    /// When no leader is known, or it does not answer.
    pub async fn contacts(&self) -> Contacts {
        let core = self.core();
        let no_word = |reason: &str| core.lead.no_word(reason);
        let leader = core.leadership.borrow().leader;
        let leader = leader.ok_or_else(|| no_word("no leader is known"))?;
        if leader == core.node {
            return core
                .own_contacts()
                .ok_or_else(|| no_word("this node has just lost its lead"));
        }
        let deadline = Instant::now() + TELL_WITHIN;
        match core.ask(leader, &Request::Contacts, deadline).await {
            Ok(Response::Contacts(Some(contacts))) => Ok(contacts),
            Ok(_) => Err(no_word(&format!("node {leader} does not lead any more"))),
            Err(reason) => Err(no_word(&format!("the leader does not say: {reason}"))),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_from_the_last_answer_or_from_when_the_leader_took_over() {
        let seconds = Duration::from_secs;
        let limit = seconds(5);
        let verdict = |answered, led| judge(answered, led, limit).0;
        assert_eq!(verdict(Some(seconds(0)), seconds(90)), Hearing::Answers);
        assert_eq!(verdict(Some(seconds(5)), seconds(90)), Hearing::Answers);
        assert_eq!(verdict(Some(seconds(6)), seconds(90)), Hearing::Unreachable);
        // A leader that is new has no word on a member that had no time to answer it.
        assert_eq!(verdict(None, seconds(2)), Hearing::NotYet);
        assert_eq!(verdict(None, seconds(6)), Hearing::Unreachable);
        assert_eq!(judge(None, seconds(6), limit).1, seconds(6));
    }
}
