//! The records of one identity.

use std::net::IpAddr;

use email_engine_protocol::api::{DomainRecord, IpSpec, TenantSpec};
use email_engine_protocol::mail::DomainName;

use super::{Data, Part, Wanted, keys, reverse_name};
use crate::state::{HOST_NAME_LABEL, Host, INBOUND_MX_LABEL, Identity};

/// Of the exchangers of a domain ours is the only one.
const PREFERENCE: u16 = 10;

/// The records of one identity on its host, each in presentation form.
#[must_use]
pub fn wanted_records(
    identity: &Identity,
    tenant: &TenantSpec,
    host: Option<&Host>,
) -> Vec<DomainRecord> {
    let wanted = wanted(identity, tenant, host);
    wanted.iter().map(Wanted::record).collect()
}

/// The records of one identity on its host.
#[must_use]
pub fn wanted(identity: &Identity, tenant: &TenantSpec, host: Option<&Host>) -> Vec<Wanted> {
    let spec = &identity.spec;
    let (domain, hostname) = (spec.domain.as_str(), spec.hostname.as_str());
    let (address, mechanism) = match spec.address {
        IpAddr::V4(address) => (Data::A(address), "ip4"),
        IpAddr::V6(address) => (Data::Aaaa(address), "ip6"),
    };
    let policy = || Data::Txt(format!("v=spf1 {mechanism}:{} -all", spec.address));
    let mut records = vec![Wanted::new(hostname, Part::Address, address.clone())];
    if hostname != domain {
        records.push(Wanted::new(domain, Part::Address, address));
    }
    records.extend(host.and_then(|host| exchanger(spec, host)).map(|name| {
        let data = Data::Mx {
            preference: PREFERENCE,
            exchanger: name.to_owned(),
        };
        Wanted::new(domain, Part::Exchanger, data)
    }));
    records.push(Wanted::new(domain, Part::Spf, policy()));
    if hostname != domain {
        // The name in EHLO is what a bounce's empty envelope sender is checked by.
        records.push(Wanted::new(hostname, Part::Spf, policy()));
    }
    records.extend(keys(identity));
    records.extend(dmarc(&spec.domain, &spec.zone, tenant));
    let pointer = Data::Ptr(hostname.to_owned());
    let reverse = reverse_name(spec.address);
    records.push(Wanted::new(reverse, Part::Pointer, pointer));
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
fn dmarc(domain: &DomainName, zone: &DomainName, tenant: &TenantSpec) -> Vec<Wanted> {
    let text = |name: String, part, text: &str| Wanted::new(name, part, Data::Txt(text.to_owned()));
    let name = format!("_dmarc.{domain}");
    let Some(reports) = &tenant.dmarc_rua else {
        return vec![text(name, Part::Dmarc, "v=DMARC1; p=none")];
    };
    let policy = format!("v=DMARC1; p=none; rua=mailto:{reports}");
    let mut records = vec![text(name, Part::Dmarc, &policy)];
    let to = &reports.domain;
    // Reports to another organisation are sent only if that one agrees (RFC 9990).
    if !(to.is_within(zone) || zone.is_within(to)) {
        let consent = format!("{domain}._report._dmarc.{to}");
        records.push(text(consent, Part::Consent, "v=DMARC1"));
    }
    records
}
