//! Each list has its own pace, and keeps it.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Question, run};
use super::{addresses, errands, lists, manner};
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
        let (mut count, mut draws) = (0, super::world::fastrand(u64::from(in_flight)));
        let mut world = |question: &Question| {
            count += 1;
            on_the_way.retain(|(until, _)| *until > question.now);
            // A question that is lost is on the way until it is given up: at least the shortest wait.
            let lost = draws() < loss;
            let until = if lost { 400 * MILLI } else { delay * MILLI };
            on_the_way.insert((question.now + until, count));
            most = most.max(on_the_way.len());
            if lost { vec![] } else { vec![(delay * MILLI, question.right())] }
        };
        let subjects = addresses(120);
        let ran = run(&registry, errands(&registry, &subjects), manner(), &mut world);
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
