//! What a list that slows, or has gone mad, does to whom it names; and what receivers' replies add to it.

use email_engine_protocol::api::IpStatus;

use super::super::{PullBrake, RestrainIdentities};
use super::{fleet, status};
use crate::command::fixture::failover::{SLOWING, STRONG, clean, listed, take_out};
use crate::command::fixture::listing::list;
use crate::command::fixture::{Fleet, address};
use crate::command::{Command, Effect};
use crate::state::Replies;

#[test]
fn a_list_that_slows_halves_the_quota_until_two_sweeps_are_clean() {
    let mut fleet = fleet(6, 0);
    listed(&mut fleet, SLOWING, &[0]);
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    let settle = Command::RestrainIdentities(RestrainIdentities {
        addresses: [address(0), address(1)].into(),
    });
    let quota = |fleet: &Fleet| fleet.state.identities[&address(0)].daily_quota();
    assert_eq!(quota(&fleet), 100);
    fleet.accept(settle.clone());
    assert_eq!(
        (
            quota(&fleet),
            fleet.state.identities[&address(1)].daily_quota()
        ),
        (50, 100)
    );
    assert_eq!(fleet.accept(settle.clone()).effect, Effect::Unchanged);
    clean(&mut fleet, &[0]);
    fleet.accept(settle.clone());
    assert_eq!(quota(&fleet), 50);
    clean(&mut fleet, &[0]);
    fleet.accept(settle);
    assert_eq!(quota(&fleet), 100);
}

/// Receivers refused mail of one of them and named a list, a moment ago.
fn refused(fleet: &mut Fleet, at: u32, name: &str) {
    let now = fleet.state.now;
    let replies = Replies {
        count: 2,
        first: now,
        last: now,
        sample: format!("550 blocked using {name}"),
        wanted_since: None,
        checked_at: None,
    };
    let rows = fleet.state.listings.replies.or_default(&address(at));
    rows.insert(list(name), std::sync::Arc::new(replies));
}

#[test]
fn a_list_that_slows_takes_out_whom_receivers_refuse_because_of_it() {
    let mut fleet = fleet(6, 0);
    listed(&mut fleet, SLOWING, &[0, 1]);
    refused(&mut fleet, 0, SLOWING);
    refused(&mut fleet, 1, STRONG);
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Done);
    assert_eq!(fleet.accept(take_out(1)).effect, Effect::Unchanged);
    // By itself a reply is what anybody writes.
    refused(&mut fleet, 2, SLOWING);
    assert_eq!(fleet.accept(take_out(2)).effect, Effect::Unchanged);
}

#[test]
fn under_the_brake_whom_receivers_refuse_because_of_the_list_takes_no_mail() {
    let mut fleet = fleet(6, 0);
    listed(&mut fleet, STRONG, &[0, 1, 2, 3]);
    fleet.accept(Command::PullBrake(PullBrake { list: list(STRONG) }));
    refused(&mut fleet, 0, STRONG);
    let settle = Command::RestrainIdentities(RestrainIdentities {
        addresses: (0..6).map(address).collect(),
    });
    fleet.accept(settle.clone());
    let takes = |fleet: &Fleet, at| fleet.state.identities[&address(at)].takes_mail();
    assert!(!takes(&fleet, 0) && (1..6).all(|at| takes(&fleet, at)));
    assert_eq!(status(&fleet, 0), IpStatus::Warming);
    clean(&mut fleet, &[0, 1, 2, 3]);
    fleet.accept(settle);
    assert!(takes(&fleet, 0));
}
