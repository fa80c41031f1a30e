//! What stands still beside a transaction: at once, whatever becomes of the content.

use std::path::Path;

use email_engine_protocol::desired::{
    CommandCheck, HaltSpec, HostConfig, OnRemove, Policy, Question, Resource, Sought, Spec,
    SuspensionSpec, TransactionSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::bed::{Bed, failure, files};
use super::{check, shell};
use crate::reconciler::Outcome;
use crate::suspension;

const GOOD: [(&str, &str); 1] = [("config", "good")];
const NEXT: [(&str, &str); 1] = [("config", "next")];
const BAD: [(&str, &str); 1] = [("config", "bad")];

/// A product with one queue: `running` is there while it is worked; `calls` is what was done, in order.
struct Product {
    dir: std::path::PathBuf,
}

impl Product {
    fn of(bed: &Bed) -> Self {
        let dir = bed.dir.path().to_owned();
        let product = Self { dir };
        product.resume();
        product
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        self.dir.join(name)
    }

    fn resume(&self) {
        std::fs::write(self.place("running"), "").unwrap();
    }

    fn stands_still(&self) -> bool {
        !self.place("running").exists()
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.place("calls")).unwrap_or_default()
    }

    fn shell(&self, script: &str) -> CommandCheck {
        let dir = Path::display(&self.dir);
        check(&format!("cd {dir} && {script}"))
    }

    fn suspension(&self, theirs: bool) -> Resource {
        let asked = |sought| {
            Question {
            command: self
                .shell(r#"if [ -e running ]; then echo '{"queue":["a"]}'; else echo '{"queue":[]}'; fi"#)
                .command,
            seconds: 20,
            list: "/queue".to_owned(),
            sought,
        }
        };
        let halt = HaltSpec {
            set: self.shell("echo set >> calls && rm -f running"),
            unset: self.shell("echo unset >> calls && touch running"),
            is_set: asked(Sought::Nothing),
            theirs: theirs.then(|| asked(Sought::Nothing)),
        };
        Resource {
            id: ResourceId::new("suspension:one").unwrap(),
            spec: Spec::Suspension(SuspensionSpec {
                halts: vec![halt],
                bars: Vec::new(),
            }),
            on_remove: OnRemove::Leave,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        }
    }

    /// A state of this content; a reload forgets what stands still.
    fn state(&self, bed: &Bed, members: &[(&str, &str)], suspended: bool) -> HostConfig {
        self.state_with(bed, members, suspended, |_| {})
    }

    fn state_with(
        &self,
        bed: &Bed,
        members: &[(&str, &str)],
        suspended: bool,
        change: impl FnOnce(&mut TransactionSpec),
    ) -> HostConfig {
        let config = bed.place("config").display().to_string();
        let mut state = bed.state_with(members, |spec| {
            spec.test = self.shell(&format!(
                "echo test >> calls; grep -q bad {config} && echo Error in line 1; exit 0"
            ));
            spec.activate = self.shell("echo reload >> calls && touch running");
            spec.unit = None;
            change(spec);
        });
        if suspended {
            state.resources.push(self.suspension(false));
            state.resources.sort_by(|one, two| one.id.cmp(&two.id));
        }
        state
    }
}

fn said(outcome: &Outcome) -> Option<&ResourceState> {
    let mut statuses = outcome.statuses.iter();
    let found = statuses.find(|status| status.id.as_str() == "suspension:one");
    found.map(|status| &status.state)
}

fn begin() -> (Bed, Product) {
    let mut bed = Bed::with_programs();
    let product = Product::of(&bed);
    let good = product.state(&bed, &GOOD, false);
    assert!(bed.accept(&good).is_good());
    std::fs::remove_file(product.place("calls")).unwrap();
    (bed, product)
}

#[test]
fn it_is_set_before_the_new_content_is_tested_and_again_after_the_reload_that_forgot_it() {
    let (mut bed, product) = begin();
    let next = product.state(&bed, &NEXT, true);
    let outcome = bed.accept(&next);
    assert!(outcome.is_good(), "{:?}", outcome.statuses);
    assert_eq!(product.calls(), "set\ntest\nreload\nset\n");
    assert!(product.stands_still());
    assert_eq!(said(&outcome), Some(&ResourceState::Converged));
    // Nothing is done where it stands still, and what somebody undid is set again.
    bed.look(&next);
    assert_eq!(product.calls(), "set\ntest\nreload\nset\n");
    product.resume();
    bed.look(&next);
    assert!(product.stands_still());
}

#[test]
fn it_stands_still_although_the_content_is_refused_and_an_older_one_is_kept() {
    let (mut bed, product) = begin();
    let bad = product.state(&bed, &BAD, true);
    let outcome = bed.accept(&bad);
    assert!(failure(&outcome).contains("was refused at stage test"));
    assert_eq!(bed.files(), files(&GOOD));
    assert!(product.stands_still());
    assert_eq!(said(&outcome), Some(&ResourceState::Converged));
    // What the product begins anew meanwhile is found soon, and a restart of ours forgets nothing.
    assert!(bed.reconciler.due().is_some());
    product.resume();
    bed.restart();
    bed.look(&bad);
    assert!(product.stands_still());
}

#[test]
fn it_stands_still_although_the_content_waits_for_a_word_and_is_not_what_to_fall_back_on() {
    let (mut bed, product) = begin();
    let waits = product.state_with(&bed, &NEXT, true, |spec| {
        spec.restart.lines = vec!["new".to_owned()];
    });
    let outcome = bed.accept(&waits);
    assert!(outcome.waits);
    assert_eq!(product.calls(), "set\n");
    assert!(product.stands_still());
    // What is fallen back on says nothing of it, and it stays.
    let older = product.state(&bed, &GOOD, false);
    let carried = suspension::carried(older, &waits);
    let outcome = bed.accept(&carried);
    assert!(outcome.is_good() && !outcome.waits);
    assert!(product.stands_still());
}

#[test]
fn what_is_named_no_more_goes_on_once_the_content_that_says_so_is_in_force() {
    let (mut bed, product) = begin();
    let next = product.state(&bed, &NEXT, true);
    bed.accept(&next);
    let bad = product.state(&bed, &BAD, false);
    let outcome = bed.accept(&bad);
    let state = said(&outcome).unwrap();
    assert!(matches!(state, ResourceState::Drifted(why) if why.contains("in force")));
    assert!(!product.calls().contains("unset"));
    // Also when it was set in an earlier life.
    bed.restart();
    let good = product.state(&bed, &GOOD, false);
    let outcome = bed.accept(&good);
    assert_eq!(said(&outcome), None);
    assert!(product.calls().ends_with("unset\n"), "{}", product.calls());
    assert!(!product.stands_still());
    let calls = product.calls();
    bed.look(&good);
    assert_eq!(product.calls(), calls, "it is let go once");
}

#[test]
fn what_somebody_else_had_set_before_is_never_unset() {
    let (mut bed, product) = begin();
    std::fs::remove_file(product.place("running")).unwrap();
    let mut held = product.state(&bed, &GOOD, false);
    held.resources.push(product.suspension(true));
    held.resources.sort_by(|one, two| one.id.cmp(&two.id));
    assert!(bed.accept(&held).is_good());
    let over = product.state(&bed, &GOOD, false);
    assert!(bed.accept(&over).is_good());
    assert!(product.stands_still());
    assert!(!product.calls().contains("unset"), "{}", product.calls());
}

/// What a state suspends, changed.
fn suspends(state: &mut HostConfig, mut change: impl FnMut(&mut HaltSpec)) {
    for resource in &mut state.resources {
        if let Spec::Suspension(spec) = &mut resource.spec {
            change(&mut spec.halts[0]);
        }
    }
}

#[test]
fn what_somebody_else_had_set_for_a_part_does_not_keep_the_rest_still() {
    let (mut bed, product) = begin();
    let mut held = product.state(&bed, &GOOD, true);
    suspends(&mut held, |halt| {
        let mut something = halt.is_set.clone();
        something.sought = Sought::Something;
        halt.theirs = Some(something);
    });
    assert!(bed.accept(&held).is_good());
    assert!(product.stands_still());
    let over = product.state(&bed, &GOOD, false);
    assert!(bed.accept(&over).is_good());
    assert!(!product.stands_still(), "{}", product.calls());
}

#[test]
fn a_product_that_hangs_is_not_told_again_in_the_same_pass() {
    let (mut bed, product) = begin();
    let mut state = product.state(&bed, &GOOD, true);
    for name in ["two", "three"] {
        let mut other = product.suspension(false);
        other.id = ResourceId::new(format!("suspension:{name}")).unwrap();
        state.resources.push(other);
    }
    state.resources.sort_by(|one, two| one.id.cmp(&two.id));
    let mut number = 0;
    suspends(&mut state, |halt| {
        halt.set = product.shell("echo set >> calls && exec sleep 60");
        halt.set.seconds = 1;
        // Halts with one reverse are one halt.
        number += 1;
        halt.unset = product.shell(&format!("echo unset {number} >> calls"));
    });
    let outcome = bed.accept(&state);
    let sets = product.calls().matches("set").count();
    assert_eq!(sets, 1, "{}", product.calls());
    let untried = outcome
        .statuses
        .iter()
        .filter(|status| match &status.state {
            ResourceState::Failed(why) => why.starts_with("was not tried: "),
            _ => false,
        });
    assert_eq!(untried.count(), 2, "{outcome:?}");
}

#[test]
fn an_answer_of_an_unknown_form_is_an_alarm_and_it_is_set_all_the_same() {
    let (mut bed, product) = begin();
    let mut state = product.state(&bed, &GOOD, true);
    suspends(&mut state, |halt| {
        halt.is_set.command = shell("echo 0 of 0 matching queues.");
    });
    let outcome = bed.accept(&state);
    let Some(ResourceState::Failed(why)) = said(&outcome) else {
        panic!("{outcome:?}");
    };
    assert!(why.contains("its form is unknown"), "{why}");
    assert!(product.stands_still());
    product.resume();
    bed.look(&state);
    assert!(product.stands_still(), "what cannot be told is set again");
}

#[test]
fn a_product_that_refuses_to_stand_still_is_told_by_its_words() {
    let (mut bed, product) = begin();
    let mut state = product.state(&bed, &GOOD, true);
    suspends(&mut state, |halt| {
        halt.set = product.shell("echo Error: no such queue");
    });
    let outcome = bed.accept(&state);
    let Some(ResourceState::Failed(why)) = said(&outcome) else {
        panic!("{outcome:?}");
    };
    assert!(
        why.contains("ended with code 0: Error: no such queue"),
        "{why}"
    );
    assert!(!outcome.is_good());
}

#[test]
fn in_a_sandbox_it_is_simulated_and_fails_on_demand() {
    let mut bed = Bed::new();
    let product = Product::of(&bed);
    let mut state = bed.state(&GOOD);
    state.resources.push(product.suspension(true));
    state.resources.sort_by(|one, two| one.id.cmp(&two.id));
    bed.fail("suspension:one/set\n");
    let outcome = bed.accept(&state);
    let failed = Some(ResourceState::Failed(
        "simulated failure of suspension:one/set".to_owned(),
    ));
    assert_eq!(said(&outcome).cloned(), failed);
    bed.fail("");
    bed.restart();
    let mut twice = state.clone();
    assert_eq!(
        said(&bed.accept(&state)),
        Some(&ResourceState::Simulated),
        "and is tried again"
    );
    twice
        .resources
        .retain(|one| one.id.as_str() != "suspension:one");
    bed.fail("suspension:one/unset\n");
    let outcome = bed.accept(&twice);
    assert!(matches!(said(&outcome), Some(ResourceState::Failed(why)) if why.contains("unset")));
    bed.fail("");
    assert_eq!(said(&bed.look(&twice)), None);
}

#[test]
fn what_came_while_it_was_set_is_set_too_and_what_goes_on_all_the_same_is_told() {
    for (still_after, is_told) in [(3, false), (100, true)] {
        let (mut bed, product) = begin();
        let mut next = product.state(&bed, &NEXT, true);
        for resource in &mut next.resources {
            if let Spec::Suspension(spec) = &mut resource.spec {
                spec.halts[0].set = product.shell(&format!(
                    "echo set >> calls; [ $(grep -c set calls) -lt {still_after} ] || rm -f running"
                ));
            }
        }
        let outcome = bed.accept(&next);
        let calls = product.calls();
        let first = calls.split("test").next().unwrap();
        assert_eq!(first, "set\n".repeat(3), "{calls}");
        let failed = matches!(
            said(&outcome),
            Some(ResourceState::Failed(why)) if why.contains("did not set it")
        );
        assert_eq!((product.stands_still(), failed), (!is_told, is_told));
    }
}
