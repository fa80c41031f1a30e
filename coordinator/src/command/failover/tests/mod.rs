//! What is done about listings is done once, by the rules, and by whomever it is proposed.

mod held;
mod slowed;

use std::net::IpAddr;

use email_engine_protocol::api::{AlertKind, IpStatus, Phase, Purpose};
use email_engine_protocol::time::Timestamp;

use super::*;
use crate::command::fixture::failover::{
    SLOWING, STRONG, begin, bench, clean, fit, listed, note, promote, record, said, take_out,
};
use crate::command::fixture::listing::list;
use crate::command::fixture::{Fleet, SECOND, address, domain, identity, tenant};
use crate::command::{
    AddIdentity, ChangeIdentity, Command, Effect, RejectionCode, RetireIdentity, Sighting,
};
use crate::dnsbl::query::Subject;
use crate::fleet::failover::Obstacle;
use crate::fleet::failover::breaker::Cause;
use crate::fleet::selection::of_purpose;
use crate::state::{Ending, Search};

/// One that sends five hundred a day, fit for service, and two more on the bench.
fn fleet(sending: u32, waiting: u32) -> Fleet {
    let mut fleet = Fleet::with_identities(sending);
    let stock = fleet.stock(waiting + 10);
    fleet.accept(stock);
    for at in 0..waiting {
        bench(&mut fleet, sending + at);
    }
    fleet
}

fn status(fleet: &Fleet, at: u32) -> IpStatus {
    fleet.state.identities[&address(at)].spec.status
}

fn promotes(fleet: &Fleet, event: u64, at: u32) -> Command {
    Command::PromoteIdentity(Box::new(promote(&fleet.state, event, at)))
}

fn search(fleet: &Fleet, event: u64) -> &Search {
    &fleet.state.failover.events[&event].search
}

fn told(fleet: &Fleet, kind: AlertKind) -> usize {
    let all = fleet.state.alerts.rows.values();
    all.filter(|row| row.event.kind() == kind).count()
}

fn tenant_id() -> TenantId {
    tenant("client-1").id
}

/// Time passes as far as it does between two commands.
fn later(fleet: &mut Fleet, millis: u64) {
    let idle = Command::RestrainIdentities(RestrainIdentities {
        addresses: [].into(),
    });
    let mut left = millis;
    while left > 0 {
        let step = left.min(12 * Timestamp::HOUR);
        fleet.wait(step);
        fleet.accept(idle.clone());
        left -= step;
    }
}

fn out(fleet: &mut Fleet, at: u32) {
    listed(fleet, STRONG, &[at]);
    assert_eq!(fleet.accept(take_out(at)).effect, Effect::Done);
}

#[test]
fn a_confirmed_listing_takes_an_identity_out_once() {
    let mut fleet = fleet(6, 0);
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    out(&mut fleet, 0);
    let row = &fleet.state.identities[&address(0)];
    assert_eq!(
        (status(&fleet, 0), row.weight(), row.takes_mail()),
        (IpStatus::Quarantine, 0, false)
    );
    let quarantine = row.life.quarantine.as_ref().unwrap();
    assert_eq!(quarantine.lists, [STRONG.to_owned()].into());
    let event = &fleet.state.failover.events[&0];
    assert_eq!((event.lost, event.at), (100, fleet.state.now));
    assert_eq!(event.search, Search::Open { obstacle: None });
    assert_eq!(told(&fleet, AlertKind::ListingConfirmed), 1);
    // Whoever says it again changes nothing.
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    assert_eq!(fleet.state.failover.events.len(), 1);
    assert!((1..6).all(|at| status(&fleet, at) == IpStatus::Warming));
}

#[test]
fn a_sighting_is_acted_on_when_its_sweep_is_through() {
    let mut fleet = fleet(6, 0);
    let number = begin(&mut fleet);
    fleet.accept(record(said(Some(number), STRONG, 1, &[0])));
    fleet.wait(11 * 60 * SECOND);
    fleet.accept(record(said(None, STRONG, 2, &[0])));
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    fleet.accept(record(said(Some(number), SLOWING, 1, &[])));
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Done);
}

