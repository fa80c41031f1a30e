//! What a tenant's declaration must be, whether it is new or changed.

use email_engine_protocol::api::TenantSpec;
use email_engine_protocol::mail::DomainName;

use crate::command::Rejection;
use crate::command::RejectionCode::{BrandDomain, Duplicate};
use crate::command::refuse::{at_most, refuse, text};
use crate::state::{ClaimKind, FleetState, with_ancestors};

/// Most brand or link domains of one tenant.
const DOMAINS: usize = 1_000;

pub(super) fn check(state: &FleetState, spec: &TenantSpec) -> Result<(), Rejection> {
    text("name", &spec.name)?;
    at_most("brand_domains", spec.brand_domains.len(), DOMAINS)?;
    at_most("link_domains", spec.link_domains.len(), DOMAINS)?;
    for brand in &spec.brand_domains {
        brand_does_not_send(state, brand)?;
    }
    for other in state.tenants.values().filter(|other| other.id != spec.id) {
        shares_nothing(
            "brand_domains",
            spec.brand_domains.intersection(&other.brand_domains),
        )?;
        shares_nothing(
            "link_domains",
            spec.link_domains.intersection(&other.link_domains),
        )?;
    }
    Ok(())
}

/// Invariant 3 from the tenant's side: what sends already cannot become a brand domain, nor can what
/// lies below it.
fn brand_does_not_send(state: &FleetState, brand: &DomainName) -> Result<(), Rejection> {
    let drains = |name: &DomainName| {
        let claim = (ClaimKind::Domain, name.to_string());
        state.lookup.leaving.contains_key(&claim)
    };
    let sends = |name: &DomainName| state.lookup.domains.contains_key(name) || drains(name);
    match with_ancestors(brand).find(sends) {
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
fn shares_nothing<'a>(
    field: &str,
    mut shared: impl Iterator<Item = &'a DomainName>,
) -> Result<(), Rejection> {
    shared.next().map_or(Ok(()), |domain| {
        let accepted = "a domain that no other tenant has";
        Err(refuse(Duplicate, field, domain, accepted))
    })
}
