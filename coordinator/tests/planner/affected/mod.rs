//! Nobody whose plan a change touches is left out, and one identity touches few.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_coordinator::planner::{Affected, PlanError, Planned, affected, plan};
use email_engine_coordinator::state::{FleetState, GivenUp, HostLifecycle, RestartAllowed};
use email_engine_protocol::api::{IpSpec, IpStatus, Phase, Purpose};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, SecretId, TenantId};
use email_engine_protocol::mail::{DomainName, LocalPart};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use crate::fixture::{Fleet, texts};

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
    NewTenant(u8),
    Enrol(usize),
    Certify(usize),
    Authority(u8),
    Secret(usize, usize),
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
        (0..3u8).prop_map(Step::NewTenant),
        (0..7usize).prop_map(Step::Enrol),
        (0..7usize).prop_map(Step::Certify),
        (0..3u8).prop_map(Step::Authority),
        (0..5usize, 0..7usize).prop_map(|(kind, at)| Step::Secret(kind, at)),
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
        _ => come(fleet, step),
    }
}

/// What comes by itself for a host or a tenant.
fn come(fleet: &mut Fleet, step: &Step) {
    let host = |fleet: &Fleet, at: usize| fleet.state.hosts.keys().nth(at).unwrap().clone();
    match *step {
        Step::NewTenant(number) => {
            let id = TenantId::new(format!("new{number}")).unwrap();
            let mut tenant = fleet.state.tenants.values().next().unwrap().clone();
            tenant.id = id.clone();
            fleet.state.tenants.insert(id, tenant);
        }
        Step::Enrol(at) => {
            let host = host(fleet, at);
            let row = fleet.state.hosts.get_mut(&host).unwrap();
            row.lifecycle = HostLifecycle::Enrolled;
            row.large_removal = true;
        }
        Step::Certify(at) => {
            let host = host(fleet, at);
            if let Some(names) = fleet.state.hosts[&host].submission_names() {
                fleet.certify(&host, names);
            }
        }
        Step::Authority(number) => {
            let mut other = fleet.clone().certified().state.submission_authority;
            let record = Arc::make_mut(other.as_mut().unwrap());
            record.issued = number.into();
            record.authority.certificate = vec![number / 2; 8];
            fleet.state.submission_authority = other;
        }
        Step::Secret(kind, at) => put(fleet, kind, at),
        _ => unreachable!("what is done to a fleet was done"),
    }
}

/// A secret that is nobody's DKIM key.
fn put(fleet: &mut Fleet, kind: usize, at: usize) {
    let host = fleet.state.hosts.keys().nth(at).unwrap();
    let tenant = fleet.state.tenants.keys().nth(at % 3).unwrap();
    let name = match kind {
        0 => format!("tenant/{tenant}/api-key"),
        1 => format!("database/{host}/mysql/mailwizz"),
        2 => format!("host/{host}/metrics-key"),
        3 => format!("host/{host}/grafana-admin"),
        _ => "dnsbl/spamhaus-zen".to_owned(),
    };
    let id = SecretId::new(name).unwrap();
    let any = fleet.state.secrets.values().next().cloned();
    if let Some(mut secret) = any {
        let version = fleet.state.secrets.get(&id).map_or(0, |one| one.version);
        let change = Arc::make_mut(&mut secret);
        (change.id, change.version) = (id.clone(), version + 1);
        fleet.state.secrets.insert(id, secret);
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
fn whoever_drains_an_address_learns_what_becomes_of_it_elsewhere() {
    let address = "192.0.2.0";
    let mut fleet = fleet(6);
    // It moved, and drains where it was.
    fleet.leave(address, true);
    fleet.edit(address, |ip| ip.host = HostId::new("pmta2").unwrap());
    fleet.state.reindex();
    let before = fleet.state.clone();
    fleet.leave(address, false);
    let gone = affected(&before, &fleet.state);
    assert_eq!(gone, exactly(&["api1", "mw0", "pmta1", "pmta2"]));
    let listens = |fleet: &Fleet, host: &str| {
        let text = texts(&fleet.plan(host))["/etc/pmta/config"].clone();
        text.contains(&format!("smtp-listener {address}:25"))
    };
    // It took its address along, also when it is gone from where it went.
    assert_eq!(
        (listens(&fleet, "pmta1"), listens(&fleet, "pmta2")),
        (false, true)
    );
    fleet
        .state
        .leaving
        .retain(|(host, _), _| host.as_str() == "pmta1");
    fleet.state.reindex();
    assert_eq!(
        (listens(&fleet, "pmta1"), listens(&fleet, "pmta2")),
        (false, false)
    );
}

#[test]
fn a_secret_touches_those_who_are_given_it_and_an_unknown_one_everybody() {
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
    // In order of name: api1, api2, mw0.
    let kinds: [&[&str]; 4] = [&["api1", "mw2"], &["mw0"], &["mw0"], &["mw0"]];
    for (kind, those) in kinds.into_iter().enumerate() {
        assert_eq!(
            touched(|fleet| put(fleet, kind, 2)),
            exactly(those),
            "{kind}"
        );
    }
    assert_eq!(touched(|fleet| put(fleet, 4, 0)), Affected::Everybody);
}

/// Each of a hundred hosts enrols and gets its certificate, and each of a hundred tenants comes: what is
/// planned for it must not be a hundred hosts each time.
#[test]
fn what_comes_for_each_host_or_tenant_touches_few() {
    let api1 = Step::Enrol(0);
    assert_eq!(touched(|fleet| take(fleet, &api1)), exactly(&["api1"]));
    // Who submits to a relay learns that it offers TLS.
    let certified = touched(|fleet| take(fleet, &Step::Certify(5)));
    let submitters = ["api1", "api2", "mw0", "mw1", "mw2", "pmta1"];
    assert_eq!(certified, exactly(&submitters));
    let issued = touched(|fleet| {
        *fleet = fleet.clone().certified();
    });
    assert_eq!(
        issued,
        Affected::Everybody,
        "another authority is everybody's"
    );
    let new = touched(|fleet| take(fleet, &Step::NewTenant(0)));
    assert_eq!(new, exactly(&["api1"]));
    let changed = touched(|fleet| take(fleet, &Step::Tenant(1)));
    assert_eq!(changed, exactly(&["api1", "api2", "mw1", "pmta1", "pmta2"]));
}

#[test]
fn what_no_plan_reads_touches_nobody_and_another_declaration_of_a_host_everybody() {
    assert_eq!(touched(|fleet| take(fleet, &Step::Noise(99))), exactly(&[]));
    assert_eq!(
        touched(|fleet| take(fleet, &Step::Label(0))),
        Affected::Everybody
    );
    assert_eq!(
        touched(|fleet| take(fleet, &Step::Attempt(0))),
        exactly(&["api1"])
    );
}
