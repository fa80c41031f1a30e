//! Lists that answer in every way they should not, on a network of made time, on sockets, and a real
//! `rbldnsd`.

mod misfortune;
mod pacing;
mod rbldnsd;
mod sockets;
mod world;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::{Errand, Manner};
use crate::dnsbl::query::{Door, Subject};
use crate::dnsbl::registry::{Registry, Zone};

/// Lists of addresses with these names, below `test`, each with this much at the same time and a second.
pub(super) fn lists(lists: &[(&str, u32, Option<u32>)]) -> Registry {
    let mut text = "as_of = \"2026-11-22\"\n".to_owned();
    for (name, in_flight, per_second) in lists {
        let rate = per_second.map_or(String::new(), |rate| format!("per_second = {rate}\n"));
        write!(
            text,
            r#"
[[zone]]
id = "{name}"
name = "{name}"
kind = "ip"
access = "public"
origin = "{name}.test.example"
ipv6 = true
in_flight = {in_flight}
{rate}expiry = "never"
delist = "https://example.org/"
listed = [{{ subject = "127.0.0.2", answers = ["127.0.0.2"] }}]
unlisted = ["127.0.0.1"]
codes = [
    {{ answer = "127.0.0.2", class = "a", meaning = "bad" }},
    {{ answer = "127.0.0.10", class = "policy", meaning = "dynamic" }},
]
"#
        )
        .unwrap();
    }
    Registry::parse(&text).unwrap()
}

/// So many addresses, from 198.18.0.0 on.
pub(super) fn addresses(count: u32) -> Vec<Subject> {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    let address = |at: u32| Subject::Address(IpAddr::V4(Ipv4Addr::from(first + at)));
    (0..count).map(address).collect()
}

pub(super) fn errands<'a>(registry: &'a Registry, subjects: &[Subject]) -> Vec<Errand<'a>> {
    let open = |zone: &'a Zone| Door::open(zone, None, false).unwrap();
    let zones = registry.zones();
    zones
        .map(|zone| Errand::new(open(zone), subjects.iter().cloned()))
        .collect()
}

/// Whether a world lists an address: every fiftieth.
pub(super) fn is_listed(subject: &Subject) -> bool {
    match subject {
        Subject::Address(IpAddr::V4(address)) => u32::from(*address) % 50 == 7,
        _ => false,
    }
}

pub(super) fn manner() -> Manner {
    Manner::default()
}
