//! Lives of identities as the log leads them.

mod expired;
mod held;
mod laws;

use std::collections::BTreeSet;

use email_engine_protocol::api::{Cause, Check, IpSpec, IpStatus, Phase, Verdict};
use email_engine_protocol::time::Timestamp;

use super::{RecordSending, StateChecks, SteerIdentity};
use crate::command::fixture::{Fleet, address, domain, host, host_id, identity};
use crate::command::{
    AddHost, AddIdentity, ChangeIdentity, Command, Effect, GiveUpDrain, Rejection, RejectionCode,
    RetireIdentity,
};
use crate::fleet::lifecycle::Event;
use crate::state::{Identity, Life, Made, Mark, RecordKind};

fn steer(event: Event) -> Command {
    Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event,
        force: false,
        on_host: None,
    })
}

fn all_valid() -> Command {
    Command::StateChecks(StateChecks {
        address: address(0),
        verdicts: Check::ALL
            .into_iter()
            .map(|check| (check, Verdict::Valid))
            .collect(),
        sweeps: true,
    })
}

fn quarantined() -> Event {
    Event::Quarantine {
        lists: BTreeSet::from(["zen.example.org".to_owned()]),
    }
}

/// One identity on the bench.
fn on_the_bench() -> Fleet {
    let mut fleet = Fleet::with_identities(0);
    let mut ip = identity(0);
    (ip.status, ip.phase) = (IpStatus::Standby, Phase::Week1);
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip)));
    fleet
}

fn first(fleet: &Fleet) -> &Identity {
    &fleet.state.identities[&address(0)]
}

/// Lets days pass, and a bit; the clock is never moved a day at once.
fn pass(fleet: &mut Fleet, days: u64) {
    for _ in 0..2 * days {
        fleet.wait(Timestamp::DAY / 2);
        let sent = [].into();
        fleet.accept(Command::RecordSending(RecordSending { sent }));
    }
}

fn causes(fleet: &Fleet) -> Vec<Cause> {
    let history = first(fleet).life.history.iter();
    history.map(|turn| turn.cause).collect()
}

fn changed(fleet: &Fleet, change: impl FnOnce(&mut IpSpec)) -> Command {
    let mut ip = first(fleet).spec.clone();
    change(&mut ip);
    Command::ChangeIdentity(ChangeIdentity::of(ip))
}

fn code(rejection: &Rejection) -> (RejectionCode, &str) {
    (rejection.code, &rejection.field)
}

#[test]
fn nobody_sends_unseen_and_what_was_seen_is_old_after_a_day() {
    let mut fleet = on_the_bench();
    let refused = fleet.refuse(steer(Event::Activate));
    assert_eq!(code(&refused), (RejectionCode::Preflight, "status"));
    for check in Check::ALL {
        assert!(refused.accepted.contains(check.as_str()), "{refused}");
    }
    fleet.accept(all_valid());
    pass(&mut fleet, 1);
    assert_eq!(
        fleet.refuse(steer(Event::Activate)).code,
        RejectionCode::Preflight
    );
    fleet.accept(all_valid());
    fleet.accept(steer(Event::Activate));
    let one = first(&fleet);
    assert_eq!((one.spec.status, one.weight()), (IpStatus::Warming, 10));
    assert_eq!(one.life.since, fleet.state.now);
    assert_eq!(causes(&fleet), [Cause::Added, Cause::Activated]);
    let turn = first(&fleet).life.history.back().unwrap();
    assert_eq!(
        (turn.actor.as_str(), turn.reason.as_str()),
        ("key admin", "a test")
    );
    assert_eq!(turn.revision, fleet.state.revision);
    let audited = fleet.state.audit.last().unwrap();
    assert_eq!(
        (&*audited.command, audited.revision),
        ("activate-identity", turn.revision)
    );
}

#[test]
fn force_overrules_what_is_missing_and_says_so_and_nothing_else() {
    let mut fleet = on_the_bench();
    let forced = |event| {
        Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event,
            force: true,
            on_host: None,
        })
    };
    let refused = fleet.refuse(forced(Event::Rest));
    assert_eq!(code(&refused), (RejectionCode::Invalid, "force"));
    fleet.accept(forced(Event::Activate));
    let turn = first(&fleet).life.history.back().unwrap();
    assert_eq!(turn.forced, BTreeSet::from(Check::ALL));
    assert!(
        fleet
            .state
            .audit
            .last()
            .unwrap()
            .object
            .ends_with("by force")
    );
}