#[test]
fn one_that_waits_is_taken_out_and_nobody_is_sought_for_it() {
    let mut fleet = fleet(1, 2);
    out(&mut fleet, 1);
    assert_eq!(status(&fleet, 1), IpStatus::Quarantine);
    assert_eq!(search(&fleet, 0), &Search::NothingLost);
    assert!(fleet.state.failover.searching.is_empty());
}

#[test]
fn who_is_promoted_is_chosen_for_what_was_lost_and_for_nothing_else() {
    let mut fleet = fleet(5, 1);
    let mut spec = fleet.state.identities[&address(5)].spec.clone();
    spec.purpose = Purpose::Notification;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(spec)));
    fit(&mut fleet, 5);
    out(&mut fleet, 0);
    let promotion = promotes(&fleet, 0, 5);
    assert_eq!(fleet.accept(promotion).effect, Effect::Done);
    let tenant = tenant_id();
    let chosen = |purpose| -> Vec<IpAddr> {
        let all = of_purpose(&fleet.state, &tenant, purpose);
        all.map(|one| one.spec.address).collect()
    };
    assert!(chosen(Purpose::Marketing).contains(&address(5)));
    assert!(chosen(Purpose::Notification).is_empty());
    // It leaves nothing behind when it goes.
    fleet.accept(Command::RetireIdentity(RetireIdentity {
        address: address(5),
    }));
}

#[test]
fn of_two_who_promote_one_does() {
    let mut fleet = fleet(5, 2);
    out(&mut fleet, 0);
    let (first, second) = (promotes(&fleet, 0, 5), promotes(&fleet, 0, 6));
    assert_eq!(fleet.accept(first.clone()).effect, Effect::Done);
    assert_eq!(fleet.accept(second).effect, Effect::Unchanged);
    assert_eq!(fleet.accept(first).effect, Effect::Unchanged);
    assert_eq!(
        (status(&fleet, 5), status(&fleet, 6)),
        (IpStatus::Warming, IpStatus::Standby)
    );
    let row = &fleet.state.identities[&address(5)];
    // It keeps its own phase: what was lost is not what comes.
    assert_eq!(row.spec.phase, Phase::Week2);
    assert!(matches!(
        search(&fleet, 0),
        Search::Replaced { restores_percent: 100, by, .. } if *by == address(5)
    ));
    assert_eq!(
        (
            fleet.state.failover.promotions.len(),
            told(&fleet, AlertKind::Promoted)
        ),
        (1, 1)
    );
    assert!(fleet.state.failover.searching.is_empty());
}

#[test]
fn who_is_listed_unknown_or_not_asked_lately_is_not_promoted() {
    let mut fleet = fleet(5, 1);
    out(&mut fleet, 0);
    let good = promote(&fleet.state, 0, 5);
    let with = |change: &dyn Fn(&mut Asked)| {
        let mut bad = good.clone();
        change(&mut bad.asked);
        Command::PromoteIdentity(Box::new(bad))
    };
    let silent = with(&|asked| asked.clean = [list(SLOWING)].into());
    let named = with(&|asked| asked.listed = [list(SLOWING)].into());
    let early = with(&|asked| asked.at = Timestamp(asked.at.0 - 16 * 60 * SECOND));
    for (bad, why) in [
        (silent, "what spamhaus-zen says of it is not known"),
        (named, "it is on psbl"),
        (
            early,
            "lists were not asked about it in the last 15 minutes",
        ),
    ] {
        let refusal = fleet.refuse(bad);
        assert!(refusal.accepted.ends_with(why), "{refusal}");
    }
    // Nor is one of whom a sighting is committed, confirmed or not.
    let mut seen = fleet.clone();
    seen.accept(record(said(None, SLOWING, 1, &[5])));
    assert_eq!(seen.refuse(promotes(&seen, 0, 5)).field, "address");
    // A list that only slows has no say where it is silent.
    let slow = with(&|asked| asked.clean = [list(STRONG)].into());
    assert_eq!(fleet.accept(slow).effect, Effect::Done);
}

