//! The edges one by one; `laws` has random lives under a clock that goes where it wants.

mod laws;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::IpStatus::{
    self, Active, Quarantine, Resting, Retiring, Standby, Warming,
};
use email_engine_protocol::api::{Check, Phase, Statement, Verdict};
use email_engine_protocol::time::Timestamp;

use super::*;
use crate::command::fixture::{BEGIN, identity};
use crate::fleet::warmup;
use crate::state::Declared;

const DAY: u64 = Timestamp::DAY;
const STATUSES: [IpStatus; 6] = [Active, Quarantine, Resting, Retiring, Standby, Warming];

fn all_valid(at: Timestamp) -> BTreeMap<Check, Statement> {
    let said = |check| {
        let statement = Statement {
            verdict: Verdict::Valid,
            by: "key ops".to_owned(),
            at,
        };
        (check, statement)
    };
    Check::ALL.into_iter().map(said).collect()
}

fn fit() -> Preflight {
    Preflight::of(&all_valid(BEGIN), BEGIN)
}

/// One that reached a phase, has this status since the beginning, and sent then.
fn standing(status: IpStatus, phase: Phase) -> Standing {
    let mut spec = identity(0);
    (spec.status, spec.phase) = (status, phase);
    let mut life = Life::new(&spec, BEGIN);
    life.last_sent = Some(BEGIN);
    Standing::with(&spec, &life)
}

fn listed() -> Event {
    Event::Quarantine {
        lists: BTreeSet::from(["zen.example.org".to_owned()]),
    }
}

fn events() -> [Event; 10] {
    [
        Event::Activate,
        Event::Graduate,
        Event::Idle,
        listed(),
        Event::Quarantine {
            lists: BTreeSet::new(),
        },
        Event::Release,
        Event::Reserve { kept: true },
        Event::Reserve { kept: false },
        Event::Rest,
        Event::Retire,
    ]
}

fn later(days: u64) -> Timestamp {
    BEGIN.plus(days * DAY)
}

fn after(standing: &Standing, event: &Event, days: u64) -> Result<Standing, Refusal> {
    let preflight = Preflight::of(&all_valid(later(days)), later(days));
    next(standing, event, later(days), &preflight).map(|turned| turned.standing)
}

/// The table of the specification, written down a second time.
fn is_in_the_specification(from: IpStatus, to: IpStatus) -> bool {
    matches!(
        (from, to),
        (Standby, Warming | Active | Quarantine)
            | (Warming, Active | Quarantine | Resting)
            | (Active, Quarantine | Resting)
            | (Quarantine, Resting)
            | (Resting, Standby)
    ) || (to == Retiring && from != Retiring)
}

#[test]
fn every_edge_is_one_of_the_specification_and_each_of_those_is_there() {
    let edges: BTreeSet<_> = table::EDGES
        .iter()
        .map(|edge| (edge.from, edge.to))
        .filter(|(from, to)| from != to)
        .collect();
    for from in STATUSES {
        for to in STATUSES {
            let specified = is_in_the_specification(from, to);
            assert_eq!(edges.contains(&(from, to)), specified, "{from:?} {to:?}");
        }
    }
}

#[test]
fn what_is_not_in_the_table_is_refused_with_both_statuses_and_what_is_allowed() {
    for from in STATUSES {
        for to in STATUSES.into_iter().filter(|to| *to != from) {
            if is_in_the_specification(from, to) {
                continue;
            }
            let wanted = Declared {
                status: to,
                phase: Phase::Week2,
                reserve: false,
            };
            let refusal = declare(&standing(from, Phase::Week2), wanted, BEGIN, &fit());
            let Err(Refusal::NoEdge { allowed, .. }) = &refusal else {
                panic!("{from:?} {to:?}: {refusal:?}");
            };
            let said = refusal.as_ref().unwrap_err().to_string();
            let (from_word, to_word) = (from.as_str(), to.as_str());
            assert!(
                said.contains(&format!("from {from_word} to {to_word}")),
                "{said}"
            );
            assert_eq!(*allowed, allowed_from(from));
            for edge in table::EDGES.iter().filter(|edge| edge.from == from) {
                assert!(said.contains(edge.to.as_str()), "{said}");
            }
        }
    }
}

#[test]
fn nothing_leaves_retiring() {
    for event in events() {
        let refused = after(&standing(Retiring, Phase::Active), &event, 400);
        assert!(matches!(refused, Err(Refusal::NoEdge { .. })), "{event:?}");
    }
    assert!(allowed_from(Retiring).is_empty());
}

