//! The table of edges, names of selectors, and when keys are due.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::api::RotationStage::{self, Retired, Switched, Switching, Verified};
use email_engine_protocol::api::{RotationCause, Statement, Verdict};
use email_engine_protocol::id::SecretId;
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::command::fixture::{BEGIN, Fleet, address};
use crate::state::{Identity, OtherKey, Rotation};

fn identity() -> Identity {
    let fleet = Fleet::with_identities(1);
    (*fleet.state.identities[&address(0)]).clone()
}

fn other() -> OtherKey {
    OtherKey {
        secret: SecretId::new("dkim/mail0.example.com/mail-202611221").unwrap(),
        selector: "mail-202611221".to_owned(),
        public: "another".to_owned(),
    }
}

/// A rotation at a stage, with everything that an edge may ask there.
fn at(stage: RotationStage, cause: RotationCause) -> Rotation {
    Rotation {
        stage,
        since: BEGIN,
        revision: 1,
        begun_at: BEGIN,
        cause,
        other: other(),
        seen: Some(Statement {
            verdict: Verdict::Valid,
            by: "key admin".to_owned(),
            at: BEGIN,
        }),
        wanted: 5,
        counted: 5,
        counted_at: BEGIN,
    }
}

const READY: Facts = Facts {
    now: BEGIN,
    has_host_applied: true,
    sent_ever: true,
};

fn events() -> [Event; 6] {
    let text = || "no".to_owned();
    [
        Event::Begin(RotationCause::Asked),
        Event::Begin(RotationCause::Emergency),
        Event::See(Verdict::Valid),
        Event::See(Verdict::Invalid { what: text() }),
        Event::See(Verdict::Unknown { why: text() }),
        Event::Go,
    ]
}

/// Begin, emergency, seen valid, seen invalid, not seen, go: where each leads; `-` is refused, `none` is no
/// rotation.
const TABLE: [(&str, [&str; 6]); 6] = [
    ("none", ["publish", "publish", "-", "-", "-", "-"]),
    (
        "publish",
        ["-", "publish", "verified", "publish", "publish", "-"],
    ),
    (
        "verified",
        [
            "-",
            "verified",
            "verified",
            "publish",
            "verified",
            "switching",
        ],
    ),
    (
        "switching",
        [
            "-",
            "switching",
            "switching",
            "switching",
            "switching",
            "switched",
        ],
    ),
    ("switched", ["-", "publish", "-", "-", "-", "retired"]),
    ("retired", ["publish", "publish", "-", "-", "-", "none"]),
];

