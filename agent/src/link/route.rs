//! Whom to call next, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::limits;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The most that is granted to a coordinator that asks for rest.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// Longest text of an end point: a host name and a port.
const ENDPOINT_CHARS: usize = 300;

/// The coordinators that are known.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Learnt from coordinators, the one that worked last first.
    learnt: Vec<Endpoint>,
    /// From the admission: the last resort.
    original: Vec<Endpoint>,
    /// Asked us not to come before a moment.
    resting: BTreeMap<Endpoint, Instant>,
}

impl Candidates {
    pub(super) fn new(learnt: Vec<Endpoint>, original: Vec<Endpoint>) -> Self {
        Self {
            learnt,
            original,
            resting: BTreeMap::new(),
        }
    }

    /// All that may be called now: the one that worked last, the other learnt ones in random order,
    /// then those of the admission, in random order too: a fleet whose hosts were all admitted by one
    /// node spreads over all.
    pub(super) fn order(&mut self) -> Vec<Endpoint> {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let mut order = self.learnt.clone();
        if let Some(others) = order.get_mut(1..) {
            shuffle(others);
        }
        let original = self.original.iter();
        let mut rest: Vec<Endpoint> = original
            .filter(|endpoint| !order.contains(endpoint))
            .cloned()
            .collect();
        shuffle(&mut rest);
        order.append(&mut rest);
        order.retain(|endpoint| !self.resting.contains_key(endpoint));
        order
    }

    /// This one asked not to be called for a while.
    pub(super) fn rest(&mut self, endpoint: &str, pause: Duration) {
        self.resting
            .insert(endpoint.to_owned(), Instant::now() + pause);
    }

    /// Its session was lost: whoever else is known is called first, so that a dead node does not
    /// cost the time of a dial.
    pub(super) fn demote(&mut self, endpoint: &str) {
        if let Some(at) = self.learnt.iter().position(|learnt| learnt == endpoint) {
            let lost = self.learnt.remove(at);
            self.learnt.push(lost);
        }
    }

    /// `worked` let us in and told of all coordinators. Returns the list to remember, when it is
    /// news.
    pub(super) fn learn(&mut self, worked: &str, told: &[Endpoint]) -> Option<&[Endpoint]> {
        let mut learnt = vec![worked.to_owned()];
        for endpoint in told {
            if learnt.len() == limits::ENDPOINTS {
                break;
            }
            if is_endpoint(endpoint) && !learnt.contains(endpoint) {
                learnt.push(endpoint.clone());
            }
        }
        if learnt == self.learnt {
            return None;
        }
        self.learnt = learnt;
        Some(&self.learnt)
    }
}

/// A host name or address and a port.
fn is_endpoint(text: &str) -> bool {
    text.len() <= ENDPOINT_CHARS
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// How long a coordinator wants us to stay away, within reason: no single answer of one of them may
/// cut a host off for good.
pub(super) fn asked(millis: Option<u64>) -> Duration {
    Duration::from_millis(millis.unwrap_or(0)).min(LONGEST_REST)
}

/// Pauses between rounds: longer and longer, never equal on two hosts.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    pauses: ExponentialBackoff,
    /// Times in a row that a newer connection of the same host took over.
    superseded: u32,
}

impl Pace {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest,
            pauses: pauses(longest),
            superseded: 0,
        }
    }

    /// A session lasted: the next failure is a new story.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.longest);
    }

    pub(super) fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest).min(self.longest)
    }

    /// Two machines with one identity would throw each other out for ever, so whoever was thrown
    /// out stays away much longer, and longer each time.
    pub(super) fn pause_superseded(&mut self) -> Duration {
        self.superseded = (self.superseded + 1).min(5);
        let long = self.longest * (1 << self.superseded);
        long / 2 + long.mul_f64(f64::from(permille()) / 2000.0)
    }
}

fn pauses(longest: Duration) -> ExponentialBackoff {
    // Jitter adds up to the delay itself, so the largest delay is half of the longest pause.
    ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(FIRST_PAUSE.min(longest / 2))
        .with_max_delay(longest / 2)
        .without_max_times()
        .build()
}

/// A random number from 0 to 1000.
pub(super) fn permille() -> u16 {
    u16::try_from(below(1001)).expect("it is at most 1000")
}

fn below(bound: usize) -> usize {
    let mut bytes = [0; 4];
    // Without randomness the order is merely not random.
    let _ = SystemRandom::new().fill(&mut bytes);
    u32::from_be_bytes(bytes) as usize % bound
}

fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<Endpoint> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_one_that_worked_is_first_and_the_admissions_are_last() {
        let mut known = Candidates::new(names(&["a:1", "b:1", "c:1"]), names(&["b:1", "z:1"]));
        let order = known.order();
        assert_eq!(
            (&order[0][..], &order[3][..], order.len()),
            ("a:1", "z:1", 4)
        );
        let learnt = known.learn("c:1", &names(&["a:1", "c:1", "nonsense", ":1"]));
        assert_eq!(learnt, Some(&names(&["c:1", "a:1"])[..]));
        assert_eq!(known.learn("c:1", &names(&["c:1", "a:1"])), None);
        assert_eq!(known.order()[0], "c:1");
    }

    #[test]
    fn whoever_asked_for_rest_is_left_alone() {
        let mut known = Candidates::new(names(&["a:1"]), names(&["b:1"]));
        known.rest("a:1", Duration::from_secs(3600));
        assert_eq!(known.order(), ["b:1"]);
        known.rest("b:1", Duration::ZERO);
        assert_eq!(known.order(), ["b:1"]);
    }

    #[test]
    fn nobody_is_left_alone_for_ever_and_no_endless_list_is_learnt() {
        assert_eq!(asked(Some(u64::MAX)), LONGEST_REST);
        assert_eq!(asked(Some(1000)), Duration::from_secs(1));
        assert_eq!(asked(None), Duration::ZERO);
        let told: Vec<Endpoint> = (0..100).map(|at| format!("host-{at}:1")).collect();
        let mut known = Candidates::new(Vec::new(), Vec::new());
        assert_eq!(known.learn("a:1", &told).unwrap().len(), limits::ENDPOINTS);
    }

    #[test]
    fn pauses_grow_to_the_bound_and_a_takeover_keeps_away_longer() {
        let longest = Duration::from_secs(30);
        let mut pace = Pace::new(longest);
        assert!(pace.pause() <= Duration::from_millis(400));
        let many: Vec<_> = (0..20).map(|_| pace.pause()).collect();
        assert!(many.iter().all(|pause| *pause <= longest));
        assert!(many[19] >= longest / 2);
        assert!(
            many[10..].windows(2).any(|two| two[0] != two[1]),
            "hosts that lost a coordinator together would all come back together: {many:?}"
        );
        assert!(pace.pause_superseded() >= longest);
        for _ in 0..50 {
            let pause = pace.pause_superseded();
            assert!(pause >= longest && pause <= longest * 32);
        }
    }
}
