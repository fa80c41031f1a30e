//! Who takes the place of a listed identity.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::api::{IpSpec, IpStatus, Phase, Purpose};
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

/// How long an answer of a list is fresh.
pub const FRESH: u64 = 900 * Timestamp::SECOND;

/// What lists said of an identity last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When the oldest of those answers was given; none when they were not all asked yet.
    pub since: Option<Timestamp>,
    /// Lists that have it.
    pub listed: BTreeSet<ListId>,
    /// Lists that take identities out of service and of which nothing is known. Those that are not configured
    /// are not among them.
    pub unknown: BTreeSet<ListId>,
}

/// Somebody who may be free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Its address.
    pub address: IpAddr,
    /// Where it stands.
    pub status: IpStatus,
    /// Whether it is active and kept warm at little weight.
    pub reserve: bool,
    /// What it sends.
    pub purpose: Purpose,
    /// How far it is.
    pub phase: Phase,
    /// Mails a day that it has reached.
    pub reached: u32,
    /// What lists said of it.
    pub seen: Seen,
}

/// Who is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its address.
    pub address: IpAddr,
    /// What it sent.
    pub purpose: Purpose,
}

/// Why somebody cannot be promoted now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is not on the bench and not in reserve.
    #[error("it is {}", .0.as_str())]
    Taken(IpStatus),
    /// Lists have it.
    #[error("it is on {}", names(.0))]
    Listed(BTreeSet<ListId>),
    /// Nothing is known of what these say.
    #[error("what {} says of it is not known", names(.0))]
    Unknown(BTreeSet<ListId>),
    /// It has to be asked about first.
    #[error("lists were not asked about it in the last {} minutes", FRESH / (60 * Timestamp::SECOND))]
    Stale,
}

fn names(lists: &BTreeSet<ListId>) -> String {
    let names: Vec<_> = lists.iter().map(ListId::as_str).collect();
    names.join(", ")
}

impl Runner {
    /// Whether it may be promoted, as far as it is known by itself.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, now: Timestamp) -> Result<(), Unfit> {
        let free =
            self.status == IpStatus::Standby || (self.status == IpStatus::Active && self.reserve);
        if !free {
            return Err(Unfit::Taken(self.status));
        }
        if !self.seen.listed.is_empty() {
            return Err(Unfit::Listed(self.seen.listed.clone()));
        }
        let is_fresh = |at: Timestamp| now.since(at) <= FRESH && at <= now;
        if !self.seen.since.is_some_and(is_fresh) {
            return Err(Unfit::Stale);
        }
        if !self.seen.unknown.is_empty() {
            return Err(Unfit::Unknown(self.seen.unknown.clone()));
        }
        Ok(())
    }

    /// Whether it is worth asking about: whatever lists say of it, it is free.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !matches!(self.fits(Timestamp(0)), Err(Unfit::Taken(_)))
    }
}

/// Those who are free, the best first: who sends the same, who is warm already, who stands in another network, who
/// restores most.
#[must_use]
pub fn order(lost: Lost, runners: impl IntoIterator<Item = Runner>) -> Vec<Runner> {
    // A reserve is warm with what it sends, and stays with that; who waits on the bench can send anything.
    let is_fit = |one: &Runner| !one.reserve || one.purpose == lost.purpose;
    let free = runners
        .into_iter()
        .filter(|one| one.is_free() && is_fit(one) && one.address != lost.address);
    let mut free: Vec<_> = free.collect();
    free.sort_by_key(|one| {
        let is_same = one.purpose == lost.purpose;
        let is_near = network(one.address) == network(lost.address);
        (
            !is_same,
            !one.reserve,
            is_near,
            Reverse(one.reached),
            one.address,
        )
    });
    free
}

/// The network that lists take an address for a part of: a /24, or a /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// How much of what was lost a promotion gives back, in percent: what its warm-up lets it send, at most all.
#[must_use]
pub fn restores(lost: u32, gained: u32) -> u32 {
    match lost {
        0 => 100,
        _ => u32::try_from(u64::from(gained.min(lost)) * 100 / u64::from(lost)).unwrap_or(100),
    }
}

