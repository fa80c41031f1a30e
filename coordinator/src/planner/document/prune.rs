//! What goes because a file omits it, each removal listed: identities before hosts before tenants.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::api::{FleetDocument, IpSpec, IpStatus};
use email_engine_protocol::id::{HostId, TenantId};

use super::{DocumentPlan, last};
use crate::command::{
    AllowRemoval, Command, RemoveTenant, RetireHost, RetireIdentity, SteerIdentity, is_on_its_host,
};
use crate::fleet::lifecycle::Event;
use crate::fleet::takes_mail;
use crate::planner::cautions::word;
use crate::planner::routes::works;
use crate::state::{ApiKey, FleetState, Host, HostLifecycle};

/// How long a pruned host has for confirming that its secrets are wiped.
const GRACE_MILLIS: u64 = 10 * 60 * 1000;

/// Before anything is added: a domain may move to another address. Gives those that are kept.
pub(super) fn identities(
    plan: &mut DocumentPlan,
    state: &FleetState,
    document: &FleetDocument,
    wanted: &[IpSpec],
    scope: Option<&TenantId>,
) -> Vec<IpSpec> {
    let named: BTreeSet<_> = document.ips.iter().map(|ip| ip.address).collect();
    let specs = state.identities.values().map(|identity| &identity.spec);
    let is_ours = |ip: &&IpSpec| scope.is_none_or(|tenant| *tenant == ip.tenant);
    let omitted = specs.filter(|ip| is_ours(ip) && !named.contains(&ip.address));
    let omitted: Vec<&IpSpec> = omitted.collect();
    let last = last::of_purpose(document, wanted, &omitted, scope);
    let (kept, going): (Vec<_>, Vec<_>) = omitted
        .into_iter()
        .partition(|ip| last.contains(&ip.address));
    let mut losing = BTreeSet::new();
    for ip in going {
        let command = RetireIdentity {
            address: ip.address,
        };
        plan.remove("ip", &ip.address, Command::RetireIdentity(command));
        let identity = state.identities.get(&ip.address);
        if identity.is_some_and(|identity| is_on_its_host(state, identity)) {
            plan.tell_last(drains_first(ip));
        }
        losing.extend(hosts_that_know(state, ip));
    }
    allow_removals(plan, state, losing, scope);
    kept.into_iter().map(|ip| rest(plan, ip)).collect()
}

/// Keeps the last identity of a purpose, without mail.
fn rest(plan: &mut DocumentPlan, old: &IpSpec) -> IpSpec {
    let mut ip = old.clone();
    if takes_mail(old) {
        (ip.status, ip.reserve) = (IpStatus::Resting, false);
    }
    if plan.compare("ip", &ip.address.to_string(), Some(old), &ip) {
        // By the fleet and not by the file, which may say of it again what it said before.
        plan.commands.push(Command::SteerIdentity(SteerIdentity {
            address: ip.address,
            event: Event::Rest,
            force: false,
            on_host: None,
        }));
    }
    plan.warnings.push(format!(
        "ip {} is kept although the file omits it, and takes no mail: it is the last of tenant {} for \
         purpose {}; `email-engine ips remove {} --last` removes it",
        ip.address,
        ip.tenant,
        word(&ip.purpose),
        ip.address
    ));
    ip
}

fn allow_removals(
    plan: &mut DocumentPlan,
    state: &FleetState,
    losing: BTreeSet<HostId>,
    scope: Option<&TenantId>,
) {
    // The file was applied with the word that what it omits goes: that is the word that a host wants
    // before it removes much of what it has. One tenant does not give it for a host of several.
    let is_own = |id: &HostId| {
        let host = state.hosts.get(id);
        scope.is_none() || host.is_some_and(|host| host.spec.tenant.as_ref() == scope)
    };
    let (losing, shared): (BTreeSet<_>, BTreeSet<_>) = losing.into_iter().partition(is_own);
    if !shared.is_empty() {
        plan.warnings.push(
            "identities are on a host that several tenants share: if it would lose much at once, it \
             waits for the word of an operator of the whole fleet"
                .to_owned(),
        );
    }
    if !losing.is_empty() {
        let command = AllowRemoval { hosts: losing };
        plan.commands.push(Command::AllowRemoval(command));
    }
}

/// What a removal waits for.
fn drains_first(ip: &IpSpec) -> String {
    format!(
        "drains first: {} stays on {} until its queue is empty, and its names are its own until then",
        ip.vmta, ip.host
    )
}