#[test]
fn who_is_not_fit_for_service_is_not_promoted() {
    let mut fleet = fleet(5, 0);
    let mut ip = identity(5);
    ip.status = IpStatus::Standby;
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip)));
    out(&mut fleet, 0);
    assert_eq!(
        fleet.refuse(promotes(&fleet, 0, 5)).code,
        RejectionCode::Preflight
    );
    fit(&mut fleet, 5);
    assert_eq!(fleet.accept(promotes(&fleet, 0, 5)).effect, Effect::Done);
}

#[test]
fn a_reserve_is_raised_at_once_to_its_whole_weight() {
    let mut fleet = fleet(5, 1);
    let mut warm = fleet.state.identities[&address(4)].as_ref().clone();
    (warm.spec.status, warm.spec.reserve) = (IpStatus::Active, true);
    (warm.spec.phase, warm.warmup.phase) = (Phase::Active, Phase::Active);
    (warm.warmup.reached, warm.warmup.daily_quota) = (8_000, 8_000);
    fleet
        .state
        .identities
        .insert(address(4), std::sync::Arc::new(warm));
    out(&mut fleet, 0);
    assert_eq!(fleet.state.identities[&address(4)].weight(), 5);
    fleet.accept(promotes(&fleet, 0, 4));
    let row = &fleet.state.identities[&address(4)];
    assert_eq!((row.weight(), row.spec.reserve), (100, false));
}

#[test]
fn a_second_listing_of_a_day_spends_the_budget_and_opens_the_breaker() {
    let mut fleet = fleet(12, 2);
    out(&mut fleet, 0);
    fleet.accept(promotes(&fleet, 0, 12));
    out(&mut fleet, 1);
    let refusal = fleet.refuse(promotes(&fleet, 1, 13));
    assert!(
        refusal
            .accepted
            .contains("its promotions of 24 hours are spent"),
        "{refusal}"
    );
    assert_eq!(fleet.accept(note(1)).effect, Effect::Done);
    let open = fleet.state.failover.open_breaker(&tenant_id()).unwrap();
    assert_eq!(open.cause, Cause::Budget);
    assert!(
        open.paused.contains(&Purpose::Marketing) && !open.paused.contains(&Purpose::Transactional)
    );
    assert!((2..13).all(|at| !fleet.state.identities[&address(at)].takes_mail()));
    assert_eq!(told(&fleet, AlertKind::BreakerOpen), 1);
    // Two alerts: it is listed, and nobody takes its place.
    assert_eq!(told(&fleet, AlertKind::ListingConfirmed), 3);
    assert!(
        fleet
            .refuse(promotes(&fleet, 1, 13))
            .accepted
            .contains("breaker is open")
    );
    // Somebody says that it may go on, and the same event does not open it again.
    let release = Command::ReleaseBreaker(ReleaseBreaker {
        tenant: tenant_id(),
        reason: "the list was cleaned".to_owned(),
    });
    fleet.accept(release.clone());
    assert_eq!(fleet.refuse(release).field, "tenant");
    assert!((2..13).all(|at| fleet.state.identities[&address(at)].takes_mail()));
    fleet.accept(note(1));
    assert!(fleet.state.failover.open_breaker(&tenant_id()).is_none());
    later(&mut fleet, Timestamp::DAY);
    fit(&mut fleet, 13);
    assert_eq!(fleet.accept(promotes(&fleet, 1, 13)).effect, Effect::Done);
}

