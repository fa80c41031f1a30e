//! What stands still, and an agent that is alone.

use std::time::{Duration, Instant};

use email_engine_protocol::desired::{
    CommandCheck, CommandLine, DiscardSpec, HaltSpec, HostPath, Listing, Question, Resource,
    Sought, Spec, SuspensionSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, Stage};
use email_engine_protocol::time::Timestamp;

use super::life::service;
use super::rig::{Rig, generation};
use crate::executor::core::Core;
use crate::halves::FromExecutor;
use crate::transaction::tests::pair;

fn command(word: &str) -> CommandLine {
    CommandLine {
        program: HostPath::new("/usr/sbin/product").unwrap(),
        arguments: vec![word.to_owned()],
    }
}

fn suspension(rig: &mut Rig) -> Resource {
    let told = |word: &str| CommandCheck {
        command: command(word),
        seconds: 1,
        refused_by: Vec::new(),
        must_say: Vec::new(),
    };
    let halt = HaltSpec {
        set: told("pause"),
        unset: told("resume"),
        is_set: Question {
            command: command("show"),
            seconds: 1,
            list: "/queue".to_owned(),
            sought: Sought::Nothing,
        },
        theirs: None,
    };
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new("suspension:one").unwrap();
    made.spec = Spec::Suspension(SuspensionSpec {
        halts: vec![halt],
        bars: Vec::new(),
    });
    made
}

/// What waits behind it and is thrown away.
fn discard(rig: &mut Rig) -> Resource {
    let listing = || Listing {
        command: command("list"),
        seconds: 1,
        list: "/rcpt".to_owned(),
    };
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new("discard:one").unwrap();
    made.spec = Spec::Discard(DiscardSpec {
        since: Timestamp(7),
        is_any: listing(),
        all: listing(),
        most: 9,
        discard: CommandCheck {
            command: command("delete"),
            seconds: 1,
            refused_by: Vec::new(),
            must_say: Vec::new(),
        },
    });
    made
}

fn has_thrown_away(core: &Core) -> bool {
    let id = ResourceId::new("discard:one/discard").unwrap();
    core.reconciler.machine.system.has_run(&id)
}

fn fail(rig: &Rig, lines: &str) {
    std::fs::write(rig.data().join("simulated-failures"), lines).unwrap();
}

/// The next life of a host whose agent has been alone for an audit interval, and has looked twice.
fn alone(rig: &mut Rig) -> (Core, tokio::sync::mpsc::Receiver<FromExecutor>) {
    rig.stop();
    let (sender, events) = tokio::sync::mpsc::channel(64);
    let mut core = rig.core(sender);
    core.alone_since -= core.audit_interval;
    core.resume();
    core.audit();
    (core, events)
}

fn enforced(core: &Core) -> u64 {
    core.enforced.as_ref().unwrap().target.generation.number
}

#[test]
fn what_does_not_stand_still_is_told_and_tried_again_and_brings_no_older_state_back() {
    let mut rig = Rig::new();
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good]);
    rig.converge(&state, 1);
    let newer = rig.file("/etc/a", "newer");
    let halted = suspension(&mut rig);
    let state = rig.config(vec![newer, halted]);
    fail(&rig, "suspension:one/set\n");
    let report = rig.offer(&state, 2);
    assert_eq!(report.convergence, Convergence::Degraded);
    assert_eq!(report.counts.failed, 1);
    assert_eq!(report.generations.last_good, Some(generation(2)));
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Apply);
    assert!(
        attempt.reason.starts_with("suspension:one: "),
        "{attempt:?}"
    );

    let (mut core, _events) = alone(&mut rig);
    assert_eq!(enforced(&core), 2);
    let soon = Instant::now() + Duration::from_secs(60);
    assert!(
        core.next_audit() < soon,
        "it is tried again before the audit"
    );
    assert!(core.ledger.page().attempted.is_some());
    fail(&rig, "");
    core.audit();
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"newer");
    let attempted = &core.ledger.page().attempted;
    assert_eq!(attempted, &None, "it stands still now");
}