impl Runner {
    /// Somebody as declared, at what it has reached.
    #[must_use]
    pub fn of(spec: &IpSpec, reached: u32, seen: Seen) -> Self {
        Self {
            address: spec.address,
            status: spec.status,
            reserve: spec.reserve,
            purpose: spec.purpose,
            phase: spec.phase,
            reached,
            seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(10 * Timestamp::DAY);

    fn list(name: &str) -> ListId {
        ListId::new(name).unwrap()
    }

    fn standby(address: &str) -> Runner {
        Runner {
            address: address.parse().unwrap(),
            status: IpStatus::Standby,
            reserve: false,
            purpose: Purpose::Marketing,
            phase: Phase::Week1,
            reached: 50,
            seen: Seen {
                since: Some(NOW),
                ..Seen::default()
            },
        }
    }

    fn reserve(address: &str) -> Runner {
        Runner {
            status: IpStatus::Active,
            reserve: true,
            phase: Phase::Active,
            reached: 10_000,
            ..standby(address)
        }
    }

    fn ordered(runners: Vec<Runner>) -> Vec<String> {
        let lost = Lost {
            address: "192.0.2.1".parse().unwrap(),
            purpose: Purpose::Marketing,
        };
        let all = order(lost, runners);
        all.iter().map(|one| one.address.to_string()).collect()
    }

    #[test]
    fn who_sends_the_same_comes_first_then_who_is_warm_then_who_stands_elsewhere() {
        let other = |one: Runner| Runner {
            purpose: Purpose::Newsletter,
            ..one
        };
        let further = Runner {
            reached: 500,
            ..standby("198.51.100.2")
        };
        let runners = vec![
            // It stays with what it is warm with.
            other(reserve("203.0.113.9")),
            other(standby("203.0.113.7")),
            standby("192.0.2.2"),
            standby("198.51.100.1"),
            reserve("192.0.2.3"),
            further,
            Runner {
                status: IpStatus::Active,
                ..standby("198.51.100.9")
            },
            Runner {
                status: IpStatus::Quarantine,
                ..standby("198.51.100.8")
            },
            Runner {
                status: IpStatus::Resting,
                ..standby("198.51.100.7")
            },
            standby("192.0.2.1"),
        ];
        let wanted = [
            "192.0.2.3",
            "198.51.100.2",
            "198.51.100.1",
            "192.0.2.2",
            "203.0.113.7",
        ];
        assert_eq!(ordered(runners), wanted);
        let six = vec![standby("2001:db8::2"), standby("2001:db8:0:1::2")];
        let lost = Lost {
            address: "2001:db8::1".parse().unwrap(),
            purpose: Purpose::Marketing,
        };
        assert_eq!(order(lost, six)[0].address.to_string(), "2001:db8:0:1::2");
    }

    #[test]
    fn nobody_is_promoted_of_whom_lists_say_nothing_or_nothing_good() {
        let with = |seen: Seen| {
            Runner {
                seen,
                ..standby("192.0.2.2")
            }
            .fits(NOW)
        };
        let since = Some(NOW);
        assert_eq!(
            with(Seen {
                since,
                ..Seen::default()
            }),
            Ok(())
        );
        let listed: BTreeSet<_> = [list("psbl")].into();
        let found = Seen {
            since,
            listed: listed.clone(),
            ..Seen::default()
        };
        assert_eq!(with(found), Err(Unfit::Listed(listed)));
        let unknown: BTreeSet<_> = [list("spamhaus-zen"), list("barracuda")].into();
        let silent = Seen {
            since,
            unknown: unknown.clone(),
            ..Seen::default()
        };
        let refused = with(silent).unwrap_err();
        assert_eq!(refused, Unfit::Unknown(unknown));
        assert_eq!(
            refused.to_string(),
            "what barracuda, spamhaus-zen says of it is not known"
        );
        for since in [None, Some(Timestamp(NOW.0 - FRESH - 1)), Some(NOW.plus(1))] {
            assert_eq!(
                with(Seen {
                    since,
                    ..Seen::default()
                }),
                Err(Unfit::Stale),
                "{since:?}"
            );
        }
    }

    #[test]
    fn a_cold_standby_restores_little_and_nobody_more_than_was_lost() {
        for (lost, gained, percent) in [
            (10_000, 50, 0),
            (1_000, 50, 5),
            (50, 10_000, 100),
            (0, 0, 100),
        ] {
            assert_eq!(restores(lost, gained), percent);
        }
    }
}
