//! The machine dies after every single durable step; the next life has the content before or the
//! content after.

use email_engine_protocol::desired::{HostConfig, Probe};

use proptest::prelude::*;

use super::bed::{Bed, Files, files};

const OLD: [(&str, &str); 3] = [("key", "KEY-1"), ("gone", "g"), ("config", "c1: KEY-1 g")];
const NEW: [(&str, &str); 3] = [("key", "KEY-2"), ("extra", "e"), ("config", "c2: KEY-2 e")];

/// A restart of the product that fails: what shall fail then takes one to come into force.
const NO_START: &str = "transaction:pair/activate: Job for product.service failed\n";

fn with_probes(bed: &Bed, members: &[(&str, &str)], failures: &str) -> HostConfig {
    bed.state_with(members, |spec| {
        if failures == NO_START {
            spec.restart.lines = vec![members[0].1.to_owned()];
            spec.restart.allowed = true;
        }
        let unit = "product.service".to_owned();
        spec.read_back.push(Probe::Answer {
            command: spec.test.command.clone(),
            seconds: 1,
            expect: Vec::new(),
        });
        spec.health.push(Probe::Greeting {
            address: "192.0.2.20:2525".parse().unwrap(),
            begins: "220".to_owned(),
            seconds: 1,
        });
        spec.health.push(Probe::Running { unit, seconds: 1 });
    })
}

/// A bed with the old content in force.
fn begin(failures: &str) -> (Bed, HostConfig) {
    let mut bed = Bed::new();
    let old = with_probes(&bed, &OLD, failures);
    assert!(bed.accept(&old).is_good());
    assert_eq!(bed.files(), files(&OLD));
    let new = with_probes(&bed, &NEW, failures);
    (bed, new)
}

/// Before what is wanted no more is removed, the new content stands beside it.
fn is_new(found: &Files) -> bool {
    let mut found = found.clone();
    found.remove("gone");
    found == files(&NEW)
}

/// Dies after so many steps of taking the new content; gives whether it came to that.
fn die_after(steps: u32, failures: &str) -> bool {
    let (mut bed, new) = begin(failures);
    bed.fail(failures);
    let activated = bed.runs("activate");
    let cabinet = bed.reconciler_cabinet();
    cabinet.die_after(steps);
    bed.reconciler.change_state(false);
    let passed = bed.try_pass(&new);
    let died = cabinet.is_dead();
    let told = bed.runs("activate") > activated;
    let context = format!("after {steps} steps, failing: {failures:?}");

    let is_cut_off = bed.standing().journal.is_some();
    let ran = bed.runs_now();
    bed.power_cut();
    bed.restart();
    bed.recover();
    if ran && is_cut_off {
        assert!(bed.runs_now(), "{context}: the product stays down");
    }
    let found = bed.files();
    let standing = bed.standing();
    let old = found == files(&OLD);
    assert!(old || is_new(&found), "{context}: {found:?}");
    assert_eq!(standing.journal, None, "{context}");
    assert_eq!(bed.copies(), Vec::<String>::new(), "{context}");
    if old && told {
        // It runs again, or is told again.
        let again = bed.runs("activate-previous") > 0 || bed.runs_now();
        assert!(
            again || standing.owed,
            "{context}: the new content may be in force"
        );
    }
    if !died {
        assert_eq!(passed.unwrap().is_good(), failures.is_empty(), "{context}");
    }
    finish(bed, &new, failures, &context);
    died
}

/// However it was cut off, it ends where it would have ended.
fn finish(mut bed: Bed, new: &HostConfig, failures: &str, context: &str) {
    // One pass takes the content or refuses it, the next removes what nobody names any more.
    bed.accept(new);
    let outcome = bed.look(new);
    if failures.is_empty() {
        assert!(outcome.is_good(), "{context}: {:?}", outcome.statuses);
        assert_eq!(bed.files(), files(&NEW), "{context}");
    } else {
        assert!(!outcome.is_good(), "{context}");
        assert_eq!(bed.files(), files(&OLD), "{context}");
        let refused = bed.standing().refused;
        assert!(refused.is_some(), "{context}");
    }
}

/// Every step of it, until there is one that it does not die at.
fn die_everywhere(failures: &str, at_least: u32) {
    let died = (0..2_000)
        .take_while(|steps| die_after(*steps, failures))
        .count();
    println!("{died} steps, failing: {failures:?}");
    assert!(died >= at_least as usize, "only {died} steps were died at");
    assert!(died < 2_000, "it never went through");
}

