//! Records that an identity wants in DNS, for views and exports.

use std::net::IpAddr;

use email_engine_protocol::api::{DomainRecord, IpSpec, TenantSpec};
use email_engine_protocol::mail::DomainName;

use crate::fleet::rotation::published;
use crate::state::{HOST_NAME_LABEL, Host, INBOUND_MX_LABEL, Identity};

/// Longest character string of a TXT record (RFC 1035 section 3.3).
const STRING_BYTES: usize = 255;

/// The records of one identity on its host, each in presentation form.
#[must_use]
pub fn wanted_records(
    identity: &Identity,
    tenant: &TenantSpec,
    host: Option<&Host>,
) -> Vec<DomainRecord> {
    let spec = &identity.spec;
    let (domain, hostname) = (spec.domain.as_str(), spec.hostname.as_str());
    let (kind, mechanism) = match spec.address {
        IpAddr::V4(_) => ("A", "ip4"),
        IpAddr::V6(_) => ("AAAA", "ip6"),
    };
    let address = spec.address.to_string();
    let policy = format!("v=spf1 {mechanism}:{address} -all");
    let mut records = vec![record(hostname, kind, address.clone())];
    if hostname != domain {
        records.push(record(domain, kind, address));
    }
    let exchanger = host.and_then(|host| exchanger(spec, host));
    records.extend(exchanger.map(|name| record(domain, "MX", format!("10 {name}."))));
    records.push(record(domain, "TXT", quoted(&policy)));
    if hostname != domain {
        // The name in EHLO is what a bounce's empty envelope sender is checked by.
        records.push(record(hostname, "TXT", quoted(&policy)));
    }
    records.extend(dkim_records(identity));
    records.extend(dmarc(&spec.domain, &spec.zone, tenant));
    records.push(record(
        &reverse_name(spec.address),
        "PTR",
        format!("{hostname}."),
    ));
    records
}

/// Who takes mail to an identity's domain: an operator's own server, or the identity itself, where its
/// host takes mail from outside on its address. None else: an MX where nobody listens makes who answers
/// or bounces try for days.
fn exchanger<'a>(spec: &'a IpSpec, host: &'a Host) -> Option<&'a str> {
    let labels = &host.spec.labels;
    if let Some(name) = labels.get(INBOUND_MX_LABEL) {
        return Some(name);
    }
    let listens = labels.contains_key(HOST_NAME_LABEL) && spec.address.is_ipv4();
    listens.then(|| spec.hostname.as_str())
}

/// While an identity warms up nothing is asked of receivers but reports.
fn dmarc(domain: &DomainName, zone: &DomainName, tenant: &TenantSpec) -> Vec<DomainRecord> {
    let name = format!("_dmarc.{domain}");
    let Some(reports) = &tenant.dmarc_rua else {
        return vec![record(&name, "TXT", quoted("v=DMARC1; p=none"))];
    };
    let policy = format!("v=DMARC1; p=none; rua=mailto:{reports}");
    let mut records = vec![record(&name, "TXT", quoted(&policy))];
    let to = &reports.domain;
    // Reports to another organisation are sent only if that one agrees (RFC 9990).
    if !(to.is_within(zone) || zone.is_within(to)) {
        let consent = format!("{domain}._report._dmarc.{to}");
        records.push(record(&consent, "TXT", quoted("v=DMARC1")));
    }
    records
}

fn record(name: &str, kind: &str, value: String) -> DomainRecord {
    DomainRecord {
        name: name.to_owned(),
        kind: kind.to_owned(),
        value,
        until: None,
    }
}

/// The DKIM records of an identity: of the key that it signs with, and while that is changed of the other.
#[must_use]
pub fn dkim_records(identity: &Identity) -> Vec<DomainRecord> {
    let all = published(identity).into_iter();
    all.map(|one| DomainRecord {
        until: one.until,
        ..dkim_record(&identity.spec.domain, one.selector, one.key)
    })
    .collect()
}

/// The record of a key; without one it says that there was one which is not good any more (RFC 6376,
/// section 3.6.1).
#[must_use]
pub fn dkim_record(domain: &DomainName, selector: &str, public: Option<&str>) -> DomainRecord {
    let name = format!("{selector}._domainkey.{domain}");
    let key = format!("v=DKIM1; k=rsa; p={}", public.unwrap_or_default());
    record(&name, "TXT", quoted(&key))
}

/// A TXT value in strings of at most 255 bytes. Our values are ASCII without quotes.
fn quoted(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let strings: Vec<String> = chars
        .chunks(STRING_BYTES)
        .map(|part| format!("\"{}\"", part.iter().collect::<String>()))
        .collect();
    strings.join(" ")
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = String::new();
            for byte in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 0xf, byte >> 4));
            }
            name.push_str("ip6.arpa");
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_split_and_loses_nothing() {
        let text = "k".repeat(600);
        let value = quoted(&text);
        let strings: Vec<&str> = value
            .split(' ')
            .map(|part| part.trim_matches('"'))
            .collect();
        assert!(strings.iter().all(|part| part.len() <= STRING_BYTES));
        assert_eq!(strings.concat(), text);
    }
}
