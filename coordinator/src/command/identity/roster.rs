//! Entering and leaving: identity, pool, key and lookup in one step.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::{IpSpec, RotationStage};
use email_engine_protocol::id::{HostId, SecretId};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, NoPreparedKey};
use crate::command::refuse::refuse;
use crate::command::verb::Turn;
use crate::fleet::rotation::{LeftBehind, RECORD_MILLIS, WITHDRAWN_MILLIS, left_behind};
use crate::state::{
    Departed, FleetState, Held, Identity, Leaving, OtherKey, Place, Pool, Rotation, StoredSecret,
    public_key_hash,
};

/// Most records of those that are gone.
const DEPARTED: usize = 250_000;

/// The name that an identity's DKIM key will have.
pub(super) fn secret_id(spec: &IpSpec) -> Result<SecretId, Rejection> {
    dkim_name(&spec.domain, &spec.selector)
}

/// The name of the DKIM key of a domain and a selector.
pub(super) fn dkim_name(domain: &DomainName, selector: &str) -> Result<SecretId, Rejection> {
    SecretId::new(format!("dkim/{domain}/{selector}"))
        .map_err(|error| refuse(Invalid, "selector", &selector, error.to_string()))
}

/// Whether a key is there to be taken.
pub(super) fn has_prepared_key(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    if state.prepared_keys.is_empty() {
        let accepted =
            "one DKIM key per identity is made ahead; more are being made, try again soon";
        return Err(refuse(NoPreparedKey, "domain", &spec.domain, accepted));
    }
    Ok(())
}

/// Moves the oldest prepared key into the table of secrets under this name and returns its public half.
/// The number of the key gives the version, so that a name that is used again later never has an old
/// version with other bytes.
pub(super) fn take_key(state: &mut FleetState, id: &SecretId) -> String {
    let (number, key) = state.prepared_keys.pop_first().expect("checked before");
    let secret = StoredSecret {
        id: id.clone(),
        version: u32::try_from(number + 1).unwrap_or(u32::MAX),
        commitment: key.commitment,
        sealed: key.sealed.clone(),
    };
    state.put_secret(secret);
    key.public.clone()
}

pub(super) fn enter(state: &mut FleetState, mut identity: Identity) {
    identity.spec.phase = identity.warmup.phase;
    let spec = &identity.spec;
    identity.restraint.breaker = state.failover.pauses(&spec.tenant, spec.purpose);
    state.lookup.add_identity(spec);
    if let Some(names) = state.given_up.get_mut(&spec.host) {
        names.remove(&spec.vmta);
        state.given_up.retain(|_, names| !names.is_empty());
    }
    if !state.pools.contains_key(&spec.pool) {
        let pool = Pool {
            name: spec.pool.clone(),
            tenant: spec.tenant.clone(),
            host: spec.host.clone(),
        };
        state.pools.insert(pool.name.clone(), pool);
    }
    // Its row says it from now on.
    state.held.forget(spec.address);
    state.identities.insert(spec.address, Arc::new(identity));
}

/// Puts an identity in the place of what it was, and whom it is found by with it.
pub(in crate::command) fn replace(state: &mut FleetState, identity: Identity) {
    if let Some(before) = state.identities.get(&identity.spec.address) {
        state.lookup.remove_identity(&before.spec);
    }
    state.lookup.add_identity(&identity.spec);
    let address = identity.spec.address;
    state.identities.insert(address, Arc::new(identity));
}

/// Holds an address that goes to what its identity is held to.
pub(super) fn hold(state: &mut FleetState, identity: &Identity, now: Timestamp) {
    if let Some(held) = Held::of(identity, now) {
        state.held.keep(identity.spec.address, held, now);
    }
}

/// Takes an identity off the tables. Its key stays: the caller says what becomes of it.
pub(super) fn leave(state: &mut FleetState, address: IpAddr) -> Option<Arc<Identity>> {
    let identity = state.identities.remove(&address)?;
    state.lookup.remove_identity(&identity.spec);
    if !state.lookup.members.contains_key(&identity.spec.pool) {
        state.pools.remove(&identity.spec.pool);
    }
    Some(identity)
}

/// What a host has of an identity that left it, for this host if for any, stays there until its queue is empty.
pub(super) fn drain(
    state: &mut FleetState,
    identity: &Identity,
    goes_to: Option<&HostId>,
    turn: &Turn<'_>,
) {
    if is_on_its_host(state, identity) {
        let mut identity = identity.clone();
        // Which of two keys signs there is not known while it is told to change them; else one does.
        let rotation = identity.signing.rotation.take();
        identity.signing.rotation =
            rotation.filter(|rotation| rotation.stage == RotationStage::Switching);
        let leaving = Leaving {
            since: turn.now(),
            revision: state.revision + 1,
            took_address: goes_to.is_some_and(|to| *to != identity.spec.host),
            identity,
        };
        state.lookup.add_leaving(&leaving);
        state.leaving.insert(leaving.place(), Arc::new(leaving));
    }
}

/// Whether an identity would drain if it left its host now: an agent may have been given a target
/// that was planned with it.
pub(crate) fn is_on_its_host(state: &FleetState, identity: &Identity) -> bool {
    let host = &identity.spec.host;
    let has_agent = state
        .live_host(host)
        .is_some_and(|host| host.keys.is_some());
    let target = state.targets.get(host);
    has_agent && target.is_some_and(|target| target.planned_from >= identity.placed_at)
}

/// The identity is on this host again, or the queue that drained there is empty or given up.
pub(super) fn end_leaving(state: &mut FleetState, place: &Place) -> Option<Arc<Leaving>> {
    let leaving = state.leaving.remove(place)?;
    state.lookup.remove_leaving(&leaving);
    Some(leaving)
}