#[test]
fn these_are_all_edges_and_every_other_is_refused_with_what_is_allowed() {
    for (from, wanted) in TABLE {
        let mut all = RotationStage::ALL.into_iter();
        let stage = all.find(|stage| stage.as_str() == from);
        let rotation = stage.map(|stage| at(stage, RotationCause::Asked));
        for (event, to) in events().iter().zip(wanted) {
            let found = next(rotation.as_ref(), event, &READY);
            let shown = match &found {
                Ok(to) => to.map_or("none", RotationStage::as_str),
                Err(_) => "-",
            };
            assert_eq!(shown, to, "{from} {event:?}");
            if let Err(refusal) = found {
                let text = refusal.to_string();
                let named = stage.map_or("not under way", RotationStage::as_str);
                assert!(text.contains(named), "{text}");
                assert!(matches!(refusal, Refusal::NoEdge { .. }), "{text}");
                assert!(
                    text.contains("begin") || text.contains("it becomes"),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn nothing_goes_on_before_its_time() {
    let go = |rotation: &Rotation, facts: Facts| next(Some(rotation), &Event::Go, &facts);
    let verified = at(Verified, RotationCause::Asked);
    let later = |millis| Facts {
        now: BEGIN.plus(millis),
        ..READY
    };
    assert_eq!(go(&verified, later(Timestamp::DAY)), Ok(Some(Switching)));
    let stale = go(&verified, later(Timestamp::DAY + 1)).unwrap_err();
    assert!(stale.to_string().contains("24 hours ago"), "{stale}");
    let away = Facts {
        has_host_applied: false,
        ..READY
    };
    for stage in [Verified, Switching] {
        let refusal = go(&at(stage, RotationCause::Asked), away).unwrap_err();
        assert!(refusal.to_string().contains("did not report"), "{refusal}");
    }
    for seen in [
        None,
        Some(Verdict::Unknown {
            why: "no".to_owned(),
        }),
    ] {
        let mut unseen = verified.clone();
        unseen.seen = seen.map(|verdict| Statement {
            verdict,
            by: String::new(),
            at: BEGIN,
        });
        assert!(go(&unseen, READY).is_err());
    }
    for stage in [Switched, Retired] {
        let mut rotation = at(stage, RotationCause::Asked);
        rotation.counted = 4;
        let refusal = go(&rotation, later(u64::MAX / 2)).unwrap_err();
        assert!(matches!(refusal, Refusal::NotYet { .. }), "{refusal}");
    }
}

#[test]
fn an_emergency_and_what_never_sent_keep_no_old_record() {
    let leaked = at(Switching, RotationCause::Emergency);
    assert_eq!(next(Some(&leaked), &Event::Go, &READY), Ok(Some(Retired)));
    let unused = Facts {
        sent_ever: false,
        ..READY
    };
    let asked = at(Switching, RotationCause::Asked);
    assert_eq!(next(Some(&asked), &Event::Go, &unused), Ok(Some(Retired)));
}

#[test]
fn the_keys_change_places_once_and_the_old_record_stays_for_the_days_that_are_counted() {
    let mut identity = identity();
    let (old, public) = (identity.spec.selector.clone(), identity.dkim_public.clone());
    begin(&mut identity, other(), RotationCause::Asked, (BEGIN, 7));
    let records = |identity: &Identity| {
        let all = published(identity).into_iter();
        all.map(|one| (one.selector.to_owned(), one.key.map(str::to_owned)))
            .collect::<Vec<_>>()
    };
    let (first, second) = (
        (old.clone(), Some(public.clone())),
        ("mail-202611221".to_owned(), Some("another".to_owned())),
    );
    assert_eq!(records(&identity), [first.clone(), second.clone()]);
    turn(&mut identity, Some(Verified), (BEGIN, 8));
    assert_eq!(identity.spec.selector, old);
    turn(&mut identity, Some(Switching), (BEGIN, 9));
    assert_eq!(identity.spec.selector, "mail-202611221");
    assert_eq!(identity.second_key().unwrap().public, public);
    turn(&mut identity, Some(Switched), (BEGIN, 10));
    assert_eq!(identity.second_key(), None);
    assert_eq!(records(&identity), [second.clone(), first]);
    assert_eq!(
        published(&identity)[1].until,
        Some(BEGIN.plus(19 * Timestamp::DAY))
    );

    // A leap of a year is one day of the nineteen, and going back none.
    let rotation = identity.signing.rotation.as_mut().unwrap();
    let year = BEGIN.plus(365 * Timestamp::DAY);
    count(rotation, year);
    assert_eq!(rotation.counted, Timestamp::DAY);
    count(rotation, BEGIN);
    assert_eq!(rotation.counted, Timestamp::DAY);
    for day in 1..=18 {
        count(rotation, BEGIN.plus(day * Timestamp::DAY));
    }
    assert_eq!(rotation.counted, rotation.wanted);
    turn(&mut identity, Some(Retired), (BEGIN, 11));
    assert_eq!(records(&identity), [second.clone(), (old, None)]);
    turn(&mut identity, None, (BEGIN, 12));
    assert_eq!(records(&identity), [second]);
}

#[test]
fn what_waits_for_too_long_is_stuck_and_says_for_what() {
    let mut identity = identity();
    begin(&mut identity, other(), RotationCause::Asked, (BEGIN, 7));
    let week = BEGIN.plus(7 * Timestamp::DAY);
    assert_eq!(stuck(&identity, week), None);
    let told = stuck(&identity, week.plus(1)).unwrap();
    assert!(
        told.contains("mail-202611221._domainkey.mail0.example.com has to be published"),
        "{told}"
    );
    identity.signing.rotation.as_mut().unwrap().cause = RotationCause::Emergency;
    assert!(stuck(&identity, BEGIN.plus(Timestamp::DAY + 1)).is_some());
    turn(&mut identity, Some(Verified), (BEGIN, 8));
    let told = stuck(&identity, BEGIN.plus(Timestamp::HOUR + 1)).unwrap();
    assert!(told.contains("host pmta1 has to report"), "{told}");
    turn(&mut identity, Some(Switching), (BEGIN, 9));
    turn(&mut identity, Some(Switched), (BEGIN, 10));
    assert_eq!(stuck(&identity, Timestamp(u64::MAX)), None);
}

#[test]
fn selectors_say_the_day_and_are_labels() {
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let (first, given) = next_selector("mail", None, now);
    assert_eq!((&*first, given), ("mail-202611221", (20_261_122, 1)));
    let (second, given) = next_selector("mail", Some(given), now);
    assert_eq!((&*second, given), ("mail-202611222", (20_261_122, 2)));
    let yesterday = Timestamp(now.0 - Timestamp::DAY);
    let (third, _) = next_selector("mail", Some(given), yesterday);
    assert_eq!(
        third, "mail-202611223",
        "a day that comes again has no second first"
    );
    let long = next_selector(&"a".repeat(63), None, now).0;
    assert!(crate::powermta::is_selector(&long), "{long}");
    let far = next_selector("mail", None, Timestamp(u64::MAX)).0;
    assert_eq!(far, "mail-999912311");
}

proptest! {
    #[test]
    fn no_selector_is_given_twice_whatever_the_clock_says(
        moments in prop::collection::vec(any::<u64>(), 1..50),
        declared in "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?",
    ) {
        let (mut last, mut given) = (None, BTreeSet::new());
        for moment in moments {
            let (selector, one) = next_selector(&declared, last, Timestamp(moment));
            prop_assert!(crate::powermta::is_selector(&selector), "{selector}");
            prop_assert!(given.insert(selector));
            last = Some(one);
        }
    }

    #[test]
    fn a_tenant_has_it_tighter_and_never_looser(tenant in prop::option::of(any::<u32>()), busy: bool) {
        let fleet = Pace::of(busy, None);
        let own = Pace::of(busy, tenant);
        prop_assert!(own.days <= fleet.days && own.days >= Pace::LEAST_DAYS);
        prop_assert_eq!(fleet.days, if busy { 90 } else { 180 });
    }
}

#[test]
fn keys_of_one_age_are_due_on_many_days() {
    let mut identity = identity();
    let since = identity.signing.since;
    let mut days = std::collections::BTreeMap::<u64, usize>::new();
    let pace = Pace::of(false, None);
    for at in 0..300 {
        identity.dkim_key = SecretId::new(format!("dkim/mail{at}.example.com/mail")).unwrap();
        let due = due_at(&identity, pace);
        let day = due.since(since) / Timestamp::DAY;
        assert!((150..=180).contains(&day), "{day}");
        *days.entry(day).or_default() += 1;
        assert!(is_due(&identity, pace, due));
        assert!(!is_due(&identity, pace, Timestamp(due.0 - 1)));
    }
    assert!(days.len() > 25, "{days:?}");
    assert!(days.values().all(|count| *count < 30), "{days:?}");
}

#[test]
fn who_does_not_send_or_is_under_way_is_not_due() {
    let mut identity = identity();
    let (pace, late) = (Pace::of(false, None), BEGIN.plus(400 * Timestamp::DAY));
    assert!(is_due(&identity, pace, late));
    for stage in RotationStage::ALL {
        identity.signing.rotation = Some(at(stage, RotationCause::Asked));
        assert_eq!(is_due(&identity, pace, late), stage == Retired);
    }
    let mut fleet = Fleet::with_identities(1);
    let row = Arc::make_mut(fleet.state.identities.get_mut(&address(0)).unwrap());
    row.spec.status = email_engine_protocol::api::IpStatus::Resting;
    assert!(!is_due(row, pace, late));
    assert_eq!((per_day(5), per_day(100_000)), (4, 7_143));
}
