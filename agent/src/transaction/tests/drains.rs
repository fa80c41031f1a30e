//! Names that hold something, and contents that lack them.

use std::time::{Duration, Instant};

use email_engine_protocol::desired::{
    CommandLine, CountSpec, DrainSpec, HostConfig, HostPath, NAME, TransactionSpec,
};
use email_engine_protocol::observed::{DrainStatus, Observed, ResourceState};

use super::bed::{Bed, Files, files, said};

const BEFORE: [(&str, &str); 2] = [("key", "KEY-1"), ("config", "a b")];
const AFTER: [(&str, &str); 2] = [("key", "KEY-1"), ("config", "b")];
const HOLDS: &str = r#"transaction:pair/drain */a: {"queue":[{"name":"x.example/a","rcp":3}]}"#;

fn drain(holds: &[&str], leaving: &[&str], given_up: &[&str]) -> impl Fn(&mut TransactionSpec) {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let spec = DrainSpec {
        holds: names(holds),
        leaving: names(leaving),
        given_up: names(given_up),
        question: CountSpec {
            command: CommandLine {
                program: HostPath::new("/usr/sbin/product").unwrap(),
                arguments: vec!["show".to_owned(), format!("*/{NAME}")],
            },
            seconds: 20,
            list: "/queue".to_owned(),
            name: "/name".to_owned(),
            belongs: format!("/{NAME}"),
            count: "/rcp".to_owned(),
            absent_is_none: false,
        },
    };
    move |transaction| transaction.drain = Some(spec.clone())
}

/// A bed whose content holds `a` and `b`, and a content without `a`.
fn bed(given_up: &[&str]) -> (Bed, HostConfig) {
    let mut bed = Bed::new();
    let before = bed.state_with(&BEFORE, drain(&["a", "b"], &[], &[]));
    assert!(bed.accept(&before).is_good());
    let after = bed.state_with(&AFTER, drain(&["b"], &[], given_up));
    (bed, after)
}

fn waits(bed: &mut Bed, state: &HostConfig) -> (String, Files) {
    let outcome = bed.accept(state);
    match said(&outcome) {
        ResourceState::Drifted(reason) => (reason.clone(), bed.files()),
        other => panic!("it does not wait: {other:?}"),
    }
}

#[test]
fn a_content_without_a_name_that_holds_something_waits_until_it_holds_nothing() {
    let (mut bed, after) = bed(&[]);
    bed.answer(HOLDS);
    for _ in 0..2 {
        let (reason, live) = waits(&mut bed, &after);
        assert!(
            reason.starts_with("waits until what would be lost"),
            "{reason}"
        );
        assert!(reason.ends_with("is kept: a holds 3 messages"), "{reason}");
        assert_eq!(live, files(&BEFORE));
        bed.restart();
    }
    bed.answer("");
    assert!(bed.accept(&after).is_good());
    assert_eq!(bed.files(), files(&AFTER));
}

/// Spoils what is known of a transaction: its standing, or its contents.
fn spoil(bed: &mut Bed, part: &str, spoiled: impl Fn(&std::path::Path)) {
    let folder = bed.dir.path().join("data/transactions");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.display().to_string().contains(part) {
            spoiled(&path);
            found += 1;
        }
    }
    assert!(found > 0, "nothing is called {part}");
    bed.restart();
}

