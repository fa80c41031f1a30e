//! Who was out or stopped when it left is so when it comes again, by whatever door.

use email_engine_protocol::api::{Rate, WarmupRates, WarmupReason};
use email_engine_protocol::id::Role;
use email_engine_protocol::observed::DayCounts;

use super::*;
use crate::command::{ResumeWarmup, StopWarmup};
use crate::state::{TABLES_VERSION, decode, encode};

fn stop(fleet: &mut Fleet) {
    let rate = Rate {
        events: 11,
        of: 100,
        measured: true,
    };
    let command = StopWarmup {
        address: address(0),
        phase_started_at: first(fleet).warmup.phase_started_at,
        reasons: vec![WarmupReason::Bounces { rate, line: 1_000 }],
        rates: WarmupRates::default(),
    };
    fleet.accept(Command::StopWarmup(Box::new(command)));
}

/// It goes with what is in its queue, as `DELETE ...?now` has it.
fn gone_at_once(fleet: &mut Fleet) {
    let address = address(0);
    fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
    if fleet.state.leaving_from(address).next().is_some() {
        let messages = None;
        fleet.accept(Command::GiveUpDrain(GiveUpDrain { address, messages }));
    }
    assert_eq!(fleet.state.leaving_from(address).count(), 0);
}

fn add(fleet: &mut Fleet, change: impl FnOnce(&mut IpSpec)) {
    let mut ip = identity(0);
    change(&mut ip);
    fleet.accept(fleet.stock(1));
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip)));
}

/// One that its host has, out by a list.
fn listed() -> Fleet {
    let mut fleet = Fleet::with_identities(1);
    let target = fleet.target(&[b"one"]);
    fleet.accept(target);
    fleet.accept(steer(quarantined()));
    fleet
}

fn is_out_as_before(fleet: &Fleet, before: &Life) {
    let one = first(fleet);
    assert_eq!((one.spec.status, one.weight()), (IpStatus::Quarantine, 0));
    assert_eq!(one.life.quarantine, before.quarantine);
    assert_eq!(one.life.since, before.since);
    assert_eq!(causes(fleet).last(), Some(&Cause::Returned));
}

#[test]
fn nobody_leaves_quarantine_by_being_gone_for_a_moment() {
    let mut fleet = listed();
    let before = first(&fleet).life.clone();
    gone_at_once(&mut fleet);
    // A snapshot in between carries it.
    fleet.state = decode(TABLES_VERSION, &encode(&fleet.state)).unwrap();
    pass(&mut fleet, 3);
    add(&mut fleet, |ip| ip.status = IpStatus::Active);
    is_out_as_before(&fleet, &before);
    assert_eq!(
        fleet.refuse(steer(Event::Release)).code,
        RejectionCode::NotYet
    );
    // Once is not enough to be forgotten either, nor is another name.
    gone_at_once(&mut fleet);
    add(&mut fleet, |ip| {
        (ip.domain, ip.hostname) = (domain("new.example.com"), domain("new.example.com"));
        ip.zone = domain("example.com");
        ip.status = IpStatus::Standby;
    });
    is_out_as_before(&fleet, &before);
}

#[test]
fn what_an_old_host_has_of_it_is_not_what_it_is() {
    let mut fleet = Fleet::with_identities(1);
    let target = fleet.target(&[b"one"]);
    fleet.accept(target);
    let host = host("pmta2", Role::Powermta, 2);
    fleet.accept(Command::AddHost(AddHost { host }));
    // Where it was it drains as one that is well; where it is a list finds it.
    let change = changed(&fleet, |ip| ip.host = host_id("pmta2"));
    fleet.accept(change);
    fleet.accept(steer(quarantined()));
    let before = first(&fleet).life.clone();
    let address = address(0);
    fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
    assert_eq!(fleet.state.leaving_from(address).count(), 1);
    add(&mut fleet, |_| {});
    is_out_as_before(&fleet, &before);
    assert!(fleet.state.leaving.is_empty() && fleet.state.held.is_empty());
}

