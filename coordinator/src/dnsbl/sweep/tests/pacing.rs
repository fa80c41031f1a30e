//! Each list has its own pace, and keeps it.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Question, fastrand, run, sweep};
use super::{addresses, errands, lists, manner};
use crate::dnsbl::sweep::Found;
use crate::dnsbl::verdict::Verdict;

const MILLI: u64 = 1_000;

#[test]
fn a_slow_list_and_a_capped_one_delay_only_themselves() {
    let fast = |question: &Question| vec![(50 * MILLI, question.right())];
    let alone = lists(&[("fast", 64, None), ("quick", 64, None)]);
    let subjects = addresses(2_000);
    let before = run(&alone, errands(&alone, &subjects), manner(), &mut { fast });
    let all = lists(&[
        ("capped", 64, Some(200)),
        ("fast", 64, None),
        ("quick", 64, None),
        ("slow", 64, None),
    ]);
    let mut mixed = |question: &Question| {
        let delay = if question.list == "slow" { 2_500 } else { 50 };
        vec![(delay * MILLI, question.right())]
    };
    let after = run(&all, errands(&all, &subjects), manner(), &mut mixed);
    let [capped, fast, quick, slow] = &after.findings[..] else {
        panic!("four lists");
    };
    for findings in &after.findings {
        let verdicts = findings.found.iter().map(|found| &found.verdict);
        let unknown = verdicts
            .filter(|verdict| matches!(verdict, Verdict::Unknown(_)))
            .count();
        assert_eq!(unknown, 0, "{}", findings.list);
    }
    for (now, alone) in [fast, quick].into_iter().zip(&before.findings) {
        assert!(
            now.took <= alone.took + Duration::from_millis(100),
            "{now:?} {alone:?}"
        );
    }
    // 2,040 questions and the test points at 200 a second.
    assert!(
        (10_200..=10_800).contains(&capped.took.as_millis()),
        "{:?}",
        capped.took
    );
    assert!(slow.took > Duration::from_secs(60), "{:?}", slow.took);
}

#[test]
fn one_list_that_takes_all_room_does_not_starve_the_others() {
    let registry = lists(&[("big", 4_096, None), ("small", 4, None)]);
    let subjects = addresses(3_000);
    let mut manner = manner();
    manner.in_flight = 64;
    let mut world = |question: &Question| vec![(10 * MILLI, question.right())];
    let run = run(&registry, errands(&registry, &subjects), manner, &mut world);
    // Lists take turns: while both have something, each gets what it may have on the way.
    let small = &run.asked["small"];
    let by_big_end = small
        .iter()
        .filter(|at| **at <= *run.asked["big"].last().unwrap())
        .count();
    assert!(by_big_end > 150, "{by_big_end}");
}

/// A list that takes a second for each answer would have all room before long.
#[test]
fn what_a_slow_list_has_on_the_way_is_taken_from_no_other() {
    let registry = lists(&[("fast", 64, None), ("slow", 64, None)]);
    let subjects = addresses(4_000);
    let mut manner = manner();
    manner.in_flight = 64;
    let mut world = |question: &Question| {
        let delay = if question.list == "slow" { 1_000 } else { 10 };
        vec![(delay * MILLI, question.right())]
    };
    let run = run(&registry, errands(&registry, &subjects), manner, &mut world);
    let [fast, slow] = &run.findings[..] else {
        panic!("two lists");
    };
    // 4,084 questions, 32 at a time.
    let ideal = Duration::from_millis(4_084 * 10 / 32);
    assert!(fast.took <= ideal * 11 / 10, "{:?}", fast.took);
    // Once the other is through, all of it is for the slow one.
    let alone = Duration::from_millis(4_084 * 1_000 / 64);
    assert!(slow.took <= alone * 11 / 10, "{:?}", slow.took);
}

/// A resolver whose socket holds a hundred questions: what does not fit is lost without a word.
#[test]
fn a_resolver_that_holds_little_is_not_flooded() {
    let registry = lists(&[("one", 512, None)]);
    let subjects = addresses(20_000);
    let mut free_at = 0;
    let mut world = |question: &Question| {
        let waiting = free_at.max(question.now) - question.now;
        if waiting >= 100 * 20 {
            return vec![];
        }
        free_at = free_at.max(question.now) + 20;
        vec![(free_at - question.now + 50, question.right())]
    };
    let run = sweep(&registry, &subjects, &mut world);
    let findings = &run.findings[0];
    let unknown = |found: &&Found| matches!(found.verdict, Verdict::Unknown(_));
    assert_eq!(findings.found.iter().filter(unknown).count(), 0);
    assert!(findings.repeated < 1_000, "{} lost", findings.repeated);
    // 20,404 questions, 20 microseconds each, and at the end those that were lost.
    assert!(
        findings.took < Duration::from_millis(1_500),
        "{:?}",
        findings.took
    );
}

