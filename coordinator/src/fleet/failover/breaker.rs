//! When a tenant's breaker opens, and what it pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{FailoverSettings, IpStatus, Purpose};

/// Fewer identities in quarantine than this open no breaker.
const LEAST_OUT: u32 = 2;
/// Fewer complaints than this say nothing, nor do those of fewer delivered mails (deliverability 2.3).
const LEAST_COMPLAINTS: u64 = 3;
const LEAST_DELIVERED: u64 = 200;

/// What is sent to many: paused by any cause.
const BULK: [Purpose; 3] = [
    Purpose::Autoresponder,
    Purpose::Marketing,
    Purpose::Newsletter,
];

/// Why a breaker is open. Part of the log: append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A listed identity could not be replaced, because the tenant's budget of promotions is spent.
    Budget,
    /// Too many of its identities are in quarantine.
    Quarantined {
        /// So many.
        out: u32,
        /// Of so many.
        of: u32,
    },
    /// Too many who were sent something complained within 24 hours.
    Complaints {
        /// So many.
        complaints: u64,
        /// Of so many mails delivered where complaints are told.
        delivered: u64,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget => {
                f.write_str("a listed identity is not replaced: the tenant's promotions are spent")
            }
            Self::Quarantined { out, of } => {
                write!(f, "{out} of its {of} identities are in quarantine")
            }
            Self::Complaints {
                complaints,
                delivered,
            } => write!(
                f,
                "{complaints} complaints of {delivered} mails delivered within 24 hours"
            ),
        }
    }
}

/// What is known of those that send one thing for a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its identities; those that retire are none of them.
    pub identities: u32,
    /// In quarantine.
    pub out: u32,
    /// Complaints of 24 hours.
    pub complaints: u64,
    /// Delivered in 24 hours to receivers that tell complaints.
    pub delivered: u64,
}

impl Part {
    /// Counts one identity.
    pub fn add(&mut self, status: IpStatus) {
        match status {
            IpStatus::Retiring => {}
            IpStatus::Quarantine => {
                (self.identities, self.out) = (self.identities + 1, self.out + 1)
            }
            _ => self.identities += 1,
        }
    }

    const fn with(self, other: &Self) -> Self {
        Self {
            identities: self.identities + other.identities,
            out: self.out + other.out,
            complaints: self.complaints + other.complaints,
            delivered: self.delivered + other.delivered,
        }
    }

    fn crowded(&self, settings: &FailoverSettings) -> Option<Cause> {
        let (out, of) = (self.out, self.identities);
        let part = u64::from(out) * 100 > u64::from(of) * u64::from(settings.quarantined_percent);
        (part && out >= LEAST_OUT).then_some(Cause::Quarantined { out, of })
    }

    fn hated(&self, settings: &FailoverSettings) -> Option<Cause> {
        let (complaints, delivered) = (self.complaints, self.delivered);
        let rate = u128::from(complaints) * 10_000
            > u128::from(delivered) * u128::from(settings.complaints);
        let enough = complaints >= LEAST_COMPLAINTS && delivered >= LEAST_DELIVERED;
        (rate && enough).then_some(Cause::Complaints {
            complaints,
            delivered,
        })
    }

    fn offends(&self, settings: &FailoverSettings) -> Option<Cause> {
        self.crowded(settings).or_else(|| self.hated(settings))
    }
}

/// What is known of a tenant, by what is sent.
pub type Parts = BTreeMap<Purpose, Part>;

/// Why a breaker opens by what is known; none when it does not.
#[must_use]
pub fn opens(parts: &Parts, settings: &FailoverSettings) -> Option<Cause> {
    let all = parts.values().fold(Part::default(), Part::with);
    all.offends(settings)
}

/// What an open breaker pauses: bulk mail, and whatever else offends by itself.
#[must_use]
pub fn pauses(parts: &Parts, settings: &FailoverSettings) -> BTreeSet<Purpose> {
    let offending = parts
        .iter()
        .filter(|(_, part)| part.offends(settings).is_some());
    let offending = offending.map(|(purpose, _)| *purpose);
    BULK.into_iter().chain(offending).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(out: u32, of: u32) -> Part {
        Part {
            identities: of,
            out,
            ..Part::default()
        }
    }

    fn hated(complaints: u64, delivered: u64) -> Part {
        Part {
            identities: 9,
            complaints,
            delivered,
            ..Part::default()
        }
    }

    fn cause(part: Part) -> Option<Cause> {
        opens(
            &[(Purpose::Marketing, part)].into(),
            &FailoverSettings::default(),
        )
    }

    #[test]
    fn more_than_a_fifth_and_at_least_two_in_quarantine_open_it() {
        for (lost, of, open) in [
            (1, 1, false),
            (1, 4, false),
            (2, 10, false),
            (2, 9, true),
            (2, 2, true),
            (10, 50, false),
            (11, 50, true),
        ] {
            assert_eq!(cause(out(lost, of)).is_some(), open, "{lost} of {of}");
        }
    }

    #[test]
    fn complaints_above_three_in_a_thousand_open_it_when_there_are_enough() {
        for (complaints, delivered, open) in [
            (2, 200, false),
            (3, 199, false),
            (3, 200, true),
            (3, 1_000, false),
            (4, 1_000, true),
            (0, 0, false),
            (u64::MAX, u64::MAX, true),
        ] {
            assert_eq!(
                cause(hated(complaints, delivered)).is_some(),
                open,
                "{complaints} of {delivered}"
            );
        }
    }

    #[test]
    fn what_is_awaited_by_one_person_is_paused_only_when_it_offends_itself() {
        let settings = FailoverSettings::default();
        let mut parts = Parts::from([
            (Purpose::Marketing, out(3, 4)),
            (Purpose::Transactional, out(1, 2)),
            (Purpose::Notification, out(0, 1)),
        ]);
        assert!(opens(&parts, &settings).is_some());
        assert_eq!(pauses(&parts, &settings), BULK.into());
        parts.insert(Purpose::Transactional, out(2, 2));
        let more = pauses(&parts, &settings);
        assert!(more.contains(&Purpose::Transactional) && !more.contains(&Purpose::Notification));
    }

    #[test]
    fn who_retires_is_counted_no_more() {
        let mut part = Part::default();
        for status in [
            IpStatus::Quarantine,
            IpStatus::Retiring,
            IpStatus::Standby,
            IpStatus::Active,
        ] {
            part.add(status);
        }
        assert_eq!(part, out(1, 3));
    }
}
