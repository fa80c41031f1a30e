//! `add-identity`.

use email_engine_protocol::api::{IpSpec, WarmupStop};

use super::check::{check, nobody_has};
use super::life::{begin, resume};
use super::roster::{end_leaving, enter, has_prepared_key, secret_id, take_key};
use crate::command::RejectionCode::{AlreadyExists, Duplicate};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{AddIdentity, Rejection};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity, Place, Restraint, Signing};

/// Most identities of one fleet.
const IDENTITIES: usize = 250_000;

impl Verb for AddIdentity {
    fn name(&self) -> &'static str {
        "add-identity"
    }

    fn object(&self) -> String {
        format!("ip {}", self.ip.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let add = &Self {
            ip: as_it_signed(state, &self.ip),
            said: self.said,
        };
        let spec = &add.ip;
        if let Some(holder) = state.identities.get(&spec.address) {
            let own = holder.spec.tenant == spec.tenant;
            let code = if own { AlreadyExists } else { Duplicate };
            let accepted = format!("an address that {}", nobody_has(state, spec, spec.address));
            return Err(refuse(code, "address", &spec.address, accepted));
        }
        at_most("ips", state.identities.len() + 1, IDENTITIES)?;
        check(state, spec, None)?;
        let dkim_key = secret_id(spec)?;
        let place = (spec.host.clone(), spec.vmta.clone());
        if state.leaving.contains_key(&place) {
            return come_back(state, add, &place, turn);
        }
        has_prepared_key(state, spec)?;
        let (spec, life) = begin(state, add, turn)?;
        let settings = warmup::settings_of(state, &spec.tenant);
        let mut plan = warmup::begin(&spec, &settings, turn.now());
        warmup::stay_stopped(&mut plan, stop_of(state, &spec, turn), &settings);
        let identity = Identity {
            dkim_public: take_key(state, &dkim_key),
            dkim_key,
            added_at: turn.now(),
            placed_at: state.revision + 1,
            warmup: plan,
            spec,
            life,
            signing: Signing::new(self.ip.selector.clone(), turn.now()),
            restraint: Restraint::default(),
        };
        enter(state, identity);
        Ok(Change::DONE)
    }
}

/// The stop that its address left with: only an operator's word with a reason ends one.
fn stop_of(state: &FleetState, spec: &IpSpec, turn: &Turn<'_>) -> Option<WarmupStop> {
    let held = state.held.of(spec.address, turn.now());
    held.and_then(|held| held.stopped.clone())
}

/// What drains of it signs with the selector that a rotation gave: declared as before, it still does.
fn as_it_signed(state: &FleetState, spec: &IpSpec) -> IpSpec {
    let leaving = state.leaving.get(&(spec.host.clone(), spec.vmta.clone()));
    let leaving = leaving.map(|leaving| &leaving.identity);
    let same = leaving.filter(|was| {
        (was.spec.address, &was.spec.domain) == (spec.address, &spec.domain)
            && was.signing.declared == spec.selector
    });
    let selector = same
        .map_or(&spec.selector, |was| &was.spec.selector)
        .clone();
    IpSpec {
        selector,
        ..spec.clone()
    }
}

