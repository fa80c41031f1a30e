//! What must hold between tables, beside the invariants that an operator knows.

use std::collections::BTreeMap;

use super::Violation;
use crate::state::{FleetState, Lookup};

/// The lookup follows from the tables.
///
/// # Errors
/// When a command forgot to keep it in step.
pub fn the_lookup_matches_the_tables(state: &FleetState) -> Result<(), Violation> {
    let broken = |what: &str| Violation {
        invariant: "the_lookup_matches_the_tables",
        what: what.to_owned(),
    };
    let mut held = state.held.addresses();
    if !state.held.is_consistent() || held.any(|address| state.identities.contains_key(&address)) {
        return Err(broken(
            "what is held against an address is misfiled, or an identity has it",
        ));
    }
    if Lookup::of(state) == state.lookup {
        return Ok(());
    }
    Err(broken(
        "it differs (tables that were filled by hand need `reindex`)",
    ))
}

/// Each stored body is counted once per target and artifact that needs it, and needed by at least one.
///
/// # Errors
/// Names the body.
pub fn needed_bodies_are_counted(state: &FleetState) -> Result<(), Violation> {
    let mut needed = BTreeMap::<_, u32>::new();
    for hash in state
        .target_bodies
        .values()
        .flat_map(|bodies| bodies.iter())
    {
        *needed.entry(*hash).or_default() += 1;
    }
    for hash in state.artifacts.values().flat_map(|one| one.held()) {
        *needed.entry(hash).or_default() += 1;
    }
    let stored: BTreeMap<_, _> = state
        .bodies
        .iter()
        .map(|(hash, body)| (*hash, body.references))
        .collect();
    if needed == stored {
        return Ok(());
    }
    let wrong = needed
        .iter()
        .find(|(hash, count)| stored.get(hash) != Some(count));
    let what = wrong.map_or_else(
        || "a body that nobody needs is stored".to_owned(),
        |(hash, count)| {
            format!(
                "{hash} is needed by {count}, counted {:?}",
                stored.get(hash)
            )
        },
    );
    Err(Violation {
        invariant: "needed_bodies_are_counted",
        what,
    })
}

/// Tenants, hosts, releases and targets that rows name are there.
///
/// # Errors
/// Names the row.
pub fn every_reference_leads_somewhere(state: &FleetState) -> Result<(), Violation> {
    let broken = |what: String| {
        let invariant = "every_reference_leads_somewhere";
        Err(Violation { invariant, what })
    };
    for identity in state.identities.values() {
        if !state.tenants.contains_key(&identity.spec.tenant) {
            return broken(format!("tenant of ip {}", identity.spec.address));
        }
        if identity.spec.phase != identity.warmup.phase {
            return broken(format!(
                "phase of ip {}, which is not its plan's",
                identity.spec.address
            ));
        }
    }
    let looks = &state.dns_looks;
    let mut seen = looks.last.keys().chain(looks.asked.keys());
    if let Some(gone) = seen.find(|address| !state.identities.contains_key(*address)) {
        return broken(format!("ip {gone}, whose records in DNS are looked at"));
    }
    for ((host, vmta), leaving) in &state.leaving {
        if !state.tenants.contains_key(&leaving.spec().tenant) || state.live_host(host).is_none() {
            return broken(format!("tenant or host of {vmta} that drains on {host}"));
        }
    }
    for (id, host) in state.live_hosts() {
        let tenant = host.spec.tenant.as_ref();
        if tenant.is_some_and(|tenant| !state.tenants.contains_key(tenant)) {
            return broken(format!("tenant of host {id}"));
        }
        let release = &host.release;
        if state.bundle_of(release).is_none() || state.settings_of(release).is_none() {
            return broken(format!("release of host {id}"));
        }
    }
    for (id, target) in &state.targets {
        let bodies = state.target_bodies.get(id);
        if state.live_host(id).is_none() || bodies.is_none_or(|b| !b.contains(&target.digest)) {
            return broken(format!("target of host {id}"));
        }
    }
    for id in state.outcomes.keys() {
        if state.live_host(id).is_none() {
            return broken(format!("outcome of host {id}"));
        }
    }
    let mut beside = state.foreign_plans.keys().chain(state.unlimited.keys());
    if let Some(id) = beside.find(|id| state.live_host(id).is_none()) {
        return broken(format!("what MailWizz does by itself on host {id}"));
    }
    for (revision, names) in &state.artifact_names {
        let whole = |sha256| {
            let found = state.artifacts.get(sha256);
            found.is_some_and(|artifact| artifact.finished_at.is_some())
        };
        if !state.settings.contains_key(revision) || !names.values().all(whole) {
            return broken(format!("artifact names of settings revision {revision}"));
        }
    }
    if state.remembered.len() != state.remembered_order.len() {
        return broken("order of remembered answers".to_owned());
    }
    for (request, campaign) in &state.campaigns {
        if !state.tenants.contains_key(&campaign.tenant) {
            return broken(format!("tenant of campaign {request}"));
        }
    }
    if state.campaigns.len() != state.campaigns_order.len() {
        return broken("order of campaigns".to_owned());
    }
    Ok(())
}
