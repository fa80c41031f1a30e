//! What is seen is written down once, confirmed by other eyes, and ends when a healthy list says so.

mod preflight;
mod replies;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::{ROWS, RecordListings, SLACK, SUBJECTS};
use crate::command::fixture::listing::{list, observer, run, sighting, subject, sweep};
use crate::command::fixture::{Fleet, SECOND, address, identity};
use crate::command::{ChangeIdentity, Command, Effect, RejectionCode};
use crate::dnsbl::query::Subject;
use crate::fleet::failover::Brakes;
use crate::fleet::listing::{confirmed, unheard};
use crate::state::Listing;

const MINUTES: u64 = 60 * SECOND;

fn record(run: RecordListings) -> Command {
    Command::RecordListings(Box::new(run))
}

fn row<'a>(fleet: &'a Fleet, at: u32, name: &str) -> &'a Listing {
    &fleet.state.listings.rows[&subject(at)][&list(name)]
}

fn lists_of(fleet: &Fleet, at: u32) -> Vec<String> {
    confirmed(&fleet.state, &subject(at))
        .map(|(list, _)| list.to_string())
        .collect()
}

/// Of the first identity.
fn clean_sweeps(fleet: &Fleet) -> u8 {
    let life = &fleet.state.identities[&address(0)].life;
    life.quarantine.as_ref().unwrap().clean_sweeps
}

fn swept(count: u32, nodes: u64) -> Fleet {
    let mut fleet = Fleet::with_identities(count);
    let begin = sweep(&fleet, nodes);
    fleet.accept(begin);
    fleet
}

#[test]
fn a_sighting_counts_once_another_resolver_saw_it_ten_minutes_later() {
    let mut fleet = swept(2, 1);
    fleet.accept(record(run(Some(1), "one", 1, &[0])));
    assert_eq!(row(&fleet, 0, "one").confirmed_at, None);
    // The same eyes again, and others too soon.
    fleet.wait(20 * MINUTES);
    fleet.accept(record(run(None, "one", 1, &[0])));
    assert!(lists_of(&fleet, 0).is_empty());
    let mut soon = swept(2, 1);
    soon.accept(record(run(Some(1), "one", 1, &[0])));
    soon.wait(9 * MINUTES);
    soon.accept(record(run(None, "one", 2, &[0])));
    assert!(lists_of(&soon, 0).is_empty());
    // Others, later.
    fleet.accept(record(run(None, "one", 2, &[0])));
    assert_eq!(lists_of(&fleet, 0), ["one"]);
    let row = row(&fleet, 0, "one");
    assert_eq!(
        (row.observers.len(), row.reason.as_deref()),
        (2, Some("sent spam"))
    );
    assert!(row.first_seen < row.last_seen && row.confirmed_at == Some(row.last_seen));
    assert!(lists_of(&fleet, 1).is_empty());
}

#[test]
fn what_is_over_is_kept_and_begins_anew_unconfirmed() {
    let mut fleet = swept(1, 1);
    fleet.accept(record(run(Some(1), "one", 1, &[0])));
    fleet.wait(11 * MINUTES);
    fleet.accept(record(run(None, "one", 2, &[0])));
    let clean = RecordListings {
        clean: [subject(0)].into(),
        ..run(None, "one", 1, &[])
    };
    fleet.wait(MINUTES);
    fleet.accept(record(clean));
    assert!(lists_of(&fleet, 0).is_empty());
    assert!(row(&fleet, 0, "one").cleared_at.is_some());
    fleet.wait(MINUTES);
    fleet.accept(record(run(None, "one", 1, &[0])));
    let row = row(&fleet, 0, "one");
    assert_eq!(
        (row.confirmed_at, row.cleared_at, row.observers.len()),
        (None, None, 1)
    );
}

#[test]
fn a_run_is_taken_once_and_only_for_the_sweep_that_is_under_way() {
    let mut fleet = swept(2, 3);
    fleet.accept(record(run(Some(1), "one", 1, &[0])));
    // A second node took the list over meanwhile; somebody is a sweep late; a list is of no sweep.
    for late in [
        run(Some(1), "one", 2, &[1]),
        run(Some(7), "two", 2, &[1]),
        run(Some(1), "three", 2, &[1]),
    ] {
        let outcome = fleet.accept(record(late));
        assert_eq!(outcome.effect, Effect::Unchanged);
    }
    assert!(!fleet.state.listings.rows.contains_key(&subject(1)));
    assert!(
        fleet
            .state
            .listings
            .sweep
            .as_ref()
            .unwrap()
            .closed_at
            .is_none()
    );
    fleet.accept(record(run(Some(1), "two", 2, &[])));
    assert!(
        fleet
            .state
            .listings
            .sweep
            .as_ref()
            .unwrap()
            .closed_at
            .is_some()
    );
    // Of two who begin the next one, one does.
    let begin = sweep(&fleet, 3);
    fleet.accept(begin.clone());
    assert_eq!(fleet.refuse(begin).code, RejectionCode::StaleRevision);
}

