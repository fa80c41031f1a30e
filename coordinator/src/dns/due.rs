//! When an identity's records are looked at.

use email_engine_protocol::api::{DnsPart, DnsVerdict};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use super::wanted::{Data, Part, Wanted, wanted};
use crate::dns::verdict::Subject;
use crate::state::{DnsLook, FleetState, Identity};

/// Hour of the day, in UTC, at which all records are looked at.
const DAILY_MILLIS: u64 = 6 * Timestamp::HOUR;
/// Soonest that records which are not right are looked at again, and latest: the longer they have been so,
/// the longer until the next look.
const SOONEST_MILLIS: u64 = 60 * 1_000;
const LATEST_MILLIS: u64 = 6 * Timestamp::HOUR;

/// What an identity's records must say, and the hash of all of it.
#[must_use]
pub fn subject(state: &FleetState, identity: &Identity) -> Option<(Subject, ContentHash)> {
    let tenant = state.tenants.get(&identity.spec.tenant)?;
    let wanted = wanted(identity, tenant, state.hosts.get(&identity.spec.host));
    let exchanger = wanted.iter().find_map(|one| match &one.data {
        Data::Mx { exchanger, .. } => Some(exchanger.as_str()),
        _ => None,
    });
    let subject = Subject::of(identity, exchanger);
    // That a record may go at a certain time changes nothing of what it says.
    let lines: Vec<String> = wanted.iter().map(Wanted::line).collect();
    let text = format!("{} {:?}\n{}", subject.local, subject.next, lines.join("\n"));
    Some((subject, ContentHash::of(text.as_bytes())))
}

/// Whether an identity's records are to be looked at now.
#[must_use]
pub fn is_due(look: Option<&DnsLook>, wanted: ContentHash, asked: bool, now: Timestamp) -> bool {
    let Some(look) = look.filter(|look| look.wanted == wanted && !asked) else {
        return true;
    };
    let day = |at: Timestamp| (at.0 + Timestamp::DAY - DAILY_MILLIS) / Timestamp::DAY;
    let is_right = look
        .found
        .values()
        .all(|verdict| matches!(verdict, DnsVerdict::Valid { .. }));
    let pause = (look.at.since(look.since) / 2).clamp(SOONEST_MILLIS, LATEST_MILLIS);
    day(now) > day(look.at) || (!is_right && now.since(look.at) >= pause)
}

/// The lines to publish for what is not right of a part.
#[must_use]
pub fn lines(wanted: &[Wanted], part: DnsPart, domain: &str, verdict: &DnsVerdict) -> Vec<String> {
    let DnsVerdict::Invalid { replace, .. } = verdict else {
        return Vec::new();
    };
    let meant = match part {
        DnsPart::A => Part::Address,
        DnsPart::Mx => Part::Exchanger,
        DnsPart::Ptr => Part::Pointer,
        DnsPart::Spf => Part::Spf,
        DnsPart::Dkim | DnsPart::NextDkim => Part::Dkim,
        DnsPart::Dmarc => Part::Dmarc,
    };
    let all = wanted.iter().filter(|one| one.part == meant);
    let replaced = all.map(|one| match replace {
        Some(text) if one.name == domain => Wanted {
            data: Data::Txt(text.clone()),
            ..one.clone()
        },
        _ => one.clone(),
    });
    replaced.map(|one| one.line()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn look(at: u64, since: u64, verdict: DnsVerdict) -> DnsLook {
        DnsLook {
            at: Timestamp(at),
            by: "node 1".to_owned(),
            since: Timestamp(since),
            domain: "mail1.example.com".parse().unwrap(),
            wanted: ContentHash([1; 32]),
            found: BTreeMap::from([(DnsPart::Spf, verdict)]),
        }
    }

    const MINUTE: u64 = 60 * 1_000;

    fn due(look: &DnsLook, now: u64) -> bool {
        is_due(Some(look), ContentHash([1; 32]), false, Timestamp(now))
    }

    #[test]
    fn right_records_are_looked_at_daily_at_six() {
        let good = || DnsVerdict::Valid {
            warnings: Vec::new(),
        };
        let day = 20_000 * Timestamp::DAY;
        let six = day + DAILY_MILLIS;
        let before = look(six - 1, 0, good());
        assert!(!due(&before, six - 1));
        assert!(due(&before, six));
        let after = look(six, 0, good());
        assert!(!due(&after, six + Timestamp::DAY - 1));
        assert!(due(&after, six + Timestamp::DAY));
        // A clock that goes back makes nothing due.
        assert!(!due(&after, day));
    }

    #[test]
    fn another_wish_or_an_operators_is_due_at_once() {
        let valid = DnsVerdict::Valid {
            warnings: Vec::new(),
        };
        let seen = look(7 * Timestamp::DAY, 0, valid);
        let at = Timestamp(7 * Timestamp::DAY);
        let due = |look, wanted, asked| is_due(look, ContentHash([wanted; 32]), asked, at);
        assert!(due(None, 1, false));
        assert!(due(Some(&seen), 2, false));
        assert!(due(Some(&seen), 1, true));
        assert!(!due(Some(&seen), 1, false));
    }

    #[test]
    fn what_is_not_right_is_looked_at_soon_and_then_less_often() {
        let from = 20_000 * Timestamp::DAY + 7 * Timestamp::HOUR;
        let unknown = || DnsVerdict::Unknown {
            why: "silent".to_owned(),
        };
        let fresh = look(from, from, unknown());
        assert!(!due(&fresh, from + MINUTE - 1));
        assert!(due(&fresh, from + MINUTE));
        let old = look(from + 60 * MINUTE, from, unknown());
        assert!(!due(&old, from + 89 * MINUTE));
        assert!(due(&old, from + 90 * MINUTE));
    }
}
