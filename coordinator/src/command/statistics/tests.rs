use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::id::{PoolName, ReceiverGroup};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{Counts, Gap, IdentityTotals};
use email_engine_protocol::time::Timestamp;

use crate::command::fixture::{
    BEGIN, Fleet, SECOND, accounting_file, address, host_id, identity, statistics, tenant,
};
use crate::command::{
    AddIdentity, BodyChange, Command, CreateTenant, Effect, GiveUpDrain, HostBatch,
    RecordStatistics, RejectionCode, RetireIdentity,
};
use crate::state::{DAYS_KEPT, HostAccounting, SeriesChange, SeriesKey, Span, Subject};

fn record(batches: Vec<HostBatch>) -> Command {
    Command::RecordStatistics(RecordStatistics { batches })
}

/// Days in which the host says that all was read, and no more.
fn pass(fleet: &mut Fleet, days: u32) {
    for _ in 0..days {
        fleet.wait(Timestamp::DAY - SECOND);
        fleet.accept(record(vec![HostBatch {
            stretch: None,
            read_until: Some(fleet.now()),
            ..statistics(0, 0, 0)
        }]));
    }
}

/// What the series come to.
fn series(fleet: &Fleet) -> BTreeMap<SeriesKey, Counts> {
    let mut series = BTreeMap::<_, Counts>::new();
    for change in &fleet.bodies {
        if let BodyChange::Series(SeriesChange::Add(rows)) = change {
            for (key, counts) in rows {
                series.entry(key.clone()).or_default().add(counts);
            }
        }
    }
    series
}

fn delivered(fleet: &Fleet, wanted: &Subject) -> u64 {
    let own = |key: &SeriesKey| key.subject == *wanted && matches!(key.span, Span::Day(_));
    let rows = series(fleet).into_iter().filter(|(key, _)| own(key));
    rows.map(|(_, counts)| counts.delivered).sum()
}

fn of_tenant() -> Subject {
    Subject::Tenant(tenant("client-1").id)
}

fn of_first() -> Subject {
    Subject::Identity(tenant("client-1").id, address(0))
}

fn cursor(fleet: &Fleet) -> Option<u64> {
    let known = fleet.state.accounting.hosts.get(&host_id("pmta1"))?;
    Some(known.files.get(&accounting_file(0))?.at)
}

fn accounting(fleet: &Fleet) -> &HostAccounting {
    &fleet.state.accounting.hosts[&host_id("pmta1")]
}

#[test]
fn a_stretch_counts_for_its_identity_and_its_tenant_by_day_by_hour_and_in_all() {
    let mut fleet = Fleet::with_identities(1);
    let before = fleet.state.clone();
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    let keys: Vec<_> = series(&fleet).into_keys().collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    assert!(keys.iter().all(|key| key.group.as_str() == "gmail"));
    for subject in [of_tenant(), of_first()] {
        assert_eq!(delivered(&fleet, &subject), 5);
    }
    assert_eq!(cursor(&fleet), Some(100));
    let after = &fleet.state;
    assert_eq!(
        (after.revision, &after.audit),
        (before.revision, &before.audit)
    );
    assert_eq!(after.remembered, before.remembered);
    assert_eq!(accounting(&fleet).days[&Span::day_of(BEGIN)].delivered, 5);
}

#[test]
fn doubled_late_and_early_stretches_change_nothing() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    for other in [
        statistics(0, 100, 5),
        statistics(0, 200, 9),
        statistics(150, 200, 1),
        statistics(100, 50, 1),
    ] {
        let before = fleet.state.accounting.clone();
        let answer = fleet.accept(record(vec![other.clone()]));
        assert_eq!(answer.effect, Effect::Unchanged, "{other:?}");
        assert_eq!(fleet.state.accounting, before);
    }
    // One that is doubled in an entry stops none of the others.
    fleet.accept(record(vec![
        statistics(100, 200, 2),
        statistics(100, 200, 2),
        statistics(200, 300, 1),
    ]));
    assert_eq!(delivered(&fleet, &of_first()), 8);
    assert_eq!(cursor(&fleet), Some(300));
}

