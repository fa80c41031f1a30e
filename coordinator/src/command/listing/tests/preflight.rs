//! What lists say is what preflight asks, and ends a quarantine.

use std::net::Ipv4Addr;

use email_engine_protocol::api::{Check, IpStatus, ListingClass, Statement, Verdict};
use email_engine_protocol::time::Timestamp;

use super::{MINUTES, record, swept};
use crate::command::fixture::listing::{run, sighting, subject, sweep};
use crate::command::fixture::{Fleet, address, identity};
use crate::command::{
    ChangeIdentity, Command, RecordListings, RejectionCode, Sighting, StateChecks, SteerIdentity,
};
use crate::dnsbl::query::Subject;
use crate::fleet::lifecycle::{Event, Standing, due};
use crate::fleet::listing::{checks, preflight};

/// What is known of the first identity's listings.
fn known(fleet: &Fleet) -> Option<Statement> {
    let identity = &fleet.state.identities[&address(0)];
    let all = checks(&fleet.state, identity, &identity.life.checks);
    all.get(&Check::Listing).cloned()
}

fn says(fleet: &mut Fleet, verdict: Verdict) {
    fleet.accept(Command::StateChecks(StateChecks {
        address: address(0),
        verdicts: [(Check::Listing, verdict)].into(),
        sweeps: false,
    }));
}

/// A whole sweep, in which the list that counts names these.
fn look(fleet: &mut Fleet, listed: Vec<Sighting>) {
    look_with(fleet, listed, None);
}

fn look_with(fleet: &mut Fleet, listed: Vec<Sighting>, trouble: Option<&str>) {
    let begin = sweep(fleet, 1);
    fleet.accept(begin);
    let number = fleet
        .state
        .listings
        .sweep
        .as_ref()
        .map(|sweep| sweep.number);
    fleet.wait(1_000);
    let mut one = RecordListings {
        listed,
        ..run(number, "one", 1, &[])
    };
    let is_clean = one.listed.is_empty() && trouble.is_none();
    if is_clean {
        one.clean.insert(subject(0));
    }
    if let Some(end) = &mut one.end {
        end.trouble = trouble.map(str::to_owned);
    }
    fleet.accept(record(one));
    fleet.accept(record(run(number, "two", 1, &[])));
}

fn policy() -> Sighting {
    Sighting {
        codes: [Ipv4Addr::new(127, 0, 0, 10)].into(),
        class: ListingClass::Policy,
        meaning: "PBL: not a mail server".to_owned(),
        ..sighting(0)
    }
}

/// Others see the same, ten minutes later.
fn confirm(fleet: &mut Fleet, listed: Sighting) {
    fleet.wait(11 * MINUTES);
    fleet.accept(record(RecordListings {
        listed: vec![listed],
        ..run(None, "one", 2, &[])
    }));
}

#[test]
fn a_closed_sweep_says_what_preflight_asks_and_the_later_word_holds() {
    let mut fleet = Fleet::with_identities(1);
    assert_eq!(known(&fleet), None, "nobody has looked");
    says(&mut fleet, Verdict::Valid);
    let invalid = |fleet: &Fleet| match known(fleet).unwrap().verdict {
        Verdict::Invalid { what } => what,
        other => panic!("{other:?}"),
    };
    fleet.wait(MINUTES);
    look(&mut fleet, Vec::new());
    let seen = known(&fleet).unwrap();
    assert_eq!((seen.verdict, &seen.by[..]), (Verdict::Valid, "sweep 1"));
    // One pair of eyes is not two, and not nothing.
    fleet.wait(MINUTES);
    look(&mut fleet, vec![sighting(0)]);
    let seen = known(&fleet).unwrap();
    assert!(matches!(seen.verdict, Verdict::Unknown { .. }), "{seen:?}");
    confirm(&mut fleet, sighting(0));
    assert!(invalid(&fleet).contains("is on one (bad)"));
    // An operator's word holds until the next look.
    fleet.wait(MINUTES);
    says(&mut fleet, Verdict::Valid);
    assert_eq!(known(&fleet).unwrap().by, "key admin");
    fleet.wait(MINUTES);
    look(&mut fleet, vec![sighting(0)]);
    assert!(invalid(&fleet).contains("is on one"));
    fleet.wait(MINUTES);
    look(&mut fleet, Vec::new());
    assert_eq!(known(&fleet).unwrap().verdict, Verdict::Valid);
}

