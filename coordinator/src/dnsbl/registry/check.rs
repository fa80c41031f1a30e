//! What a list must say of itself before it is asked anything.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::load::refused;
use super::{Access, RegistryError, Scheme, Span, Zone};

/// Most questions at the same time that a list may be given, and most a second.
const IN_FLIGHT: std::ops::RangeInclusive<u32> = 1..=4_096;
const PER_SECOND: std::ops::RangeInclusive<u32> = 1..=100_000;
/// A question may have 253 characters; the reversed form of an IPv6 address takes 64 and a key up to 63.
const ORIGIN_CHARS: usize = 120;
/// What some lists answer instead of an answer.
const REFUSAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

pub(super) fn check(zone: &Zone, dead: &BTreeMap<String, String>) -> Result<(), RegistryError> {
    origins(zone, dead)?;
    codes(zone)?;
    points(zone)?;
    replies(zone)?;
    let bounds = [
        ("in_flight", Some(zone.in_flight), IN_FLIGHT, "1 to 4096"),
        (
            "per_second",
            zone.per_second,
            PER_SECOND,
            "1 to 100000, or nothing for no limit",
        ),
    ];
    for (field, value, accepts, accepted) in bounds {
        if let Some(value) = value.filter(|value| !accepts.contains(value)) {
            return Err(refused(&zone.id, field, &value.to_string(), accepted));
        }
    }
    Ok(())
}

fn origins(zone: &Zone, dead: &BTreeMap<String, String>) -> Result<(), RegistryError> {
    let (origin, keyed) = (zone.origin.as_deref(), zone.keyed_origin.as_deref());
    match (zone.access, origin, keyed) {
        (Access::Keyed, None, Some(_)) | (Access::Public | Access::Registered, Some(_), _) => {}
        (Access::Keyed, _, _) => {
            let accepted = "none, and a `keyed_origin`: without a key this list is not asked";
            return Err(refused(
                &zone.id,
                "origin",
                origin.unwrap_or_default(),
                accepted,
            ));
        }
        _ => return Err(refused(&zone.id, "origin", "", "the zone that is open")),
    }
    if let Some(keyed) = keyed.filter(|_| zone.keyed_suffix().is_none()) {
        return Err(refused(&zone.id, "keyed_origin", keyed, "{key}.ZONE"));
    }
    for name in [origin, zone.keyed_suffix()].into_iter().flatten() {
        if !is_name(name) || !name.contains('.') {
            return Err(refused(
                &zone.id,
                "origin",
                name,
                "a domain name of at most 120 characters",
            ));
        }
        if let Some((origin, reason)) = dead.iter().find(|(origin, _)| is_below(name, origin)) {
            return Err(RegistryError::Dead {
                list: zone.id.to_string(),
                origin: origin.clone(),
                reason: reason.clone(),
            });
        }
    }
    Ok(())
}

/// Answers that are never a listing must be in no table: 127.0.0.1, 127.255.255.0/24, all outside 127/8.
fn codes(zone: &Zone) -> Result<(), RegistryError> {
    if zone.codes.is_empty() {
        return Err(refused(&zone.id, "codes", "", "at least one answer"));
    }
    for (at, code) in zone.codes.iter().enumerate() {
        let (text, good) = match code.span {
            Span::Addresses(first, last) => {
                let good = first <= last
                    && [first, last].iter().all(|end| end.octets()[0] == 127)
                    && !(first..=last).contains(&REFUSAL)
                    && !is_error(last);
                (format!("{first} to {last}"), good)
            }
            // 1 is 127.0.0.1, which says that the list refuses.
            Span::Bit(bit) => (bit.to_string(), bit.is_power_of_two() && bit != 1),
        };
        if !good {
            let accepted =
                "answers in 127/8 without 127.0.0.1 and 127.255.255.0/24, or one bit from 2 to 128";
            return Err(refused(&zone.id, "codes", &text, accepted));
        }
        let overlaps = zone.codes[..at]
            .iter()
            .any(|other| match (other.span, code.span) {
                (Span::Addresses(a, b), Span::Addresses(c, d)) => a <= d && c <= b,
                (one, other) => one == other,
            });
        if overlaps {
            return Err(refused(&zone.id, "codes", &text, "each answer once"));
        }
    }
    Ok(())
}

/// Without a point that is listed nobody could tell a list that has nothing against anybody from one that
/// is gone; without one that is not, a list that lists the world.
fn points(zone: &Zone) -> Result<(), RegistryError> {
    if zone.listed.is_empty() || zone.listed.iter().any(|point| point.answers.is_empty()) {
        let accepted = "at least one subject that is always listed, with its answers";
        return Err(refused(&zone.id, "listed", "", accepted));
    }
    if zone.unlisted.is_empty() {
        let accepted = "at least one subject that is never listed";
        return Err(refused(&zone.id, "unlisted", "", accepted));
    }
    if zone.scheme == Scheme::Bits
        && zone
            .codes
            .iter()
            .any(|code| !matches!(code.span, Span::Bit(_)))
    {
        return Err(refused(&zone.id, "codes", "", "bits, as `scheme` says"));
    }
    Ok(())
}

