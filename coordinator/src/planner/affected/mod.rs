//! Whose plan a change can have touched, so that one address more does not cost a plan of every host.
//!
//! Said from the tables alone, and rather of too many hosts than of too few: rows that say where they belong
//! touch those hosts, tables that no plan reads touch nobody, and a change of anything else touches everybody.
//! What comes for each host or tenant of a fleet, such as a certificate or an agent's keys, must not touch
//! everybody: a hundred of them would plan each of a hundred hosts a hundred times.
//! That it is never too few is a law, held against plans that are made (`tests/planner/affected`).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::id::{HostId, Role, SecretId, TenantId};
use email_engine_protocol::mail::DomainName;

use super::routes::works;
use crate::state::{FleetState, Host, Identity, Table};

/// Whose plan may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Everybody's.
    Everybody,
    /// That of these hosts.
    Hosts(BTreeSet<HostId>),
}

impl Affected {
    /// Whether a host's may.
    #[must_use]
    pub fn has(&self, host: &HostId) -> bool {
        match self {
            Self::Everybody => true,
            Self::Hosts(hosts) => hosts.contains(host),
        }
    }
}

/// Whose plan may differ between two states of one fleet.
#[must_use]
pub fn affected(before: &FleetState, after: &FleetState) -> Affected {
    if !is_same_for_all(before, after) {
        return Affected::Everybody;
    }
    let both = [before, after];
    let mut touched = Touched::default();
    let (was, is) = (&before.identities, &after.identities);
    changed(was, is, Arc::ptr_eq, |_, one| touched.identity(both, one));
    let (was, is) = (&before.leaving, &after.leaving);
    changed(was, is, Arc::ptr_eq, |_, one| {
        touched.identity(both, &one.identity)
    });
    // Who takes whose place.
    let (was, is) = (&before.failover.events, &after.failover.events);
    changed(was, is, Arc::ptr_eq, |_, event| {
        touched.tenants.insert(event.tenant.clone());
    });
    let mut others = BTreeSet::new();
    let (was, is) = (&before.tenants, &after.tenants);
    changed(was, is, PartialEq::eq, |tenant, _| {
        others.insert(tenant.clone());
    });
    touched.tenants_are_others(both, &others);
    let (was, is) = (
        &before.submission_certificates,
        &after.submission_certificates,
    );
    changed(was, is, PartialEq::eq, |host, _| touched.relay(both, host));
    let mut is_elsewhere = false;
    let (was, is) = (&before.secrets, &after.secrets);
    changed(was, is, Arc::ptr_eq, |id, _| {
        is_elsewhere |= !touched.by_secret(both, id);
    });
    if is_elsewhere {
        return Affected::Everybody;
    }
    let mut own = |host: &HostId| {
        touched.hosts.insert(host.clone());
    };
    let (was, is) = (&before.given_up, &after.given_up);
    changed(was, is, PartialEq::eq, |host, _| own(host));
    let (was, is) = (&before.attempts, &after.attempts);
    changed(was, is, PartialEq::eq, |host, _| own(host));
    let (was, is) = (&before.restart_allowed, &after.restart_allowed);
    changed(was, is, PartialEq::eq, |host, _| own(host));
    // What others read of it is the same.
    let (was, is) = (&before.hosts, &after.hosts);
    changed(was, is, PartialEq::eq, |host, _| own(host));
    Affected::Hosts(touched.all(after))
}

/// Who was found.
#[derive(Default)]
struct Touched {
    hosts: BTreeSet<HostId>,
    tenants: BTreeSet<TenantId>,
}

impl Touched {
    fn by(&mut self, identity: &Identity) {
        if !self.hosts.contains(&identity.spec.host) {
            self.hosts.insert(identity.spec.host.clone());
        }
        if !self.tenants.contains(&identity.spec.tenant) {
            self.tenants.insert(identity.spec.tenant.clone());
        }
    }

    /// A relay is another for whoever submits to it.
    fn relay(&mut self, both: [&FleetState; 2], host: &HostId) {
        self.hosts.insert(host.clone());
        for state in both {
            state.identities_on(host).for_each(|one| self.by(one));
        }
    }

    /// An identity is another, and with it whether what drains elsewhere has its address.
    fn identity(&mut self, both: [&FleetState; 2], identity: &Identity) {
        self.by(identity);
        for state in both {
            let drains = state.leaving_from(identity.spec.address);
            drains.for_each(|one| self.by(&one.identity));
        }
    }

    /// Tenants are others: for their own hosts, and where their identities are.
    fn tenants_are_others(&mut self, both: [&FleetState; 2], tenants: &BTreeSet<TenantId>) {
        if tenants.is_empty() {
            return;
        }
        self.tenants.extend(tenants.iter().cloned());
        for state in both {
            let living = tenants
                .iter()
                .flat_map(|tenant| state.identities_of(tenant));
            let leaving = state.leaving.values().map(|one| &one.identity);
            let leaving = leaving.filter(|one| tenants.contains(&one.spec.tenant));
            let living = living.map(|one| &**one);
            living.chain(leaving).for_each(|one| self.by(one));
            let own = state.hosts.iter().filter(|(_, host)| {
                let tenant = host.spec.tenant.as_ref();
                tenant.is_some_and(|tenant| tenants.contains(tenant))
            });
            self.hosts.extend(own.map(|(id, _)| id.clone()));
        }
    }