#[test]
fn stop_is_ended_by_a_reason_and_not_by_leaving() {
    for is_waited_for in [false, true] {
        let mut fleet = Fleet::with_identities(1);
        let target = fleet.target(&[b"one"]);
        fleet.accept(target);
        stop(&mut fleet);
        let stopped = first(&fleet).warmup.stopped.clone();
        if is_waited_for {
            let address = address(0);
            fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
        } else {
            gone_at_once(&mut fleet);
        }
        add(&mut fleet, |_| {});
        let one = first(&fleet);
        assert_eq!(one.warmup.stopped, stopped);
        assert_eq!(
            (one.takes_mail(), one.weight(), one.daily_quota()),
            (false, 0, 0)
        );
        fleet.accept(Command::ResumeWarmup(Box::new(ResumeWarmup {
            address: address(0),
            reason: "the list was cleaned".to_owned(),
            counted: DayCounts::default(),
        })));
        gone_at_once(&mut fleet);
        add(&mut fleet, |_| {});
        assert!(first(&fleet).takes_mail(), "the word ended it for good");
    }
}

#[test]
fn release_by_an_admin_clears_it_and_so_does_its_date() {
    let mut fleet = Fleet::with_identities(1);
    let lists = BTreeSet::new();
    fleet.accept(steer(Event::Quarantine { lists }));
    gone_at_once(&mut fleet);
    add(&mut fleet, |_| {});
    assert_eq!(first(&fleet).spec.status, IpStatus::Quarantine);
    fleet.accept(Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event: Event::Release,
        force: true,
        on_host: None,
    }));
    gone_at_once(&mut fleet);
    add(&mut fleet, |_| {});
    assert_eq!(first(&fleet).spec.status, IpStatus::Warming);

    let mut fleet = listed();
    gone_at_once(&mut fleet);
    pass(&mut fleet, 89);
    let held = fleet.state.held.of(address(0), fleet.now()).unwrap();
    let left = held.until.since(fleet.now());
    assert!(left <= Timestamp::DAY, "{left}");
    pass(&mut fleet, 2);
    add(&mut fleet, |_| {});
    assert_eq!(first(&fleet).spec.status, IpStatus::Warming);
}

#[test]
fn who_comes_back_before_its_queue_is_empty_is_as_far_as_it_was() {
    for (phase, comes) in [(None, Phase::Week2), (Some(Phase::Week4), Phase::Week4)] {
        let mut fleet = Fleet::with_identities(1);
        let target = fleet.target(&[b"one"]);
        fleet.accept(target);
        let address = address(0);
        fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
        let mut ip = identity(0);
        (ip.status, ip.phase) = (IpStatus::Standby, phase.unwrap_or_default());
        let said = crate::state::Said {
            phase,
            ..Default::default()
        };
        fleet.accept(Command::AddIdentity(AddIdentity { ip, said }));
        let one = first(&fleet);
        assert_eq!((one.spec.phase, one.warmup.phase), (comes, comes));
    }
}

#[test]
fn that_no_list_has_one_in_quarantine_is_not_for_everybody_to_say() {
    let mut fleet = listed();
    let says = |verdict: Verdict, sweeps| {
        Command::StateChecks(StateChecks {
            address: address(0),
            verdicts: [(Check::Listing, verdict)].into(),
            sweeps,
        })
    };
    let refused = fleet.refuse(says(Verdict::Valid, false));
    assert_eq!(code(&refused), (RejectionCode::Forbidden, "checks.listing"));
    let what = "127.0.0.2".to_owned();
    fleet.accept(says(Verdict::Invalid { what }, false));
    fleet.accept(says(Verdict::Valid, true));
    let out = first(&fleet).life.quarantine.clone().unwrap();
    assert_eq!(out.clean_sweeps, 1);
}
