//! Hosts whose target the state refused: each waits longer before it is proposed again, so that a
//! defect costs a few log entries and not one each second. Pure: the clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;

/// First wait; every further refusal of the same content doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest reason, in characters.
const REASON_CHARS: usize = 500;

/// Refused hosts.
#[derive(Debug, Default)]
pub(super) struct Refused(BTreeMap<HostId, Refusal>);

#[derive(Debug)]
struct Refusal {
    /// The content that was refused.
    digest: ContentHash,
    reason: String,
    /// How often, this content.
    tries: u32,
    at: Instant,
}

impl Refusal {
    /// Other content may be good, and yet comes no sooner than after the first wait.
    fn due(&self, digest: &ContentHash) -> Instant {
        let wait = if self.digest == *digest {
            let doubled = FIRST.saturating_mul(1 << self.tries.saturating_sub(1).min(20));
            doubled.min(LONGEST)
        } else {
            FIRST
        };
        self.at + wait
    }
}

impl Refused {
    /// The state refused this content for the host.
    pub(super) fn note(&mut self, host: &HostId, digest: ContentHash, reason: &str, now: Instant) {
        let before = self.0.get(host).filter(|known| known.digest == digest);
        let tries = before.map_or(1, |known| known.tries.saturating_add(1));
        let refusal = Refusal {
            digest,
            reason: reason.chars().take(REASON_CHARS).collect(),
            tries,
            at: now,
        };
        self.0.insert(host.clone(), refusal);
    }

    /// The state took a target for the host.
    pub(super) fn forget(&mut self, host: &HostId) {
        self.0.remove(host);
    }

    /// Keeps only hosts that still want another target.
    pub(super) fn retain(&mut self, wants: impl Fn(&HostId) -> bool) {
        self.0.retain(|host, _| wants(host));
    }

    /// Whether this content has to wait.
    pub(super) fn holds(&self, host: &HostId, digest: &ContentHash, now: Instant) -> bool {
        let refusal = self.0.get(host);
        refusal.is_some_and(|refusal| now < refusal.due(digest))
    }

    /// How long until the next one may be proposed again.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let due = self.0.values().map(|refusal| refusal.due(&refusal.digest));
        due.min().map(|due| due.saturating_duration_since(now))
    }

    /// Why, by host.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&HostId, &str)> {
        let rows = self.0.iter();
        rows.map(|(host, refusal)| (host, refusal.reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    #[test]
    fn the_same_content_waits_twice_as_long_each_time_and_at_most_five_minutes() {
        let (mut refused, digest) = (Refused::default(), ContentHash([1; 32]));
        let mut now = Instant::now();
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            refused.note(&host("a"), digest, "limit", now);
            let wait = Duration::from_secs(wait);
            assert_eq!(refused.next(now), Some(wait));
            assert!(refused.holds(&host("a"), &digest, now + wait / 2));
            assert!(!refused.holds(&host("a"), &digest, now + wait));
            assert!(!refused.holds(&host("b"), &digest, now));
            now += wait;
        }
    }

    #[test]
    fn other_content_waits_a_second_and_what_was_taken_is_forgotten() {
        let (old, new) = (ContentHash([1; 32]), ContentHash([2; 32]));
        let (mut refused, now) = (Refused::default(), Instant::now());
        for _ in 0..9 {
            refused.note(&host("a"), old, "limit", now);
        }
        let second = Duration::from_secs(1);
        assert!(refused.holds(&host("a"), &new, now + second / 2));
        assert!(!refused.holds(&host("a"), &new, now + second));
        assert!(refused.holds(&host("a"), &old, now + second));
        refused.forget(&host("a"));
        assert_eq!(refused.next(now), None);
        refused.note(&host("a"), old, &"x".repeat(9_000), now);
        assert_eq!(refused.reasons().next().unwrap().1.len(), REASON_CHARS);
        refused.retain(|kept| *kept != host("a"));
        assert_eq!(refused.reasons().count(), 0);
    }
}
