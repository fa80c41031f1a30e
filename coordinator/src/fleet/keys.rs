//! Whose the secrets are: the sixth invariant.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::id::{HostId, Role, SecretId, TenantId};
use email_engine_protocol::mail::DomainName;

use super::Violation;
use crate::dnsbl::registry::Registry;
use crate::state::{FleetState, Identity, PreparedKey, StoredSecret};

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
    let commitments: BTreeSet<_> = used.iter().map(|(_, commitment)| *commitment).collect();
    if commitments.len() != used.len() {
        return Err(broken("two DKIM keys are the same"));
    }
    let others = others(state, &commitments)?;
    if state.secrets.len() != used.len() + others {
        return Err(broken("a secret belongs to nobody"));
    }
    let is_used = |public: &String| publics.binary_search_by_key(&public, |one| one.0).is_ok();
    match state.prepared_keys.values().any(|key| is_used(&key.public)) {
        true => Err(broken("a prepared key is in use")),
        false => Ok(()),
    }
}

/// The same of a fleet that has the identities of one in which it held. What came beside their keys is judged, without
/// all keys being put in order for each certificate that is issued and each key that is made ahead of need.
///
/// # Errors
/// As above.
pub(super) fn every_other_secret_is_its_owners(
    held: &FleetState,
    state: &FleetState,
) -> Result<(), Violation> {
    let mut was = held.secrets.iter().filter(is_dkim);
    let mut is_same = |is: &(_, &Arc<StoredSecret>)| {
        let was = was.next();
        was.is_some_and(|was| was.0 == is.0 && Arc::ptr_eq(was.1, is.1))
    };
    let mut keys = state.secrets.iter().filter(is_dkim);
    if !keys.all(|key| is_same(&key)) || was.next().is_some() {
        return every_key_is_one_identitys(state);
    }
    let others_of = state.secrets.iter().filter(|row| !is_dkim(row));
    let own: BTreeSet<_> = others_of.map(|(_, secret)| secret.commitment).collect();
    let (mut keys, mut shared) = (0, BTreeSet::new());
    for (_, secret) in state.secrets.iter().filter(is_dkim) {
        keys += 1;
        shared.extend(own.get(&secret.commitment));
    }
    let others = others(state, &shared)?;
    if state.secrets.len() != keys + others {
        return Err(broken("a secret belongs to nobody"));
    }
    let is_new = |(number, key): &(&u64, &Arc<PreparedKey>)| {
        let was = held.prepared_keys.get(number);
        was.is_none_or(|was| !Arc::ptr_eq(was, key))
    };
    let new = state.prepared_keys.iter().filter(is_new);
    let new: BTreeSet<&String> = new.map(|(_, key)| &key.public).collect();
    let drained = state.leaving.values().map(|leaving| &leaving.identity);
    let mut identities = state.identities.values().map(|i| &**i).chain(drained);
    let is_used = |identity: &Identity| {
        let second = identity.second_key();
        new.contains(&identity.dkim_public) || second.is_some_and(|key| new.contains(&key.public))
    };
    match !new.is_empty() && identities.any(is_used) {
        true => Err(broken("a prepared key is in use")),
        false => Ok(()),
    }
}

fn is_dkim((id, _): &(&SecretId, &Arc<StoredSecret>)) -> bool {
    id.as_str().starts_with("dkim/")
}

/// How many certificates, passwords and other secrets there are: each its owner's, and none of them twice or one of
/// the DKIM keys that commit to these.
fn others(state: &FleetState, keys: &BTreeSet<Commitment>) -> Result<usize, Violation> {
    let mut own = BTreeSet::new();
    let mut is_one = |commitment| !keys.contains(&commitment) && own.insert(commitment);
    for (host, row) in &state.submission_certificates {
        let name = FleetState::submission_secret(host);
        let secret = state.secrets.get(&name).filter(|_| row.secret == name);
        if !secret.is_some_and(|secret| is_one(secret.commitment)) {
            return Err(broken(format!("{name} is lost, misfiled or shared")));
        }
        let role = state.live_host(host).map(|host| host.spec.role);
        if role != Some(Role::Powermta) {
            return Err(broken(format!("{name} is of no PowerMTA host")));
        }
    }
    let passwords = passwords(state, is_one).map_err(broken)?;
    Ok(state.submission_certificates.len() + passwords)
}

/// Whether a secret is called after this key: `dkim/DOMAIN/SELECTOR`.
fn is_dkim_name(id: &SecretId, domain: &DomainName, selector: &str) -> bool {
    let name = id.as_str().strip_prefix("dkim/");
    let name = name.and_then(|name| name.strip_prefix(domain.as_str()));
    name.and_then(|name| name.strip_prefix('/')) == Some(selector)
}

/// How many passwords of databases and other secrets there are: each of a live host or of a tenant, and none
/// of them twice.
fn passwords(
    state: &FleetState,
    mut is_one: impl FnMut(Commitment) -> bool,
) -> Result<usize, String> {
    let mut count = 0;
    for (id, secret) in state.secrets.iter().filter(|row| !is_dkim(row)) {
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
        if secret.id != *id || !is_one(secret.commitment) {
            return Err(format!("{id} is misfiled or shared"));
        }
        count += 1;
    }
    Ok(count)
}