/// It had not gone yet: it is what it was, with its key, and its queue was never touched. Where it drains
/// at several places, what it became is with the one that it left last.
fn come_back(
    state: &mut FleetState,
    add: &AddIdentity,
    place: &Place,
    turn: &Turn<'_>,
) -> Result<Change, Rejection> {
    let drains = state.leaving_from(add.ip.address);
    let (Some(here), Some(last)) = (
        state.leaving.get(place).cloned(),
        drains.max_by_key(|one| one.revision).cloned(),
    ) else {
        return Ok(Change::NONE);
    };
    let was = &last.identity;
    let (spec, life) = resume(state, was, add, turn)?;
    end_leaving(state, place);
    let settings = warmup::settings_of(state, &spec.tenant);
    let mut plan = warmup::carry_over(&was.warmup, &was.spec, &spec, &settings, turn.now());
    warmup::stay_stopped(&mut plan, stop_of(state, &spec, turn), &settings);
    let mut identity = Identity {
        warmup: plan,
        spec,
        life,
        ..here.identity.clone()
    };
    // Its host is to say anew what it signs with.
    if let Some(rotation) = identity.signing.rotation.as_mut() {
        rotation.revision = state.revision + 1;
    }
    enter(state, identity);
    Ok(Change::DONE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use email_engine_protocol::api::IpSpec;
    use email_engine_protocol::id::{PoolName, Role, VmtaName};

    use crate::command::fixture::{Fleet, domain, host, host_id, identity, tenant};
    use crate::command::{AddHost, AddIdentity, Command, CreateTenant, RejectionCode};

    fn add(ip: IpSpec) -> Command {
        Command::AddIdentity(AddIdentity::of(ip))
    }

    /// Refusal of the second identity of a fleet of one, after a change of it.
    fn refused(change: impl FnOnce(&mut IpSpec)) -> (RejectionCode, String, String) {
        let mut fleet = Fleet::with_identities(1);
        let tenant = tenant("client-2");
        fleet.accept(Command::CreateTenant(CreateTenant { tenant }));
        let mut spec = identity(1);
        change(&mut spec);
        let rejection = fleet.refuse(add(spec));
        (rejection.code, rejection.field, rejection.accepted)
    }

    #[test]
    fn it_takes_the_oldest_prepared_key_and_makes_its_pool() {
        let mut fleet = Fleet::with_identities(0);
        let public = fleet.state.prepared_keys[&0].public.clone();
        fleet.accept(add(identity(0)));
        let row = &fleet.state.identities[&identity(0).address];
        assert_eq!(row.dkim_public, public);
        assert_eq!(row.dkim_key.as_str(), "dkim/mail0.example.com/mail");
        assert_eq!(fleet.state.secrets[&row.dkim_key].version, 1);
        assert!(!fleet.state.prepared_keys.contains_key(&0));
        assert!(fleet.state.pools.contains_key(&identity(0).pool));
    }

    #[test]
    fn two_proposals_never_take_one_key() {
        let fleet = Fleet::with_identities(20);
        let publics: BTreeSet<_> = fleet
            .state
            .identities
            .values()
            .map(|i| i.dkim_public.clone())
            .collect();
        assert_eq!(publics.len(), 20);
    }

    #[test]
    fn without_a_prepared_key_there_is_no_identity() {
        let mut fleet = Fleet::with_identities(0);
        fleet.state.prepared_keys.clear();
        fleet.state.reindex();
        let rejection = fleet.refuse(add(identity(0)));
        assert_eq!(rejection.code, RejectionCode::NoPreparedKey);
    }

    #[test]
    fn address_domain_hostname_and_virtual_mta_are_one_identitys_own() {
        let taken = identity(0);
        let (code, field, _) = refused(|spec| spec.address = taken.address);
        assert_eq!((code, &*field), (RejectionCode::AlreadyExists, "address"));
        let (code, field, accepted) = refused(|spec| {
            spec.domain = domain("MAIL0.Example.com");
            spec.zone = spec.domain.clone();
        });
        assert_eq!((code, &*field), (RejectionCode::Duplicate, "domain"));
        assert!(
            accepted.contains("identity 192.0.2.1 has this one"),
            "{accepted}"
        );
        let (code, field, _) = refused(|spec| spec.hostname = taken.hostname.clone());
        assert_eq!((code, &*field), (RejectionCode::Duplicate, "hostname"));
        let (code, field, _) = refused(|spec| spec.vmta = VmtaName::new("vmta-0").unwrap());
        assert_eq!((code, &*field), (RejectionCode::Duplicate, "vmta"));
    }

    #[test]
    fn another_tenant_is_told_that_a_name_is_taken_and_not_by_whom() {
        let stranger = tenant("client-2").id;
        let taken = identity(0);
        for at in 0..3 {
            let (code, _, accepted) = refused(|spec| {
                spec.tenant = stranger.clone();
                spec.pool = PoolName::new("client-2-pool").unwrap();
                match at {
                    0 => spec.address = taken.address,
                    1 => spec.hostname = taken.hostname.clone(),
                    _ => spec.vmta = taken.vmta.clone(),
                }
            });
            assert_eq!(code, RejectionCode::Duplicate);
            assert!(
                accepted.ends_with("is free; this one is taken"),
                "{accepted}"
            );
        }
    }

    #[test]
    fn a_pool_is_one_tenants_on_one_host() {
        let (code, _, accepted) = refused(|spec| spec.tenant = tenant("client-2").id);
        assert_eq!(code, RejectionCode::PoolMismatch);
        assert!(!accepted.contains("client-1"), "{accepted}");
        let mut fleet = Fleet::with_identities(1);
        let host = host("pmta2", Role::Powermta, 2);
        fleet.accept(Command::AddHost(AddHost { host }));
        let mut spec = identity(1);
        spec.host = host_id("pmta2");
        let rejection = fleet.refuse(add(spec));
        assert_eq!(rejection.code, RejectionCode::PoolMismatch);
        assert!(rejection.accepted.ends_with("on host pmta1"), "{rejection}");
    }

    #[test]
    fn the_host_is_a_powermta_host_of_the_tenant_or_shared() {
        let (code, field, _) = refused(|spec| spec.host = host_id("nobody"));
        assert_eq!((code, &*field), (RejectionCode::NotFound, "host"));
        let mut fleet = Fleet::with_identities(0);
        let other = tenant("client-2");
        let mut own = host("pmta2", Role::Powermta, 2);
        own.tenant = Some(other.id.clone());
        fleet.accept(Command::CreateTenant(CreateTenant { tenant: other }));
        fleet.accept(Command::AddHost(AddHost { host: own }));
        let api = host("api1", Role::Api, 3);
        fleet.accept(Command::AddHost(AddHost { host: api }));
        let mut spec = identity(0);
        spec.host = host_id("pmta2");
        assert_eq!(
            fleet.refuse(add(spec.clone())).code,
            RejectionCode::ForeignTenant
        );
        spec.host = host_id("api1");
        assert_eq!(fleet.refuse(add(spec)).code, RejectionCode::WrongRole);
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_field() {
        type Change = fn(&mut IpSpec);
        let changes: [(&str, Change); 6] = [
            ("address", |spec| {
                spec.address = "127.0.0.1".parse().unwrap()
            }),
            ("display_name", |spec| {
                spec.display_name = "a\r\nBcc: x".to_owned()
            }),
            ("selector", |spec| spec.selector = "Mail.2".to_owned()),
            ("zone", |spec| spec.zone = domain("example.org")),
            ("vmta", |spec| {
                spec.vmta = VmtaName::new("reject-client-1").unwrap()
            }),
            ("tenant", |spec| spec.tenant = tenant("nobody").id),
        ];
        for (field, change) in changes {
            assert_eq!(refused(change).1, field);
        }
    }

    #[test]
    fn a_brand_domain_and_what_lies_above_it_may_not_send_but_what_lies_below_may() {
        let mut fleet = Fleet::with_identities(0);
        let mut other = tenant("client-2");
        other.brand_domains.insert(domain("shop.example.org"));
        fleet.accept(Command::CreateTenant(CreateTenant { tenant: other }));
        let mut spec = identity(0);
        for bad in ["shop.example.org", "example.org"] {
            spec.domain = domain(bad);
            spec.zone = domain(bad);
            assert_eq!(
                fleet.refuse(add(spec.clone())).code,
                RejectionCode::BrandDomain,
                "{bad}"
            );
        }
        spec.domain = domain("mail.shop.example.org");
        spec.zone = domain("example.org");
        fleet.accept(add(spec));
    }
}
