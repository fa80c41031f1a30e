//! Rotations in the fleet: keys come and go with them.

mod histories;

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::api::{IpSpec, IpStatus, Phase, RotationCause, RotationStage, Verdict};
use email_engine_protocol::id::Role;
use email_engine_protocol::time::Timestamp;

use super::{RotateKeys, StateNextKey, TurnRotations};
use crate::command::fixture::{BEGIN, Fleet, address, host, host_id, identity, outcome};
use crate::command::{
    AddHost, AddIdentity, ChangeIdentity, Command, Effect, GiveUpDrain, RecordOutcome,
    RejectionCode, RetireIdentity,
};
use crate::fleet::rotation::published;
use crate::planner::builtin_bundle;
use crate::state::{Identity, RoleBundle};

/// Identities on a host whose bundle gives each key a file of its own.
fn fleet(count: u32) -> Fleet {
    let mut fleet = Fleet::with_identities(count);
    let shipped = Arc::new(RoleBundle::new(builtin_bundle(), BEGIN));
    for bundle in fleet.state.bundles.values_mut() {
        bundle.clone_from(&shipped);
    }
    apply(&mut fleet);
    fleet
}

fn rotate(cause: RotationCause) -> Command {
    Command::RotateKeys(RotateKeys {
        addresses: [address(0)].into(),
        cause,
        busy: BTreeSet::new(),
    })
}

fn turn() -> Command {
    let addresses = [address(0)].into();
    Command::TurnRotations(TurnRotations { addresses })
}

fn one(fleet: &Fleet) -> &Identity {
    &fleet.state.identities[&address(0)]
}

fn stage(fleet: &Fleet) -> Option<RotationStage> {
    one(fleet).signing.rotation.as_ref().map(|one| one.stage)
}

fn coming(fleet: &Fleet) -> String {
    let rotation = one(fleet).signing.rotation.as_ref();
    rotation.map_or_else(String::new, |one| one.other.selector.clone())
}

fn see(fleet: &Fleet, verdict: Verdict) -> Command {
    Command::StateNextKey(StateNextKey {
        address: address(0),
        selector: coming(fleet),
        verdict,
    })
}

/// The host gets what is planned now, and says that it has it.
fn apply(fleet: &mut Fleet) {
    let body = fleet.state.revision.to_be_bytes();
    fleet.accept(fleet.target(&[&body]));
    let host = host_id("pmta1");
    let number = fleet.state.targets[&host].generation.number;
    let outcome = outcome(number);
    fleet.accept(Command::RecordOutcome(RecordOutcome { host, outcome }));
}

fn verified() -> Fleet {
    let mut fleet = fleet(2);
    fleet.accept(rotate(RotationCause::Asked));
    fleet.accept(see(&fleet, Verdict::Valid));
    fleet
}

fn switching() -> Fleet {
    let mut fleet = verified();
    apply(&mut fleet);
    fleet.accept(turn());
    fleet
}

fn days(fleet: &mut Fleet, days: u64) {
    for _ in 0..days * 2 {
        fleet.wait(Timestamp::DAY / 2);
        fleet.accept(turn());
    }
}

#[test]
fn a_key_is_seen_then_given_then_signed_with_and_the_old_one_destroyed() {
    let mut fleet = fleet(2);
    let old = one(&fleet).clone();
    fleet.accept(rotate(RotationCause::Asked));
    assert_eq!(stage(&fleet), Some(RotationStage::Publish));
    let new = one(&fleet).signing.rotation.clone().unwrap().other;
    assert!(new.selector.starts_with("mail-2026"), "{}", new.selector);
    assert!(fleet.state.secrets.contains_key(&new.secret));
    assert_eq!(
        one(&fleet).second_key_file(),
        None,
        "it is not on a host yet"
    );
    // Nothing but a word about the record leads on: neither time nor the host's.
    apply(&mut fleet);
    assert_eq!(fleet.accept(turn()).effect, Effect::Unchanged);
    let unknown = Verdict::Unknown {
        why: "no answer".to_owned(),
    };
    fleet.accept(see(&fleet, unknown));
    assert_eq!(stage(&fleet), Some(RotationStage::Publish));
    fleet.accept(see(&fleet, Verdict::Valid));
    assert_eq!(stage(&fleet), Some(RotationStage::Verified));
    assert_eq!(
        fleet.accept(turn()).effect,
        Effect::Unchanged,
        "its host has no file"
    );
    apply(&mut fleet);
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Switching));
    assert_eq!(one(&fleet).spec.selector, new.selector);
    assert_eq!(one(&fleet).dkim_public, new.public);
    assert_eq!(
        fleet.state.secrets.len(),
        3,
        "its host may sign with the old one"
    );
    assert_eq!(fleet.accept(turn()).effect, Effect::Unchanged);
    apply(&mut fleet);
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Switched));
    assert!(!fleet.state.secrets.contains_key(&old.dkim_key));
    assert_eq!(published(one(&fleet))[1].key, Some(&*old.dkim_public));
    days(&mut fleet, 18);
    assert_eq!(stage(&fleet), Some(RotationStage::Switched));
    days(&mut fleet, 2);
    assert_eq!(stage(&fleet), Some(RotationStage::Retired));
    assert_eq!(published(one(&fleet))[1].key, None);
    days(&mut fleet, 31);
    assert_eq!((stage(&fleet), published(one(&fleet)).len()), (None, 1));
}

