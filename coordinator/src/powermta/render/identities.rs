//! The lines that each identity has in the nine places of the text.
//!
//! They are most of a large text, so they are written straight into it, without a formatter. Lines kept by
//! place and put together at the end would be fetched from memory once less, but the text is larger than
//! the identities: writing it twice costs more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use email_engine_protocol::id::TenantId;

use super::super::model::{Configuration, Egress};
use super::super::schema::Version;
use super::inbound::{COMPLAINTS, Targets, forwarded};
use super::rate::hourly_cap;
use super::routing::HEADER;
use super::text::escape_into;

/// Those that mail from outside is taken for.
pub(super) fn receiving(configuration: &Configuration) -> impl Iterator<Item = &Egress> {
    // One that had several virtual MTAs here, one after the other, may drain in each.
    let mut seen = BTreeSet::new();
    let leaving = configuration.leaving.values().filter(move |leaver| {
        let egress = &leaver.egress;
        leaver.has_address && seen.insert((egress.address, &egress.domain))
    });
    let identities = configuration.identities.values();
    identities
        .chain(leaving.map(|leaver| &leaver.egress))
        .filter(|egress| egress.receives())
}

pub(super) fn listeners(out: &mut String, configuration: &Configuration) {
    let mut seen = BTreeSet::new();
    for egress in receiving(configuration).filter(|egress| seen.insert(egress.address)) {
        out.push_str("smtp-listener ");
        put_address(out, egress.address);
        out.push_str(":25\n");
    }
}

/// A virtual MTA stays defined while the identity exists, whether it sends or not: mail in the queue of
/// one that is gone would bounce.
pub(super) fn virtual_mtas<'a>(
    out: &mut String,
    all: impl Iterator<Item = &'a Egress>,
    version: Version,
) {
    for egress in all {
        put(
            out,
            [
                "<virtual-mta ",
                egress.vmta.as_str(),
                ">\n    smtp-source-host ",
            ],
        );
        put_address(out, egress.address);
        put(
            out,
            [
                " ",
                egress.hostname.as_str(),
                "\n    domain-key ",
                &egress.selector,
                ",",
            ],
        );
        put(
            out,
            [
                egress.domain.as_str(),
                ",",
                &egress.key_path,
                "\n    max-smtp-msg-rate ",
            ],
        );
        let (attempts, period) = rate(egress, version);
        put_number(out, attempts);
        put(out, [period, "\n</virtual-mta>\n"]);
    }
}

/// The least that can be written for an identity that shall not send is one attempt a day, or an hour
/// where days are not certain: the product has no pause in its configuration, and 0 may as well mean
/// no limit.
fn rate(egress: &Egress, version: Version) -> (u32, &'static str) {
    match version {
        _ if egress.drains() => (hourly_cap(egress.daily_quota), "/h"),
        Version::V4_5 => (1, "/h"),
        Version::V5_0 => (1, "/d"),
    }
}

/// Identities that take mail, by tenant.
pub(super) fn taking(configuration: &Configuration) -> BTreeMap<&TenantId, Vec<&Egress>> {
    let mut taking: BTreeMap<&TenantId, Vec<&Egress>> = BTreeMap::new();
    let identities = configuration.identities.values();
    for egress in identities.filter(|egress| egress.takes_mail()) {
        taking.entry(&egress.tenant).or_default().push(egress);
    }
    taking
}

/// Lines that obey the header.
pub(super) fn headers(out: &mut String, own: &[&Egress]) {
    for egress in own {
        let vmta = egress.vmta.as_str();
        // A header's value begins with the blank after its colon.
        put(out, ["    header ", HEADER, " /^\\s*"]);
        escape_into(out, vmta);
        put(out, ["\\s*$/ virtual-mta=", vmta, "\n"]);
    }
}

/// Lines that go by the envelope's sender.
pub(super) fn senders(out: &mut String, own: &[&Egress]) {
    for egress in own {
        out.push_str("    mail-from /@");
        escape_into(out, egress.domain.as_str());
        put(out, ["$/ virtual-mta=", egress.vmta.as_str(), "\n"]);
    }
}

pub(super) fn relay_domains(out: &mut String, configuration: &Configuration) {
    for egress in receiving(configuration) {
        put(out, ["relay-domain ", egress.domain.as_str(), "\n"]);
    }
}

/// What the forwarder does not forward.
pub(super) fn discards(out: &mut String, configuration: &Configuration) {
    for egress in receiving(configuration) {
        let domain = egress.domain.as_str();
        put(
            out,
            [
                "    <domain ",
                domain,
                ">\n        type discard\n    </domain>\n",
            ],
        );
    }
}

pub(super) fn bounces(out: &mut String, configuration: &Configuration) {
    for egress in receiving(configuration) {
        let (local, domain) = (egress.return_path.as_str(), egress.domain.as_str());
        put(out, ["        address ", local, "@", domain, "\n"]);
    }
}

pub(super) fn complaints(out: &mut String, configuration: &Configuration) {
    for egress in receiving(configuration) {
        put(
            out,
            [
                "        address ",
                COMPLAINTS,
                "@",
                egress.domain.as_str(),
                "\n",
            ],
        );
    }
}

pub(super) fn aliases(out: &mut String, configuration: &Configuration, targets: &Targets<'_>) {
    for egress in receiving(configuration) {
        let Some((target, sender)) = targets.of_egress(egress) else {
            continue;
        };
        for local in forwarded(egress, sender) {
            let domain = egress.domain.as_str();
            put(out, ["    alias ", local, "@", domain, " ", target, "\n"]);
        }
    }
}

fn put<const N: usize>(out: &mut String, parts: [&str; N]) {
    for part in parts {
        out.push_str(part);
    }
}

fn put_address(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            put_number(out, a.into());
            for octet in [b, c, d] {
                out.push('.');
                put_number(out, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // A string takes whatever is written to it.
            let _ = write!(out, "{address}");
        }
    }
}

fn put_number(out: &mut String, number: u32) {
    const DIGITS: &str = "0123456789";
    let mut power = 1;
    while number / power >= 10 {
        power *= 10;
    }
    while power > 0 {
        let digit = (number / power % 10) as usize;
        out.push_str(&DIGITS[digit..=digit]);
        power /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_addresses_are_written_as_everybody_writes_them(number: u32, high: u128) {
            for number in [number, number % 1_000, number % 10] {
                let mut out = String::new();
                put_number(&mut out, number);
                prop_assert_eq!(out, number.to_string());
                let address = IpAddr::from(number.to_be_bytes());
                let mut out = String::new();
                put_address(&mut out, address);
                prop_assert_eq!(out, address.to_string());
            }
            let mut out = String::new();
            put_address(&mut out, IpAddr::from(high.to_be_bytes()));
            prop_assert_eq!(out, IpAddr::from(high.to_be_bytes()).to_string());
        }
    }
}