#[test]
fn a_policy_listing_keeps_from_service_and_takes_nobody_out() {
    let mut fleet = Fleet::with_identities(1);
    let valid = Check::ALL.map(|check| (check, Verdict::Valid)).into();
    let mut bench = identity(0);
    bench.status = IpStatus::Resting;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(bench)));
    let steer = |fleet: &mut Fleet, event, is_fine: bool| {
        let steer = Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event,
            force: false,
            on_host: None,
        });
        match is_fine {
            true => drop(fleet.accept(steer)),
            false => {
                let refused = fleet.refuse(steer);
                assert_eq!(refused.code, RejectionCode::Preflight, "{refused}");
                assert!(refused.to_string().contains("PBL"), "{refused}");
            }
        }
    };
    steer(&mut fleet, Event::Release, true);
    fleet.accept(Command::StateChecks(StateChecks {
        address: address(0),
        verdicts: valid,
        sweeps: false,
    }));
    fleet.wait(MINUTES);
    look(&mut fleet, vec![policy()]);
    confirm(&mut fleet, policy());
    steer(&mut fleet, Event::Activate, false);
    assert_eq!(
        fleet.state.identities[&address(0)].spec.status,
        IpStatus::Standby
    );
    fleet.wait(MINUTES);
    look(&mut fleet, Vec::new());
    steer(&mut fleet, Event::Activate, true);
    // One that sends goes on, and one in quarantine is not held by it.
    look(&mut fleet, vec![policy()]);
    confirm(&mut fleet, policy());
    assert_eq!(
        fleet.state.identities[&address(0)].spec.status,
        IpStatus::Warming
    );
    let lists = ["one".to_owned()].into();
    steer(&mut fleet, Event::Quarantine { lists }, true);
    look(&mut fleet, vec![policy()]);
    let out = fleet.state.identities[&address(0)].life.quarantine.clone();
    assert_eq!(out.unwrap().clean_sweeps, 1);
}

#[test]
fn a_listing_of_the_domain_is_told_as_well_and_a_remark_is_not() {
    let mut fleet = swept(1, 1);
    let name = identity(0).domain.to_string();
    let mut named = sighting(0);
    named.subject = Subject::Name(name.clone());
    named.meaning = "low reputation".to_owned();
    let on = |list: &str, node: u64, seen: &Sighting| RecordListings {
        listed: vec![seen.clone()],
        ..run(None, list, node, &[])
    };
    fleet.accept(record(on("spamhaus-dbl", 1, &named)));
    fleet.wait(11 * MINUTES);
    fleet.accept(record(on("spamhaus-dbl", 2, &named)));
    let wanted = format!("{name} is on spamhaus-dbl (low reputation)");
    assert_eq!(
        known(&fleet).unwrap().verdict,
        Verdict::Invalid { what: wanted }
    );
    let mut remark = swept(1, 1);
    let mut drone = sighting(0);
    drone.class = ListingClass::C;
    for node in [1, 2] {
        remark.accept(record(on("dronebl", node, &drone)));
        remark.wait(11 * MINUTES);
    }
    let seen = known(&remark).unwrap().verdict;
    assert!(
        matches!(seen, Verdict::Unknown { ref why } if why.contains("not asked")),
        "{seen:?}"
    );
}

