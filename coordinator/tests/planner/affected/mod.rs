//! Nobody whose plan a change touches is left out, and one identity touches few.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_coordinator::planner::{Affected, PlanError, Planned, affected, plan};
use email_engine_coordinator::state::{FleetState, GivenUp, RestartAllowed};
use email_engine_protocol::api::{IpSpec, IpStatus, Phase, Purpose};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, SecretId};
use email_engine_protocol::mail::{DomainName, LocalPart};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::fixture::Fleet;

const RELAYS: [&str; 2] = ["pmta1", "pmta2"];

/// Three tenants with a MailWizz host each, two relays, a shared API host and one of a tenant's own. Identity
/// `n` is tenant `n % 3`'s, on relay `n % 2`.
fn fleet(identities: u8) -> Fleet {
    let mut text = String::from(
        "[settings]\npostmaster = \"postmaster@example.org\"\n\
         [[hosts]]\nid = \"api1\"\nrole = \"api\"\naddresses = [\"198.51.100.30\"]\n\
         [[hosts]]\nid = \"api2\"\nrole = \"api\"\ntenant = \"t1\"\naddresses = [\"198.51.100.31\"]\n",
    );
    for (n, relay) in RELAYS.iter().enumerate() {
        text.push_str(&format!(
            "[[hosts]]\nid = \"{relay}\"\nrole = \"powermta\"\naddresses = [\"198.51.100.2{n}\"]\n\
             labels = {{ host-name = \"{relay}.example.org\" }}\n"
        ));
    }
    for n in 0..3 {
        text.push_str(&format!(
            "[[tenants]]\nid = \"t{n}\"\nname = \"T\"\ninbound_mailbox = \"in@t{n}.example\"\n\
             [[hosts]]\nid = \"mw{n}\"\nrole = \"mailwizz\"\ntenant = \"t{n}\"\n\
             addresses = [\"198.51.100.{n}\"]\n"
        ));
    }
    for n in 0..identities {
        let (tenant, relay) = (n % 3, RELAYS[usize::from(n % 2)]);
        text.push_str(&format!(
            "[[ips]]\naddress = \"192.0.2.{n}\"\ndomain = \"m{n}.t{tenant}.example\"\ntenant = \"t{tenant}\"\n\
             host = \"{relay}\"\npool = \"t{tenant}-{relay}\"\nstatus = \"active\"\nphase = \"active\"\n"
        ));
    }
    Fleet::of(&text)
}

