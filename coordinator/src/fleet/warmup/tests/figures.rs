//! The figures of the schedule, day by day.

use email_engine_protocol::api::{Phase, Simulation, WarmupSettings};

use super::super::{Event, Scenario, simulate};
use super::*;

fn of_one(days: u32, target: u32) -> Simulation {
    let settings = WarmupSettings {
        target,
        ..WarmupSettings::default()
    };
    simulate(&Scenario {
        pool: vec![at_phase(Phase::Week1, &settings, day_begins(TODAY))],
        first: TODAY,
        days,
        settings,
        events: Vec::new(),
        target: None,
    })
}

#[test]
fn six_weeks_come_to_the_mails_of_the_schedule() {
    let told = of_one(42, 10_000);
    let expected = [
        (50, 350),
        (100, 1_050),
        (250, 2_800),
        (500, 6_300),
        (1_000, 13_300),
        (2_000, 27_300),
    ];
    for (week, (quota, cumulative)) in expected.into_iter().enumerate() {
        let days = &told.days[week * 7..week * 7 + 7];
        assert!(
            days.iter().all(|day| day.quota == quota),
            "week {}",
            week + 1
        );
        assert_eq!(days[6].cumulative, cumulative, "week {}", week + 1);
        assert_eq!(days[6].day, u32::try_from(week + 1).unwrap() * 7);
    }
}

#[test]
fn after_them_it_grows_by_a_fifth_a_day_to_10_000_in_9_days_and_50_000_in_18() {
    let told = of_one(65, 50_000);
    let quotas: Vec<_> = told.days[42..].iter().map(|day| day.quota).collect();
    assert_eq!(
        quotas,
        [
            2_400, 2_880, 3_456, 4_147, 4_976, 5_971, 7_165, 8_598, 10_317, 12_380, 14_856, 17_827,
            21_392, 25_670, 30_804, 36_964, 44_356, 50_000, 50_000, 50_000, 50_000, 50_000, 50_000
        ]
    );
    let usual = of_one(65, 10_000);
    let first = |told: &Simulation, mails| {
        let mut days = told.days.iter();
        days.find(|day| day.quota >= mails).map(|day| day.day - 42)
    };
    assert_eq!(first(&usual, 10_000), Some(9));
    assert_eq!(first(&told, 10_000), Some(9));
    assert_eq!(first(&told, 50_000), Some(18));
    assert_eq!(usual.days.last().unwrap().quota, 10_000);
}

fn pool(identities: u32, events: Vec<Event>, target: Option<u64>) -> Simulation {
    let settings = WarmupSettings::default();
    let one = at_phase(Phase::Week1, &settings, day_begins(TODAY));
    simulate(&Scenario {
        pool: (0..identities).map(|_| one.clone()).collect(),
        first: TODAY,
        days: 20,
        settings,
        events,
        target,
    })
}

#[test]
fn a_pool_is_the_sum_of_its_identities_and_knows_when_it_can_send_a_volume() {
    let told = pool(50, Vec::new(), Some(100_000));
    assert_eq!((told.days[0].quota, told.days[19].quota), (2_500, 12_500));
    let target = told.target.unwrap();
    // 50 identities send 2,000 each in their sixth week.
    assert_eq!((target.day, target.most), (Some(36), 500_000));
    let never = pool(50, Vec::new(), Some(500_001)).target.unwrap();
    assert_eq!((never.day, never.most), (None, 500_000));
}

#[test]
fn who_is_lost_takes_the_most_along_and_who_comes_begins_at_the_beginning() {
    let event = |day, add, lose| Event { day, add, lose };
    let told = pool(
        4,
        vec![event(10, 2, 0), event(16, 0, 1), event(18, 0, 9)],
        None,
    );
    let quota = |day: usize| told.days[day - 1].quota;
    assert_eq!((quota(9), quota(10)), (400, 500));
    assert_eq!((quota(15), quota(16)), (4 * 250 + 2 * 50, 3 * 250 + 2 * 50));
    assert_eq!((quota(17), quota(18)), (3 * 250 + 2 * 100, 0));
    let phases = &told.days[16].phases;
    assert_eq!(*phases, [(Phase::Week2, 2), (Phase::Week3, 3)].into());
    assert_eq!(told.days[17].identities, 0);
}

#[test]
fn a_pool_that_is_under_way_goes_on_from_where_it_stands() {
    let settings = WarmupSettings::default();
    let told = simulate(&Scenario {
        pool: vec![
            plan(Phase::Week3, 5),
            plan(Phase::Week3, 2),
            plan(Phase::Active, 9),
        ],
        first: TODAY,
        days: 6,
        settings,
        events: Vec::new(),
        target: None,
    });
    let quotas: Vec<_> = told.days.iter().map(|day| day.quota - 10_000).collect();
    assert_eq!(quotas, [500, 500, 750, 750, 750, 1_000]);
}