#[test]
fn one_at_a_time_and_what_was_seen_of_another_record_is_refused() {
    let mut fleet = fleet(1);
    let nothing = fleet.refuse(see(&fleet, Verdict::Valid));
    assert_eq!(nothing.code, RejectionCode::NoEdge);
    assert!(nothing.accepted.contains("not under way"), "{nothing}");
    fleet.accept(rotate(RotationCause::Asked));
    let twice = fleet.refuse(rotate(RotationCause::Asked));
    assert_eq!(twice.code, RejectionCode::NoEdge);
    assert!(twice.accepted.contains("becomes verified when"), "{twice}");
    let other = fleet.refuse(Command::StateNextKey(StateNextKey {
        address: address(0),
        selector: "mail".to_owned(),
        verdict: Verdict::Valid,
    }));
    assert_eq!(
        (other.code, &*other.field),
        (RejectionCode::Invalid, "selector")
    );
    assert!(other.accepted.contains(&coming(&fleet)), "{other}");
    // A word that it is gone again leads back.
    fleet.accept(see(&fleet, Verdict::Valid));
    let what = "NXDOMAIN on ns2".to_owned();
    fleet.accept(see(&fleet, Verdict::Invalid { what }));
    assert_eq!(stage(&fleet), Some(RotationStage::Publish));
}

#[test]
fn a_word_of_more_than_a_day_ago_is_none_when_it_is_to_be_switched() {
    let mut fleet = verified();
    fleet.wait(Timestamp::DAY - 10);
    fleet.accept(turn());
    fleet.wait(20);
    apply(&mut fleet);
    assert_eq!(fleet.accept(turn()).effect, Effect::Unchanged);
    fleet.accept(see(&fleet, Verdict::Valid));
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Switching));
}

#[test]
fn in_an_emergency_the_old_record_is_withdrawn_with_the_switch_and_not_before() {
    let mut fleet = verified();
    fleet.accept(rotate(RotationCause::Emergency));
    assert_eq!(stage(&fleet), Some(RotationStage::Verified));
    assert_eq!(
        fleet.accept(rotate(RotationCause::Emergency)).effect,
        Effect::Unchanged
    );
    apply(&mut fleet);
    fleet.accept(turn());
    let all = |fleet: &Fleet| published(one(fleet)).iter().all(|one| one.key.is_some());
    assert!(all(&fleet), "its host may still sign with it");
    apply(&mut fleet);
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Retired));
    assert!(!all(&fleet));
}

#[test]
fn an_emergency_after_a_switch_begins_another_one_and_withdraws_the_key_before() {
    let mut fleet = switching();
    apply(&mut fleet);
    fleet.accept(turn());
    let before = coming(&fleet);
    assert_eq!(before, "mail");
    assert_eq!(
        fleet.refuse(rotate(RotationCause::Asked)).code,
        RejectionCode::NoEdge
    );
    fleet.accept(rotate(RotationCause::Emergency));
    assert_eq!(stage(&fleet), Some(RotationStage::Publish));
    assert!(
        coming(&fleet).ends_with('2'),
        "the second of its day: {}",
        coming(&fleet)
    );
    let ((until, key), row) = fleet.state.departed.first_key_value().unwrap();
    assert_eq!(
        (row.spec.selector.as_str(), *until),
        ("mail", fleet.state.now)
    );
    assert_eq!(key.as_str(), "dkim/mail0.example.com/mail");
}

#[test]
fn one_that_never_sent_may_declare_the_selector_of_the_key_that_comes() {
    let mut fleet = fleet(2);
    let mut ip = IpSpec {
        status: IpStatus::Standby,
        phase: Phase::Week1,
        ..identity(2)
    };
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip.clone())));
    fleet.accept(Command::RotateKeys(RotateKeys {
        addresses: [ip.address].into(),
        cause: RotationCause::Asked,
        busy: BTreeSet::new(),
    }));
    let address = ip.address;
    let row = |fleet: &Fleet| Identity::clone(&fleet.state.identities[&address]);
    let coming = row(&fleet).signing.rotation.unwrap().other;
    let kept = fleet.state.prepared_keys.len();
    ip.selector = coming.selector;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip.clone())));
    // It has that key, and no other is made under its name.
    let now = row(&fleet);
    assert_eq!(
        (now.spec.selector, now.dkim_public),
        (ip.selector, coming.public)
    );
    assert_eq!(now.signing.rotation, None);
    let left = (fleet.state.prepared_keys.len(), fleet.state.secrets.len());
    assert_eq!((left, fleet.state.departed.len()), ((kept, 3), 0));
}

