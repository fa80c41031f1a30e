//! Mail that waits at an identity in quarantine is given up after 12 hours, and what came of it is remembered.

use std::sync::Arc;

use email_engine_protocol::api::{AlertKind, Cause, IpStatus};
use email_engine_protocol::time::Timestamp;

use super::{causes, changed, first, quarantined, steer};
use crate::command::fixture::{Fleet, address, host, host_id, identity};
use crate::command::{
    AddHost, Command, Effect, ExpireQueues, RecordExpired, RetireIdentity, ToldQueue,
};
use crate::fleet::lifecycle::{Event, mail_expires_at};
use crate::state::{ExpiredQueue, Identity};

fn expire() -> Command {
    Command::ExpireQueues(ExpireQueues {
        addresses: [address(0), address(7)].into(),
    })
}

/// As a host says that was told of it.
fn deleted(fleet: &Fleet, host: &str, recipients: u64) -> Command {
    let living = fleet.state.identities.get(&address(0));
    let leaving = fleet.state.leaving.values().map(|one| &one.identity);
    let mut all = leaving.chain(living.map(|one| &**one));
    let since = all.find_map(|one| expired(one)).map(|expired| expired.at);
    Command::RecordExpired(RecordExpired {
        host: host_id(host),
        queues: vec![ToldQueue {
            vmta: identity(0).vmta,
            recipients,
            file: "/var/lib/list".into(),
            since: since.unwrap_or_default(),
        }],
    })
}

fn expired(identity: &Identity) -> Option<&ExpiredQueue> {
    identity.life.quarantine.as_ref()?.expired.as_ref()
}

/// One in quarantine for just less than 12 hours, on its host.
fn out() -> Fleet {
    let mut fleet = Fleet::with_identities(1);
    let target = fleet.target(&[b"with it"]);
    fleet.accept(target);
    fleet.accept(steer(quarantined()));
    fleet.wait(12 * Timestamp::HOUR - 2);
    fleet
}

#[test]
fn mail_is_given_up_after_twelve_hours_once_and_only_in_quarantine() {
    let mut fleet = Fleet::with_identities(1);
    assert_eq!(mail_expires_at(first(&fleet)), None, "it may send");
    fleet.wait(13 * Timestamp::HOUR);
    assert_eq!(fleet.accept(expire()).effect, Effect::Unchanged);
    let mut fleet = out();
    let at = mail_expires_at(first(&fleet)).unwrap();
    assert_eq!(at, first(&fleet).life.since.plus(12 * Timestamp::HOUR));
    assert_eq!(fleet.accept(expire()).effect, Effect::Unchanged, "too soon");
    fleet.wait(1);
    fleet.accept(expire());
    let given_up = expired(first(&fleet)).cloned().unwrap();
    assert_eq!(mail_expires_at(first(&fleet)), None);
    fleet.wait(Timestamp::HOUR);
    assert_eq!(fleet.accept(expire()).effect, Effect::Unchanged);
    assert_eq!(expired(first(&fleet)), Some(&given_up));
    // Seen on a list again, it is the same quarantine.
    fleet.accept(steer(quarantined()));
    assert_eq!(expired(first(&fleet)), Some(&given_up));
}

