use std::collections::BTreeMap;

use email_engine_protocol::limits;
use email_engine_protocol::observed::{Counts, Gap};
use email_engine_protocol::time::Timestamp;

use crate::command::fixture::{
    BEGIN, Fleet, SECOND, accounting_file, address, host_id, identity, statistics, tenant,
};
use crate::command::{
    BodyChange, Command, Effect, GiveUpDrain, HostBatch, RecordStatistics, RejectionCode,
    RetireIdentity,
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

#[test]
fn a_host_counts_only_for_addresses_that_it_has_or_had() {
    let mut fleet = Fleet::with_identities(1);
    let mut foreign = statistics(0, 100, 5);
    foreign.stretch.as_mut().unwrap().totals[0].address = address(7);
    fleet.accept(record(vec![foreign]));
    assert!(series(&fleet).is_empty());
    assert_eq!(accounting(&fleet).unclaimed, 5);
    assert_eq!(cursor(&fleet), Some(100));
    // Late records of an identity that is gone are its owner's still.
    fleet.accept(record(vec![statistics(100, 200, 1)]));
    let address = address(0);
    fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
    if fleet.state.leaving_from(address).next().is_some() {
        fleet.accept(Command::GiveUpDrain(GiveUpDrain {
            address,
            messages: None,
        }));
    }
    assert!(!fleet.state.identities.contains_key(&identity(0).address));
    fleet.accept(record(vec![statistics(200, 300, 2)]));
    assert_eq!(delivered(&fleet, &of_first()), 3);
    pass(&mut fleet, 10);
    assert!(accounting(&fleet).owners.is_empty());
    fleet.accept(record(vec![statistics(300, 400, 4)]));
    assert_eq!(accounting(&fleet).unclaimed, 9);
}

#[test]
fn what_is_dated_far_ahead_is_counted_now_and_what_is_too_old_is_not_stored() {
    let mut fleet = Fleet::with_identities(1);
    let mut ahead = statistics(0, 100, 5);
    ahead.stretch.as_mut().unwrap().totals[0].hour += 24 * 365;
    let mut old = statistics(100, 200, 7);
    let row = &mut old.stretch.as_mut().unwrap().totals[0];
    row.hour -= 24 * DAYS_KEPT;
    let mut days = statistics(200, 300, 1);
    let row = &mut days.stretch.as_mut().unwrap().totals[0];
    row.hour -= 24 * (DAYS_KEPT - 1);
    fleet.accept(record(vec![ahead, old, days]));
    let spans: Vec<_> = series(&fleet)
        .into_iter()
        .filter(|(key, _)| key.subject == of_first())
        .map(|(key, counts)| (key.span, counts.delivered))
        .collect();
    let today = Span::day_of(BEGIN);
    let hour = Span::hour_of(BEGIN);
    assert_eq!(
        spans,
        [
            (Span::Day(today - DAYS_KEPT + 1), 1),
            (Span::Day(today), 5),
            (Span::Hour(hour), 5),
            (Span::Whole, 6)
        ]
    );
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
    assert_eq!(accounting(&fleet).files.len(), 1);
    assert_eq!(
        accounting(&fleet).floors["acct"],
        accounting_file(many).name
    );
    assert_eq!(delivered(&fleet, &of_first()), 1);
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