#[test]
fn what_the_host_says_of_its_address_outranks_what_was_stated() {
    let mut fleet = on_the_bench();
    fleet.accept(all_valid());
    let with = |verdict| {
        Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event: Event::Activate,
            force: false,
            on_host: Some(verdict),
        })
    };
    let what = "host pmta1 has it on no interface".to_owned();
    let refused = fleet.refuse(with(Verdict::Invalid { what: what.clone() }));
    assert!(refused.accepted.contains(&what), "{refused}");
    fleet.accept(with(Verdict::Valid));
    assert_eq!(first(&fleet).life.checks[&Check::Address].by, "host pmta1");
}

#[test]
fn a_declaration_takes_the_edges_of_an_operator_and_is_refused_by_the_others() {
    let mut fleet = Fleet::with_identities(1);
    assert_eq!(causes(&fleet), [Cause::Declared]);
    for status in [IpStatus::Standby, IpStatus::Active] {
        let change = changed(&fleet, |ip| ip.status = status);
        let refused = fleet.refuse(change);
        assert_eq!(code(&refused), (RejectionCode::NoEdge, "status"));
        let both = format!("from warming to {}", status.as_str());
        assert!(refused.accepted.contains(&both), "{refused}");
    }
    let change = changed(&fleet, |ip| ip.reserve = true);
    assert_eq!(fleet.refuse(change).code, RejectionCode::Invalid);
    let change = changed(&fleet, |ip| ip.status = IpStatus::Resting);
    fleet.accept(change);
    assert_eq!(first(&fleet).spec.status, IpStatus::Resting);
    assert_eq!(causes(&fleet), [Cause::Declared, Cause::Declared]);
    // It sent until now, as far as anybody knows.
    assert_eq!(first(&fleet).life.idle_from, fleet.state.now);
}

#[test]
fn what_was_seen_of_another_name_key_or_host_is_forgotten() {
    let mut fleet = on_the_bench();
    let host = host("pmta2", email_engine_protocol::id::Role::Powermta, 2);
    fleet.accept(Command::AddHost(AddHost { host }));
    let known =
        |fleet: &Fleet| -> Vec<Check> { first(fleet).life.checks.keys().copied().collect() };
    fleet.accept(all_valid());
    let change = changed(&fleet, |ip| ip.selector = "other".to_owned());
    fleet.accept(change);
    assert!(!known(&fleet).contains(&Check::Dkim) && known(&fleet).len() == 6);
    let change = changed(&fleet, |ip| ip.hostname = domain("other.example.com"));
    fleet.accept(change);
    assert_eq!(known(&fleet), [Check::Address, Check::Listing]);
    let change = changed(&fleet, |ip| ip.host = host_id("pmta2"));
    fleet.accept(change);
    assert_eq!(known(&fleet), [Check::Listing]);
}

#[test]
fn a_history_keeps_its_last_turns_and_counts_the_others() {
    let mut fleet = on_the_bench();
    for _ in 0..20 {
        fleet.accept(all_valid());
        fleet.accept(steer(Event::Activate));
        fleet.accept(steer(Event::Rest));
        fleet.accept(steer(Event::Release));
    }
    let life = &first(&fleet).life;
    assert_eq!((life.history.len(), life.forgotten), (Life::TURNS, 61 - 32));
    assert_eq!(life.history.back().unwrap().cause, Cause::Released);
    let revisions: Vec<u64> = life.history.iter().map(|turn| turn.revision).collect();
    assert!(revisions.is_sorted());
}

#[test]
fn removed_and_added_again_while_it_drains_it_is_still_in_quarantine() {
    let mut fleet = Fleet::with_identities(1);
    let target = fleet.target(&[b"one"]);
    fleet.accept(target);
    fleet.accept(steer(quarantined()));
    let out = first(&fleet).life.quarantine.clone();
    fleet.accept(Command::RetireIdentity(RetireIdentity {
        address: address(0),
    }));
    let mut ip = identity(0);
    ip.status = IpStatus::Active;
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip)));
    let one = first(&fleet);
    assert_eq!((one.spec.status, one.weight()), (IpStatus::Quarantine, 0));
    assert_eq!(one.life.quarantine, out);
    assert_eq!(causes(&fleet).last(), Some(&Cause::Returned));
}

