//! A content that is held back, and what is kept in its place.

use email_engine_protocol::desired::{HostConfig, Policy};
use email_engine_protocol::observed::ResourceState;

use super::bed::{Bed, failure, files, said};
use crate::reconciler::contest;
use crate::reconciler::plan::tests::{config, service};

const GOOD: [(&str, &str); 3] = [("key", "KEY-1"), ("gone", "g"), ("config", "good")];
const BAD: [(&str, &str); 3] = [("key", "KEY-2"), ("extra", "e"), ("config", "bad")];
const WORDS: &str = "transaction:pair/test: Error in line 7 of /etc/p/config: unknown directive\n";

/// A bed where the good content is in force and the bad one was refused.
fn refused() -> (Bed, HostConfig) {
    let mut bed = Bed::new();
    let good = bed.state(&GOOD);
    assert!(bed.accept(&good).is_good());
    let bad = bed.state(&BAD);
    bed.fail(WORDS);
    let outcome = bed.accept(&bad);
    assert!(failure(&outcome).contains("Error in line 7"));
    bed.fail("");
    (bed, bad)
}

#[test]
fn what_is_refused_never_stays_and_its_words_are_told() {
    let (mut bed, bad) = refused();
    assert_eq!(bed.files(), files(&GOOD));
    for _ in 0..3 {
        let outcome = bed.look(&bad);
        let reason = failure(&outcome);
        assert!(reason.contains("was refused at stage test"), "{reason}");
        assert!(reason.contains("is kept"), "{reason}");
        let words =
            "product test ended with code 1: Error in line 7 of /etc/p/config: unknown directive";
        assert!(reason.ends_with(words), "{reason}");
        assert_eq!(bed.files(), files(&GOOD));
        assert_eq!(bed.runs("test"), 2, "once each");
    }
    assert_eq!(
        bed.runs("activate-previous"),
        0,
        "the product never heard of it"
    );
}

#[test]
fn an_equal_content_is_not_tried_again_in_this_life_or_the_next_and_another_one_is() {
    let (mut bed, bad) = refused();
    bed.accept(&bad);
    bed.restart();
    let outcome = bed.accept(&bad);
    assert!(failure(&outcome).contains("was refused"));
    assert_eq!(bed.runs("test"), 2);
    let mended = bed.state(&[("key", "KEY-2"), ("extra", "e"), ("config", "mended")]);
    assert!(bed.accept(&mended).is_good());
    let expected = files(&[("key", "KEY-2"), ("extra", "e"), ("config", "mended")]);
    assert_eq!(bed.files(), expected);
    assert_eq!(bed.standing().refused, None);
}

#[test]
fn an_operators_word_has_a_refused_content_tried_again() {
    let (mut bed, _) = refused();
    let again = bed.state_with(&BAD, |spec| spec.attempt = 1);
    assert!(bed.accept(&again).is_good());
    assert_eq!(bed.files(), files(&BAD));
}

#[test]
fn drift_is_mended_to_the_good_content_and_not_to_the_refused_one() {
    let (mut bed, bad) = refused();
    let activated = bed.runs("activate");
    std::fs::write(bed.place("config"), "edited").unwrap();
    std::fs::remove_file(bed.place("key")).unwrap();
    std::fs::write(bed.place("extra"), "of the refused one").unwrap();
    bed.look(&bad);
    let outcome = bed.look(&bad);
    assert_eq!(bed.files(), files(&GOOD));
    assert!(failure(&outcome).contains("was refused"));
    assert_eq!(bed.runs("activate"), activated + 1, "it is in force again");
    assert_eq!(bed.reconciler.repairs(), 2);
}

#[test]
fn a_repair_that_was_not_brought_into_force_is_when_it_can_be() {
    let (mut bed, bad) = refused();
    let good = bed.state(&GOOD);
    bed.accept(&good);
    std::fs::write(bed.place("config"), "edited").unwrap();
    bed.fail("transaction:pair/activate\n");
    let outcome = bed.look(&good);
    assert!(failure(&outcome).contains("at stage activate"));
    assert_eq!(bed.files(), files(&GOOD));
    bed.fail("");
    bed.restart();
    let activated = bed.runs("activate");
    assert!(bed.accept(&good).is_good());
    assert_eq!(bed.runs("activate"), activated + 1);
    assert!(bed.look(&good).is_good());
    assert_eq!(bed.runs("activate"), activated + 1);
    // And what was refused before the good one came back is still not tried.
    let tests = bed.runs("test");
    bed.accept(&bad);
    assert_eq!(bed.runs("test"), tests);
}

#[test]
fn a_repair_that_is_undone_before_it_is_looked_at_is_part_of_the_fight() {
    let mut bed = Bed::new();
    let good = bed.state(&GOOD);
    assert!(bed.accept(&good).is_good());
    bed.undo_at_once(GOOD[2].1);
    std::fs::write(bed.place(GOOD[2].0), "edited").unwrap();
    let activated = bed.runs("activate");
    for round in 0..contest::AT_ONCE {
        let outcome = bed.look(&good);
        let reason = failure(&outcome);
        assert!(reason.contains("undid it at once"), "{round}: {reason}");
    }
    let outcome = bed.look(&good);
    let put_off = said(&outcome);
    assert!(
        matches!(put_off, ResourceState::Drifted(text) if text.contains("somebody fights for")),
        "{put_off:?}"
    );
    assert_eq!(
        bed.runs("activate"),
        activated,
        "nothing of it is activated"
    );
    assert_eq!(bed.reconciler.repairs(), 0);
}

