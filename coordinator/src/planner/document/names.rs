//! Names that a key which is bound to a tenant may take. What is published for an identity is published in the
//! name of everything above it: whoever signs as `www.example.com` is aligned with the DMARC of `example.com`. So
//! such a key takes no name in what another tenant has, and is the first of its tenant in no zone that somebody
//! else is in or that the fleet changes itself. Where tenants do share one, whoever runs the fleet adds the first.

use std::collections::BTreeSet;

use email_engine_protocol::api::{IpSpec, TenantSpec};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;

use super::reject;
use crate::command::{Rejection, RejectionCode};
use crate::state::{FleetState, with_ancestors};

const NAME: &str = "a name that is neither below nor above one of another tenant; who runs the fleet may say otherwise";
const ZONE: &str = "a zone of this tenant alone; the first identity of a tenant in a zone that others are in, or that \
                    this cluster changes, is added by who runs the fleet";

/// `identities` stand in the order of the document.
pub(super) fn check(
    state: &FleetState,
    identities: &[IpSpec],
    tenant: &TenantId,
) -> Result<(), Rejection> {
    let names = |ip: &IpSpec| (ip.domain.clone(), ip.hostname.clone(), ip.zone.clone());
    let is_new = |ip: &IpSpec| {
        let known = state.identities.get(&ip.address);
        known.is_none_or(|known| names(&known.spec) != names(ip))
    };
    let new: Vec<_> = identities.iter().enumerate().collect();
    let new: Vec<_> = new.into_iter().filter(|(_, ip)| is_new(ip)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let taken = Taken::of(state, tenant, &new);
    for (index, ip) in new {
        let refused = |field: &str, value: &DomainName, accepted| {
            let field = format!("ips[{index}].{field}");
            Err(reject(RejectionCode::ForeignTenant, field, value, accepted))
        };
        if taken.has(&ip.domain, false) {
            return refused("domain", &ip.domain, NAME);
        }
        if taken.has(&ip.hostname, true) {
            return refused("hostname", &ip.hostname, NAME);
        }
        if taken.zones.contains(&ip.zone) {
            return refused("zone", &ip.zone, ZONE);
        }
    }
    Ok(())
}

/// What others have of what is asked for.
struct Taken<'a> {
    state: &'a FleetState,
    tenant: &'a TenantId,
    /// Brands of others, those left out that this tenant sends below already.
    brands: BTreeSet<&'a DomainName>,
    /// Names that are asked for and have a sending domain of others below them.
    above: BTreeSet<DomainName>,
    /// Zones that are asked for and are none of this tenant's.
    zones: BTreeSet<DomainName>,
}

impl<'a> Taken<'a> {
    fn of(state: &'a FleetState, tenant: &'a TenantId, new: &[(usize, &IpSpec)]) -> Self {
        let asked: BTreeSet<_> = new
            .iter()
            .flat_map(|(_, ip)| [&ip.domain, &ip.hostname])
            .collect();
        let asked_zones: BTreeSet<_> = new.iter().map(|(_, ip)| &ip.zone).collect();
        let declared = &state.dns_zones.declared;
        let mut zones: BTreeSet<_> = asked_zones
            .iter()
            .filter(|zone| declared.contains_key(**zone))
            .map(|zone| (*zone).clone())
            .collect();
        let mut above = BTreeSet::new();
        for other in state.identities.values() {
            let spec = &other.spec;
            if spec.tenant == *tenant {
                continue;
            }
            let over = with_ancestors(&spec.domain).skip(1);
            above.extend(over.filter(|name| asked.contains(name)));
            if asked_zones.contains(&spec.zone) {
                zones.insert(spec.zone.clone());
            }
        }
        for own in state.identities_of(tenant) {
            zones.remove(&own.spec.zone);
        }
        let sends_below = |brand: &DomainName| {
            let mut own = state.identities_of(tenant);
            own.any(|own| own.spec.domain.is_within(brand))
        };
        let others = state.tenants.values().filter(|one| one.id != *tenant);
        let brands = others.flat_map(|one: &TenantSpec| &one.brand_domains);
        Self {
            state,
            tenant,
            brands: brands.filter(|brand| !sends_below(brand)).collect(),
            above,
            zones,
        }
    }

    /// Whether it is below or above what others have; the same as a sending domain of theirs too where that is
    /// not refused as a double anyway.
    fn has(&self, name: &DomainName, or_same: bool) -> bool {
        let sends = |above: &DomainName| {
            let holder = self.state.lookup.domains.get(above);
            let holder = holder.and_then(|holder| self.state.identities.get(holder));
            holder.is_some_and(|holder| holder.spec.tenant != *self.tenant)
        };
        let mut over = with_ancestors(name).skip(usize::from(!or_same));
        self.above.contains(name)
            || over.any(|above| sends(&above))
            || with_ancestors(name).any(|above| self.brands.contains(&above))
    }
}