    /// Those who are given a secret of this name, or told that it is there; whether it is known who they are.
    fn by_secret(&mut self, both: [&FleetState; 2], id: &SecretId) -> bool {
        let mut parts = id.as_str().splitn(3, '/');
        let (Some(kind), Some(whose), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        match kind {
            // Where no identity has it any more, the identity's own row was touched.
            "dkim" => {
                let Ok(domain) = DomainName::new(whose) else {
                    return false;
                };
                for state in both {
                    let address = state.lookup.domains.get(&domain);
                    let identity = address.and_then(|address| state.identities.get(address));
                    identity.into_iter().for_each(|one| self.by(one));
                }
                true
            }
            "tls" => HostId::new(whose).is_ok_and(|host| {
                self.relay(both, &host);
                true
            }),
            "database" | "host" => HostId::new(whose).is_ok_and(|host| {
                self.hosts.insert(host);
                true
            }),
            "tenant" => TenantId::new(whose).is_ok_and(|tenant| {
                self.tenants.insert(tenant);
                true
            }),
            _ => false,
        }
    }

    /// With the hosts that submit for those tenants, or show what they are. Hosts that relay know the
    /// identities that are placed on them, and no others.
    fn all(mut self, state: &FleetState) -> BTreeSet<HostId> {
        if self.tenants.is_empty() {
            return self.hosts;
        }
        let others = state.hosts.iter().filter(|(_, host)| {
            let tenant = host.spec.tenant.as_ref();
            host.spec.role != Role::Powermta && tenant.is_none_or(|one| self.tenants.contains(one))
        });
        self.hosts.extend(others.map(|(id, _)| id.clone()));
        self.hosts
    }
}

/// Calls for each row that one of both has and the other has not, or differently.
fn changed<K: Ord, V>(
    was: &Table<K, V>,
    is: &Table<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
    mut each: impl FnMut(&K, &V),
) {
    if was.is_copy_of(is) {
        return;
    }
    let (mut was, mut is) = (was.iter().peekable(), is.iter().peekable());
    loop {
        let order = match (was.peek(), is.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let gone = if order.is_le() { was.next() } else { None };
        let come = if order.is_ge() { is.next() } else { None };
        match (gone, come) {
            (Some((_, old)), Some((_, new))) if is_same(old, new) => {}
            (gone, come) => gone.into_iter().chain(come).for_each(|(k, v)| each(k, v)),
        }
    }
}

/// Whether everything is the same that a plan may read and that is not one host's or one identity's. Every
/// table is named here, so that a new one is thought about.
fn is_same_for_all(before: &FleetState, after: &FleetState) -> bool {
    let FleetState {
        cluster,
        tenants,
        hosts,
        nodes,
        bundles,
        settings,
        restored,
        submission_authority,
        artifacts,
        artifact_names,
        // Looked at by row.
        identities: _,
        leaving: _,
        given_up: _,
        secrets: _,
        attempts: _,
        restart_allowed: _,
        submission_certificates: _,
        failover: _,
        // Follows from the rest.
        lookup: _,
        // Read by no plan.
        pools: _,
        now: _,
        revision: _,
        prepared_keys: _,
        next_prepared_key: _,
        tokens: _,
        api_keys: _,
        certificates: _,
        revoked: _,
        next_node: _,
        targets: _,
        removal_allowed: _,
        target_bodies: _,
        last_generations: _,
        bodies: _,
        default_release: _,
        outcomes: _,
        audit: _,
        next_audit: _,
        remembered: _,
        remembered_order: _,
        campaigns: _,
        campaigns_order: _,
        reserved: _,
        accounting: _,
        departed: _,
        held: _,
        foreign_plans: _,
        dns_looks: _,
        listings: _,
        alerts: _,
        dns_zones: _,
        held_campaigns: _,
        unlimited: _,
    } = before;
    let vouches = |state: &FleetState| {
        let record = state.submission_authority.clone();
        record.map(|record| record.authority.clone())
    };
    *cluster == after.cluster
        && (tenants.len() == 1) == (after.tenants.len() == 1)
        && looks_the_same(hosts, &after.hosts)
        && *nodes == after.nodes
        && *bundles == after.bundles
        && *settings == after.settings
        && *restored == after.restored
        && (*submission_authority == after.submission_authority
            || vouches(before) == vouches(after))
        && *artifacts == after.artifacts
        && *artifact_names == after.artifact_names
}

/// Whether hosts are to each other what they were: the keys of an agent, or that it enrolled, are its own.
fn looks_the_same(before: &Table<HostId, Host>, after: &Table<HostId, Host>) -> bool {
    let is_same = |was: &Host, is: &Host| {
        was.spec == is.spec && was.release == is.release && works(was) == works(is)
    };
    let mut all_same = true;
    changed(before, after, is_same, |_, _| all_same = false);
    all_same
}