/// What happens to a fleet.
#[derive(Clone, Debug)]
enum Step {
    Status(u8, usize),
    Phase(u8, usize),
    Purpose(u8),
    Name(u8),
    Sender(u8),
    Move(u8, usize),
    Remove(u8),
    Leave(u8, bool),
    GiveUp(u8),
    Attempt(usize),
    Restart(usize),
    Label(usize),
    Tenant(usize),
    Noise(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..12u8;
    prop_oneof![
        (at.clone(), 0..6usize).prop_map(|(at, to)| Step::Status(at, to)),
        (at.clone(), 0..3usize).prop_map(|(at, to)| Step::Phase(at, to)),
        at.clone().prop_map(Step::Purpose),
        at.clone().prop_map(Step::Name),
        at.clone().prop_map(Step::Sender),
        (at.clone(), 0..2usize).prop_map(|(at, to)| Step::Move(at, to)),
        at.clone().prop_map(Step::Remove),
        (at.clone(), any::<bool>()).prop_map(|(at, moves)| Step::Leave(at, moves)),
        at.prop_map(Step::GiveUp),
        (0..7usize).prop_map(Step::Attempt),
        (0..7usize).prop_map(Step::Restart),
        (0..7usize).prop_map(Step::Label),
        (0..3usize).prop_map(Step::Tenant),
        any::<u64>().prop_map(Step::Noise),
    ]
}

fn take(fleet: &mut Fleet, step: &Step) {
    let there = |fleet: &Fleet, at: u8| {
        let address = format!("192.0.2.{at}");
        let known = fleet
            .state
            .identities
            .contains_key(&address.parse().unwrap());
        known.then_some(address)
    };
    let host = |fleet: &Fleet, at: usize| fleet.state.hosts.keys().nth(at).unwrap().clone();
    match *step {
        Step::Status(at, to) => edit(fleet, at, |ip| {
            use IpStatus::{Active, Quarantine, Resting, Retiring, Standby, Warming};
            ip.status = [Active, Warming, Standby, Quarantine, Resting, Retiring][to];
        }),
        Step::Phase(at, to) => edit(fleet, at, |ip| {
            ip.phase = [Phase::Week1, Phase::Week5, Phase::Active][to];
        }),
        Step::Purpose(at) => edit(fleet, at, |ip| ip.purpose = Purpose::Autoresponder),
        Step::Name(at) => edit(fleet, at, |ip| {
            ip.domain = DomainName::new(format!("other{at}.example")).unwrap();
        }),
        Step::Sender(at) => edit(fleet, at, |ip| ip.sender = LocalPart::new("other").unwrap()),
        Step::Move(at, to) => edit(fleet, at, |ip| ip.host = HostId::new(RELAYS[to]).unwrap()),
        Step::Remove(at) => {
            if let Some(address) = there(fleet, at) {
                fleet.state.identities.remove(&address.parse().unwrap());
            }
        }
        Step::Leave(at, moves) => {
            if let Some(address) = there(fleet, at) {
                fleet.leave(&address, moves);
            }
        }
        Step::GiveUp(at) => {
            let Some(address) = there(fleet, at) else {
                return;
            };
            let address = address.parse().unwrap();
            let spec = fleet.state.identities[&address].spec.clone();
            let revision = 7;
            let given_up = GivenUp { address, revision };
            let names = fleet.state.given_up.or_default(&spec.host);
            names.insert(spec.vmta, given_up);
        }
        Step::Attempt(at) => *fleet.state.attempts.or_default(&host(fleet, at)) += 1,
        Step::Restart(at) => {
            let allowed = RestartAllowed {
                lines: ContentHash([7; 32]),
                revision: 7,
            };
            fleet.state.restart_allowed.insert(host(fleet, at), allowed);
        }
        Step::Label(at) => {
            let host = host(fleet, at);
            let labels = &mut fleet.state.hosts.get_mut(&host).unwrap().spec.labels;
            labels.insert("node-exporter".to_owned(), "on".to_owned());
        }
        Step::Tenant(at) => {
            let id = fleet.state.tenants.keys().nth(at).unwrap().clone();
            fleet.state.tenants.get_mut(&id).unwrap().inbound_mailbox = None;
        }
        Step::Noise(number) => {
            fleet.state.now = Timestamp(number);
            fleet.state.revision = number;
            fleet.state.next_audit = number;
            fleet.state.next_prepared_key = number;
            fleet.state.prepared_keys.clear();
            fleet.state.targets.clear();
            fleet.state.outcomes.clear();
            fleet.state.next_node = number;
        }
    }
}

fn edit(fleet: &mut Fleet, at: u8, change: impl FnOnce(&mut IpSpec)) {
    let address = format!("192.0.2.{at}");
    if fleet
        .state
        .identities
        .contains_key(&address.parse().unwrap())
    {
        fleet.edit(&address, change);
    }
}

fn hosts(state: &FleetState) -> Vec<HostId> {
    state.hosts.keys().cloned().collect()
}

proptest! {
    #[test]
    fn whoever_is_not_affected_is_planned_as_before(
        identities in 1..12u8, first in prop::collection::vec(step(), 0..6),
        then in prop::collection::vec(step(), 1..3),
    ) {
        let mut fleet = fleet(identities);
        first.iter().for_each(|step| take(&mut fleet, step));
        fleet.state.reindex();
        let before = fleet.state.clone();
        then.iter().for_each(|step| take(&mut fleet, step));
        fleet.state.reindex();
        let affected = affected(&before, &fleet.state);
        for host in hosts(&fleet.state) {
            if affected.has(&host) {
                continue;
            }
            let (was, is) = (plan(&before, &host), plan(&fleet.state, &host));
            let what = |planned: Result<Planned, _>| {
                planned.map(|planned| (planned.config, planned.bodies)).map_err(
                    |error: PlanError| error.to_string(),
                )
            };
            prop_assert!(what(was) == what(is), "{} by {:?} after {:?}", host, then, first);
        }
    }
}

/// The hosts that a change of identity 0 (tenant 0, first relay) touches.
fn touched(change: impl FnOnce(&mut Fleet)) -> Affected {
    let mut fleet = fleet(6);
    fleet.state.reindex();
    let before = fleet.state.clone();
    change(&mut fleet);
    fleet.state.reindex();
    affected(&before, &fleet.state)
}

fn exactly(names: &[&str]) -> Affected {
    let hosts = names.iter().map(|name| HostId::new(*name).unwrap());
    Affected::Hosts(hosts.collect::<BTreeSet<_>>())
}

#[test]
fn an_identity_touches_its_relay_and_who_submits_or_shows_for_its_tenant() {
    let own = ["api1", "mw0", "pmta1"];
    let quarantine = |ip: &mut IpSpec| ip.status = IpStatus::Quarantine;
    assert_eq!(
        touched(|fleet| fleet.edit("192.0.2.0", quarantine)),
        exactly(&own)
    );
    let retired = touched(|fleet| fleet.leave("192.0.2.0", false));
    assert_eq!(retired, exactly(&own));
    let moved = touched(|fleet| {
        fleet.edit("192.0.2.0", |ip| ip.host = HostId::new("pmta2").unwrap());
    });
    assert_eq!(moved, exactly(&["api1", "mw0", "pmta1", "pmta2"]));
    let of_t1 = touched(|fleet| fleet.edit("192.0.2.4", quarantine));
    assert_eq!(of_t1, exactly(&["api1", "api2", "mw1", "pmta1"]));
}

#[test]
fn a_new_key_touches_the_hosts_of_its_identity_and_another_secret_everybody() {
    let change = |fleet: &mut Fleet, id: &str| {
        let id = SecretId::new(id).unwrap();
        let secret = fleet.state.secrets.get_mut(&id).unwrap();
        Arc::make_mut(secret).version += 1;
    };
    let name = |fleet: &Fleet| {
        let first = fleet.state.identities.values().next().unwrap();
        first.dkim_key.to_string()
    };
    let touched_by_key = touched(|fleet| change(fleet, &name(fleet)));
    assert_eq!(touched_by_key, exactly(&["api1", "mw0", "pmta1"]));
    let other = touched(|fleet| {
        let id = fleet
            .state
            .identities
            .values()
            .next()
            .unwrap()
            .dkim_key
            .clone();
        let secret = fleet.state.secrets[&id].clone();
        let id = SecretId::new("tenant/t0/api-key").unwrap();
        fleet.state.secrets.insert(id, secret);
    });
    assert_eq!(other, Affected::Everybody);
}

#[test]
fn what_no_plan_reads_touches_nobody_and_a_host_touches_everybody() {
    assert_eq!(touched(|fleet| take(fleet, &Step::Noise(99))), exactly(&[]));
    assert_eq!(
        touched(|fleet| take(fleet, &Step::Label(0))),
        Affected::Everybody
    );
    assert_eq!(
        touched(|fleet| take(fleet, &Step::Tenant(0))),
        Affected::Everybody
    );
    assert_eq!(
        touched(|fleet| take(fleet, &Step::Attempt(0))),
        exactly(&["api1"])
    );
}
