//! What belongs to at most one identity in the whole fleet, and to at most one tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::{HostId, PoolName, TenantId};

use super::{Wanted, reject};
use crate::command::{Rejection, RejectionCode};
use crate::state::FleetState;

/// Checks identities of the file against each other, and against those that stay beside them.
/// `prune` is the scope within which what the file omits would go.
pub(super) fn check(
    state: &FleetState,
    identities: &[IpSpec],
    wanted: &Wanted<'_>,
    prune: Option<Option<&TenantId>>,
) -> Result<(), Rejection> {
    let named: BTreeSet<IpAddr> = identities.iter().map(|ip| ip.address).collect();
    let goes =
        |ip: &IpSpec| prune.is_some_and(|scope| scope.is_none_or(|tenant| *tenant == ip.tenant));
    let mut owners = Owners::default();
    for identity in state.identities.values() {
        let ip = &identity.spec;
        if !named.contains(&ip.address) && !goes(ip) {
            owners.take("the fleet", ip, false)?;
        }
    }
    for (index, ip) in identities.iter().enumerate() {
        let place = format!("ips[{index}]");
        owners.take(&place, ip, true)?;
        brand(&place, ip, wanted)?;
        for host in wanted.hosts.values() {
            if host.addresses.contains(&ip.address) && host.id != ip.host {
                return Err(reject(
                    RejectionCode::Duplicate,
                    format!("{place}.address"),
                    &ip.address,
                    "it is the address of a host",
                ));
            }
            if host.id == ip.host && host.addresses.first() == Some(&ip.address) {
                return Err(reject(
                    RejectionCode::Duplicate,
                    format!("{place}.address"),
                    &ip.address,
                    format!("it is the admin address of host {}", host.id),
                ));
            }
        }
    }
    Ok(())
}

/// A brand domain, or what is above one, never sends.
fn brand(place: &str, ip: &IpSpec, wanted: &Wanted<'_>) -> Result<(), Rejection> {
    for tenant in wanted.tenants.values() {
        for brand in &tenant.brand_domains {
            if brand.is_within(&ip.domain) {
                return Err(reject(
                    RejectionCode::BrandDomain,
                    format!("{place}.domain"),
                    &ip.domain,
                    "it is a brand domain or above one, and never sends; one below may",
                ));
            }
        }
    }
    Ok(())
}

/// Who has what, by kind and value.
#[derive(Default)]
struct Owners {
    singles: BTreeMap<(&'static str, String), String>,
    pools: BTreeMap<PoolName, (TenantId, HostId)>,
}

impl Owners {
    fn take(&mut self, place: &str, ip: &IpSpec, strict: bool) -> Result<(), Rejection> {
        let singles = [
            ("address", ip.address.to_string()),
            // Before the host name, which is the domain where a file says none.
            ("domain", ip.domain.to_string()),
            ("hostname", ip.hostname.to_string()),
            ("sender", ip.sender_address().to_string()),
            ("vmta", ip.vmta.to_string()),
        ];
        for (field, value) in singles {
            let owner = self
                .singles
                .insert((field, value.clone()), place.to_owned());
            if let Some(owner) = owner.filter(|_| strict) {
                return Err(reject(
                    RejectionCode::Duplicate,
                    format!("{place}.{field}"),
                    &value,
                    format!("{owner} has it already; it belongs to one identity"),
                ));
            }
        }
        let mine = (ip.tenant.clone(), ip.host.clone());
        let pool = self
            .pools
            .entry(ip.pool.clone())
            .or_insert_with(|| mine.clone());
        if strict && *pool != mine {
            return Err(reject(
                RejectionCode::PoolMismatch,
                format!("{place}.pool"),
                &ip.pool,
                format!(
                    "a pool holds identities of one tenant on one host, and this one holds those of \
                     {}: give this identity another `pool`",
                    if pool.0 == mine.0 {
                        format!("host {}", pool.1)
                    } else {
                        "another tenant".to_owned()
                    }
                ),
            ));
        }
        Ok(())
    }
}
