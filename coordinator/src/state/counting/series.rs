//! Series of counts: their keys, and how they change. They are stored beside the tables, because they are
//! too large for memory; what changes them is computed here, the same on every node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::id::{ReceiverGroup, TenantId};
use email_engine_protocol::observed::Counts;
use email_engine_protocol::time::Timestamp;

/// Days that are kept by the day.
pub const DAYS_KEPT: u32 = 400;
/// Days that are kept by the hour.
pub const HOURS_KEPT_DAYS: u32 = 14;

/// A UTC day or hour, since 1970-01-01, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// A day.
    Day(u32),
    /// An hour.
    Hour(u32),
    /// Since counting began; never let go.
    Whole,
}

/// Whose counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A customer's, all identities together, those that are gone included.
    Tenant(TenantId),
    /// One identity's. An address that goes to another customer begins anew.
    Identity(TenantId, IpAddr),
}

/// The key of one row. Rows of one span stand together, so that a span that ends is let go at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// When.
    pub span: Span,
    /// Whose.
    pub subject: Subject,
    /// At which receivers.
    pub group: ReceiverGroup,
}

/// A change of the stored series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesChange {
    /// Adds to rows.
    Add(BTreeMap<SeriesKey, Counts>),
    /// Lets rows go that are older than these.
    Prune {
        /// First day that is kept.
        day: u32,
        /// First hour that is kept.
        hour: u32,
    },
}

impl Span {
    const DAY: u8 = 1;
    const HOUR: u8 = 2;
    const WHOLE: u8 = 3;

    /// The day of a time.
    #[must_use]
    pub fn day_of(at: Timestamp) -> u32 {
        u32::try_from(at.0 / Timestamp::DAY).unwrap_or(u32::MAX)
    }

    /// The hour of a time.
    #[must_use]
    pub fn hour_of(at: Timestamp) -> u32 {
        u32::try_from(at.0 / Timestamp::HOUR).unwrap_or(u32::MAX)
    }

    /// Its beginning.
    #[must_use]
    pub fn begins(self) -> Timestamp {
        match self {
            Self::Day(day) => Timestamp(u64::from(day) * Timestamp::DAY),
            Self::Hour(hour) => Timestamp(u64::from(hour) * Timestamp::HOUR),
            Self::Whole => Timestamp(0),
        }
    }

    /// Its end, which is not of it.
    #[must_use]
    pub fn ends(self) -> Timestamp {
        match self {
            Self::Day(day) => Self::Day(day.saturating_add(1)).begins(),
            Self::Hour(hour) => Self::Hour(hour.saturating_add(1)).begins(),
            Self::Whole => Timestamp(u64::MAX),
        }
    }

    /// Its bytes, which sort as spans do.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Day(day) => (Self::DAY, day),
            Self::Hour(hour) => (Self::HOUR, hour),
            Self::Whole => (Self::WHOLE, 0),
        };
        let mut bytes = vec![kind];
        bytes.extend(number.to_be_bytes());
        bytes
    }
}

impl Subject {
    /// What the keys of its rows in a span begin with, and no others do.
    #[must_use]
    pub fn prefix(&self, span: Span) -> Vec<u8> {
        let mut bytes = span.bytes();
        let (tenant, address) = match self {
            Self::Tenant(tenant) => (tenant, None),
            Self::Identity(tenant, address) => (tenant, Some(address)),
        };
        bytes.extend(tenant.as_str().as_bytes());
        bytes.push(0);
        match address {
            None => bytes.push(0),
            Some(IpAddr::V4(address)) => {
                bytes.push(4);
                bytes.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                bytes.push(6);
                bytes.extend(address.octets());
            }
        }
        bytes
    }
}

impl SeriesKey {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.subject.prefix(self.span);
        bytes.extend(self.group.as_str().as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = SeriesKey> {
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        let span = prop_oneof![
            (0..9_u32).prop_map(Span::Day),
            (0..9_u32).prop_map(Span::Hour),
            Just(Span::Whole)
        ];
        (span, "[a-c]{1,3}", prop::option::of(address), "[a-c]{1,3}").prop_map(
            |(span, tenant, address, group)| {
                let tenant = TenantId::new(tenant).unwrap();
                SeriesKey {
                    span,
                    subject: match address {
                        None => Subject::Tenant(tenant),
                        Some(address) => Subject::Identity(tenant, address),
                    },
                    group: ReceiverGroup::new(group).unwrap(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn no_two_keys_have_the_same_bytes_and_prefixes_are_ones_own(one in keys(), other in keys()) {
            prop_assert_eq!(one == other, one.bytes() == other.bytes());
            let own = one.subject.prefix(one.span);
            let is_own = one.span == other.span && one.subject == other.subject;
            prop_assert_eq!(other.bytes().starts_with(&own), is_own);
            if one.span < other.span {
                prop_assert!(one.bytes() < other.bytes());
            }
        }
    }
}