#[test]
fn preflight_is_asked_before_mail_and_names_all_that_is_missing() {
    let bench = standing(Standby, Phase::Week1);
    let mut checks = all_valid(BEGIN);
    checks.remove(&Check::Ptr);
    let what = "ends in ~all".to_owned();
    checks.get_mut(&Check::Spf).unwrap().verdict = Verdict::Invalid { what };
    let preflight = Preflight::of(&checks, BEGIN);
    let refusal = next(&bench, &Event::Activate, BEGIN, &preflight).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "standby becomes warming only when preflight is ok, and it is not: ptr: not known, nobody has \
         looked; spf: invalid, ends in ~all"
    );
    let forced = next(&bench, &Event::Activate, BEGIN, &preflight.overruled(true)).unwrap();
    assert_eq!(forced.forced, BTreeSet::from([Check::Ptr, Check::Spf]));
    assert_eq!(forced.standing.status, Warming);
}

#[test]
fn what_was_seen_holds_for_24_hours_and_a_clock_set_back_does_not_make_it_older() {
    let checks = all_valid(BEGIN);
    let missing = |at| Preflight::of(&checks, at).missing().len();
    assert_eq!(missing(BEGIN.plus(FRESH_MILLIS)), 0);
    assert_eq!(missing(BEGIN.plus(FRESH_MILLIS + 1)), Check::ALL.len());
    assert_eq!(missing(Timestamp(0)), 0);
    assert_eq!(missing(Timestamp(u64::MAX)), Check::ALL.len());
}

#[test]
fn rest_costs_a_phase_every_30_idle_days_and_never_more_than_there_was() {
    let resting = standing(Resting, Phase::Week5);
    for (days, phase) in [
        (29, Phase::Week5),
        (30, Phase::Week4),
        (59, Phase::Week4),
        (60, Phase::Week3),
        (149, Phase::Week1),
        (40_000, Phase::Week1),
    ] {
        assert_eq!(resumes_at(&resting, later(days)), phase, "{days}");
    }
    let bench = after(&resting, &Event::Release, 40).unwrap();
    assert_eq!(
        (bench.status, bench.phase),
        (Standby, Phase::Week5),
        "it is counted once"
    );
    let warming = after(&bench, &Event::Activate, 70).unwrap();
    assert_eq!((warming.status, warming.phase), (Warming, Phase::Week3));
    let left = idle_millis(&warming, later(70));
    assert_eq!(left, 10 * DAY, "what is not paid with a phase goes on");
    let again = after(&warming, &Event::Rest, 71).unwrap();
    assert_eq!(
        resumes_at(&again, later(71)),
        Phase::Week3,
        "it is paid once"
    );
}

#[test]
fn only_one_that_passed_week_6_and_sent_lately_goes_straight_to_active() {
    let through = standing(Standby, Phase::Active);
    assert_eq!(
        after(&through, &Event::Activate, 29).unwrap().status,
        Active
    );
    let cold = after(&through, &Event::Activate, 30).unwrap();
    assert_eq!((cold.status, cold.phase), (Warming, Phase::Week6));
    let nearly = standing(Standby, Phase::Week6);
    assert_eq!(after(&nearly, &Event::Activate, 1).unwrap().status, Warming);
}

#[test]
fn month_without_mail_ends_sending_and_a_mail_puts_it_off() {
    let mut active = standing(Active, Phase::Active);
    assert_eq!(due(&active, later(29)), None);
    assert_eq!(due(&active, later(30)), Some(Event::Idle));
    assert!(matches!(
        after(&active, &Event::Idle, 29),
        Err(Refusal::NotYet { .. })
    ));
    assert_eq!(after(&active, &Event::Idle, 30).unwrap().status, Resting);
    active.last_sent = Some(later(20));
    assert_eq!(due(&active, later(49)), None);
    assert_eq!(due(&standing(Resting, Phase::Active), later(400)), None);
}

#[test]
fn to_be_taken_up_is_no_mail_and_leaves_a_week_for_a_first_one() {
    // To and fro, every 20 days: nobody stays in production for a year by that.
    let mut one = standing(Active, Phase::Active);
    let to_and_fro = |one: &Standing, days| {
        let rests = after(one, &Event::Rest, days).unwrap();
        let bench = after(&rests, &Event::Release, days).unwrap();
        after(&bench, &Event::Activate, days).unwrap()
    };
    one = to_and_fro(&one, 20);
    assert_eq!(
        (one.status, idle_millis(&one, later(20))),
        (Active, 20 * DAY)
    );
    one = to_and_fro(&one, 40);
    assert_eq!((one.status, one.phase), (Warming, Phase::Week6));
    assert_eq!(idle_millis(&one, later(40)), 10 * DAY);
    one = to_and_fro(&one, 59);
    assert_eq!(one.phase, Phase::Week6);
    assert_eq!(due(&one, later(60)), None, "it has had a day");
    assert_eq!(due(&one, later(66)), Some(Event::Idle));
    one.last_sent = Some(later(62));
    assert_eq!(due(&one, later(66)), None);
    // While nobody knows of its mail, it may have been a moment ago.
    let mut unknown = standing(Standby, Phase::Week3);
    unknown.last_sent = None;
    let warming = after(&unknown, &Event::Activate, 25).unwrap();
    assert_eq!(idle_millis(&warming, later(25)), 0);
}

