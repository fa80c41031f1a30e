//! A table of evidence, and what it comes to in words.

use email_engine_protocol::api::{
    IpStatus, Phase, Rate, WarmupPlan, WarmupSettings, WarmupVerdict,
};
use email_engine_protocol::observed::DayCounts;

use super::super::{Opens, day_begins, follow, judge, resume, stop, stop_line, weight};
use super::{counts as day_of_mail, *};

fn told(verdict: &WarmupVerdict) -> String {
    let step = serde_json::to_value(verdict.step).unwrap();
    let reasons: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
    format!("{}: {}", step.as_str().unwrap(), reasons.join("; "))
}

fn judged(plan: &WarmupPlan, counts: &[DayCounts]) -> String {
    let loops = loops();
    let settings = WarmupSettings::default();
    told(&judge(plan, counts, &settings, &facts(&loops), TODAY).0)
}

/// Week 2, quota 100, each of seven days: delivered, hard bounces, refusals as spam, deferred, complaints.
const TABLE: &[(&str, [u64; 5], &str)] = &[
    ("clean", [100, 0, 0, 0, 0], "advance: no line is broken"),
    (
        "nothing",
        [0, 0, 0, 0, 0],
        "hold: 0 delivered in 7 days, 50 are needed to judge",
    ),
    (
        "59 of 100 used",
        [59, 0, 0, 0, 0],
        "hold: its quota was used on 0 of 7 days, 5 are wanted",
    ),
    (
        "60 of 100 used",
        [60, 0, 0, 0, 0],
        "advance: no line is broken",
    ),
    (
        "hard bounces at the line",
        [95, 5, 0, 0, 0],
        "advance: no line is broken",
    ),
    (
        "hard bounces above it",
        [94, 5, 0, 0, 0],
        "pause: hard bounces 5.05 % (35 of 693), above 5.00 %",
    ),
    (
        "refused at the line",
        [95, 0, 5, 0, 0],
        "advance: no line is broken",
    ),
    (
        "refused above it",
        [94, 0, 5, 0, 0],
        "pause: refused as spam or by policy at yahoo: 5.05 % (35 of 693), above 5.00 %",
    ),
    (
        "deferred at the line",
        [100, 0, 0, 30, 0],
        "advance: no line is broken",
    ),
    (
        "deferred above it",
        [100, 0, 0, 31, 0],
        "pause: deferrals 31.00 % (217 of 700), above 30.00 %",
    ),
    (
        "all deferred",
        [0, 0, 0, 50, 0],
        "pause: deferrals 100.00 % (350 of 350), above 30.00 %",
    ),
    (
        "all refused",
        [0, 0, 8, 0, 0],
        "pause: refused as spam or by policy at yahoo: 100.00 % (56 of 56), above 5.00 %",
    ),
    (
        "complaints",
        [100, 0, 0, 0, 1],
        "pause: complaints 1.00 % (7 of 700), above 0.10 %",
    ),
    (
        "several",
        [90, 10, 0, 60, 0],
        "pause: hard bounces 10.00 % (70 of 700), above 5.00 %; deferrals 66.66 % (420 of 630), above 30.00 %",
    ),
    // 49 results, all of them bad: too few to say so, and too few to go on.
    (
        "49 results",
        [0, 7, 0, 0, 0],
        "hold: 0 delivered in 7 days, 50 are needed to judge",
    ),
];