#[test]
fn a_file_that_lost_its_end_goes_on_from_an_earlier_place() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    let mut rolled_back = statistics(40, 70, 1);
    let stretch = rolled_back.stretch.as_mut().unwrap();
    stretch.instead_of = Some(90);
    fleet.accept(record(vec![rolled_back.clone()]));
    assert_eq!(cursor(&fleet), Some(100), "in place of another cursor");
    rolled_back.stretch.as_mut().unwrap().instead_of = Some(100);
    fleet.accept(record(vec![rolled_back.clone(), rolled_back]));
    assert_eq!(cursor(&fleet), Some(70));
    assert_eq!(delivered(&fleet, &of_first()), 6);
}

fn unclaimed(fleet: &Fleet) -> u64 {
    accounting(fleet).unclaimed.map_or(0, |one| one.count)
}

/// The address goes from the fleet, and nothing of it drains.
fn retire(fleet: &mut Fleet) {
    let address = address(0);
    fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
    if fleet.state.leaving_from(address).next().is_some() {
        fleet.accept(Command::GiveUpDrain(GiveUpDrain {
            address,
            messages: None,
        }));
    }
    assert!(!fleet.state.identities.contains_key(&address));
}

/// A stretch whose row is of an hour.
fn written(from: u64, hour: u32, delivered: u64) -> Command {
    let mut batch = statistics(from, from + 100, delivered);
    batch.stretch.as_mut().unwrap().totals[0].hour = hour;
    record(vec![batch])
}

#[test]
fn a_host_counts_only_for_addresses_that_it_has_or_had() {
    let mut fleet = Fleet::with_identities(1);
    let mut foreign = statistics(0, 100, 5);
    foreign.stretch.as_mut().unwrap().totals[0].address = address(7);
    fleet.accept(record(vec![foreign]));
    assert!(series(&fleet).is_empty());
    assert_eq!(unclaimed(&fleet), 5);
    assert_eq!(cursor(&fleet), Some(100));
    // Late records of an identity that is gone are its owner's still, also when none was counted before.
    pass(&mut fleet, 1);
    retire(&mut fleet);
    fleet.accept(record(vec![statistics(100, 200, 3)]));
    assert_eq!(delivered(&fleet, &of_first()), 3);
    pass(&mut fleet, 10);
    assert!(accounting(&fleet).owners.is_empty());
    fleet.accept(record(vec![statistics(200, 300, 4)]));
    let last = accounting(&fleet).unclaimed.unwrap();
    assert_eq!((last.count, last.since), (4, fleet.state.now));
}

#[test]
fn an_address_that_changes_hands_leaves_the_new_owner_nothing_of_the_former_one() {
    let mut fleet = Fleet::with_identities(1);
    let begin = Span::hour_of(BEGIN);
    pass(&mut fleet, 3);
    retire(&mut fleet);
    fleet.wait(5 * Timestamp::HOUR);
    let other = tenant("client-2");
    fleet.accept(Command::CreateTenant(CreateTenant {
        tenant: other.clone(),
    }));
    let mut spec = identity(0);
    spec.tenant = other.id.clone();
    spec.pool = PoolName::new("client-2-pool").unwrap();
    fleet.accept(Command::AddIdentity(AddIdentity::of(spec)));
    let changes = Span::hour_of(fleet.state.now);
    fleet.wait(2 * Timestamp::HOUR);
    // Of the former one: while it was there, after it went, and in the hour in which it changes hands.
    for (at, hour) in [begin, begin + 60, changes - 2, changes]
        .into_iter()
        .enumerate()
    {
        fleet.accept(written(at as u64 * 100, hour, 1));
    }
    fleet.accept(written(400, changes + 1, 10));
    let of_other = Subject::Identity(other.id, address(0));
    assert_eq!(delivered(&fleet, &of_first()), 4);
    assert_eq!(delivered(&fleet, &of_other), 10);
    // Before there was anybody.
    fleet.accept(written(500, begin - 1, 100));
    assert_eq!(unclaimed(&fleet), 100);
    // The former one is forgotten in the end; what it wrote is nobody's then.
    pass(&mut fleet, 12);
    fleet.accept(written(600, changes - 2, 7));
    assert_eq!(unclaimed(&fleet), 7);
    assert_eq!(delivered(&fleet, &of_other), 10);
}