#[test]
fn quarantine_ends_a_week_after_the_last_sighting_and_two_clean_sweeps() {
    let out = after(&standing(Active, Phase::Active), &listed(), 0).unwrap();
    assert_eq!((out.status, out.phase), (Quarantine, Phase::Active));
    let swept = |mut out: Standing, sweeps: &[(u64, Verdict)]| {
        for (hours, verdict) in sweeps {
            let at = BEGIN.plus(hours * Timestamp::HOUR);
            state_listing(out.quarantine.as_mut().unwrap(), verdict, at);
        }
        out
    };
    let seen = || Verdict::Invalid {
        what: "listed".to_owned(),
    };
    let blind = Verdict::Unknown {
        why: "no answer".to_owned(),
    };
    let clean = swept(out.clone(), &[(1, Verdict::Valid), (2, Verdict::Valid)]);
    let refusal = after(&clean, &Event::Release, 8).unwrap_err().to_string();
    assert!(
        refusal.contains("1 of 2 clean sweeps"),
        "one sweep, said twice: {refusal}"
    );
    let clean = swept(
        out.clone(),
        &[(1, Verdict::Valid), (3, blind), (5, Verdict::Valid)],
    );
    let refusal = after(&clean, &Event::Release, 6).unwrap_err().to_string();
    assert!(refusal.contains("7 days after that"), "{refusal}");
    assert_eq!(after(&clean, &Event::Release, 7).unwrap().status, Resting);
    let again = swept(
        clean,
        &[(30, seen()), (40, Verdict::Valid), (50, Verdict::Valid)],
    );
    assert!(
        after(&again, &Event::Release, 7).is_err(),
        "it was seen again"
    );
    assert_eq!(after(&again, &Event::Release, 9).unwrap().status, Resting);
    let more = after(&again, &listed(), 3).unwrap();
    assert_eq!(more.since, out.since, "it is out since it went out");
    assert_eq!(more.quarantine.unwrap().clean_sweeps, 0);
}

#[test]
fn standby_is_taken_out_by_a_list_and_by_no_word_alone() {
    let bench = standing(Standby, Phase::Week3);
    let word = Event::Quarantine {
        lists: BTreeSet::new(),
    };
    assert!(matches!(
        after(&bench, &word, 1),
        Err(Refusal::NotYet { .. })
    ));
    assert_eq!(after(&bench, &listed(), 1).unwrap().status, Quarantine);
    assert_eq!(
        after(&standing(Warming, Phase::Week1), &word, 1)
            .unwrap()
            .status,
        Quarantine
    );
}

#[test]
fn reserve_is_active_at_weight_5_until_it_is_activated_or_leaves() {
    let weight = |standing: &Standing| {
        let mut spec = identity(0);
        let mut life = Life::new(&spec, BEGIN);
        standing.clone().put(&mut spec, &mut life);
        warmup::weight(spec.status, spec.phase, spec.reserve)
    };
    let active = standing(Active, Phase::Active);
    let kept = after(&active, &Event::Reserve { kept: true }, 1).unwrap();
    assert_eq!((weight(&active), weight(&kept)), (100, 5));
    assert_eq!(kept.since, active.since);
    let promoted = after(&kept, &Event::Activate, 1).unwrap();
    assert_eq!(weight(&promoted), 100);
    assert!(
        after(&active, &Event::Activate, 1).is_err(),
        "it has its whole weight"
    );
    let rested = after(&kept, &Event::Rest, 1).unwrap();
    assert!(!rested.reserve);
    for status in [Quarantine, Resting, Standby, Warming] {
        let event = Event::Reserve { kept: true };
        assert!(
            after(&standing(status, Phase::Week2), &event, 1).is_err(),
            "{status:?}"
        );
    }
}

#[test]
fn evidence_cannot_be_declared() {
    let wanted = Declared {
        status: Active,
        phase: Phase::Active,
        reserve: false,
    };
    let warming = standing(Warming, Phase::Week6);
    let refusal = declare(&warming, wanted, BEGIN, &fit()).unwrap_err();
    assert!(matches!(refusal, Refusal::NoEdge { .. }), "{refusal}");
    assert_eq!(
        after(&warming, &Event::Graduate, 0).unwrap().phase,
        Phase::Active
    );
}
