//! The last identity of a purpose, which a file that merely omits it does not end.
//!
//! With it would go the key that its published record belongs to and what it reached in the warm-up, and
//! nobody could send for the purpose before another is published and warmed. So it is kept, resting,
//! until somebody removes it by its name. Where it stands in the way of what the file says, or goes with
//! its host or tenant, the file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::{FleetDocument, IpSpec, IpStatus, Purpose};
use email_engine_protocol::id::{HostId, TenantId};

use crate::fleet::takes_mail;
use crate::state::FleetState;

/// Of the identities that a file omits, those that are the last of their purpose.
pub(super) fn of_purpose(
    document: &FleetDocument,
    wanted: &[IpSpec],
    going: &[&IpSpec],
    scope: Option<&TenantId>,
) -> BTreeSet<IpAddr> {
    let fleet = Remains::of(document, wanted, scope);
    let served = wanted.iter().filter(|ip| takes_mail(ip));
    let served: BTreeSet<(&TenantId, Purpose)> =
        served.map(|ip| (&ip.tenant, ip.purpose)).collect();
    let mut last: BTreeMap<(&TenantId, Purpose), &IpSpec> = BTreeMap::new();
    for ip in going.iter().copied() {
        let owned = (&ip.tenant, ip.purpose);
        if rank(ip).is_none() || served.contains(&owned) || !fleet.has_room_for(ip) {
            continue;
        }
        let best = last.entry(owned).or_insert(ip);
        if rank(ip) > rank(best) {
            *best = ip;
        }
    }
    last.into_values().map(|ip| ip.address).collect()
}

/// Whether a tenant's purpose has nobody that sends once this identity is gone, or, where nobody sends
/// already, nobody that could be taken up again.
#[must_use]
pub fn is_last_of_purpose(state: &FleetState, ip: &IpSpec) -> bool {
    let others = state.identities.values().map(|identity| &identity.spec);
    let mut others = others.filter(|other| {
        other.address != ip.address && (&other.tenant, other.purpose) == (&ip.tenant, ip.purpose)
    });
    let stands_in = |other: &IpSpec| match takes_mail(ip) {
        true => takes_mail(other),
        false => rank(other).is_some(),
    };
    rank(ip).is_some() && !others.any(stands_in)
}

/// How soon it could serve its purpose again; what never has, or is on its way out, is not kept.
fn rank(ip: &IpSpec) -> Option<(u8, u32)> {
    let status = match ip.status {
        IpStatus::Active => 4,
        IpStatus::Warming => 3,
        IpStatus::Resting => 2,
        IpStatus::Quarantine => 1,
        IpStatus::Retiring | IpStatus::Standby => return None,
    };
    Some((status, ip.phase.daily_quota()))
}

/// What stays of a fleet that is pruned.
struct Remains<'a> {
    /// None: all of them.
    tenants: Option<BTreeSet<&'a TenantId>>,
    hosts: Option<BTreeSet<&'a HostId>>,
    wanted: &'a [IpSpec],
}

impl<'a> Remains<'a> {
    fn of(document: &'a FleetDocument, wanted: &'a [IpSpec], scope: Option<&TenantId>) -> Self {
        let of_hosts = document.hosts.iter();
        let mut tenants: BTreeSet<_> = document.tenants.iter().map(|tenant| &tenant.id).collect();
        tenants.extend(of_hosts.clone().filter_map(|host| host.tenant.as_ref()));
        tenants.extend(wanted.iter().map(|ip| &ip.tenant));
        let mut hosts: BTreeSet<_> = of_hosts.map(|host| &host.id).collect();
        hosts.extend(wanted.iter().map(|ip| &ip.host));
        // A tenant's own file says nothing of either.
        let whole = scope.is_none();
        Self {
            tenants: whole.then_some(tenants),
            hosts: whole.then_some(hosts),
            wanted,
        }
    }

    fn has_room_for(&self, ip: &IpSpec) -> bool {
        let takes_its_place = |other: &IpSpec| {
            other.domain == ip.domain
                || other.hostname == ip.hostname
                || other.vmta == ip.vmta
                || (other.pool == ip.pool && (&other.host, &other.tenant) != (&ip.host, &ip.tenant))
        };
        self.tenants
            .as_ref()
            .is_none_or(|tenants| tenants.contains(&ip.tenant))
            && self
                .hosts
                .as_ref()
                .is_none_or(|hosts| hosts.contains(&ip.host))
            && !self.wanted.iter().any(takes_its_place)
    }
}