#[test]
fn two_of_five_in_quarantine_open_the_breaker_whoever_comes_meanwhile_is_paused_too() {
    let mut fleet = fleet(5, 0);
    out(&mut fleet, 0);
    assert!(fleet.state.failover.breakers.is_empty());
    out(&mut fleet, 1);
    let open = fleet.state.failover.open_breaker(&tenant_id()).unwrap();
    assert_eq!(open.cause, Cause::Quarantined { out: 2, of: 5 });
    let mut ip = identity(5);
    fleet.accept(Command::AddIdentity(AddIdentity::of(ip.clone())));
    assert_eq!(fleet.state.identities[&address(5)].daily_quota(), 0);
    ip.purpose = Purpose::Transactional;
    fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
    assert!(fleet.state.identities[&address(5)].takes_mail());
    fleet.accept(Command::ReleaseBreaker(ReleaseBreaker {
        tenant: tenant_id(),
        reason: "looked at".to_owned(),
    }));
    let again = Command::OpenBreaker(OpenBreaker {
        tenant: tenant_id(),
        complaints: [].into(),
    });
    // What was so when it was released opens it no more; one more does.
    assert_eq!(fleet.accept(again).effect, Effect::Unchanged);
    later(&mut fleet, 5 * Timestamp::HOUR);
    out(&mut fleet, 2);
    out(&mut fleet, 3);
    assert!(fleet.state.failover.open_breaker(&tenant_id()).is_some());
}

#[test]
fn complaints_open_it_when_they_are_too_many() {
    let mut fleet = fleet(5, 0);
    let complained = |complaints| {
        Command::OpenBreaker(OpenBreaker {
            tenant: tenant_id(),
            complaints: [(Purpose::Newsletter, (complaints, 1_000))].into(),
        })
    };
    assert_eq!(fleet.accept(complained(3)).effect, Effect::Unchanged);
    assert_eq!(fleet.accept(complained(4)).effect, Effect::Done);
    assert_eq!(fleet.accept(complained(9)).effect, Effect::Unchanged);
}

#[test]
fn nothing_is_done_because_of_a_list_that_names_everybody() {
    let mut fleet = fleet(6, 1);
    listed(&mut fleet, STRONG, &[0, 1, 2, 3]);
    // Even before anybody pulls the brake.
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    let pull = Command::PullBrake(PullBrake { list: list(STRONG) });
    assert_eq!(fleet.accept(pull.clone()).effect, Effect::Done);
    assert_eq!(fleet.accept(pull.clone()).effect, Effect::Unchanged);
    assert_eq!(told(&fleet, AlertKind::MassBrake), 1);
    // Nor four hours later, when they are not new any more.
    fleet.wait(5 * Timestamp::HOUR);
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
    let release = |reason: Option<&str>| {
        Command::ReleaseBrake(ReleaseBrake {
            list: list(STRONG),
            reason: reason.map(str::to_owned),
        })
    };
    assert_eq!(fleet.accept(release(None)).effect, Effect::Unchanged);
    let mut right = fleet.clone();
    right.accept(release(Some("they did send that")));
    assert_eq!(right.accept(pull).effect, Effect::Unchanged);
    assert_eq!(right.accept(take_out(0)).effect, Effect::Done);
    // It takes it all back.
    clean(&mut fleet, &[0, 1, 2, 3]);
    assert_eq!(fleet.accept(release(None)).effect, Effect::Done);
    assert!(fleet.state.failover.brakes.is_empty());
    assert_eq!(fleet.refuse(release(None)).field, "list");
    assert_eq!(fleet.accept(take_out(0)).effect, Effect::Unchanged);
}

#[test]
fn a_list_that_goes_mad_after_somebody_was_taken_out_stops_the_search() {
    let mut fleet = fleet(6, 1);
    out(&mut fleet, 0);
    fleet.accept(record(said(None, STRONG, 1, &[1, 2, 3, 4])));
    let refusal = fleet.refuse(promotes(&fleet, 0, 6));
    assert!(
        refusal.accepted.ends_with("names too many at once"),
        "{refusal}"
    );
}

