//! The eight invariants of the fleet, in their order; the sixth, of keys, is in `keys`.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{IpSpec, IpStatus};
use email_engine_protocol::id::Role;
use email_engine_protocol::mail::DomainName;

use super::Violation;
use crate::state::{DecodeError, FleetState, Identity, TABLES_VERSION, decode, encode};

fn broken(invariant: &'static str, what: impl Into<String>) -> Violation {
    Violation {
        invariant,
        what: what.into(),
    }
}

/// 1. An address, a hostname, a domain, a sender and a virtual MTA belong to at most one identity. A sender is
///    an address of its domain.
///
/// # Errors
/// Names the value that two identities have.
pub fn every_name_is_one_identitys(state: &FleetState) -> Result<(), Violation> {
    const NAME: &str = "every_name_is_one_identitys";
    for (address, identity) in &state.identities {
        let own = identity.spec.address;
        if own != *address {
            return Err(broken(NAME, format!("{address} is filed for {own}")));
        }
    }
    // What drains keeps its names: only the identity of the same address, which moved, has them too.
    named_once(state, "domain", |spec| spec.domain.as_str())?;
    named_once(state, "hostname", |spec| spec.hostname.as_str())?;
    named_once(state, "vmta", |spec| spec.vmta.as_str())?;
    for (place, leaving) in &state.leaving {
        let living = state.identities.get(&leaving.spec().address);
        let is_there = living
            .is_some_and(|living| (&living.spec.host, &living.spec.vmta) == (&place.0, &place.1));
        if is_there || leaving.place() != *place {
            let what = format!("{} drains where it is, or is filed elsewhere", place.1);
            return Err(broken(NAME, what));
        }
    }
    Ok(())
}

/// That no two addresses, living or drained, have a name: they are sorted by it, which a fleet of many bears.
fn named_once(
    state: &FleetState,
    field: &str,
    name: impl Fn(&IpSpec) -> &str,
) -> Result<(), Violation> {
    let living = state.identities.values().map(|identity| &identity.spec);
    let drained = state.leaving.values().map(|leaving| leaving.spec());
    let specs = living.chain(drained);
    let mut names: Vec<_> = specs.map(|spec| (name(spec), spec.address)).collect();
    names.sort_unstable();
    let twice = names
        .windows(2)
        .find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
    match twice {
        Some(pair) => {
            let what = format!("{} and {} have {field} {}", pair[0].1, pair[1].1, pair[0].0);
            Err(broken("every_name_is_one_identitys", what))
        }
        None => Ok(()),
    }
}

/// 2. Two tenants share no identity, pool, domain, MailWizz host or DKIM key.
///
/// # Errors
/// Names what is shared.
pub fn tenants_share_nothing(state: &FleetState) -> Result<(), Violation> {
    const NAME: &str = "tenants_share_nothing";
    let drained = state.leaving.values().map(|leaving| leaving.spec());
    for spec in state.identities.values().map(|i| &i.spec).chain(drained) {
        let owner = state
            .hosts
            .get(&spec.host)
            .and_then(|host| host.spec.tenant.as_ref());
        if owner.is_some_and(|owner| *owner != spec.tenant) {
            return Err(broken(
                NAME,
                format!("{} is on another tenant's host", spec.address),
            ));
        }
    }
    for (id, host) in state.live_hosts() {
        if host.spec.role == Role::Mailwizz && host.spec.tenant.is_none() {
            return Err(broken(NAME, format!("MailWizz host {id} has no tenant")));
        }
    }
    let mut domains = BTreeSet::new();
    for tenant in state.tenants.values() {
        let brands = tenant.brand_domains.iter().map(|domain| ("brand", domain));
        let links = tenant.link_domains.iter().map(|domain| ("link", domain));
        for claim in brands.chain(links) {
            if !domains.insert(claim) {
                return Err(broken(NAME, format!("two tenants have {claim:?}")));
            }
        }
    }
    Ok(())
}