#[test]
fn a_list_that_cannot_be_believed_is_no_clean_one_and_takes_nothing_from_what_was_said() {
    let mut fleet = Fleet::with_identities(1);
    look_with(&mut fleet, Vec::new(), Some("it lists the world"));
    let seen = known(&fleet).unwrap().verdict;
    assert!(
        matches!(seen, Verdict::Unknown { ref why } if why.contains("it lists the world")),
        "{seen:?}"
    );
    says(&mut fleet, Verdict::Valid);
    fleet.wait(MINUTES);
    look_with(&mut fleet, Vec::new(), Some("it lists the world"));
    assert_eq!(known(&fleet).unwrap().by, "key admin");
    // What nobody has seen for a day is not known.
    look(&mut fleet, Vec::new());
    let identity = &fleet.state.identities[&address(0)];
    let missing = |at: Timestamp| {
        let known = preflight(&fleet.state, identity, &identity.life.checks, at);
        known.missing().contains_key(&Check::Listing)
    };
    assert!(!missing(fleet.now()));
    assert!(missing(fleet.now().plus(Timestamp::DAY + MINUTES)));
}

#[test]
fn two_clean_sweeps_and_a_week_end_a_quarantine_and_a_sighting_begins_it_anew() {
    let mut fleet = Fleet::with_identities(2);
    look(&mut fleet, vec![sighting(0)]);
    confirm(&mut fleet, sighting(0));
    let lists = ["one".to_owned()].into();
    fleet.accept(Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event: Event::Quarantine { lists },
        force: false,
        on_host: None,
    }));
    let out = |fleet: &Fleet| {
        let life = &fleet.state.identities[&address(0)].life;
        life.quarantine.clone().unwrap()
    };
    let is_due = |fleet: &Fleet| {
        let identity = &fleet.state.identities[&address(0)];
        due(&Standing::of(identity), fleet.now())
    };
    let day = |fleet: &mut Fleet, listed: Vec<Sighting>, trouble| {
        fleet.wait(Timestamp::DAY - MINUTES);
        look_with(fleet, listed, trouble);
    };
    day(&mut fleet, Vec::new(), None);
    day(&mut fleet, Vec::new(), None);
    assert_eq!(out(&fleet).clean_sweeps, 2);
    // Seen once more, between sweeps: by one pair of eyes, and that is enough to stay.
    fleet.accept(record(run(None, "one", 1, &[0])));
    let seen = out(&fleet);
    assert_eq!((seen.clean_sweeps, seen.last_sighting), (0, fleet.now()));
    for _ in 0..6 {
        day(&mut fleet, Vec::new(), None);
    }
    assert_eq!((out(&fleet).clean_sweeps, is_due(&fleet)), (6, None));
    // A sweep that could not look neither counts nor breaks the row.
    day(&mut fleet, Vec::new(), Some("it does not answer"));
    assert_eq!(out(&fleet).clean_sweeps, 6);
    fleet.wait(Timestamp::HOUR);
    assert_eq!(is_due(&fleet), Some(Event::Release));
    fleet.accept(Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event: Event::Release,
        force: false,
        on_host: None,
    }));
    assert_eq!(
        fleet.state.identities[&address(0)].spec.status,
        IpStatus::Resting
    );
    assert_eq!(is_due(&fleet), None);
}

#[test]
fn what_an_operator_says_during_a_sweep_is_of_that_sweep() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event: Event::Quarantine { lists: [].into() },
        force: false,
        on_host: None,
    }));
    let begin = sweep(&fleet, 1);
    fleet.accept(begin);
    fleet.accept(Command::StateChecks(StateChecks {
        address: address(0),
        verdicts: [(Check::Listing, Verdict::Valid)].into(),
        sweeps: true,
    }));
    let mut one = run(Some(1), "one", 1, &[]);
    one.clean.insert(subject(0));
    fleet.accept(record(one));
    fleet.accept(record(run(Some(1), "two", 1, &[])));
    let life = &fleet.state.identities[&address(0)].life;
    assert_eq!(life.quarantine.as_ref().unwrap().clean_sweeps, 1);
}
