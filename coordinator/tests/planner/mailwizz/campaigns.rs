//! What scripts are told of servers that take no mail: which are out, which are lost, and who came in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use email_engine_coordinator::planner::affected;
use email_engine_coordinator::state::{Ending, ListingEvent, Search};
use email_engine_protocol::api::{Cause, IpStatus, Transition};
use email_engine_protocol::desired::{OnRemove, Resource, Spec, SqlScriptSpec};
use email_engine_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::{HOST, given};
use crate::fixture::Fleet;

const MOVED: &str = "sql_script:mailwizz/campaigns-moved";
const RESUMED: &str = "sql_script:mailwizz/campaigns-resumed";

fn resource(fleet: &Fleet, id: &str) -> Resource {
    let mut all = fleet.plan(HOST).config.resources.into_iter();
    all.find(|one| one.id.as_str() == id).unwrap()
}

fn script(fleet: &Fleet, id: &str) -> SqlScriptSpec {
    match resource(fleet, id).spec {
        Spec::SqlScript(script) => script,
        other => panic!("{other:?}"),
    }
}

/// What both scripts are given, read as what they are.
fn told(fleet: &Fleet) -> BTreeMap<String, Value> {
    let read = |script: SqlScriptSpec| -> BTreeMap<String, Value> {
        let given = script.given.into_iter();
        let read = |text: String| serde_json::from_str(&text).unwrap();
        given.map(|one| (one.name, read(one.value))).collect()
    };
    let moved = read(script(fleet, MOVED));
    assert_eq!(read(script(fleet, RESUMED))["out"], moved["out"]);
    moved
}

fn addresses(fleet: &Fleet) -> Vec<IpAddr> {
    fleet.state.identities.keys().copied().collect()
}

fn name(fleet: &Fleet, address: IpAddr) -> String {
    let vmta = &fleet.state.identities[&address].spec.vmta;
    format!("{vmta} (Email-Engine)")
}

fn set(fleet: &mut Fleet, address: IpAddr, status: IpStatus) {
    let now = fleet.state.now;
    turn(fleet, address, status, now);
}

fn turn(fleet: &mut Fleet, address: IpAddr, status: IpStatus, at: Timestamp) {
    let identity = fleet.state.identities.get_mut(&address).unwrap();
    let identity = Arc::make_mut(identity);
    identity.spec.status = status;
    identity.life.remember(Transition {
        at,
        revision: 1,
        from: None,
        to: status,
        phase: identity.spec.phase,
        reserve: false,
        cause: Cause::Quarantined,
        forced: BTreeSet::new(),
        actor: "node 1".to_owned(),
        reason: "it is listed".to_owned(),
    });
}

fn happened(fleet: &mut Fleet, number: u64, address: IpAddr, search: Search) {
    let spec = fleet.state.identities[&address].spec.clone();
    let event = ListingEvent {
        address,
        domain: spec.domain,
        tenant: spec.tenant,
        purpose: spec.purpose,
        lists: BTreeMap::new(),
        at: fleet.state.now,
        revision: 1,
        lost: 100,
        search,
    };
    let events = &mut fleet.state.failover.events;
    events.insert(number, Arc::new(event));
}

fn replaced(fleet: &Fleet, by: IpAddr) -> Search {
    Search::Replaced {
        by,
        domain: fleet.state.identities[&by].spec.domain.clone(),
        restores_percent: 100,
        at: Timestamp(2),
        revision: 2,
    }
}

#[test]
fn while_all_send_nobody_is_out() {
    let fleet = given(Fleet::sos_holidays());
    let told = told(&fleet);
    assert_eq!(told["out"], json!([]));
    assert_eq!(told["lost"], json!([]));
    assert_eq!(told["heirs"], json!({}));
}

