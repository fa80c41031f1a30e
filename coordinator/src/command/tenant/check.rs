//! What a tenant's declaration must be, whether it is new or changed.

use std::collections::BTreeSet;

use email_engine_protocol::api::TenantSpec;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::{DomainName, MailAddress};

use crate::command::Rejection;
use crate::command::RejectionCode::{BrandDomain, Duplicate, Invalid};
use crate::command::refuse::{at_most, refuse, text};
use crate::fleet::rotation::Pace;
use crate::fleet::warmup;
use crate::state::{ClaimKind, FleetState, HOST_NAME_LABEL, Host, Table, with_ancestors};

/// Most brand or link domains of one tenant.
const DOMAINS: usize = 1_000;
/// Most receivers at which a tenant's feedback loops are enrolled.
const LOOPS: usize = 100;

pub(super) fn check(state: &FleetState, spec: &TenantSpec) -> Result<(), Rejection> {
    text("name", &spec.name)?;
    at_most("brand_domains", spec.brand_domains.len(), DOMAINS)?;
    at_most("link_domains", spec.link_domains.len(), DOMAINS)?;
    warms_up(state, spec)?;
    rotates(spec)?;
    for brand in &spec.brand_domains {
        brand_does_not_send(state, brand)?;
    }
    if let Some(mailbox) = &spec.inbound_mailbox {
        mailbox_is_elsewhere(state, mailbox)?;
    }
    let (brands, links) = (&state.lookup.brands, &state.lookup.links);
    is_nobody_elses("brand_domains", (&spec.brand_domains, brands), &spec.id)?;
    is_nobody_elses("link_domains", (&spec.link_domains, links), &spec.id)
}

/// A tenant's warm-up is at least as tight as the fleet's. Settings that are there already stay good when the
/// fleet's become tighter: whichever is tighter counts.
fn warms_up(state: &FleetState, spec: &TenantSpec) -> Result<(), Rejection> {
    at_most(
        "warmup.feedback_loops",
        spec.warmup.feedback_loops.len(),
        LOOPS,
    )?;
    let current = state.tenants.get(&spec.id);
    if current.is_some_and(|current| current.warmup == spec.warmup) {
        return Ok(());
    }
    let fleet = warmup::fleet_settings(state);
    fleet.permits(&spec.warmup).map_err(|bound| {
        let field = format!("warmup.{}", bound.field);
        refuse(Invalid, field, &bound.value, bound.accepted)
    })
}

/// A tenant's keys are changed at least as often as the fleet's.
fn rotates(spec: &TenantSpec) -> Result<(), Rejection> {
    let (least, most) = (Pace::LEAST_DAYS, Pace::MOST_DAYS);
    match spec.dkim_rotation_days {
        Some(days) if !(least..=most).contains(&days) => {
            let accepted = format!("{least} to {most}, which is the fleet's; or nothing");
            Err(refuse(Invalid, "dkim_rotation_days", &days, accepted))
        }
        _ => Ok(()),
    }
}

/// Whether a domain is an identity's, also of one that drains.
fn sends(state: &FleetState, name: &DomainName) -> bool {
    let claim = (ClaimKind::Domain, name.to_string());
    state.lookup.domains.contains_key(name) || state.lookup.leaving.contains_key(&claim)
}

/// Mail to a sending domain, or to a host's own name, comes to the fleet's hosts: what they forward to
/// such a mailbox comes back to them. It would be dropped, and with it what others are written.
fn mailbox_is_elsewhere(state: &FleetState, mailbox: &MailAddress) -> Result<(), Rejection> {
    let is_name = |host: &Host| {
        let name = host.spec.labels.get(HOST_NAME_LABEL);
        name.is_some_and(|name| name.eq_ignore_ascii_case(mailbox.domain.as_str()))
    };
    let what = if sends(state, &mailbox.domain) {
        "sending domain"
    } else if state.live_hosts().any(|(_, host)| is_name(host)) {
        "host's name"
    } else {
        return Ok(());
    };
    let accepted = format!(
        "a mailbox elsewhere: {} is a {what} of this fleet, and what is forwarded there would come back",
        mailbox.domain
    );
    Err(refuse(Invalid, "inbound_mailbox", mailbox, accepted))
}

/// Invariant 3 from the tenant's side: what sends already cannot become a brand domain, nor can what
/// lies below it.
fn brand_does_not_send(state: &FleetState, brand: &DomainName) -> Result<(), Rejection> {
    match with_ancestors(brand).find(|name| sends(state, name)) {
        None => Ok(()),
        Some(sending) => {
            let accepted = format!(
                "a domain that neither sends nor lies below one that does: {sending} is a sending \
                 domain of this fleet"
            );
            Err(refuse(BrandDomain, "brand_domains", brand, accepted))
        }
    }
}

/// Invariant 2; who has the domain is not told.
fn is_nobody_elses(
    field: &str,
    (domains, owners): (&BTreeSet<DomainName>, &Table<DomainName, TenantId>),
    tenant: &TenantId,
) -> Result<(), Rejection> {
    let is_anothers = |domain: &&DomainName| owners.get(*domain).is_some_and(|it| it != tenant);
    domains.iter().find(is_anothers).map_or(Ok(()), |domain| {
        let accepted = "a domain that no other tenant has";
        Err(refuse(Duplicate, field, domain, accepted))
    })
}
