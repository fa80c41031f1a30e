//! Points in time, as milliseconds since 1970 in UTC; RFC 3339 for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// One second, in the unit of this type.
    pub const SECOND: u64 = 1000;
    /// One hour.
    pub const HOUR: u64 = 3600 * Self::SECOND;
    /// One day of 24 hours.
    pub const DAY: u64 = 24 * Self::HOUR;

    /// This moment plus `millis`, stopping at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            Some(at) => write!(f, "{at:.3}"),
            // Beyond the year 9999: still a number, never a lie. A machine may claim it.
            None => write!(f, "@{}ms", self.0),
        }
    }
}

/// A text that is not an RFC 3339 time at or after 1970.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time {got:?} is not valid: RFC 3339 such as 2026-11-21T06:00:00Z, from 1970 on")]
pub struct TimestampError {
    /// The refused text, cut to 80 characters.
    pub got: String,
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let rfc_3339 = text.parse::<jiff::Timestamp>().ok();
        rfc_3339
            .and_then(|at| u64::try_from(at.as_millisecond()).ok())
            .map(Self)
            .or_else(|| beyond(text))
            .ok_or_else(|| TimestampError {
                got: text.chars().take(80).collect(),
            })
    }
}

/// What no RFC 3339 time says, as it is written.
fn beyond(text: &str) -> Option<Timestamp> {
    let number = text.strip_prefix('@')?.strip_suffix("ms")?;
    let at = Timestamp(number.parse().ok()?);
    (at.to_string() == text).then_some(at)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.to_string().serialize(serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_rfc_3339_and_machines_a_number() {
        let at = Timestamp(1_795_240_800_123);
        assert_eq!(at.to_string(), "2026-11-21T06:00:00.123Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert_eq!(
            serde_json::to_string(&at).unwrap(),
            "\"2026-11-21T06:00:00.123Z\""
        );
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
        // Whatever a machine claims is read again by whoever asks a coordinator.
        for far in [
            Timestamp(u64::MAX),
            Timestamp(253_402_300_800_000 + Timestamp::DAY),
        ] {
            assert!(far.to_string().starts_with('@'), "{far}");
            assert_eq!(far.to_string().parse::<Timestamp>(), Ok(far));
        }
        assert!("@5ms".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