#[test]
fn every_line_and_least_sample_of_the_schedule_gives_its_verdict() {
    let mut wrong = Vec::new();
    for (name, each, expected) in TABLE {
        let got = judged(&plan(Phase::Week2, 7), &week("yahoo", *each));
        if got != *expected {
            wrong.push(format!("{name}: {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_few_events_are_no_rate() {
    let early = |each: [u64; 5]| {
        let mut all = [[100, 0, 0, 0, 0]; 7];
        all[3] = each;
        judged(&plan(Phase::Week2, 7), &days("yahoo", all))
    };
    let good = "advance: no line is broken";
    // Four hard bounces are 0.6 % anyway; of 50 results they would be 8 %, and are not judged.
    let mut sparse = [[0; 5]; 7];
    sparse[6] = [46, 4, 0, 0, 0];
    let few = judged(&plan(Phase::Week2, 7), &days("yahoo", sparse));
    assert_eq!(few, "hold: 46 delivered in 7 days, 50 are needed to judge");
    sparse[6] = [45, 5, 0, 0, 0];
    let enough = judged(&plan(Phase::Week2, 7), &days("yahoo", sparse));
    assert_eq!(
        enough,
        "pause: hard bounces 10.00 % (5 of 50), above 5.00 %"
    );
    // Two complaints of 700 are 0.29 %: above the line, and too few.
    assert_eq!(early([100, 0, 0, 0, 2]), good);
    let three = "pause: complaints 0.42 % (3 of 700), above 0.10 %";
    assert_eq!(early([100, 0, 0, 0, 3]), three);
    // 199 delivered where a loop is enrolled are too few, whatever is delivered elsewhere.
    let mut counts = week("gmail", [100, 0, 0, 0, 0]);
    let looped = |delivered| day_of_mail([delivered, 0, 0, 0, 9]);
    counts[0].groups.insert(group("yahoo"), looped(199));
    assert_eq!(judged(&plan(Phase::Week2, 7), &counts), good);
    counts[0].groups.insert(group("yahoo"), looped(200));
    let paused = judged(&plan(Phase::Week2, 7), &counts);
    assert_eq!(paused, "pause: complaints 4.50 % (9 of 200), above 0.10 %");
}

#[test]
fn refusals_are_judged_at_each_group_of_receivers() {
    // 3 % in all and 30 % at one of them.
    let mut counts = week("gmail", [90, 0, 0, 0, 0]);
    for day in &mut counts {
        let at_orange = day_of_mail([7, 0, 3, 0, 0]);
        day.groups.insert(group("orange"), at_orange);
    }
    assert_eq!(
        judged(&plan(Phase::Week2, 7), &counts),
        "pause: refused as spam or by policy at orange: 30.00 % (21 of 70), above 5.00 %"
    );
    // A policy is a refusal as spam is; what is wrong with the mailbox is not.
    for day in &mut counts {
        let at_orange = day.groups.get_mut(&group("orange")).unwrap();
        at_orange.categories.0.swap(
            BounceCategory::SpamRelated as usize,
            BounceCategory::PolicyRelated as usize,
        );
    }
    assert!(judged(&plan(Phase::Week2, 7), &counts).starts_with("pause: refused"));
}

#[test]
fn a_phase_has_its_least_days_and_the_quota_is_used_on_five_of_seven() {
    let clean = week("yahoo", [100, 0, 0, 0, 0]);
    assert_eq!(
        judged(&plan(Phase::Week2, 6), &clean),
        "hold: 6 of at least 7 days in this phase"
    );
    let mut some = [[100, 0, 0, 0, 0]; 7];
    (some[0], some[4]) = ([0; 5], [10, 0, 0, 0, 0]);
    let five = judged(&plan(Phase::Week2, 30), &days("yahoo", some));
    assert_eq!(five, "advance: no line is broken");
    some[6] = [59, 0, 0, 0, 0];
    let four = judged(&plan(Phase::Week2, 30), &days("yahoo", some));
    assert_eq!(
        four,
        "hold: its quota was used on 4 of 7 days, 5 are wanted"
    );
}

#[test]
fn without_a_loop_complaints_are_unmeasured_and_said_to_be() {
    let settings = WarmupSettings::default();
    let none = BTreeSet::new();
    let counts = week("yahoo", [100, 0, 0, 0, 50]);
    let plan = plan(Phase::Week2, 7);
    let (verdict, rates) = judge(&plan, &counts, &settings, &facts(&none), TODAY);
    assert_eq!(
        told(&verdict),
        "advance: no line is broken; complaints are unmeasured: no feedback loop is enrolled"
    );
    assert_eq!(rates.complaints, None);
}

#[test]
fn few_opens_hold_and_never_pause() {
    let settings = WarmupSettings::default();
    let loops = loops();
    let counts = week("yahoo", [100, 0, 0, 0, 0]);
    let with = |opened| {
        let opens = Some(Opens {
            opened,
            delivered: 700,
        });
        let facts = Facts {
            opens,
            ..facts(&loops)
        };
        told(&judge(&plan(Phase::Week2, 7), &counts, &settings, &facts, TODAY).0)
    };
    assert_eq!(with(69), "hold: opens 9.85 % (69 of 700), below 10.00 %");
    assert_eq!(with(70), "advance: no line is broken");
}

#[test]
fn a_day_that_is_not_counted_to_its_end_is_not_judged() {
    let settings = WarmupSettings::default();
    let loops = loops();
    let facts = Facts {
        is_read: false,
        ..facts(&loops)
    };
    for counts in [
        week("yahoo", [100, 0, 0, 0, 0]),
        week("yahoo", [50, 50, 0, 0, 0]),
    ] {
        let (verdict, _) = judge(&plan(Phase::Week2, 7), &counts, &settings, &facts, TODAY);
        let expected = "hold: the accounting of its host is not read to the end of the day";
        assert_eq!(told(&verdict), expected);
    }
}

#[test]
fn a_pause_lasts_its_days_with_half_the_quota_and_then_is_judged_anew() {
    let settings = WarmupSettings::default();
    let loops = loops();
    let mut plan = plan(Phase::Week3, 9);
    let bad = week("yahoo", [90, 10, 0, 0, 0]);
    let (verdict, rates) = judge(&plan, &bad, &settings, &facts(&loops), TODAY);
    follow(&mut plan, &verdict, &rates, &settings, TODAY);
    assert_eq!((plan.reached, plan.daily_quota), (250, 125));
    for day in TODAY + 1..TODAY + 7 {
        let (verdict, rates) = judge(&plan, &bad, &settings, &facts(&loops), day);
        assert!(
            told(&verdict).starts_with("stay_paused: paused until"),
            "{day}"
        );
        follow(&mut plan, &verdict, &rates, &settings, day);
        assert_eq!(plan.daily_quota, 125);
    }
    // The days of the pause were no better: another one.
    let later = |mut counts: Vec<DayCounts>| {
        counts.iter_mut().for_each(|day| day.day += 7);
        counts
    };
    let (again, _) = judge(&plan, &later(bad), &settings, &facts(&loops), TODAY + 7);
    assert!(
        told(&again).starts_with("pause: hard bounces"),
        "{}",
        told(&again)
    );
    // Or they were: the phase goes on with its quota, and is shown anew.
    let clean = later(week("yahoo", [125, 0, 0, 0, 0]));
    let (over, rates) = judge(&plan, &clean, &settings, &facts(&loops), TODAY + 7);
    assert_eq!(told(&over), "resume: no line is broken");
    follow(&mut plan, &over, &rates, &settings, TODAY + 7);
    assert_eq!((plan.daily_quota, plan.phase), (250, Phase::Week3));
    let (next, _) = judge(&plan, &clean, &settings, &facts(&loops), TODAY + 8);
    assert_eq!(told(&next), "hold: 1 of at least 7 days in this phase");
}

#[test]
fn stop_lines_hold_to_the_same_least_samples_and_are_of_seven_days_up_to_now() {
    let settings = WarmupSettings::default();
    let plan = plan(Phase::Week2, 3);
    let stops = |each| {
        let stopped = stop_line(&plan, &week("yahoo", each), &settings, &loops(), TODAY);
        stopped.map(|(reasons, _)| reasons[0].to_string())
    };
    let none: Option<String> = None;
    assert_eq!(stops([90, 10, 0, 0, 0]), none, "10 % is the line");
    let bounces = "hard bounces 10.89 % (66 of 606), above 10.00 %";
    // The first of the seven days is out of the window that ends today.
    assert_eq!(stops([90, 11, 0, 0, 0]).as_deref(), Some(bounces));
    assert_eq!(stops([80, 0, 20, 0, 0]), none, "20 % is the line");
    assert!(stops([79, 0, 20, 0, 0]).unwrap().contains("at yahoo"));
    assert!(
        stops([100, 0, 0, 0, 1])
            .unwrap()
            .starts_with("complaints 1.00 %")
    );
    assert_eq!(
        stops([10, 0, 0, 100, 0]),
        none,
        "deferrals pause and do not stop"
    );
    assert_eq!(stops([0, 8, 0, 0, 0]), none, "48 results are too few");
}

#[test]
fn a_stop_is_ended_by_a_word_alone_and_what_was_before_it_is_not_held_against_it() {
    let settings = WarmupSettings::default();
    let loops = loops();
    let mut plan = plan(Phase::Week2, 10);
    let mut counts = week("yahoo", [50, 50, 0, 0, 0]);
    let (reasons, rates) = stop_line(&plan, &counts, &settings, &loops, TODAY).unwrap();
    stop(&mut plan, reasons, rates, &settings, day_begins(TODAY));
    assert_eq!(plan.daily_quota, 0);
    assert_eq!(stop_line(&plan, &counts, &settings, &loops, TODAY), None);
    // Weeks later and without a fault it is stopped still.
    let later = TODAY + 30;
    let (verdict, _) = judge(&plan, &[], &settings, &facts(&loops), later);
    assert!(
        told(&verdict).starts_with("hold: stopped"),
        "{}",
        told(&verdict)
    );
    let of_today = DayCounts {
        day: TODAY,
        groups: [(group("yahoo"), day_of_mail([20, 20, 0, 0, 0]))].into(),
    };
    counts.push(of_today.clone());
    resume(&mut plan, of_today, &settings, day_begins(TODAY));
    assert_eq!(plan.daily_quota, 100);
    assert_eq!(stop_line(&plan, &counts, &settings, &loops, TODAY), None);
    // What comes on top of it today is judged, by itself.
    let more = counts
        .last_mut()
        .unwrap()
        .groups
        .get_mut(&group("yahoo"))
        .unwrap();
    *more = day_of_mail([20 + 54, 20 + 7, 0, 0, 0]);
    let (reasons, _) = stop_line(&plan, &counts, &settings, &loops, TODAY).unwrap();
    assert_eq!(
        reasons[0].to_string(),
        "hard bounces 11.47 % (7 of 61), above 10.00 %"
    );
}

#[test]
fn a_pause_that_is_ended_forgives_nothing_and_a_shorter_one_shortens_nothing() {
    let settings = WarmupSettings::default();
    let loops = loops();
    let mut plan = plan(Phase::Week2, 10);
    let counts = week("yahoo", [90, 10, 0, 0, 0]);
    let (broken, rates) = judge(&plan, &counts, &settings, &facts(&loops), TODAY);
    assert_eq!(
        broken.step,
        email_engine_protocol::api::WarmupStep::Pause,
        "{}",
        told(&broken)
    );
    let long = day_begins(TODAY + 30);
    super::super::pause(&mut plan, long, &settings);
    follow(&mut plan, &broken, &rates, &settings, TODAY);
    assert_eq!(
        plan.paused_until,
        Some(long),
        "it was judged before the operator's word"
    );
    let of_today = DayCounts {
        day: TODAY,
        groups: [(group("yahoo"), day_of_mail([20, 20, 0, 0, 0]))].into(),
    };
    resume(&mut plan, of_today, &settings, day_begins(TODAY));
    assert_eq!((plan.paused_until, &plan.forgiven), (None, &None));
    let (again, _) = judge(&plan, &counts, &settings, &facts(&loops), TODAY + 1);
    assert_eq!(
        again.step,
        email_engine_protocol::api::WarmupStep::Pause,
        "{}",
        told(&again)
    );
}

#[test]
fn rates_are_compared_without_rounding() {
    let rate = |events, of| Rate {
        events,
        of,
        measured: true,
    };
    assert!(!rate(5, 100).is_above(500));
    assert!(rate(500_000_000_001, 10_000_000_000_000).is_above(500));
    assert!(!rate(500_000_000_000, 10_000_000_000_000).is_above(500));
    assert!(rate(u64::MAX, u64::MAX).is_above(9_999));
    assert!(rate(1, 3).is_worse_than(&rate(333, 1_000)));
    assert!(!rate(1, 3).is_worse_than(&rate(1, 3)));
}

/// Shares of new mail, by what stands in the specification (fleet.md, 4).
#[test]
fn each_status_and_phase_has_its_weight() {
    use IpStatus::{Active, Quarantine, Resting, Retiring, Standby, Warming};
    let phases = [
        (Phase::Week1, 10),
        (Phase::Week2, 20),
        (Phase::Week3, 30),
        (Phase::Week4, 40),
        (Phase::Week5, 50),
        (Phase::Week6, 70),
        (Phase::Active, 100),
    ];
    for (phase, share) in phases {
        assert_eq!(weight(Warming, phase, false), share, "{phase:?}");
        assert_eq!(weight(Active, phase, false), 100);
        assert_eq!(weight(Active, phase, true), 5, "a reserve is kept warm");
        for status in [Standby, Quarantine, Resting, Retiring] {
            assert_eq!(weight(status, phase, false), 0, "{status:?}");
        }
    }
}
