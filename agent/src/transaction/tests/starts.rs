//! A product that is started with new files, and does not run with them.

use email_engine_protocol::desired::{HostConfig, Probe, RestartSpec};

use super::bed::{Bed, failure, files};
use super::{check, shell};

const GOOD: [(&str, &str); 1] = [("config", "good")];
const BAD: [(&str, &str); 1] = [("config", "bad")];
/// Starts with every content that is not bad.
const JUDGES: &str = "! grep -q bad config";

/// A content whose test passes, and that only a restart brings into force.
fn state(bed: &Bed, members: &[(&str, &str)], line: &str) -> HostConfig {
    bed.state_with(members, |spec| {
        spec.test = check("exit 0");
        spec.activate = check("exit 0");
        spec.restart = RestartSpec {
            lines: vec![line.to_owned()],
            allowed: true,
        };
    })
}

/// A bed in which the service runs with the good content, and a state with the bad one.
fn bed(starts: &str) -> (Bed, HostConfig) {
    let mut bed = Bed::with_service_manager(starts);
    let good = state(&bed, &GOOD, "one");
    let outcome = bed.accept(&good);
    assert!(outcome.is_good(), "{:?}", outcome.statuses);
    assert_eq!(bed.unit_is(), "active");
    std::fs::remove_file(bed.dir.path().join("told")).unwrap();
    let bad = state(&bed, &BAD, "two");
    (bed, bad)
}

#[test]
fn a_content_that_the_service_does_not_start_with_is_refused_and_not_tried_again() {
    let (mut bed, bad) = bed(JUDGES);
    for _ in 0..3 {
        let outcome = bed.accept(&bad);
        let reason = failure(&outcome);
        assert!(reason.contains("was refused at stage activate"), "{reason}");
        assert!(
            reason.contains("Job for product.service failed."),
            "{reason}"
        );
        assert_eq!(bed.files(), files(&GOOD));
        assert_eq!(bed.unit_is(), "active", "with the files before");
        assert_eq!(bed.told(), ["restart"; 2], "once each");
        bed.restart();
    }
    let other = state(&bed, &[("config", "other")], "two");
    assert!(bed.accept(&other).is_good());
}

#[test]
fn a_service_that_waits_to_be_started_again_by_itself_has_not_started() {
    let (mut bed, bad) = bed(&format!(
        "{JUDGES} || {{ echo activating > \"$here/is\"; exit 1; }}"
    ));
    let outcome = bed.accept(&bad);
    let reason = failure(&outcome);
    assert!(reason.contains("was refused at stage activate"), "{reason}");
    assert_eq!(bed.unit_is(), "active");
}

#[test]
fn a_first_content_that_the_service_does_not_start_with_is_refused_and_it_is_left_as_it_was() {
    let mut bed = Bed::with_service_manager(JUDGES);
    let bad = state(&bed, &BAD, "one");
    for _ in 0..2 {
        let outcome = bed.accept(&bad);
        let reason = failure(&outcome);
        assert!(reason.contains("was refused at stage activate"), "{reason}");
        assert_eq!(bed.told(), ["restart"]);
    }
    assert_eq!(bed.files(), files(&[]));
}

#[test]
fn a_service_that_does_not_start_with_the_files_before_either_refuses_nothing() {
    let (mut bed, bad) = bed("[ ! -e \"$here/broken\" ]");
    let broken = bed.dir.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    for _ in 0..2 {
        let outcome = bed.accept(&bad);
        let reason = failure(&outcome);
        assert!(reason.contains("is tried again"), "{reason}");
        assert!(reason.contains("; after that: "), "{reason}");
        assert_eq!(bed.files(), files(&GOOD));
    }
    assert_eq!(bed.unit_is(), "failed");
    // Nothing was wrong with the content.
    std::fs::remove_file(&broken).unwrap();
    assert!(bed.accept(&bad).is_good());
    assert_eq!(bed.files(), files(&BAD));
    assert_eq!(bed.unit_is(), "active");
}

#[test]
fn a_service_that_does_not_start_with_the_vendors_files_any_more_refuses_no_first_content() {
    let mut bed = Bed::with_service_manager("[ ! -e \"$here/broken\" ]");
    let broken = bed.dir.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    std::fs::write(bed.dir.path().join("is"), "active").unwrap();
    let first = state(&bed, &GOOD, "one");
    for tries in 1..3 {
        let outcome = bed.accept(&first);
        let reason = failure(&outcome);
        assert!(reason.contains("is tried again"), "{reason}");
        assert_eq!(bed.told().len(), 2 * tries, "{:?}", bed.told());
    }
    std::fs::remove_file(&broken).unwrap();
    assert!(bed.accept(&first).is_good());
}

/// A restart that fails with the bad content alone, in a way that says nothing of it.
fn is_tried_again(ends: &str) {
    let (mut bed, bad) = bed(&format!("{JUDGES} || {{ {ends}; }}"));
    for _ in 0..2 {
        let outcome = bed.accept(&bad);
        let reason = failure(&outcome);
        assert!(reason.contains("is tried again"), "{ends}: {reason}");
        assert_eq!(bed.files(), files(&GOOD));
    }
    assert_eq!(bed.standing().refused, None, "{ends}");
}

#[test]
fn a_service_manager_that_was_ended_refuses_nothing() {
    is_tried_again("is failed; kill -TERM $$");
}

#[test]
fn a_service_manager_that_cannot_be_asked_how_it_went_refuses_nothing() {
    is_tried_again("is failed; touch \"$here/silent\"; exit 1");
}

#[test]
fn a_service_that_goes_on_although_its_restart_failed_refuses_nothing() {
    is_tried_again("is active; exit 1");
}

#[test]
fn a_unit_that_was_stopped_before_and_may_not_be_started_refuses_nothing() {
    let mut bed = Bed::with_service_manager("{ is inactive; echo 'Unit is masked.' >&2; exit 1; }");
    let first = state(&bed, &GOOD, "one");
    for _ in 0..2 {
        let outcome = bed.accept(&first);
        let reason = failure(&outcome);
        assert!(reason.contains("is tried again"), "{reason}");
    }
    assert_eq!(bed.standing().refused, None);
}

/// A product that runs, and hears nothing before it was asked three times.
#[test]
fn a_product_that_has_just_been_started_is_told_once_it_answers() {
    let mut bed = Bed::with_service_manager("true");
    let here = bed.dir.path().to_owned();
    let state = |bed: &Bed, members: &[(&str, &str)]| {
        let hears = format!("[ $(wc -l < {}/asked) -ge 3 ]", here.display());
        bed.state_with(members, |spec| {
            spec.test = check("exit 0");
            spec.activate = check(&format!("{hears} || {{ echo cannot connect; exit 1; }}"));
            spec.read_back = vec![Probe::Answer {
                command: shell(&format!(
                    "echo >> {}/asked; {hears} && echo '{{}}'",
                    here.display()
                )),
                seconds: 20,
                expect: Vec::new(),
            }];
        })
    };
    let first = state(&bed, &GOOD);
    assert!(bed.accept(&first).is_good());
    // The machine was started again, and the product with it.
    std::fs::write(here.join("asked"), "").unwrap();
    let other = state(&bed, &[("config", "other")]);
    let outcome = bed.accept(&other);
    assert!(outcome.is_good(), "{:?}", outcome.statuses);
}
