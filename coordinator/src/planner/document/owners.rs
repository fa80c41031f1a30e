//! What belongs to at most one identity in the whole fleet, and to at most one tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::{HostSpec, IpSpec};
use email_engine_protocol::id::{HostId, PoolName, TenantId};

use super::{Wanted, reject};
use crate::command::Rejection;
use crate::command::RejectionCode::{BrandDomain, Duplicate, PoolMismatch};
use crate::state::FleetState;

/// Checks identities of the file against each other, and against those that stay beside them: these are
/// looked up, because a file of one identity must not cost a walk through the fleet.
/// `prune` is the scope within which what the file omits would go.
pub(super) fn check(
    state: &FleetState,
    identities: &[IpSpec],
    wanted: &Wanted<'_>,
    prune: Option<Option<&TenantId>>,
) -> Result<(), Rejection> {
    let fleet = Beside::new(state, identities, prune);
    let mut owners = Owners::default();
    let mut machines: BTreeMap<IpAddr, Vec<&HostSpec>> = BTreeMap::new();
    for host in wanted.hosts.values() {
        for address in &host.addresses {
            machines.entry(*address).or_default().push(host);
        }
    }
    for (index, ip) in identities.iter().enumerate() {
        let place = format!("ips[{index}]");
        owners.take(&place, ip, &fleet)?;
        brand(&place, ip, wanted)?;
        for host in machines.get(&ip.address).into_iter().flatten() {
            let accepted = match () {
                () if host.id != ip.host => "it is the address of a host".to_owned(),
                () if host.addresses.first() == Some(&ip.address) => {
                    format!("it is the admin address of host {}", host.id)
                }
                () => continue,
            };
            let field = format!("{place}.address");
            return Err(reject(Duplicate, field, &ip.address, accepted));
        }
    }
    Ok(())
}

/// The identities that stay beside those of the file.
struct Beside<'a> {
    state: &'a FleetState,
    named: BTreeSet<IpAddr>,
    prune: Option<Option<&'a TenantId>>,
    /// How many of each pool do not stay where they are.
    moved: BTreeMap<&'a PoolName, u32>,
}

impl<'a> Beside<'a> {
    fn new(
        state: &'a FleetState,
        identities: &[IpSpec],
        prune: Option<Option<&'a TenantId>>,
    ) -> Self {
        let mut fleet = Self {
            state,
            named: identities.iter().map(|ip| ip.address).collect(),
            prune,
            moved: BTreeMap::new(),
        };
        let named = fleet.named.iter().filter_map(|at| state.identities.get(at));
        let mut moved: Vec<_> = named.collect();
        if prune.is_some() {
            let all = state.identities.values();
            moved.extend(all.filter(|one| fleet.goes(&one.spec)));
        }
        for identity in moved {
            *fleet.moved.entry(&identity.spec.pool).or_default() += 1;
        }
        fleet
    }

    /// Whether the file removes it.
    fn goes(&self, ip: &IpSpec) -> bool {
        let within = |scope: Option<&TenantId>| scope.is_none_or(|tenant| *tenant == ip.tenant);
        !self.named.contains(&ip.address) && self.prune.is_some_and(within)
    }

    /// Whether one that stays has what this identity asks for. A sender is of its domain.
    fn has(&self, field: &str, ip: &IpSpec) -> bool {
        let lookup = &self.state.lookup;
        let holder = match field {
            "domain" => lookup.domains.get(&ip.domain),
            "hostname" => lookup.hostnames.get(&ip.hostname),
            "vmta" => lookup.vmtas.get(&ip.vmta),
            _ => None,
        };
        let holder = holder.and_then(|holder| self.state.identities.get(holder));
        holder.is_some_and(|one| !self.named.contains(&one.spec.address) && !self.goes(&one.spec))
    }

    /// Whose a pool is, and where, while any of it stays.
    fn pool(&self, name: &PoolName) -> Option<(TenantId, HostId)> {
        let members = self.state.lookup.members.get(name).copied();
        let moved = self.moved.get(name).copied();
        let stays = members.unwrap_or_default() > moved.unwrap_or_default();
        let pool = self.state.pools.get(name).filter(|_| stays)?;
        Some((pool.tenant.clone(), pool.host.clone()))
    }
}

/// A brand domain, or what is above one, never sends.
fn brand(place: &str, ip: &IpSpec, wanted: &Wanted<'_>) -> Result<(), Rejection> {
    for tenant in wanted.tenants.values() {
        for brand in &tenant.brand_domains {
            if brand.is_within(&ip.domain) {
                return Err(reject(
                    BrandDomain,
                    format!("{place}.domain"),
                    &ip.domain,
                    "it is a brand domain or above one, and never sends; one below may",
                ));
            }
        }
    }
    Ok(())
}

/// Who of the file has what, by kind and value.
#[derive(Default)]
struct Owners {
    singles: BTreeMap<(&'static str, String), String>,
    pools: BTreeMap<PoolName, (TenantId, HostId)>,
}

impl Owners {
    fn take(&mut self, place: &str, ip: &IpSpec, fleet: &Beside<'_>) -> Result<(), Rejection> {
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
            let owner = owner.or_else(|| fleet.has(field, ip).then(|| "the fleet".to_owned()));
            if let Some(owner) = owner {
                return Err(reject(
                    Duplicate,
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
            .or_insert_with(|| fleet.pool(&ip.pool).unwrap_or_else(|| mine.clone()));
        if *pool != mine {
            return Err(reject(
                PoolMismatch,
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
