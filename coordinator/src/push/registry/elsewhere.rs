//! What other nodes are told of sessions here, and what comes of theirs.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::wire::RefusalCode;

use super::{Registry, Tables};
use crate::raft::{SessionNotice, TELL_WITHIN};

/// Other nodes are told of a session for so long; one that cannot be told for longer has no leader,
/// and sends its agents away by itself.
const NEWS: Duration = Duration::from_secs(30);

impl Registry {
    /// Changes when a session begins.
    pub(in crate::push) fn entered(&self) -> watch::Receiver<u64> {
        self.0.entered.subscribe()
    }

    /// Sessions that the other nodes are to be told of, with their numbers.
    pub(in crate::push) fn unannounced(&self, node: NodeId) -> (Vec<u64>, Vec<SessionNotice>) {
        let mut tables = self.tables();
        let Tables {
            sessions,
            unannounced,
            ..
        } = &mut *tables;
        unannounced.retain(|number, host| {
            let entry = sessions.get(host);
            entry.is_some_and(|entry| entry.number == *number && entry.began.elapsed() < NEWS)
        });
        let notice = |(number, host): (&u64, &HostId)| {
            let entry = sessions.get(host)?;
            let notice = SessionNotice {
                host: host.clone(),
                node,
                from: entry.remote.to_string(),
                age_millis: millis(entry.began.elapsed()),
            };
            Some((*number, notice))
        };
        unannounced.iter().filter_map(notice).unzip()
    }

    /// All other nodes know these sessions.
    pub(in crate::push) fn are_announced(&self, numbers: &[u64]) {
        let mut tables = self.tables();
        for number in numbers {
            tables.unannounced.remove(number);
        }
    }

    /// Sessions of these hosts here took over from older ones on other nodes.
    pub(in crate::push) fn ended_elsewhere(&self, hosts: &BTreeSet<HostId>) {
        let mut tables = self.tables();
        for host in hosts {
            let Some(newer) = tables.sessions.get(host).map(|entry| entry.remote) else {
                continue;
            };
            tracing::warn!(%host, %newer, "the connection took over from an older one on another node");
            tables.contest(host, &"on another node", &newer);
        }
    }

    /// Sessions began on another node: older ones of the same hosts end here. Which ones did.
    pub(in crate::push) fn hear(&self, notices: &[SessionNotice]) -> Vec<HostId> {
        let mut ended = Vec::new();
        let mut tables = self.tables();
        for notice in notices {
            let SessionNotice {
                host, node, from, ..
            } = notice;
            tables.turned_away.remove(host);
            let Some(entry) = tables.sessions.get(host) else {
                continue;
            };
            let older = entry.remote;
            let code = match judge(entry.began.elapsed(), notice) {
                Verdict::Newer => continue,
                Verdict::Older => RefusalCode::Superseded,
                Verdict::Unsure => RefusalCode::Busy,
            };
            tracing::warn!(%host, %older, newer = from, newer_node = %node, "a newer connection on another node takes over");
            let reason = format!("a newer connection to node {node} took over");
            entry.end(code, &reason);
            tables.contest(host, &older, &format!("{from} at node {node}"));
            ended.push(host.clone());
        }
        ended
    }
}

/// A session here beside one on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It began later.
    Newer,
    /// It began earlier.
    Older,
    /// It has aged while the notice travelled, so it may be either.
    Unsure,
}

/// Never do both stay. But a late notice may name the connection that its machine has left for this one:
/// when that may be so, the machine is told to come again at once, and not that another took its place.
fn judge(age: Duration, other: &SessionNotice) -> Verdict {
    let other = Duration::from_millis(other.age_millis);
    if age < other {
        Verdict::Newer
    } else if age < other + TELL_WITHIN {
        Verdict::Unsure
    } else {
        Verdict::Older
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(node: u64, age_millis: u64) -> SessionNotice {
        SessionNotice {
            host: HostId::new("pmta1").unwrap(),
            node: NodeId(node),
            from: "192.0.2.1:1".to_owned(),
            age_millis,
        }
    }

    #[test]
    fn of_two_sessions_the_older_gives_way_and_never_do_both_stay() {
        for (ours, theirs) in [(0, 0), (0, 50), (51, 0), (9_000, 40), (30, 70)] {
            let age = Duration::from_millis;
            let first = judge(age(ours), &notice(2, theirs)) != Verdict::Newer;
            let second = judge(age(theirs), &notice(1, ours)) != Verdict::Newer;
            assert!(first || second, "{ours} {theirs}");
            if ours != theirs {
                assert_eq!((first, second), (ours > theirs, theirs > ours));
            }
        }
    }

    #[test]
    fn a_notice_that_may_have_been_under_way_does_not_call_a_session_the_older_one() {
        // The other began 20 ms before it was told, and that took most of a second: the session here
        // is half a second old and the newer one.
        let late = notice(2, 20);
        assert_eq!(judge(Duration::from_millis(500), &late), Verdict::Unsure);
        let sure = Duration::from_millis(20) + TELL_WITHIN;
        assert_eq!(judge(sure, &late), Verdict::Older);
        assert_eq!(judge(Duration::from_millis(19), &late), Verdict::Newer);
    }
}