#[test]
fn clean_sweeps_count_in_a_row_for_those_in_quarantine_and_sick_lists_say_nothing() {
    let mut fleet = Fleet::with_identities(2);
    let mut out = identity(0);
    out.status = IpStatus::Quarantine;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(out)));
    let mut number = 0;
    let mut look = |fleet: &mut Fleet, listed: &[u32], trouble: Option<&str>| {
        number += 1;
        let begin = sweep(fleet, 1);
        fleet.accept(begin);
        fleet.wait(MINUTES);
        let mut one = run(Some(number), "one", 1, listed);
        if listed.is_empty() && trouble.is_none() {
            one.clean.insert(subject(0));
        }
        if let Some(end) = &mut one.end {
            end.trouble = trouble.map(str::to_owned);
        }
        fleet.accept(record(one));
        // A list that counts for nothing may be sick for ever.
        let mut two = run(Some(number), "two", 1, &[]);
        if let Some(end) = &mut two.end {
            end.trouble = Some("sick".to_owned());
        }
        fleet.accept(record(two));
        clean_sweeps(fleet)
    };
    assert_eq!(look(&mut fleet, &[], None), 1);
    assert_eq!(look(&mut fleet, &[], Some("it lists the world")), 1);
    assert_eq!(look(&mut fleet, &[], None), 2);
    assert_eq!(look(&mut fleet, &[0], None), 0);
    assert_eq!(look(&mut fleet, &[], None), 1);
}

#[test]
fn a_list_that_names_many_at_once_is_seen_by_how_many_are_new() {
    let mut fleet = swept(5, 1);
    fleet.accept(record(run(None, "one", 1, &[3, 4])));
    fleet.wait(4 * Timestamp::HOUR);
    fleet.wait(SECOND);
    let brakes = |fleet: &Fleet| Brakes::of(&fleet.state, fleet.now());
    fleet.accept(record(run(None, "one", 1, &[0, 1, 2, 3, 4])));
    assert!(!brakes(&fleet).holds(&list("one")), "three are new");
    let mut mad = swept(5, 1);
    mad.accept(record(run(None, "one", 1, &[0, 1, 2, 3])));
    assert_eq!(brakes(&mad).due(), &[(list("one"), 4)].into());
    assert!(brakes(&mad).holds(&list("one")) && !brakes(&mad).holds(&list("two")));
}

#[test]
fn a_resolver_that_is_cut_off_for_a_day_changes_nothing_but_what_can_be_alerted() {
    let mut fleet = swept(2, 1);
    fleet.accept(record(run(Some(1), "one", 1, &[0])));
    fleet.accept(record(run(Some(1), "two", 1, &[])));
    fleet.wait(11 * MINUTES);
    fleet.accept(record(run(None, "one", 2, &[0])));
    let (revision, identities) = (fleet.state.revision, fleet.state.identities.clone());
    let rows = fleet.state.listings.rows.clone();
    for number in 2..9 {
        fleet.wait(4 * Timestamp::HOUR);
        let begin = sweep(&fleet, 1);
        fleet.accept(begin);
        for name in ["one", "two"] {
            let mut silent = run(Some(number), name, 1, &[]);
            if let Some(end) = &mut silent.end {
                end.trouble = Some("it does not answer".to_owned());
                end.unknown = end.subjects;
            }
            fleet.accept(record(silent));
        }
    }
    assert_eq!(
        (fleet.state.revision, &fleet.state.identities),
        (revision, &identities)
    );
    assert_eq!(
        fleet.state.listings.rows, rows,
        "listed stays listed, and nobody else is"
    );
    let unheard: Vec<(&ListId, Timestamp)> = unheard(&fleet.state, fleet.now()).collect();
    assert_eq!(unheard.len(), 2, "{unheard:?}");
    assert_eq!(unheard[0].0, &list("one"));
    // One healthy run ends it.
    let begin = sweep(&fleet, 1);
    fleet.accept(begin);
    fleet.accept(record(run(Some(9), "one", 1, &[0])));
    let left = crate::fleet::listing::unheard(&fleet.state, fleet.now());
    assert_eq!(
        left.map(|(list, _)| list.to_string()).collect::<Vec<_>>(),
        ["two"]
    );
}

#[test]
fn what_is_nobodys_is_not_kept_and_the_table_has_a_bound() {
    let mut fleet = swept(1, 1);
    fleet.accept(record(run(Some(1), "one", 1, &[0, 77])));
    assert_eq!(fleet.state.listings.rows.len(), 1);
    let many = RecordListings {
        listed: vec![sighting(0); SUBJECTS + 1],
        ..run(None, "one", 1, &[])
    };
    assert_eq!(fleet.refuse(record(many)).field, "listed");
    // As if so many had been listed and over since.
    let mut over = row(&fleet, 0, "one").clone();
    over.cleared_at = Some(fleet.now());
    let over = std::sync::Arc::new(over);
    for at in 0..ROWS + SLACK {
        let name = Subject::Name(format!("mail{at}.example.net"));
        let rows = [(list("one"), std::sync::Arc::clone(&over))].into();
        fleet.state.listings.rows.insert(name, rows);
    }
    fleet.wait(MINUTES);
    fleet.accept(record(run(None, "two", 1, &[0])));
    assert_eq!(
        fleet
            .state
            .listings
            .rows
            .values()
            .map(|rows| rows.len())
            .sum::<usize>(),
        ROWS
    );
    assert_eq!(
        fleet.state.listings.rows[&subject(0)].len(),
        2,
        "who is listed stays"
    );
    assert!(observer(1) != observer(2));
}