#[test]
fn what_is_dated_far_ahead_is_counted_now_and_what_is_too_old_is_said() {
    let mut fleet = Fleet::with_identities(1);
    pass(&mut fleet, DAYS_KEPT + 1);
    let hour = Span::hour_of(fleet.now());
    let today = Span::day_of(fleet.now());
    fleet.accept(written(0, hour + 24 * 365, 5));
    fleet.accept(written(100, hour - 24 * DAYS_KEPT, 7));
    fleet.accept(written(200, hour - 24 * (DAYS_KEPT - 1), 1));
    let spans: Vec<_> = series(&fleet)
        .into_iter()
        .filter(|(key, _)| key.subject == of_first())
        .map(|(key, counts)| (key.span, counts.delivered))
        .collect();
    assert_eq!(
        spans,
        [
            (Span::Day(today - DAYS_KEPT + 1), 1),
            (Span::Day(today), 5),
            (Span::Hour(hour), 5),
            (Span::Whole, 6)
        ]
    );
    assert_eq!(accounting(&fleet).too_old.map(|one| one.count), Some(7));
    assert_eq!(unclaimed(&fleet), 0);
}

#[test]
fn groups_that_a_host_makes_up_come_to_no_more_rows_than_a_catalogue() {
    let mut fleet = Fleet::with_identities(1);
    let made_up = |from: u64, first: usize| {
        let mut batch = statistics(from, from + 100, 1);
        let totals = &mut batch.stretch.as_mut().unwrap().totals;
        let row = totals.remove(0);
        totals.extend((first..first + 200).map(|number| IdentityTotals {
            group: ReceiverGroup::new(format!("group-{number}")).unwrap(),
            ..row.clone()
        }));
        record(vec![batch])
    };
    pass(&mut fleet, 1);
    fleet.accept(made_up(0, 0));
    fleet.accept(made_up(100, 200));
    let groups: BTreeSet<_> = series(&fleet).into_keys().map(|key| key.group).collect();
    assert_eq!(groups.len(), limits::RECEIVER_GROUPS + 1);
    assert_eq!(delivered(&fleet, &of_first()), 400, "and nothing is lost");
    // Another day, another catalogue.
    pass(&mut fleet, 1);
    assert!(accounting(&fleet).groups.is_empty());
}

#[test]
fn series_are_pruned_once_a_day() {
    let mut fleet = Fleet::with_identities(1);
    let prunes = |fleet: &Fleet| {
        let is_prune =
            |change: &&BodyChange| matches!(change, BodyChange::Series(SeriesChange::Prune { .. }));
        fleet.bodies.iter().filter(is_prune).count()
    };
    fleet.accept(record(vec![statistics(0, 100, 1)]));
    fleet.accept(record(vec![statistics(100, 200, 1)]));
    assert_eq!(prunes(&fleet), 1);
    fleet.wait(Timestamp::DAY - SECOND);
    fleet.accept(record(vec![statistics(200, 300, 1)]));
    assert_eq!(prunes(&fleet), 2);
    let today = Span::day_of(fleet.state.now);
    let last = BodyChange::Series(SeriesChange::Prune {
        day: today - 399,
        hour: (today - 13) * 24,
    });
    assert_eq!(fleet.bodies.last(), Some(&last));
}

#[test]
fn forgotten_files_are_never_counted_anew() {
    let mut fleet = Fleet::with_identities(1);
    let numbered = |number: u32, delivered| {
        let mut batch = statistics(0, 100, delivered);
        batch.stretch.as_mut().unwrap().file = accounting_file(number);
        batch
    };
    let many = u32::try_from(limits::ACCOUNTING_CURSORS).unwrap();
    for number in 0..many {
        fleet.accept(record(vec![numbered(number, 0)]));
        fleet.wait(1);
    }
    fleet.accept(record(vec![numbered(many, 0)]));
    assert_eq!(accounting(&fleet).files.len(), limits::ACCOUNTING_CURSORS);
    assert_eq!(
        accounting(&fleet).floors["acct"],
        accounting_file(0).name,
        "the one that was written to first went"
    );
    assert_eq!(
        fleet.accept(record(vec![numbered(0, 3)])).effect,
        Effect::Unchanged
    );
    pass(&mut fleet, 62);
    fleet.accept(record(vec![numbered(many + 1, 1)]));
    pass(&mut fleet, 1);
    assert_eq!(accounting(&fleet).files.len(), 1);
    assert_eq!(
        accounting(&fleet).floors["acct"],
        accounting_file(many).name
    );
    assert_eq!(delivered(&fleet, &of_first()), 1);
}