#[test]
fn what_was_deleted_is_in_its_history_and_told_to_people_once() {
    let mut fleet = out();
    assert_eq!(
        fleet.accept(deleted(&fleet, "pmta1", 3)).effect,
        Effect::Unchanged,
        "nobody gave it up"
    );
    fleet.wait(2);
    fleet.accept(expire());
    assert_eq!(
        fleet.accept(deleted(&fleet, "pmta2", 3)).effect,
        Effect::Unchanged
    );
    fleet.accept(deleted(&fleet, "pmta1", 3));
    assert_eq!(
        fleet.accept(deleted(&fleet, "pmta1", 3)).effect,
        Effect::Unchanged
    );
    let listed = expired(first(&fleet)).unwrap().listed.as_ref().unwrap();
    assert_eq!((listed.recipients, &*listed.file), (3, "/var/lib/list"));
    let turn = first(&fleet).life.history.back().unwrap();
    assert_eq!(
        (turn.cause, turn.to),
        (Cause::Expired, IpStatus::Quarantine)
    );
    assert!(turn.reason.contains("mail for 3 recipients"), "{turn:?}");
    let told = |fleet: &Fleet| {
        let alerts = fleet.state.alerts.last.keys();
        alerts
            .filter(|key| key.kind == AlertKind::QueueExpired)
            .count()
    };
    assert_eq!(told(&fleet), 1);
    // What its host found later is added, in the place of what was said before.
    let turns = first(&fleet).life.history.len();
    fleet.accept(deleted(&fleet, "pmta1", 4));
    assert_eq!(first(&fleet).life.history.len(), turns);
    assert_eq!(told(&fleet), 1);
    let listed = expired(first(&fleet)).unwrap().listed.as_ref().unwrap();
    assert_eq!(listed.recipients, 4);
    let state = &mut fleet.state;
    let one = Arc::make_mut(state.identities.get_mut(&address(0)).unwrap());
    one.life.quarantine.as_mut().unwrap().lists.clear();
    let mut release = steer(Event::Release);
    if let Command::SteerIdentity(release) = &mut release {
        release.force = true;
    }
    fleet.accept(release);
    assert_eq!(first(&fleet).life.quarantine, None);
}

#[test]
fn where_it_still_drains_its_mail_is_given_up_as_well() {
    for moves in [false, true] {
        let mut fleet = out();
        if moves {
            fleet.accept(Command::AddHost(AddHost {
                host: host("pmta2", email_engine_protocol::id::Role::Powermta, 2),
            }));
            let change = changed(&fleet, |ip| ip.host = host_id("pmta2"));
            fleet.accept(change);
        } else {
            let address = address(0);
            fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
        }
        fleet.wait(2);
        fleet.accept(expire());
        let leaving = |fleet: &Fleet| {
            let mut all = fleet.state.leaving.values();
            let one = &all.next().unwrap().identity;
            expired(one).cloned().unwrap()
        };
        assert_eq!(leaving(&fleet).listed, None, "moves: {moves}");
        fleet.accept(deleted(&fleet, "pmta1", 2));
        assert_eq!(leaving(&fleet).listed.unwrap().recipients, 2);
        if moves {
            let new = expired(first(&fleet)).unwrap();
            assert_eq!(new.listed, None, "nothing waited at its new host");
            assert_eq!(
                causes(&fleet).last(),
                Some(&Cause::Expired),
                "of the old one"
            );
        }
    }
}

#[test]
fn what_was_left_behind_by_one_that_was_let_go_may_leave() {
    let mut fleet = out();
    let change = changed(&fleet, |ip| ip.vmta = identity(9).vmta);
    fleet.accept(change);
    let one = Arc::make_mut(fleet.state.identities.get_mut(&address(0)).unwrap());
    one.life.quarantine.as_mut().unwrap().lists.clear();
    let mut release = steer(Event::Release);
    if let Command::SteerIdentity(release) = &mut release {
        release.force = true;
    }
    fleet.accept(release);
    fleet.wait(2);
    let left = fleet.state.leaving.values().next().unwrap();
    assert!(!left.took_address, "it is where it was");
    assert_eq!(fleet.accept(expire()).effect, Effect::Unchanged);
}

#[test]
fn who_takes_its_place_does_so_whatever_becomes_of_its_mail() {
    let mut fleet = out();
    let is_known = |fleet: &Fleet| first(fleet).life.turns().next().map(|turn| turn.at);
    let before = is_known(&fleet);
    fleet.wait(2);
    fleet.accept(expire());
    fleet.accept(deleted(&fleet, "pmta1", 3));
    assert_eq!(is_known(&fleet), before, "that is no turn of its life");
    assert_eq!(causes(&fleet).last(), Some(&Cause::Expired));
}