/// 3. No sending domain equals a brand domain or an ancestor of one.
///
/// # Errors
/// Names the domain.
pub fn no_brand_domain_sends(state: &FleetState) -> Result<(), Violation> {
    let tenants = state.tenants.values();
    let brands = tenants.flat_map(|tenant| &tenant.brand_domains);
    // Each with its ancestors: there may be very many of both sorts.
    let kept: BTreeMap<&str, &DomainName> = brands
        .flat_map(|brand| lineage(brand).map(move |name| (name, brand)))
        .collect();
    let drained = state.leaving.values().map(|leaving| &leaving.spec().domain);
    let identities = state.identities.values();
    let sending = identities.map(|identity| &identity.spec.domain);
    for domain in sending.chain(drained) {
        if let Some(brand) = kept.get(domain.as_str()) {
            let what = format!("{domain} sends, brand domain {brand}");
            return Err(broken("no_brand_domain_sends", what));
        }
    }
    Ok(())
}

/// A domain and those above it.
fn lineage(domain: &DomainName) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain.as_str()), |name| {
        name.split_once('.').map(|(_, above)| above)
    })
}

/// 4. A pool holds identities of one tenant and one PowerMTA host, and at least one of them.
///
/// # Errors
/// Names the pool.
pub fn a_pool_has_one_tenant_and_one_host(state: &FleetState) -> Result<(), Violation> {
    const NAME: &str = "a_pool_has_one_tenant_and_one_host";
    let mut used = BTreeSet::new();
    for identity in state.identities.values() {
        let spec = &identity.spec;
        let fits = state.pools.get(&spec.pool).is_some_and(|pool| {
            pool.name == spec.pool && pool.tenant == spec.tenant && pool.host == spec.host
        });
        if !fits {
            return Err(broken(
                NAME,
                format!("{} is not in {}", spec.address, spec.pool),
            ));
        }
        let role = state.hosts.get(&spec.host).map(|host| host.spec.role);
        if role != Some(Role::Powermta) {
            return Err(broken(
                NAME,
                format!("{} is on no PowerMTA host", spec.address),
            ));
        }
        used.insert(&spec.pool);
    }
    match state.pools.keys().find(|pool| !used.contains(pool)) {
        Some(pool) => Err(broken(NAME, format!("{pool} is empty"))),
        None => Ok(()),
    }
}

/// 5. Only active and warming identities have a weight.
///
/// # Errors
/// Names the identity.
pub fn only_active_and_warming_take_mail(state: &FleetState) -> Result<(), Violation> {
    weighs_what_it_may(state, Identity::weight)
}

/// The weight follows from other fields, so that only another rule for it can break this.
fn weighs_what_it_may(
    state: &FleetState,
    weight: impl Fn(&Identity) -> u8,
) -> Result<(), Violation> {
    for identity in state.identities.values() {
        let spec = &identity.spec;
        let sends = matches!(spec.status, IpStatus::Active | IpStatus::Warming);
        let weight = weight(identity);
        if weight > 100 || (weight > 0 && !sends) {
            let what = format!("{} has weight {weight}", spec.address);
            return Err(broken("only_active_and_warming_take_mail", what));
        }
    }
    Ok(())
}

/// 7. Every change has its audit entry and revision: both grow by one, together.
///
/// # Errors
/// Names the entry.
pub fn every_change_is_audited(state: &FleetState) -> Result<(), Violation> {
    const NAME: &str = "every_change_is_audited";
    let last = state.audit.last().map_or(0, |entry| entry.revision);
    if last != state.revision {
        let what = format!("the last entry is of revision {last} of {}", state.revision);
        return Err(broken(NAME, what));
    }
    for (one, next) in state.audit.iter().zip(state.audit.iter().skip(1)) {
        if next.revision != one.revision + 1 || next.sequence != one.sequence + 1 {
            let what = format!("entry {} does not follow", next.sequence);
            return Err(broken(NAME, what));
        }
    }
    match state.audit.iter().find(|entry| entry.actor.is_empty()) {
        Some(entry) => Err(broken(
            NAME,
            format!("entry {} has no author", entry.sequence),
        )),
        None => Ok(()),
    }
}

/// 8. The state is wholly in its bytes, and the same state gives the same bytes. That `apply` has no
///    clock and no randomness is checked where its source is read.
///
/// # Errors
/// When a snapshot would bring back another state.
pub fn replay_gives_the_same_bytes(state: &FleetState) -> Result<(), Violation> {
    comes_back_whole(state, |bytes| decode(TABLES_VERSION, bytes))
}