fn rots(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A whole record of something else.
fn has_another_shape(path: &std::path::Path) {
    let cabinet = crate::host::Cabinet::open(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    cabinet.write(name, &7_u8).unwrap();
}

fn is_gone(path: &std::path::Path) {
    std::fs::remove_file(path).unwrap();
}

#[test]
fn names_outlive_the_record_of_their_content() {
    for spoiled in [rots, has_another_shape, is_gone] {
        let (mut bed, after) = bed(&[]);
        bed.answer(HOLDS);
        spoil(&mut bed, ".content-", spoiled);
        let (reason, live) = waits(&mut bed, &after);
        assert!(reason.ends_with("is kept: a holds 3 messages"), "{reason}");
        assert_eq!(live, files(&BEFORE));
        bed.answer("");
        assert!(bed.accept(&after).is_good());
        assert_eq!(bed.files(), files(&AFTER));
    }
}

#[test]
fn names_outlive_the_record_of_where_their_transaction_stands() {
    for spoiled in [rots, has_another_shape] {
        let (mut bed, after) = bed(&[]);
        bed.answer(HOLDS);
        spoil(&mut bed, ".standing", spoiled);
        let (reason, _) = waits(&mut bed, &after);
        assert!(reason.ends_with("a holds 3 messages"), "{reason}");
        // Also a change that is undone, which leaves no content at all.
        bed.answer("");
        bed.fail("transaction:pair/test\n");
        assert!(!bed.accept(&after).is_good());
        bed.fail("");
        bed.answer(HOLDS);
        bed.restart();
        let members = [("key", "KEY-2"), ("config", "b")];
        let other = bed.state_with(&members, drain(&["b"], &[], &[]));
        let (reason, live) = waits(&mut bed, &other);
        assert!(reason.ends_with("a holds 3 messages"), "{reason}");
        assert_eq!(live, files(&BEFORE));
        bed.answer("");
        assert!(bed.accept(&other).is_good());
        assert_eq!(bed.standing().good.unwrap().holds, ["b"]);
    }
}

#[test]
fn where_no_name_is_known_any_more_nothing_goes_live_until_an_operator_says_so() {
    for spoiled in [rots, has_another_shape, is_gone] {
        let (mut bed, after) = bed(&[]);
        bed.answer(HOLDS);
        spoil(&mut bed, ".content-", spoiled);
        spoil(&mut bed, ".standing", rots);
        for _ in 0..2 {
            let (reason, live) = waits(&mut bed, &after);
            let word = "`email-engine hosts retry HOST`";
            assert!(reason.contains(word), "{reason}");
            assert_eq!(live, files(&BEFORE));
            bed.restart();
        }
        // The operator's word is for this once: what goes live with it has names again.
        let again = bed.state_with(&AFTER, |spec| {
            drain(&["b"], &[], &[])(spec);
            spec.attempt = 1;
        });
        assert!(bed.accept(&again).is_good());
        assert_eq!(bed.files(), files(&AFTER));
        let before = bed.state_with(&BEFORE, drain(&["a"], &[], &[]));
        bed.answer("transaction:pair/drain */b: no queues\n");
        let (reason, _) = waits(&mut bed, &before);
        assert!(reason.contains("what b holds is not known"), "{reason}");
    }
}

#[test]
fn nobody_knows_is_not_nothing() {
    let (mut bed, after) = bed(&[]);
    bed.answer("transaction:pair/drain */a: no queues\n");
    let (reason, live) = waits(&mut bed, &after);
    let unknown = "what a holds is not known";
    assert!(
        reason.contains(unknown) && reason.contains("its form is unknown"),
        "{reason}"
    );
    assert_eq!(live, files(&BEFORE));
    bed.answer("");
    bed.fail("transaction:pair/drain\n");
    let (reason, _) = waits(&mut bed, &after);
    assert!(reason.contains(unknown), "{reason}");
}

#[test]
fn a_product_that_does_not_answer_is_left_alone_for_a_while() {
    let (mut bed, _) = bed(&[]);
    let leaves = bed.state_with(&BEFORE, drain(&["a", "b"], &["a", "b"], &[]));
    bed.fail("transaction:pair/drain\n");
    let begin = Instant::now();
    assert!(bed.accept(&leaves).is_good());
    let drains = bed.reconciler.drains();
    assert_eq!(drains.len(), 1, "it is asked once: {drains:?}");
    assert!(drains[0].messages.known().is_none());
    let next = bed.reconciler.next_question().unwrap();
    assert!(next >= begin + Duration::from_secs(5));
    bed.reconciler.ask();
    assert_eq!(bed.reconciler.drains(), drains);
}

#[test]
fn what_an_operator_gave_up_goes_whatever_it_holds() {
    let (mut bed, after) = bed(&["a"]);
    bed.answer(HOLDS);
    assert!(bed.accept(&after).is_good());
    assert_eq!(bed.files(), files(&AFTER));
}

#[test]
fn a_change_that_loses_no_name_asks_nothing() {
    let (mut bed, _) = bed(&[]);
    bed.answer(HOLDS);
    let members = [("key", "KEY-1"), ("config", "a b c")];
    let other = bed.state_with(&members, drain(&["a", "b", "c"], &[], &[]));
    assert!(bed.accept(&other).is_good());
    assert_eq!(bed.reconciler.drains(), []);
    assert_eq!(bed.reconciler.next_question(), None);
}

/// Asks whenever that is due, until something is told.
fn told(bed: &mut Bed, condition: impl Fn(&[DrainStatus]) -> bool) -> Vec<DrainStatus> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        bed.reconciler.ask();
        let drains = bed.reconciler.drains();
        if condition(&drains) {
            return drains;
        }
        assert!(Instant::now() < deadline, "last told: {drains:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_leaving_name_holds_is_told_and_twice_nothing_ends_it() {
    let (mut bed, _) = bed(&[]);
    bed.answer(HOLDS);
    let leaves = bed.state_with(&BEFORE, drain(&["a", "b"], &["a"], &[]));
    let tests = bed.runs("test");
    assert!(bed.accept(&leaves).is_good());
    assert_eq!(bed.runs("test"), tests, "to leave is no other content");
    let drains = told(&mut bed, |drains| !drains.is_empty());
    let three = drains[0].messages.known() == Some(&3);
    assert!(
        drains[0].name == "a" && three && !drains[0].is_over,
        "{drains:?}"
    );
    bed.answer("");
    let drains = told(&mut bed, |drains| drains[0].is_over);
    assert!(matches!(
        drains[0].messages,
        Observed::Known { value: 0, .. }
    ));
    // Nothing more is asked, and the content without it goes live.
    assert_eq!(bed.reconciler.next_question(), None);
    let after = bed.state_with(&AFTER, drain(&["b"], &[], &[]));
    assert!(bed.accept(&after).is_good());
    assert_eq!(bed.files(), files(&AFTER));
    assert_eq!(bed.reconciler.drains(), []);
}