#[test]
fn a_tenant_whose_domain_is_on_a_list_is_given_nobody() {
    let mut fleet = fleet(6, 1);
    out(&mut fleet, 0);
    let mut named = said(None, "spamhaus-dbl", 1, &[]);
    named.listed = vec![Sighting {
        subject: Subject::Name(domain("mail3.example.com").as_str().to_owned()),
        ..said(None, STRONG, 1, &[0]).listed.remove(0)
    }];
    fleet.accept(record(named));
    let refusal = fleet.refuse(promotes(&fleet, 0, 6));
    assert!(
        refusal
            .accepted
            .contains("mail3.example.com is on spamhaus-dbl"),
        "{refusal}"
    );
}

#[test]
fn nobody_is_promoted_while_it_is_frozen() {
    let mut fleet = fleet(6, 1);
    out(&mut fleet, 0);
    let reason = || "we move".to_owned();
    let freeze = Command::FreezeFailover(FreezeFailover {
        tenant: tenant_id(),
        reason: reason(),
    });
    fleet.accept(freeze.clone());
    assert_eq!(fleet.accept(freeze).effect, Effect::Unchanged);
    assert!(
        fleet
            .refuse(promotes(&fleet, 0, 6))
            .accepted
            .contains("frozen")
    );
    fleet.accept(note(0));
    let frozen = Search::Open {
        obstacle: Some(Obstacle::Frozen),
    };
    assert_eq!(search(&fleet, 0), &frozen);
    // A listed one is out all the same.
    out(&mut fleet, 1);
    let thaw = Command::ThawFailover(ThawFailover {
        tenant: tenant_id(),
        reason: reason(),
    });
    fleet.accept(thaw);
    let open = fleet.state.failover.open_breaker(&tenant_id()).cloned();
    assert!(open.is_some(), "two of seven");
    fleet.accept(Command::ReleaseBreaker(ReleaseBreaker {
        tenant: tenant_id(),
        reason: reason(),
    }));
    // What is not in the way any more is not said any more.
    fleet.accept(note(0));
    assert_eq!(search(&fleet, 0), &Search::Open { obstacle: None });
    assert_eq!(fleet.accept(promotes(&fleet, 0, 6)).effect, Effect::Done);
}

#[test]
fn nobody_left_is_told_once_and_sought_for_a_day() {
    let mut fleet = fleet(6, 0);
    out(&mut fleet, 0);
    assert_eq!(fleet.accept(note(0)).effect, Effect::Done);
    assert_eq!(fleet.accept(note(0)).effect, Effect::Unchanged);
    assert_eq!(
        search(&fleet, 0),
        &Search::Open {
            obstacle: Some(Obstacle::Nobody)
        }
    );
    assert_eq!(told(&fleet, AlertKind::ListingConfirmed), 2);
    later(&mut fleet, Timestamp::DAY);
    fleet.accept(note(0));
    assert!(matches!(
        search(&fleet, 0),
        Search::Ended {
            why: Ending::TooLate,
            ..
        }
    ));
    assert!(fleet.state.failover.searching.is_empty());
}

#[test]
fn a_search_ends_when_the_listed_one_is_gone() {
    let mut fleet = fleet(6, 1);
    out(&mut fleet, 0);
    assert_eq!(fleet.accept(note(0)).effect, Effect::Unchanged);
    fleet.accept(Command::RetireIdentity(RetireIdentity {
        address: address(0),
    }));
    assert_eq!(fleet.refuse(promotes(&fleet, 0, 6)).field, "event");
    fleet.accept(note(0));
    assert!(matches!(
        search(&fleet, 0),
        Search::Ended {
            why: Ending::Over,
            ..
        }
    ));
    assert_eq!(
        fleet.accept(promotes(&fleet, 0, 6)).effect,
        Effect::Unchanged
    );
}