#[test]
fn without_a_key_none_begins_and_of_several_all_or_none() {
    let mut fleet = fleet(2);
    let both = Command::RotateKeys(RotateKeys {
        addresses: [address(0), address(1)].into(),
        cause: RotationCause::Asked,
        busy: BTreeSet::new(),
    });
    while fleet.state.prepared_keys.len() > 1 {
        fleet.state.prepared_keys.pop_first();
    }
    fleet.state.reindex();
    assert_eq!(
        fleet.refuse(both.clone()).code,
        RejectionCode::NoPreparedKey
    );
    let none = Command::RotateKeys(RotateKeys {
        addresses: BTreeSet::new(),
        cause: RotationCause::Asked,
        busy: BTreeSet::new(),
    });
    assert_eq!(fleet.refuse(none).code, RejectionCode::Invalid);
    fleet.accept(fleet.stock(3));
    fleet.accept(rotate(RotationCause::Asked));
    assert_eq!(fleet.refuse(both).code, RejectionCode::NoEdge);
}

#[test]
fn what_a_file_said_before_is_no_news_after_a_rotation() {
    let mut fleet = switching();
    let ip = identity(0);
    assert_eq!(ip.selector, "mail");
    let again = Command::ChangeIdentity(ChangeIdentity::of(ip.clone()));
    assert_eq!(fleet.accept(again).effect, Effect::Unchanged);
    let moved = IpSpec {
        status: IpStatus::Resting,
        ..ip.clone()
    };
    let selector = one(&fleet).spec.selector.clone();
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(moved)));
    assert_eq!(one(&fleet).spec.selector, selector);
    // Another selector than that is another key, and that is changed otherwise.
    let other = IpSpec {
        selector: "other".to_owned(),
        ..ip
    };
    let refused = fleet.refuse(Command::ChangeIdentity(ChangeIdentity::of(other)));
    assert_eq!(
        (refused.code, &*refused.field),
        (RejectionCode::WrongState, "selector")
    );
    assert!(
        refused.accepted.contains("dkim rotate 192.0.2.1"),
        "{refused}"
    );
}

#[test]
fn one_that_goes_takes_a_key_along_that_never_signed_and_leaves_the_records_of_those_that_did() {
    let retire = Command::RetireIdentity(RetireIdentity {
        address: address(0),
    });
    let end = Command::GiveUpDrain(GiveUpDrain {
        address: address(0),
        messages: None,
    });
    let mut fleet = verified();
    let never = coming(&fleet);
    fleet.accept(retire.clone());
    fleet.accept(end.clone());
    let left = |fleet: &Fleet| {
        let all = fleet.state.departed.values();
        all.map(|one| one.spec.selector.clone())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(left(&fleet), ["mail".to_owned()].into());
    assert!(!left(&fleet).contains(&never));

    let mut fleet = switching();
    let new = one(&fleet).spec.selector.clone();
    fleet.accept(retire.clone());
    assert_eq!(fleet.state.secrets.len(), 3, "either may sign what drains");
    fleet.accept(end);
    assert_eq!(fleet.state.secrets.len(), 1);
    assert_eq!(left(&fleet), ["mail".to_owned(), new].into());

    // Declared as before while it drains, it is what it was.
    let mut fleet = switching();
    let before = one(&fleet).clone();
    fleet.accept(retire);
    fleet.accept(Command::AddIdentity(AddIdentity::of(identity(0))));
    assert_eq!(one(&fleet).dkim_public, before.dkim_public);
    assert_eq!(stage(&fleet), Some(RotationStage::Switching));
    apply(&mut fleet);
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Switched));
}

#[test]
fn one_that_moves_is_not_switched_by_the_word_of_the_host_that_it_left() {
    let mut fleet = switching();
    apply(&mut fleet);
    let other = host("pmta2", Role::Powermta, 2);
    fleet.accept(Command::AddHost(AddHost { host: other }));
    fleet.accept(Command::RetireIdentity(RetireIdentity {
        address: address(1),
    }));
    let there = IpSpec {
        host: host_id("pmta2"),
        ..identity(0)
    };
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(there)));
    assert_eq!(
        fleet.accept(turn()).effect,
        Effect::Unchanged,
        "it drains where it was"
    );
    fleet.accept(Command::GiveUpDrain(GiveUpDrain {
        address: address(0),
        messages: None,
    }));
    // No agent is at the new place: nothing signs there yet.
    fleet.accept(turn());
    assert_eq!(stage(&fleet), Some(RotationStage::Switched));
}
