//! Number and dates of a leaf certificate.

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::time::Timestamp;

use super::authority::BACKDATE_MILLIS;
use crate::state::CertificateRecord;

/// How long a certificate lives. Leaves live short, because revocation lives in the state and not in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(u64);

impl Life {
    /// Seconds that are accepted: below, a certificate could end before it has arrived.
    pub const SECONDS: std::ops::RangeInclusive<u64> = 10..=30 * 24 * 3600;

    /// A life of so many seconds; beyond [`Life::SECONDS`], the nearest that is accepted.
    #[must_use]
    pub fn of_seconds(seconds: u64) -> Self {
        let seconds = seconds.clamp(*Self::SECONDS.start(), *Self::SECONDS.end());
        Self(seconds * Timestamp::SECOND)
    }

    /// Seconds that are accepted for a server at which the fleet submits: PowerMTA takes a new
    /// certificate when it is told, and a renewal changes its configuration.
    pub const SUBMISSION_SECONDS: std::ops::RangeInclusive<u64> = 10..=397 * 24 * 3600;

    /// A life of so many seconds; beyond [`Life::SUBMISSION_SECONDS`], the nearest that is accepted.
    #[must_use]
    pub fn of_submission_seconds(seconds: u64) -> Self {
        let accepted = Self::SUBMISSION_SECONDS;
        Self(seconds.clamp(*accepted.start(), *accepted.end()) * Timestamp::SECOND)
    }

    /// A life of so many days, for what is no leaf.
    pub(super) const fn of_days(days: u64) -> Self {
        Self(days * Timestamp::DAY)
    }
}

impl Default for Life {
    fn default() -> Self {
        Self(7 * Timestamp::DAY)
    }
}

/// Number and dates of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its serial.
    pub serial: CertificateSerial,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

impl Term {
    /// A new certificate's: a random serial, and a life from now on.
    #[must_use]
    pub fn fresh(now: Timestamp, life: Life, entropy: &Entropy<'_>) -> Self {
        let mut serial: [u8; 16] = entropy.bytes();
        // Positive, and never shorter than 16 bytes in DER.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        Self {
            serial: CertificateSerial(serial),
            not_before: backdated(now),
            not_after: whole(now.plus(life.0)),
        }
    }

    /// That of a certificate that was recorded already: the same on every node.
    #[must_use]
    pub fn recorded(record: &CertificateRecord) -> Self {
        Self {
            serial: record.serial,
            not_before: backdated(record.issued_at),
            not_after: record.not_after,
        }
    }

    /// When a certificate with these dates wants to be renewed: in the middle between its issue and
    /// its end.
    #[must_use]
    pub const fn half_life(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
        let issued = not_before.0 + BACKDATE_MILLIS;
        Timestamp(issued + not_after.0.saturating_sub(issued) / 2)
    }
}

fn backdated(now: Timestamp) -> Timestamp {
    whole(Timestamp(now.0.saturating_sub(BACKDATE_MILLIS)))
}

const fn whole(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0 / Timestamp::SECOND * Timestamp::SECOND)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::id::NodeId;
    use ring::rand::SystemRandom;

    use super::*;
    use crate::state::CertificateSubject;

    #[test]
    fn a_recorded_certificate_is_issued_again_with_the_same_dates() {
        let random = SystemRandom::new();
        let now = Timestamp(1_800_000_000_000);
        for seconds in [*Life::SECONDS.start(), 3600, *Life::SECONDS.end()] {
            let term = Term::fresh(now, Life::of_seconds(seconds), &Entropy(&random));
            let again = Term::recorded(&CertificateRecord {
                serial: term.serial,
                subject: CertificateSubject::Node(NodeId(1)),
                spki: ContentHash::of(b"key"),
                issued_at: now,
                not_after: term.not_after,
            });
            assert_eq!(again, term);
            let half = Term::half_life(term.not_before, term.not_after);
            assert_eq!(half, now.plus(seconds * Timestamp::SECOND / 2));
        }
    }

    #[test]
    fn a_life_out_of_bounds_is_the_nearest_within() {
        assert_eq!(Life::of_seconds(0), Life::of_seconds(10));
        assert_eq!(Life::of_seconds(u64::MAX), Life::of_seconds(30 * 24 * 3600));
        assert_eq!(Life::default(), Life::of_seconds(7 * 24 * 3600));
    }
}