#[test]
fn the_record_of_one_that_sent_stays_for_two_weeks_and_of_one_that_did_not_none_stays() {
    let retire = Command::RetireIdentity(RetireIdentity {
        address: address(0),
    });
    let mut fleet = on_the_bench();
    fleet.accept(retire.clone());
    assert!(fleet.state.departed.is_empty(), "it never sent");
    // What the fleet published is withdrawn before it goes, whoever sent or not.
    let mut fleet = on_the_bench();
    let spec = first(&fleet).spec.clone();
    let name = format!("{}._domainkey.{}", spec.selector, spec.domain);
    let mark = Mark {
        kind: RecordKind::Txt,
        digest: 7,
    };
    let made = fleet.state.dns_zones.made.or_default(&(spec.zone, name));
    made.insert(mark, Made::There);
    fleet.accept(retire.clone());
    let ((until, _), _) = fleet.state.departed.first_key_value().unwrap();
    assert_eq!(*until, fleet.state.now, "nothing was signed with it");
    let mut fleet = Fleet::with_identities(3);
    let target = fleet.target(&[b"one"]);
    fleet.accept(target);
    fleet.accept(retire);
    assert!(
        fleet.state.departed.is_empty(),
        "it drains, and signs meanwhile"
    );
    pass(&mut fleet, 1);
    let messages = None;
    fleet.accept(Command::GiveUpDrain(GiveUpDrain {
        address: address(0),
        messages,
    }));
    let (until, key) = fleet.state.departed.keys().next().unwrap().clone();
    assert_eq!(until, fleet.state.now.plus(14 * Timestamp::DAY));
    assert_eq!(key.as_str(), "dkim/mail0.example.com/mail");
    // Another domain leaves the record of the first; what said for long enough that its key is not good
    // any more goes then.
    pass(&mut fleet, 45);
    let mut ip = identity(1);
    ip.domain = domain("other.example.com");
    ip.zone = ip.domain.clone();
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
    let left: Vec<_> = fleet
        .state
        .departed
        .keys()
        .map(|(_, key)| key.as_str())
        .collect();
    assert_eq!(left, ["dkim/mail1.example.com/mail"]);
}

#[test]
fn when_it_sent_last_only_moves_on_and_never_into_what_is_to_come() {
    let mut fleet = on_the_bench();
    let sent = |at| {
        let sent = [(address(0), at), (address(9), at)].into();
        Command::RecordSending(RecordSending { sent })
    };
    let now = fleet.now();
    fleet.accept(sent(Timestamp(u64::MAX)));
    let last = first(&fleet).life.last_sent.unwrap();
    assert_eq!(last, fleet.state.now);
    assert_eq!(fleet.accept(sent(now)).effect, Effect::Unchanged);
    let revision = fleet.state.revision;
    fleet.wait(10);
    fleet.accept(sent(last.plus(5)));
    assert_eq!(first(&fleet).life.last_sent, Some(last.plus(5)));
    assert_eq!(
        fleet.state.revision, revision,
        "it is no change of the fleet"
    );
}

#[test]
fn what_was_an_operators_word_alone_an_admin_takes_back_and_a_lists_nobody() {
    let release = |force| {
        Command::SteerIdentity(SteerIdentity {
            address: address(0),
            event: Event::Release,
            force,
            on_host: None,
        })
    };
    for (list, is_free) in [(None, true), (Some("zen"), false)] {
        let mut fleet = Fleet::with_identities(1);
        let lists = list.into_iter().map(str::to_owned).collect();
        fleet.accept(steer(Event::Quarantine { lists }));
        assert_eq!(fleet.refuse(release(false)).code, RejectionCode::NotYet);
        if is_free {
            fleet.accept(release(true));
            assert_eq!(first(&fleet).spec.status, IpStatus::Resting);
            assert_eq!(first(&fleet).life.quarantine, None);
        } else {
            let refused = fleet.refuse(release(true));
            assert_eq!(refused.code, RejectionCode::NotYet);
            let told = refused.to_string();
            assert!(told.contains("seen last on zen at "), "{told}");
        }
    }
}