/// A short word would be found in replies that speak of other things, and nobody's pause may hang on that.
fn replies(zone: &Zone) -> Result<(), RegistryError> {
    let is_address = |text: &str| {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let is_path = path.bytes().all(|b| b.is_ascii_graphic());
        is_name(host) && host.contains('.') && is_path && text.len() <= ORIGIN_CHARS
    };
    match zone.replies.iter().find(|text| !is_address(text)) {
        None => Ok(()),
        Some(text) => {
            let accepted = "addresses of pages without their scheme, such as example.org/lookup, of at most 120 \
                            characters, the host's name in lower case";
            Err(refused(&zone.id, "replies", text, accepted))
        }
    }
}

/// Whether an answer is of the block that says that no answer is given.
pub(in crate::dnsbl) fn is_error(answer: Ipv4Addr) -> bool {
    answer.octets()[..3] == [127, 255, 255]
}

fn is_below(name: &str, parent: &str) -> bool {
    name == parent
        || name
            .strip_suffix(parent)
            .is_some_and(|rest| rest.ends_with('.'))
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= ORIGIN_CHARS
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use crate::dnsbl::registry::{Registry, RegistryError};

    const GOOD: &str = r#"
as_of = "2026-11-22"
[[zone]]
id = "own"
name = "Own"
kind = "ip"
access = "public"
origin = "bl.example.org"
in_flight = 8
expiry = "never"
delist = "https://example.org/"
listed = [{ subject = "127.0.0.2", answers = ["127.0.0.2"] }]
unlisted = ["127.0.0.1"]
codes = [{ answer = "127.0.0.2", class = "a", meaning = "bad" }]
[[dead]]
origin = "dead.example.net"
reason = "switched off"
"#;

    #[test]
    fn a_list_that_is_not_whole_is_refused_by_field() {
        Registry::parse(GOOD).unwrap();
        for (good, bad, field) in [
            ("\"bl.example.org\"", "\"localhost\"", "origin"),
            ("\"bl.example.org\"", "\"BL.example.org\"", "origin"),
            ("access = \"public\"", "access = \"keyed\"", "origin"),
            (
                "origin = \"bl.example.org\"",
                "keyed_origin = \"{key}.bl.example.org\"",
                "origin",
            ),
            ("in_flight = 8", "in_flight = 0", "in_flight"),
            (
                "in_flight = 8",
                "in_flight = 8\nper_second = 0",
                "per_second",
            ),
            (
                "in_flight = 8",
                "in_flight = 8\nkeyed_origin = \"bl.example.org\"",
                "keyed_origin",
            ),
            (
                "{ answer = \"127.0.0.2\", class",
                "{ answer = \"127.0.0.1\", class",
                "codes",
            ),
            (
                "{ answer = \"127.0.0.2\", class",
                "{ answer = \"127.255.255.2\", class",
                "codes",
            ),
            (
                "{ answer = \"127.0.0.2\", class",
                "{ answer = \"192.0.2.2\", class",
                "codes",
            ),
            (
                "{ answer = \"127.0.0.2\", class",
                "{ answer = \"127.0.0.9\", to = \"127.0.0.2\", class",
                "codes",
            ),
            (
                "{ answer = \"127.0.0.2\", class",
                "{ bit = 2, class",
                "codes",
            ),
            ("class = \"a\"", "class = \"z\"", "class"),
            (
                "[{ subject = \"127.0.0.2\", answers = [\"127.0.0.2\"] }]",
                "[]",
                "listed",
            ),
            ("answers = [\"127.0.0.2\"]", "answers = []", "listed"),
            ("[\"127.0.0.1\"]", "[]", "unlisted"),
            ("[\"127.0.0.1\"]", "[\"nobody\"]", "unlisted"),
            (
                "codes = [{ answer = \"127.0.0.2\", class = \"a\", meaning = \"bad\" }]",
                "codes = []",
                "codes",
            ),
        ] {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good} is not in the text");
            match Registry::parse(&text) {
                Err(RegistryError::Value {
                    list, field: named, ..
                }) => {
                    assert_eq!((&*list, named), ("own", field), "{bad}");
                }
                other => panic!("{bad}: {other:?}"),
            }
        }
        let unknown = GOOD.replacen("in_flight", "inflight", 1);
        assert!(matches!(
            Registry::parse(&unknown),
            Err(RegistryError::Syntax(_))
        ));
    }

    #[test]
    fn a_list_is_known_in_replies_by_addresses_of_pages_and_by_no_word() {
        let with = |name: &str| {
            let text = format!("in_flight = 8\nreplies = [\"{name}\"]");
            Registry::parse(&GOOD.replacen("in_flight = 8", &text, 1))
        };
        for good in ["example.org", "example.org/lookup?ip="] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in ["blocked", "Example.org/x", "https://example.org", "a.b/c d"] {
            let error = with(bad).unwrap_err().to_string();
            assert!(error.contains("replies"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_dead_list_is_refused_with_its_reason_and_so_are_its_parts() {
        for origin in ["dead.example.net", "spam.dead.example.net"] {
            let text = GOOD.replacen("bl.example.org", origin, 1);
            let error = Registry::parse(&text).unwrap_err().to_string();
            assert!(
                error.contains("switched off") && error.contains("own"),
                "{error}"
            );
        }
        let other = GOOD.replacen("bl.example.org", "undead.example.net", 1);
        Registry::parse(&other).unwrap();
    }
}