#[test]
fn a_death_at_any_step_of_a_change_that_goes_through_leaves_old_or_new() {
    die_everywhere("", 60);
}

#[test]
fn a_death_at_any_step_of_a_change_that_the_test_refuses_leaves_the_old() {
    die_everywhere("transaction:pair/test: Error in line 7\n", 80);
}

#[test]
fn a_death_at_any_step_of_a_change_that_cannot_be_activated_leaves_the_old() {
    die_everywhere("transaction:pair/activate\n", 80);
}

#[test]
fn a_death_at_any_step_of_a_change_that_the_product_does_not_start_with_leaves_the_old() {
    die_everywhere(NO_START, 80);
}

#[test]
fn a_death_at_any_step_of_a_change_that_reads_back_wrong_leaves_the_old() {
    die_everywhere("transaction:pair/read-back\n", 80);
}

#[test]
fn a_death_at_any_step_of_a_change_that_is_not_healthy_leaves_the_old() {
    die_everywhere("transaction:pair/health\n", 80);
}

/// Dies after so many steps of taking the very first content, where the vendor's files are.
fn die_at_first(steps: u32, failures: &str, ran: bool) -> bool {
    let vendors = [("config", "the vendor's"), ("other", "somebody's")];
    let mut bed = Bed::new();
    if ran {
        // As a package does that starts its service.
        let started = "[services.'product.service']\nenabled = true\nrunning = true\nreloads = 0\nrestarts = 0\n";
        std::fs::write(bed.dir.path().join("data/simulated.toml"), started).unwrap();
        bed.restart();
    }
    for (name, text) in vendors {
        std::fs::write(bed.place(name), text).unwrap();
    }
    let new = with_probes(&bed, &NEW, failures);
    bed.fail(failures);
    let cabinet = bed.reconciler_cabinet();
    cabinet.die_after(steps);
    bed.try_pass(&new);
    let died = cabinet.is_dead();
    let is_cut_off = bed.standing().journal.is_some();
    bed.power_cut();
    bed.restart();
    bed.recover();
    let found = bed.files();
    if ran && is_cut_off {
        assert!(bed.runs_now(), "after {steps} steps it is down: {found:?}");
    }
    let mut rest = found.clone();
    assert_eq!(rest.remove("other").as_deref(), Some("somebody's"));
    let context = format!("after {steps} steps, failing: {failures:?}");
    let vendors = found == files(&vendors);
    assert!(vendors || rest == files(&NEW), "{context}: {found:?}");
    assert_eq!(bed.standing().journal, None, "{context}");
    assert_eq!(bed.copies(), Vec::<String>::new(), "{context}");
    died
}

#[test]
fn a_death_at_any_step_of_a_first_content_leaves_what_was_there_or_the_new() {
    for failures in ["", "transaction:pair/test\n", "transaction:pair/health\n"] {
        for ran in [false, true] {
            let died = (0..2_000)
                .take_while(|steps| die_at_first(*steps, failures, ran))
                .count();
            assert!(
                (60..2_000).contains(&died),
                "{died} steps, failing: {failures:?}"
            );
        }
    }
}

const FAILURES: [&str; 6] = [
    "",
    NO_START,
    "transaction:pair/test\n",
    "transaction:pair/activate\n",
    "transaction:pair/health\n",
    "transaction:pair/health\ntransaction:pair/activate-previous\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// And again while it recovers, as often as it likes.
    #[test]
    fn deaths_during_recovery_are_recovered_from(
        failures in proptest::sample::select(&FAILURES[..]),
        first in 0_u32..150,
        later in proptest::collection::vec(0_u32..60, 0..4),
    ) {
        let (mut bed, new) = begin(failures);
        bed.fail(failures);
        bed.reconciler_cabinet().die_after(first);
        bed.reconciler.change_state(false);
        bed.try_pass(&new);
        for steps in &later {
            bed.restart();
            bed.reconciler_cabinet().die_after(*steps);
            bed.recover();
        }
        bed.restart();
        bed.recover();
        let found = bed.files();
        let context = format!("after {first} and {later:?} steps, failing: {failures:?}");
        prop_assert!(found == files(&OLD) || is_new(&found), "{context}: {found:?}");
        prop_assert_eq!(bed.standing().journal, None, "{}", context);
        prop_assert_eq!(bed.copies(), Vec::<String>::new(), "{}", context);
        finish(bed, &new, failures, &context);
    }
}