/// Hosts whose desired state has something of this identity.
fn hosts_that_know(state: &FleetState, ip: &IpSpec) -> impl Iterator<Item = HostId> {
    let knows =
        |host: &Host| host.spec.id == ip.host || host.spec.tenant.as_ref() == Some(&ip.tenant);
    let hosts = state
        .hosts
        .values()
        .filter(|host| works(host) && knows(host));
    hosts
        .map(|host| host.spec.id.clone())
        .collect::<Vec<_>>()
        .into_iter()
}

/// After everything else has let go of them; of the whole fleet alone, because no tenant removes its
/// hosts or itself. What the file still needs is not removed although it
/// does not declare it: the host of an identity that it names, the tenant of either.
pub(super) fn hosts_and_tenants(
    plan: &mut DocumentPlan,
    state: &FleetState,
    document: &FleetDocument,
    needed: &[IpSpec],
) {
    let declared: BTreeSet<_> = document.hosts.iter().map(|host| &host.id).collect();
    for (id, _) in state.hosts.iter().filter(|(_, host)| works(host)) {
        let kept = needed.iter().filter(|ip| ip.host == *id);
        let kept: Vec<_> = kept.map(|ip| ip.address).collect();
        if declared.contains(id) {
            continue;
        }
        let draining = draining(state, |ip| ip.host == *id);
        if kept.is_empty() && draining > 0 {
            plan.warnings.push(format!(
                "host {id} is not removed yet: {draining} identities drain there first; apply with \
                 --prune again after that"
            ));
        } else if kept.is_empty() {
            let command = RetireHost {
                host: id.clone(),
                grace_millis: GRACE_MILLIS,
            };
            plan.remove("host", id, Command::RetireHost(command));
        } else {
            plan.warnings.push(format!(
                "host {id} is kept although the file does not declare it: it has {}",
                listed(&kept)
            ));
        }
    }
    tenants(plan, state, document, needed);
}

/// Identities that drain, or would if they left their hosts now.
fn draining(state: &FleetState, is_meant: impl Fn(&IpSpec) -> bool) -> usize {
    let leaving = state.leaving.values().filter(|one| is_meant(one.spec()));
    let placed = state.identities.values();
    let placed = placed.filter(|one| is_meant(&one.spec) && is_on_its_host(state, one));
    leaving.count() + placed.count()
}

fn listed(addresses: &[IpAddr]) -> String {
    const NAMED: usize = 5;
    let named = addresses.iter().take(NAMED).map(IpAddr::to_string);
    let named = named.collect::<Vec<_>>().join(", ");
    match addresses.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn tenants(
    plan: &mut DocumentPlan,
    state: &FleetState,
    document: &FleetDocument,
    needed: &[IpSpec],
) {
    let mut tenants: BTreeSet<_> = document.tenants.iter().map(|tenant| &tenant.id).collect();
    tenants.extend(needed.iter().map(|ip| &ip.tenant));
    tenants.extend(
        document
            .hosts
            .iter()
            .filter_map(|host| host.tenant.as_ref()),
    );
    for id in state.tenants.keys().filter(|id| !tenants.contains(id)) {
        if let Some(reason) = holds(state, id) {
            plan.warnings.push(format!(
                "tenant {id} is not removed yet: {reason}; apply with --prune again after that"
            ));
            continue;
        }
        let command = RemoveTenant { tenant: id.clone() };
        plan.remove("tenant", id, Command::RemoveTenant(command));
    }
}

/// What keeps a tenant although everything of it is told to go.
fn holds(state: &FleetState, tenant: &TenantId) -> Option<String> {
    let wiping = |host: &&Host| {
        host.spec.tenant.as_ref() == Some(tenant)
            && matches!(
                host.lifecycle,
                HostLifecycle::Enrolled | HostLifecycle::Retiring { .. }
            )
    };
    if let Some(host) = state.hosts.values().find(wiping) {
        return Some(format!(
            "host {} has to wipe its secrets first",
            host.spec.id
        ));
    }
    let draining = draining(state, |ip| ip.tenant == *tenant);
    if draining > 0 {
        return Some(format!("{draining} of its identities drain first"));
    }
    let live = |key: &&ApiKey| key.tenant.as_ref() == Some(tenant) && key.revoked_at.is_none();
    let key = state.api_keys.values().find(live)?;
    Some(format!(
        "API key {} is bound to it and has to be revoked",
        key.id
    ))
}
