//! Whose the secrets are: the sixth invariant.

use std::collections::BTreeSet;

use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::id::{HostId, Role, SecretId, TenantId};
use email_engine_protocol::mail::DomainName;

use super::Violation;
use crate::dnsbl::registry::Registry;
use crate::state::FleetState;

fn broken(what: impl Into<String>) -> Violation {
    Violation {
        invariant: "every_key_is_one_identitys",
        what: what.into(),
    }
}

/// 6. Every DKIM key is exactly one identity's, and every other secret exactly one PowerMTA host's
///    certificate for submission, each under its own name. That it leaves only for that host is the
///    push room's part; that it is unreadable here follows from its type.
///
/// # Errors
/// Names the secret, never its bytes.
pub fn every_key_is_one_identitys(state: &FleetState) -> Result<(), Violation> {
    let mut publics = Vec::with_capacity(state.identities.len());
    let mut used = Vec::with_capacity(state.identities.len());
    let drained = state.leaving.values().map(|leaving| &leaving.identity);
    for identity in state.identities.values().map(|i| &**i).chain(drained) {
        let (spec, own) = (&identity.spec, &identity.dkim_public);
        let second = identity.second_key();
        let second = second.map(|key| (&key.secret, &key.selector, &key.public));
        let first = (&identity.dkim_key, &spec.selector, own);
        for (id, selector, public) in std::iter::once(first).chain(second) {
            let Some(secret) = state.secrets.get(id) else {
                return Err(broken(format!("{} has no key", spec.address)));
            };
            if secret.id != *id || !is_dkim_name(id, &spec.domain, selector) {
                let name = format!("dkim/{}/{selector}", spec.domain);
                return Err(broken(format!("{name} is filed as {}", secret.id)));
            }
            publics.push((public, id, spec.address));
            used.push((id, secret.commitment));
        }
        let rotation = identity.signing.rotation.as_ref();
        if rotation.is_some_and(|one| one.other.selector == spec.selector) {
            let what = format!("{} signs with the key that it changes", spec.address);
            return Err(broken(what));
        }
    }
    // One that moved, and drains where it was, has one key at both places.
    publics.sort_unstable();
    publics.dedup();
    if let Some(pair) = publics.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let what = format!("{} is another identity's key too", pair[0].1);
        return Err(broken(what));
    }
    used.sort_unstable();
    used.dedup();
    let mut commitments: BTreeSet<_> = used.iter().map(|(_, commitment)| *commitment).collect();
    if commitments.len() != used.len() {
        return Err(broken("two DKIM keys are the same"));
    }
    for (host, row) in &state.submission_certificates {
        let name = FleetState::submission_secret(host);
        let secret = state.secrets.get(&name).filter(|_| row.secret == name);
        if !secret.is_some_and(|secret| commitments.insert(secret.commitment)) {
            return Err(broken(format!("{name} is lost, misfiled or shared")));
        }
        let role = state.live_host(host).map(|host| host.spec.role);
        if role != Some(Role::Powermta) {
            return Err(broken(format!("{name} is of no PowerMTA host")));
        }
    }
    let passwords = passwords(state, &mut commitments).map_err(broken)?;
    if state.secrets.len() != used.len() + state.submission_certificates.len() + passwords {
        return Err(broken("a secret belongs to nobody"));
    }
    match state.prepared_keys.values().find(|key| {
        publics
            .binary_search_by_key(&&key.public, |one| one.0)
            .is_ok()
    }) {
        Some(_) => Err(broken("a prepared key is in use")),
        None => Ok(()),
    }
}

/// Whether a secret is called after this key: `dkim/DOMAIN/SELECTOR`.
fn is_dkim_name(id: &SecretId, domain: &DomainName, selector: &str) -> bool {
    let name = id.as_str().strip_prefix("dkim/");
    let name = name.and_then(|name| name.strip_prefix(domain.as_str()));
    name.and_then(|name| name.strip_prefix('/')) == Some(selector)
}

/// How many passwords of databases and other secrets there are: each of a live host or of a tenant, and none
/// of them twice.
fn passwords(state: &FleetState, commitments: &mut BTreeSet<Commitment>) -> Result<usize, String> {
    let mut count = 0;
    for (id, secret) in &state.secrets {
        let mut parts = id.as_str().split('/');
        let (kind, owner) = (parts.next(), parts.next().unwrap_or_default());
        let is_there = match kind {
            Some("database" | "host") => {
                let host = HostId::new(owner).ok();
                host.is_some_and(|host| state.live_host(&host).is_some())
            }
            Some("tenant") => {
                let tenant = TenantId::new(owner).ok();
                tenant.is_some_and(|tenant| state.tenants.contains_key(&tenant))
            }
            Some("dnsbl") => Registry::built_in()
                .zones()
                .any(|zone| zone.id.as_str() == owner),
            _ => continue,
        };
        if !is_there {
            return Err(format!("{id} is of no host, no tenant and no list"));
        }
        if secret.id != *id || !commitments.insert(secret.commitment) {
            return Err(format!("{id} is misfiled or shared"));
        }
        count += 1;
    }
    Ok(count)
}