#[test]
fn what_fails_beside_a_suspension_brings_the_older_state_back_and_it_is_looked_at_all_the_time() {
    let mut rig = Rig::new();
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good]);
    rig.converge(&state, 1);
    let newer = rig.file("/etc/a", "newer");
    let (halted, service) = (suspension(&mut rig), service(&mut rig, "pmta"));
    let state = rig.config(vec![newer, halted, service]);
    fail(&rig, "service:pmta\nsuspension:one/set\n");
    let report = rig.offer(&state, 2);
    assert_eq!(report.generations.last_good, Some(generation(1)));
    fail(&rig, "service:pmta\n");
    let (core, _events) = alone(&mut rig);
    assert_eq!(enforced(&core), 1, "alone with a service that fails");
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
    // The older state knows nothing of it: what the product begins anew is found soon.
    let due = core.reconciler.due().expect("it is looked at again");
    assert!(due <= Instant::now() + Duration::from_secs(5));
}

#[test]
fn what_only_the_older_state_halts_stays_so_while_that_is_fallen_back_on() {
    let mut rig = Rig::new();
    let (good, halted) = (rig.file("/etc/a", "good"), suspension(&mut rig));
    let state = rig.config(vec![good, halted, pair(&["/etc/a"])]);
    rig.converge(&state, 1);
    let newer = rig.file("/etc/a", "newer");
    let state = rig.config(vec![newer, pair(&["/etc/a"])]);
    fail(&rig, "transaction:pair/test: Error in line 1\n");
    rig.offer(&state, 2);
    let (core, _events) = alone(&mut rig);
    assert_eq!(enforced(&core), 1, "alone with a content that is refused");
    let unset = ResourceId::new("suspension:one/unset").unwrap();
    assert!(!core.reconciler.machine.system.has_run(&unset));
    assert!(core.reconciler.due().is_some(), "it is looked at again");
}

#[test]
fn what_is_not_thrown_away_brings_no_older_state_back() {
    let mut rig = Rig::new();
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good]);
    rig.converge(&state, 1);
    let (newer, halted) = (rig.file("/etc/a", "newer"), suspension(&mut rig));
    let given_up = discard(&mut rig);
    let state = rig.config(vec![newer, halted, given_up]);
    fail(&rig, "discard:one/discard\n");
    let report = rig.offer(&state, 2);
    assert_eq!(report.convergence, Convergence::Degraded);
    assert_eq!(report.counts.failed, 1);
    assert_eq!(report.generations.last_good, Some(generation(2)));
    let (core, _events) = alone(&mut rig);
    assert_eq!(enforced(&core), 2);
    assert!(!has_thrown_away(&core));
}

#[test]
fn an_older_state_throws_nothing_away() {
    let mut rig = Rig::new();
    let (good, halted) = (rig.file("/etc/a", "good"), suspension(&mut rig));
    let given_up = discard(&mut rig);
    let state = rig.config(vec![good, halted, given_up, pair(&["/etc/a"])]);
    // Its content goes live in this pass; what was on its way may still come.
    rig.converge(&state, 1);
    // It may send again, and its content is refused.
    let newer = rig.file("/etc/a", "newer");
    let state = rig.config(vec![newer, pair(&["/etc/a"])]);
    fail(&rig, "transaction:pair/test: Error in line 1\n");
    rig.offer(&state, 2);
    let (mut core, _events) = alone(&mut rig);
    assert_eq!(enforced(&core), 1, "alone with a content that is refused");
    core.audit();
    assert!(!has_thrown_away(&core));
}

#[test]
fn nothing_is_thrown_away_while_another_content_takes_mail_for_it() {
    let mut rig = Rig::new();
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good, pair(&["/etc/a"])]);
    rig.converge(&state, 1);
    let newer = rig.file("/etc/a", "newer");
    let (halted, given_up) = (suspension(&mut rig), discard(&mut rig));
    let state = rig.config(vec![newer, halted, given_up, pair(&["/etc/a"])]);
    fail(&rig, "transaction:pair/test: Error in line 1\n");
    rig.offer(&state, 2);
    let (core, _events) = alone(&mut rig);
    assert!(!has_thrown_away(&core), "the older content is in force");
}

#[test]
fn nothing_is_thrown_away_before_it_surely_stands_still() {
    let mut rig = Rig::new();
    let (good, halted) = (rig.file("/etc/a", "good"), suspension(&mut rig));
    let given_up = discard(&mut rig);
    let state = rig.config(vec![good, halted, given_up, pair(&["/etc/a"])]);
    fail(&rig, "suspension:one/set\n");
    rig.offer(&state, 1);
    let (mut core, _events) = alone(&mut rig);
    assert!(!has_thrown_away(&core), "it does not surely stand still");
    fail(&rig, "");
    core.audit();
    assert!(has_thrown_away(&core));
}