#[test]
fn the_newest_file_is_never_forgotten_however_quiet_its_host_is() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    // Somebody wrote one that is dated years ahead.
    let mut ahead = statistics(0, 100, 1);
    let name = "acct-2099-01-01-0000.csv";
    ahead.stretch.as_mut().unwrap().file.name = name.to_owned();
    fleet.accept(record(vec![ahead]));
    fleet.wait(Timestamp::HOUR);
    fleet.accept(record(vec![statistics(100, 150, 1)]));
    pass(&mut fleet, 61);
    assert_eq!(cursor(&fleet), Some(150));
    assert_eq!(accounting(&fleet).files.len(), 2);
    fleet.accept(record(vec![statistics(150, 200, 3)]));
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    assert_eq!(delivered(&fleet, &of_first()), 10);
    // What is not the newest is forgotten, and a date that has not come forbids no file.
    let mut next = statistics(0, 100, 1);
    next.stretch.as_mut().unwrap().file = accounting_file(1);
    fleet.accept(record(vec![next]));
    pass(&mut fleet, 61);
    let files = &accounting(&fleet).files;
    assert!(!files.contains_key(&accounting_file(0)));
    assert!(files.contains_key(&accounting_file(1)));
    assert_eq!(accounting(&fleet).floors["acct"], accounting_file(0).name);
}

#[test]
fn stems_that_a_host_makes_up_are_bounded() {
    let mut fleet = Fleet::with_identities(1);
    for number in 0..limits::ACCOUNTING_STEMS + 9 {
        let mut batch = statistics(0, 100, 0);
        let name = format!("acct{number}-2026-11-21-0000.csv");
        batch.stretch.as_mut().unwrap().file.name = name;
        fleet.accept(record(vec![batch]));
    }
    let files = &accounting(&fleet).files;
    assert_eq!(files.len(), limits::ACCOUNTING_STEMS);
    let first = files.keys().find(|file| file.stem() == Some("acct0"));
    assert_eq!(first, None, "the one that was quiet longest went");
}

#[test]
fn a_file_that_lost_its_end_and_grew_back_to_it_is_counted_once() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(record(vec![statistics(0, 100, 5)]));
    let mut grown = statistics(40, 100, 2);
    let stretch = grown.stretch.as_mut().unwrap();
    stretch.instead_of = Some(100);
    stretch.mark.last = BEGIN.plus(1);
    fleet.accept(record(vec![grown.clone(), grown.clone()]));
    fleet.accept(record(vec![grown]));
    assert_eq!(delivered(&fleet, &of_first()), 7);
}

#[test]
fn gaps_and_how_far_was_read_are_kept_in_bounds() {
    let mut fleet = Fleet::with_identities(1);
    let word = |at: u64| HostBatch {
        stretch: None,
        gap: Some(Gap {
            from: Timestamp(at),
            to: Timestamp(at + 1),
        }),
        read_until: Some(BEGIN.plus(at * Timestamp::DAY)),
        ..statistics(0, 0, 0)
    };
    for at in 0..70 {
        fleet.accept(record(vec![word(at), word(at)]));
    }
    assert_eq!(accounting(&fleet).gaps.len(), 64);
    let read_until = accounting(&fleet).read_until.unwrap();
    assert_eq!(read_until, fleet.state.now, "no host is ahead of the fleet");
    // A gap that is told with a stretch counts when the stretch does.
    let gap = Gap {
        from: Timestamp(500),
        to: Timestamp(501),
    };
    let late = HostBatch {
        gap: Some(gap),
        ..statistics(7, 8, 0)
    };
    fleet.accept(record(vec![late]));
    assert!(!accounting(&fleet).gaps.contains(&gap));
}

#[test]
fn strangers_are_passed_over_and_too_much_is_refused() {
    let mut fleet = Fleet::with_identities(1);
    let mut stranger = statistics(0, 100, 1);
    stranger.host = host_id("nobody");
    let answer = fleet.accept(record(vec![stranger]));
    assert_eq!(answer.effect, Effect::Unchanged);
    let many = vec![statistics(7, 7, 0); super::BATCHES + 1];
    let refused = fleet.refuse(record(many));
    assert_eq!(refused.code, RejectionCode::Limit);
}