#[test]
fn who_rests_is_out_and_who_is_listed_is_lost_with_its_heir_or_without() {
    let mut fleet = given(Fleet::sos_holidays());
    let [rests, lost, heir, alone, next] = addresses(&fleet)[..] else {
        panic!("five");
    };
    set(&mut fleet, rests, IpStatus::Resting);
    for address in [lost, alone] {
        set(&mut fleet, address, IpStatus::Quarantine);
    }
    let taken = replaced(&fleet, heir);
    happened(&mut fleet, 0, lost, taken);
    happened(&mut fleet, 1, alone, Search::Open { obstacle: None });
    let named = |fleet: &Fleet, all: &[IpAddr]| -> Vec<String> {
        let mut names: Vec<_> = all.iter().map(|one| name(fleet, *one)).collect();
        names.sort();
        names
    };
    let first = told(&fleet);
    assert_eq!(first["out"], json!(named(&fleet, &[rests, lost, alone])));
    // Whoever comes takes its place in campaigns that others send as well: it stays in them until then.
    assert_eq!(first["lost"], json!(named(&fleet, &[lost])));
    let over = Search::Ended {
        at: Timestamp(3),
        why: Ending::TooLate,
        obstacle: None,
    };
    happened(&mut fleet, 1, alone, over);
    assert_eq!(told(&fleet)["lost"], json!(named(&fleet, &[lost, alone])));
    let heirs = |fleet: &Fleet, of: IpAddr, heir: IpAddr| {
        let pair = [(name(fleet, of), name(fleet, heir))];
        json!(BTreeMap::from(pair))
    };
    assert_eq!(first["heirs"], heirs(&fleet, lost, heir));

    // The heir is lost as well: who took its place is the heir of both.
    set(&mut fleet, heir, IpStatus::Quarantine);
    let taken = replaced(&fleet, next);
    happened(&mut fleet, 2, heir, taken);
    let both = told(&fleet)["heirs"].clone();
    let both: BTreeMap<String, String> = serde_json::from_value(both).unwrap();
    let next_name = name(&fleet, next);
    assert!(both.len() == 2 && both.values().all(|one| *one == next_name));
    // Nobody is sent to one that rests, and what waits for it stays where it is.
    set(&mut fleet, next, IpStatus::Resting);
    let waits = told(&fleet);
    assert_eq!(waits["heirs"], json!({}));
    assert_eq!(waits["lost"], json!(named(&fleet, &[alone])));
    // Lost once more: who came the last time is not who comes now.
    set(&mut fleet, next, IpStatus::Active);
    happened(&mut fleet, 3, heir, Search::Open { obstacle: None });
    assert_eq!(told(&fleet)["heirs"], json!({}));
    // Two places that were taken for each other lead nowhere.
    let taken = replaced(&fleet, lost);
    happened(&mut fleet, 4, heir, taken);
    assert_eq!(told(&fleet)["heirs"], json!({}));
}

#[test]
fn who_took_a_place_long_ago_takes_it_no_more_when_somebody_is_out_for_another_reason() {
    let mut fleet = given(Fleet::sos_holidays());
    let [lost, heir, ..] = addresses(&fleet)[..] else {
        panic!("five");
    };
    let taken = replaced(&fleet, heir);
    happened(&mut fleet, 0, lost, taken);
    set(&mut fleet, lost, IpStatus::Quarantine);
    assert_ne!(told(&fleet)["heirs"], json!({}));
    // It came back, and a person took it out.
    for (to, hours) in [(IpStatus::Warming, 1), (IpStatus::Quarantine, 2)] {
        let at = fleet.state.now.plus(hours * Timestamp::HOUR);
        turn(&mut fleet, lost, to, at);
    }
    let told = told(&fleet);
    assert_eq!(told["heirs"], json!({}));
    assert_eq!(told["lost"], json!([name(&fleet, lost)]));
}

#[test]
fn an_event_alone_touches_the_hosts_that_read_it() {
    let before = given(Fleet::sos_holidays());
    let mut after = before.clone();
    let all = addresses(&before);
    let taken = replaced(&after, all[1]);
    happened(&mut after, 0, all[0], taken);
    let touched = affected(&before.state, &after.state);
    assert!(touched.has(&super::host()));
}

#[test]
fn campaigns_are_paused_before_the_rows_and_go_on_after_them() {
    let fleet = given(Fleet::sos_holidays());
    let moved = resource(&fleet, MOVED);
    assert_eq!((moved.on_remove, moved.after), (OnRemove::Leave, vec![]));
    let after = resource(&fleet, RESUMED).after;
    assert_eq!(after.len(), 5);
    assert!(after.iter().all(|id| id.as_str().starts_with("sql_row:")));
    // Names are values: none of them is part of a statement.
    let vmta = &fleet.state.identities.values().next().unwrap().spec.vmta;
    for id in [MOVED, RESUMED] {
        let script = script(&fleet, id);
        let all = script.statements.iter().chain([&script.wanted]);
        assert!(
            all.chain(&script.told)
                .all(|text| !text.contains(vmta.as_str()))
        );
    }
}