/// The word that a host may lose much was for what goes only now: it is for the next target.
pub(super) fn defer_allowance(state: &mut FleetState, host: &HostId) {
    let revision = state.revision + 1;
    if let Some(allowed) = state.removal_allowed.get_mut(host) {
        *allowed = revision;
    }
}

/// Nothing drains on a host that is cut off.
pub(crate) fn forget_leaving(state: &mut FleetState, host: &HostId, now: Timestamp) {
    let places: Vec<Place> = state
        .leaving_on(host)
        .map(|one| Leaving::place(one))
        .collect();
    for place in &places {
        if let Some(gone) = end_leaving(state, place) {
            drop_key(state, &gone.identity, now);
        }
    }
}

/// What an identity of this address that drains has under this name: the public half of its key, so
/// that a key which is published stays the one that signs.
pub(super) fn drained_key(state: &FleetState, address: IpAddr, key: &SecretId) -> Option<String> {
    let mut leaving = state.leaving_from(address);
    leaving.find_map(|leaving| leaving.identity.public_of(key).cloned())
}

/// Removes the keys of an identity that neither an identity nor what drains has. Their records stay for a
/// while: what was signed last is still on its way, and what receivers quote is judged again. The queue was
/// empty or given up by now, so that nothing is signed with them later. Of one that never sent nothing stays but
/// what the fleet published itself: such a record is withdrawn at once, and goes when it has said so for its days.
pub(super) fn drop_key(state: &mut FleetState, identity: &Identity, now: Timestamp) {
    let (key, address) = (&identity.dkim_key, identity.spec.address);
    let sent_ever = identity.life.sent_ever;
    if state.is_needless(key, address) {
        state.drop_secret(key);
        make_room(state, now);
        if sent_ever || is_published(state, &identity.spec) {
            let key = OtherKey {
                secret: key.clone(),
                selector: identity.spec.selector.clone(),
                public: identity.dkim_public.clone(),
            };
            let stays = if sent_ever { RECORD_MILLIS } else { 0 };
            depart(state, &identity.spec, LeftBehind { key, stays }, now);
        }
    } else if sent_ever {
        note_sent(state, key, address);
    }
    forget_publics(state, identity);
    let Some(rotation) = &identity.signing.rotation else {
        return;
    };
    let other = &rotation.other.secret;
    if goes_on(state, address, rotation) || !state.is_needless(other, address) {
        return;
    }
    state.drop_secret(other);
    if let Some(left) = left_behind(rotation, sent_ever) {
        depart(state, &identity.spec, left, now);
    }
}

/// Mail was signed with this key: whoever has it last leaves its record for as long as that asks for. What drains
/// was there before that mail, it may be, and does not know.
fn note_sent(state: &mut FleetState, key: &SecretId, address: IpAddr) {
    let unaware = state.leaving_from(address).filter(|leaving| {
        let identity = &leaving.identity;
        identity.has_key(key) && !identity.life.sent_ever
    });
    for place in unaware.map(|one| one.place()).collect::<Vec<_>>() {
        if let Some(leaving) = state.leaving.get_mut(&place) {
            Arc::make_mut(leaving).identity.life.sent_ever = true;
        }
    }
}

/// The public halves of an identity that is no more, or is another, are nobody's, but for those that are kept
/// at its address.
pub(super) fn forget_publics(state: &mut FleetState, gone: &Identity) {
    let address = gone.spec.address;
    for public in gone.publics() {
        let living = state.identities.get(&address).map(|living| &**living);
        let leaving = state.leaving_from(address).map(|one| &one.identity);
        let mut publics = living
            .into_iter()
            .chain(leaving)
            .flat_map(Identity::publics);
        let is_kept = publics.any(|its| its == public);
        drop(publics);
        if !is_kept {
            state.lookup.keys.remove(&public_key_hash(public));
        }
    }
}

/// Whether the fleet itself published the record of the key of an identity, or was about to.
fn is_published(state: &FleetState, spec: &IpSpec) -> bool {
    let name = format!("{}._domainkey.{}", spec.selector, spec.domain);
    state
        .dns_zones
        .made
        .contains_key(&(spec.zone.clone(), name))
}

/// Whether the identity of an address, or what drains of it, remembers a rotation still.
fn goes_on(state: &FleetState, address: IpAddr, rotation: &Rotation) -> bool {
    let has_it = |identity: &Identity| {
        let own = identity.signing.rotation.as_ref();
        own.is_some_and(|own| own.other.secret == rotation.other.secret)
    };
    let living = state.identities.get(&address);
    living.is_some_and(|living| has_it(living))
        || state
            .leaving_from(address)
            .any(|leaving| has_it(&leaving.identity))
}

/// Records of those that are gone are forgotten when they said for long enough that their keys are not good
/// any more.
fn make_room(state: &mut FleetState, now: Timestamp) {
    while let Some(((until, _), _)) = state.departed.first_key_value() {
        if until.plus(WITHDRAWN_MILLIS) > now && state.departed.len() < DEPARTED {
            break;
        }
        if let Some(((_, key), _)) = state.departed.pop_first() {
            state.lookup.remove_departed(&key);
        }
    }
}

/// Keeps the record of a key that nobody signs with any more.
pub(super) fn depart(state: &mut FleetState, spec: &IpSpec, left: LeftBehind, now: Timestamp) {
    make_room(state, now);
    let LeftBehind { key, stays } = left;
    let departed = Departed {
        spec: IpSpec {
            selector: key.selector,
            ..spec.clone()
        },
        dkim_public: key.public,
    };
    let departure = (now.plus(stays), key.secret);
    if !state.departed.contains_key(&departure) {
        state.lookup.add_departed(&departure.1);
    }
    state.departed.insert(departure, Arc::new(departed));
}