/// Far away, what goes as answers come goes in heaps, and a heap is lost where a stream is not.
#[test]
fn questions_go_evenly_to_a_resolver_that_is_far_away_and_holds_little() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let registry = lists(&names.map(|name| (name, 73, None)));
    let subjects = addresses(1_500);
    let mut free_at = 0;
    let mut world = |question: &Question| {
        let arrives = question.now + 25 * MILLI;
        if free_at.max(arrives) - arrives >= 100 * 10 {
            return vec![];
        }
        free_at = free_at.max(arrives) + 10;
        vec![(free_at + 25 * MILLI - question.now, question.right())]
    };
    let run = sweep(&registry, &subjects, &mut world);
    let lost: u64 = run.findings.iter().map(|one| one.repeated).sum();
    assert_eq!(lost, 0);
}

/// Bench B8 in made time: 50 ms, 2 % lost each way, a server whose socket holds a hundred questions.
#[test]
fn a_way_that_loses_some_costs_little_more_than_what_it_loses() {
    let registry = lists(&[
        ("capped", 100, Some(200)),
        ("fast", 100, None),
        ("quick", 100, None),
        ("slow", 100, None),
    ]);
    let subjects = addresses(10_000);
    let mut random = fastrand(11);
    let mut is_lost = move || u16::from_be_bytes([random(), random()]) % 1_000 < 20;
    let mut free_at = 0;
    let mut world = |question: &Question| {
        let arrives = question.now + 25 * MILLI;
        let waiting = free_at.max(arrives) - arrives;
        if is_lost() || waiting >= 100 * 20 {
            return vec![];
        }
        free_at = free_at.max(arrives) + 20;
        let slow = u64::from(question.list == "slow") * 1_000 * MILLI;
        if is_lost() {
            return vec![];
        }
        vec![(free_at + slow + 25 * MILLI - question.now, question.right())]
    };
    let run = sweep(&registry, &subjects, &mut world);
    // Questions over what may be on the way in a round trip, and over what may be asked in a second.
    let ideal = [10_204 * 5, 10_204 / 2, 10_204 / 2, 10_204 * 21 / 2].map(Duration::from_millis);
    for (findings, ideal) in run.findings.iter().zip(ideal) {
        let verdicts = findings.found.iter().map(|found| &found.verdict);
        let unknown = verdicts.filter(|verdict| matches!(verdict, Verdict::Unknown(_)));
        assert_eq!(unknown.count(), 0, "{}", findings.list);
        // A fifth more, and the last ones that are lost.
        let most = ideal * 12 / 10 + Duration::from_millis(600);
        assert!(
            findings.took <= most,
            "{} {:?} of {ideal:?}",
            findings.list,
            findings.took
        );
    }
}

#[test]
fn a_list_that_answers_no_stream_leaves_streams_to_others() {
    let registry = lists(&[("mute", 64, None), ("wordy", 64, None)]);
    let subjects = addresses(200);
    let mut world = |question: &Question| match question.socket {
        Some(_) => vec![(MILLI, question.truncated())],
        None if question.list == "mute"
            && question.address.is_some_and(|one| one.octets()[0] != 127) =>
        {
            vec![]
        }
        None => vec![(10 * MILLI, question.right())],
    };
    let run = sweep(&registry, &subjects, &mut world);
    let [mute, wordy] = &run.findings[..] else {
        panic!("two lists");
    };
    // 208 streams, four at a time.
    assert!(
        wordy.took < Duration::from_millis(208 * 15 / 4 + 100),
        "{:?}",
        wordy.took
    );
    assert!(
        mute.found
            .iter()
            .all(|found| matches!(found.verdict, Verdict::Unknown(_)))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_list_is_asked_faster_or_more_at_once_than_it_may_be(
        in_flight in 1..40u32,
        per_second in 5..2_000u32,
        delay in 1..400u64,
        loss in 0..40u8,
    ) {
        let registry = lists(&[("one", in_flight, Some(per_second))]);
        let mut on_the_way = std::collections::BTreeSet::<(u64, usize)>::new();
        let mut most = 0;
        let (mut count, mut draws) = (0, fastrand(u64::from(in_flight)));
        let mut world = |question: &Question| {
            count += 1;
            on_the_way.retain(|(until, _)| *until > question.now);
            // A question that is lost is on the way until it is given up: at least the shortest wait.
            let lost = draws() < loss;
            let until = if lost { 200 * MILLI } else { delay * MILLI };
            on_the_way.insert((question.now + until, count));
            most = most.max(on_the_way.len());
            if lost { vec![] } else { vec![(delay * MILLI, question.right())] }
        };
        let subjects = addresses(120);
        let ran = sweep(&registry, &subjects, &mut world);
        prop_assert!(most <= in_flight as usize, "{} at once", most);
        let asked = &ran.asked["one"];
        let apart = 1_000_000 / u64::from(per_second);
        // In no window of a second more than the rate, but for the slack of late timers.
        for (at, first) in asked.iter().enumerate() {
            let within = asked[at..].iter().take_while(|time| **time < first + 1_000_000).count() as u64;
            prop_assert!(within <= u64::from(per_second) + 2 + 20_000 / apart.max(1), "{} within a second", within);
        }
    }
}