fn comes_back_whole(
    state: &FleetState,
    decode: impl Fn(&[u8]) -> Result<FleetState, DecodeError>,
) -> Result<(), Violation> {
    const NAME: &str = "replay_gives_the_same_bytes";
    let bytes = encode(state);
    let back = decode(&bytes).map_err(|error| broken(NAME, error.to_string()))?;
    if back != *state || encode(&back) != bytes {
        return Err(broken(NAME, "a snapshot brings back another state"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use email_engine_protocol::api::{Phase, WarmupSettings};
    use email_engine_protocol::id::SecretId;
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::command::fixture::{Fleet, address, domain, host_id, submission, tenant};
    use crate::fleet::warmup::{at_phase, weight};
    use crate::fleet::{check, check_before_planning};
    use crate::state::{Keys, Lookup};

    /// The invariant that a good fleet of two identities breaks after this change.
    fn broken_by(change: impl FnOnce(&mut FleetState)) -> &'static str {
        let mut state = Fleet::with_identities(2).state;
        assert_eq!(check(&state), Ok(()));
        let held = state.clone();
        change(&mut state);
        // What held before hides nothing.
        let since = check_before_planning(Some(&held), &state);
        assert_eq!(since, check_before_planning(None, &state));
        check(&state).unwrap_err().invariant
    }

    fn second(state: &mut FleetState) -> &mut Identity {
        Arc::make_mut(state.identities.get_mut(&address(1)).unwrap())
    }

    #[test]
    fn a_name_of_two_identities_is_seen() {
        let changes: [fn(&mut IpSpec, &IpSpec); 3] = [
            |spec, other| spec.domain = other.domain.clone(),
            |spec, other| spec.hostname = other.hostname.clone(),
            |spec, other| spec.vmta = other.vmta.clone(),
        ];
        for change in changes {
            let name = broken_by(|state| {
                let other = state.identities[&address(0)].spec.clone();
                change(&mut second(state).spec, &other);
            });
            assert_eq!(name, "every_name_is_one_identitys");
        }
    }

    #[test]
    fn what_two_tenants_share_is_seen() {
        let name = broken_by(|state| {
            let host = state.hosts.get_mut(&host_id("pmta1")).unwrap();
            host.spec.tenant = Some(tenant("client-2").id);
        });
        assert_eq!(name, "tenants_share_nothing");
    }

    #[test]
    fn a_sending_brand_domain_is_seen() {
        let name = broken_by(|state| {
            let (id, _) = state.tenants.first_key_value().unwrap();
            let row = state.tenants.get_mut(&id.clone()).unwrap();
            row.brand_domains.insert(domain("www.mail1.example.com"));
        });
        assert_eq!(name, "no_brand_domain_sends");
    }

    #[test]
    fn a_mixed_and_an_empty_pool_are_seen() {
        let mixed = broken_by(|state| {
            let (name, _) = state.pools.first_key_value().unwrap();
            let pool = state.pools.get_mut(&name.clone()).unwrap();
            pool.host = host_id("pmta2");
        });
        assert_eq!(mixed, "a_pool_has_one_tenant_and_one_host");
        let empty = broken_by(|state| {
            state.identities.clear();
            state.secrets.clear();
        });
        assert_eq!(empty, "a_pool_has_one_tenant_and_one_host");
    }

    #[test]
    fn a_shared_lost_or_left_over_key_is_seen() {
        let shared = broken_by(|state| {
            let public = state.identities[&address(0)].dkim_public.clone();
            second(state).dkim_public = public;
        });
        let lost = broken_by(|state| drop(state.secrets.pop_first()));
        let left = broken_by(|state| {
            let identity = state.identities.remove(&address(1)).unwrap();
            state.lookup.remove_identity(&identity.spec);
        });
        let prepared = broken_by(|state| {
            let public = state.prepared_keys[&5].public.clone();
            second(state).dkim_public = public;
        });
        let certified = |change: fn(&mut FleetState)| {
            broken_by(|state| {
                submission::certify(state, "pmta1");
                assert_eq!(check(state), Ok(()));
                change(state);
            })
        };
        let bare = certified(|state| {
            let name = FleetState::submission_secret(&host_id("pmta1"));
            state.secrets.remove(&name);
        });
        let strange = certified(|state| {
            let row = state.submission_certificates.pop_first().unwrap().1;
            state.submission_certificates.insert(host_id("pmta9"), row);
        });
        let double = certified(|state| {
            let name = FleetState::submission_secret(&host_id("pmta1"));
            let key = state.identities[&address(0)].dkim_key.clone();
            let commitment = state.secrets[&key].commitment;
            let secret = state.secrets.get_mut(&name).unwrap();
            Arc::make_mut(secret).commitment = commitment;
        });
        let nobodys = broken_by(|state| {
            let secret = state.secrets.first_key_value().unwrap().1.clone();
            let name = SecretId::new("lost/and/found").unwrap();
            state.secrets.insert(name, secret);
        });
        let ahead = broken_by(|state| {
            let public = state.identities[&address(1)].dkim_public.clone();
            let key = state.prepared_keys.get_mut(&5).unwrap();
            Arc::make_mut(key).public = public;
        });
        for name in [
            shared, lost, left, prepared, bare, strange, double, nobodys, ahead,
        ] {
            assert_eq!(name, "every_key_is_one_identitys");
        }
    }

    #[test]
    fn a_change_without_its_audit_entry_is_seen() {
        assert_eq!(
            broken_by(|state| state.revision += 1),
            "every_change_is_audited"
        );
        let gap = broken_by(|state| state.audit.retain(|entry| entry.sequence != 3));
        assert_eq!(gap, "every_change_is_audited");
    }

    #[test]
    fn an_identity_that_takes_mail_out_of_turn_is_seen() {
        let mut state = Fleet::with_identities(2).state;
        let statuses = [
            (IpStatus::Active, true),
            (IpStatus::Warming, true),
            (IpStatus::Standby, false),
            (IpStatus::Quarantine, false),
            (IpStatus::Resting, false),
            (IpStatus::Retiring, false),
        ];
        for (status, sends) in statuses {
            for phase in [Phase::Week1, Phase::Week6, Phase::Active] {
                let identity = second(&mut state);
                identity.spec.status = status;
                identity.warmup = at_phase(phase, &WarmupSettings::default(), Timestamp(0));
                assert_eq!(only_active_and_warming_take_mail(&state), Ok(()));
                // A rule that forgets the status gives mail to whoever was warm once.
                let by_phase =
                    |of: &Identity| weight(IpStatus::Active, of.warmup.phase, of.spec.reserve);
                assert_eq!(weighs_what_it_may(&state, by_phase).is_ok(), sends);
            }
        }
        let too_much = weighs_what_it_may(&state, |_| 101).unwrap_err();
        assert_eq!(too_much.invariant, "only_active_and_warming_take_mail");
    }

    #[test]
    fn a_snapshot_that_brings_back_less_than_it_was_given_is_seen() {
        let mut state = Fleet::with_identities(2).state;
        let generation = email_engine_protocol::generation::Generation {
            epoch: 1,
            number: 3,
        };
        state.last_generations.insert(host_id("gone"), generation);
        assert_eq!(replay_gives_the_same_bytes(&state), Ok(()));
        let whole = |bytes: &[u8]| decode(TABLES_VERSION, bytes);
        let forgetful = |bytes: &[u8]| {
            let mut back = whole(bytes)?;
            back.last_generations.clear();
            Ok(back)
        };
        let newer = |bytes: &[u8]| decode(TABLES_VERSION + 1, bytes);
        let cut = |bytes: &[u8]| whole(&bytes[1..]);
        for seen in [
            comes_back_whole(&state, forgetful),
            comes_back_whole(&state, newer),
            comes_back_whole(&state, cut),
        ] {
            assert_eq!(seen.unwrap_err().invariant, "replay_gives_the_same_bytes");
        }
    }

    #[test]
    fn tables_that_do_not_fit_each_other_are_seen() {
        let forgetful: [fn(&mut Lookup); 5] = [
            |lookup| lookup.vmtas.clear(),
            |lookup| lookup.addresses.clear(),
            |lookup| lookup.roles.clear(),
            |lookup| lookup.keys = Keys::default(),
            |lookup| lookup.commitments = Keys::default(),
        ];
        for forget in forgetful {
            let lookup = broken_by(|state| forget(&mut state.lookup));
            assert_eq!(lookup, "the_lookup_matches_the_tables");
        }
        let looked_at = broken_by(|state| {
            let now = state.now;
            state.dns_looks.asked.insert(address(9), now);
        });
        assert_eq!(looked_at, "every_reference_leads_somewhere");
        let release = broken_by(|state| state.settings.clear());
        assert_eq!(release, "every_reference_leads_somewhere");
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        fleet.state.bodies.pop_first();
        let violation = check(&fleet.state).unwrap_err();
        assert_eq!(violation.invariant, "needed_bodies_are_counted");
    }
}