#[test]
fn what_depends_on_it_is_kept_while_a_good_content_serves_and_blocked_before_there_is_one() {
    let mut bed = Bed::new();
    let with_service = |state: HostConfig| {
        let mut resources = state.resources;
        let mut dependent = service("dependent");
        dependent.after.push(super::pair(&[]).id);
        resources.push(dependent);
        config(resources)
    };
    bed.fail(WORDS);
    let state = with_service(bed.state(&BAD));
    let state_of = |outcome: &crate::reconciler::Outcome| {
        let found = outcome
            .statuses
            .iter()
            .find(|one| one.id.as_str() == "service:dependent");
        found.unwrap().state.clone()
    };
    let blocked = bed.accept(&state);
    assert!(
        matches!(state_of(&blocked), ResourceState::Blocked(_)),
        "{blocked:?}"
    );
    bed.fail("");
    let good = with_service(bed.state(&GOOD));
    assert!(bed.accept(&good).is_good());
    bed.fail(WORDS);
    let other = with_service(bed.state(&[("key", "KEY-3"), ("config", "other")]));
    let outcome = bed.accept(&other);
    assert!(failure(&outcome).contains("was refused"));
    assert_eq!(state_of(&outcome), ResourceState::Simulated);
}

#[test]
fn a_first_content_that_is_refused_gives_back_what_was_there_and_takes_nothing_away() {
    let mut bed = Bed::new();
    std::fs::write(bed.place("config"), "the vendor's").unwrap();
    std::fs::write(bed.place("other"), "somebody's").unwrap();
    let before = bed.files();
    bed.fail("transaction:pair/health\n");
    let state = bed.state_with(&BAD, |spec| {
        let unit = "product.service".to_owned();
        spec.health
            .push(email_engine_protocol::desired::Probe::Greeting {
                address: "192.0.2.20:2525".parse().unwrap(),
                begins: "220".to_owned(),
                seconds: 1,
            });
        spec.unit = Some(unit);
    });
    let outcome = bed.accept(&state);
    assert!(failure(&outcome).contains("the files that were there before are kept"));
    assert_eq!(bed.files(), before);
    let running = bed.service("running").and_then(|value| value.as_bool());
    assert_eq!(running, Some(false), "it did not run before");
    bed.restart();
    for _ in 0..2 {
        bed.accept(&state);
        assert_eq!(bed.files(), before);
    }
}

#[test]
fn lines_that_need_a_restart_wait_for_the_word_and_then_take_one() {
    let mut bed = Bed::new();
    let lines = |listed: &[&str], allowed: bool| {
        let lines = listed.iter().map(|line| (*line).to_owned()).collect();
        email_engine_protocol::desired::RestartSpec { lines, allowed }
    };
    let first = bed.state_with(&GOOD, |spec| {
        spec.restart = lines(&["run-as-root yes"], false)
    });
    assert!(
        bed.accept(&first).is_good(),
        "the first content starts with it"
    );
    let restarts = || bed.service("restarts").and_then(|value| value.as_integer());
    assert_eq!(restarts(), Some(1));
    let (waits, goes) = (
        lines(&["run-as-root no"], false),
        lines(&["run-as-root no"], true),
    );
    let waiting = bed.state_with(&BAD, |spec| spec.restart = waits);
    let allowed = bed.state_with(&BAD, |spec| spec.restart = goes);
    for _ in 0..2 {
        let outcome = bed.accept(&waiting);
        let ResourceState::Drifted(text) = said(&outcome) else {
            panic!("{:?}", said(&outcome));
        };
        assert!(
            text.starts_with("waits for an operator to allow a restart"),
            "{text}"
        );
        assert!(text.ends_with("run-as-root no"), "{text}");
        assert_eq!(bed.files(), files(&GOOD), "nothing is swapped");
    }
    let reloads = bed.runs("activate");
    assert!(bed.accept(&allowed).is_good());
    assert_eq!(bed.files(), files(&BAD));
    let restarts = bed.service("restarts").and_then(|value| value.as_integer());
    assert_eq!((restarts, bed.runs("activate")), (Some(2), reloads));
}

#[test]
fn a_transaction_that_no_state_names_is_forgotten_with_its_copies() {
    let (mut bed, bad) = refused();
    let cabinet = bed.cabinet();
    assert!(!cabinet.list("transactions").unwrap().is_empty());
    let mut alone = bad;
    alone.resources.retain(|one| one.spec.path().is_some());
    bed.accept(&alone);
    assert_eq!(cabinet.list("transactions").unwrap(), Vec::<String>::new());
    assert_eq!(
        bed.files(),
        files(&BAD),
        "its members are files as any other"
    );
}

#[test]
fn a_transaction_that_is_held_by_policy_is_left_alone() {
    let mut bed = Bed::new();
    let mut state = bed.state(&GOOD);
    for resource in &mut state.resources {
        if resource.spec.path().is_none() {
            resource.policy = Policy::Hold;
        }
    }
    let outcome = bed.accept(&state);
    assert!(matches!(said(&outcome), ResourceState::Drifted(text) if text.starts_with("held")));
    assert_eq!(bed.files(), files(&[]));
}
