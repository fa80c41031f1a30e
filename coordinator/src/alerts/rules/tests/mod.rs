//! What becomes of deliveries and channels, and what a look finds.

mod samples;

use email_engine_protocol::api::{
    AlertKind, DeliveryState, DnsPart, DnsVerdict, IpStatus, Occasion,
};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::Role;
use email_engine_protocol::time::Timestamp;

use super::*;
use crate::command::fixture::alerts::{
    away, channel_name, log_channel, over, raise, record, result, route, telegram, with_secret,
};
use crate::command::fixture::{Fleet, SECOND, address, host_id};
use crate::command::{Command, PauseWarmup, ResumeWarmup};
use crate::dns::due::subject;
use crate::state::{Alerts, Channel, Delivery, DnsLook, HostKeys, HostLifecycle};

fn routed() -> Fleet {
    let mut fleet = Fleet::with_identities(2);
    fleet.accept(log_channel("ops", None));
    fleet.accept(log_channel("spare", None));
    fleet.accept(route("all", None, &["ops"]));
    fleet
}

fn channel<'a>(fleet: &'a Fleet, name: &str) -> &'a Channel {
    &fleet.state.alerts.channels[&channel_name(name)]
}

fn delivery<'a>(fleet: &'a Fleet, id: u64, name: &str) -> &'a Delivery {
    &fleet.state.alerts.rows[&id].deliveries[&(channel_name(name), Occasion::Raised)]
}

fn later(fleet: &Fleet, seconds: u64) -> DeliveryOutcome {
    DeliveryOutcome::Later {
        at: fleet.now().plus(seconds * SECOND),
        error: "no route to host".into(),
        asked: false,
    }
}

fn due(fleet: &Fleet) -> Vec<Parcel> {
    parcels(&fleet.state, fleet.now(), &[].into())
}

#[test]
fn what_was_taken_is_not_sent_again_whoever_says_otherwise() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(due(&fleet).len(), 1);
    fleet.accept(record(vec![result(0, "ops", DeliveryOutcome::Delivered)]));
    assert!(due(&fleet).is_empty());
    let (before, taken) = (fleet.state.alerts.clone(), fleet.state.now);
    let late = later(&fleet, 60);
    fleet.accept(record(vec![result(0, "ops", late)]));
    assert_eq!(fleet.state.alerts, before);
    assert_eq!(channel(&fleet, "ops").delivered_at, Some(taken));
}

#[test]
fn a_channel_that_takes_nothing_for_ten_minutes_is_told_through_the_others() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    for wait in [60, 240, 299] {
        let late = later(&fleet, wait);
        fleet.accept(record(vec![result(0, "ops", late)]));
        assert!(due(&fleet).is_empty(), "it waits");
        fleet.wait(wait * SECOND);
        assert_eq!(due(&fleet).len(), 1, "and is tried again");
    }
    assert_eq!(fleet.state.alerts.rows.len(), 1);
    fleet.wait(SECOND);
    let late = later(&fleet, 60);
    fleet.accept(record(vec![result(0, "ops", late)]));
    let (id, dead) = fleet.state.alerts.rows.last_key_value().unwrap();
    assert_eq!(dead.event.kind(), AlertKind::ChannelDead);
    let told: Vec<_> = dead
        .deliveries
        .keys()
        .map(|(name, _)| name.clone())
        .collect();
    // The only route leads to the dead one itself.
    assert_eq!(told, [channel_name("spare")]);
    assert_eq!(delivery(&fleet, 0, "ops").attempts, 4);
    assert_eq!(channel(&fleet, "ops").failures, 4);
    let id = *id;
    fleet.wait(60 * SECOND);
    fleet.accept(record(vec![
        result(id, "spare", DeliveryOutcome::Delivered),
        result(0, "ops", DeliveryOutcome::Delivered),
    ]));
    let dead = &fleet.state.alerts.rows[&id];
    assert_eq!(dead.resolved_at, Some(fleet.state.now));
    assert_eq!(
        dead.waiting().count(),
        1,
        "that it is well again is told, too"
    );
    assert_eq!(channel(&fleet, "ops").failing_since, None);
}

#[test]
fn whoever_asks_for_time_gets_it_and_is_not_ill() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1"), away("mw1")]));
    let asked = DeliveryOutcome::Later {
        at: fleet.now().plus(40 * SECOND),
        error: "429".into(),
        asked: true,
    };
    fleet.accept(record(vec![result(0, "ops", asked)]));
    let ops = channel(&fleet, "ops");
    assert_eq!((ops.failing_since, ops.failures), (None, 0));
    assert_eq!(delivery(&fleet, 0, "ops").attempts, 0);
    fleet.wait(39 * SECOND);
    assert!(due(&fleet).is_empty(), "the other one waits with it");
    fleet.wait(SECOND);
    assert_eq!(due(&fleet)[0].items.len(), 2);
}

#[test]
fn a_letter_that_is_refused_goes_again_one_by_one_and_then_no_more() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1"), away("mw1"), away("api1")]));
    let refused = |alone| DeliveryOutcome::Refused {
        error: "400".into(),
        alone,
    };
    let all = [0, 1, 2].map(|id| result(id, "ops", refused(false)));
    fleet.accept(record(all.into()));
    for id in 0..3 {
        let parcel = &due(&fleet)[0];
        assert_eq!(parcel.items, [(id, Occasion::Raised)]);
        assert_eq!(parcel.letter.notices.len(), 1);
        let outcome = match id {
            1 => refused(true),
            _ => DeliveryOutcome::Delivered,
        };
        fleet.accept(record(vec![result(id, "ops", outcome)]));
    }
    assert!(due(&fleet).is_empty());
    assert_eq!(delivery(&fleet, 1, "ops").state, DeliveryState::GivenUp);
    assert_eq!(
        channel(&fleet, "ops").failing_since,
        None,
        "the channel is well"
    );
}

#[test]
fn after_three_days_a_delivery_is_given_up() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    for _ in 0..4 {
        fleet.wait(Timestamp::DAY - SECOND);
        let late = later(&fleet, 60);
        fleet.accept(record(vec![result(0, "ops", late)]));
    }
    assert_eq!(delivery(&fleet, 0, "ops").state, DeliveryState::GivenUp);
    // Nobody is believed to want to wait for longer than an hour and a quarter.
    fleet.accept(raise(vec![away("mw1")]));
    let id = *fleet.state.alerts.rows.last_key_value().unwrap().0;
    let late = later(&fleet, 999_999);
    fleet.accept(record(vec![result(id, "ops", late)]));
    fleet.wait(4_500 * SECOND);
    let names = due(&fleet).into_iter().map(|parcel| parcel.letter.channel);
    assert!(names.into_iter().any(|name| name == channel_name("ops")));
}

#[test]
fn a_channel_that_is_changed_is_tried_at_once() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    let late = later(&fleet, 3_600);
    fleet.accept(record(vec![result(0, "ops", late)]));
    assert!(due(&fleet).is_empty());
    let mended = with_secret("ops", telegram());
    fleet.accept(Command::SetChannel(Box::new(mended)));
    assert_eq!(due(&fleet).len(), 1);
}

#[test]
fn the_table_is_bounded_and_what_is_over_and_told_goes_first() {
    let mut alerts = Alerts::default();
    let at = |n: u64| Timestamp(n * 1_000);
    let many = u64::try_from(ALERTS).unwrap();
    for n in 0..many {
        alerts.raise(away(&format!("h{n}")), None, at(n));
    }
    assert_eq!(alerts.rows.len(), ALERTS);
    alerts.resolve(&away("h5").key(), at(many));
    alerts.raise(away("new"), None, at(many));
    assert!(!alerts.rows.contains_key(&5) && !alerts.last.contains_key(&away("h5").key()));
    alerts.raise(away("newer"), None, at(many));
    assert!(!alerts.rows.contains_key(&0), "then the oldest");
    assert_eq!(alerts.rows.len(), ALERTS);
}

#[test]
fn a_pool_that_advances_is_one_alert_that_names_them() {
    let mut alerts = Alerts::default();
    let tenant = crate::command::fixture::tenant("client-1").id;
    for n in 0..30 {
        let phase = email_engine_protocol::api::Phase::Week3;
        let what = OfTenant::advanced(7, address(n), phase);
        let event = Event::Tenant(TenantEvent {
            tenant: tenant.clone(),
            what,
        });
        alerts.raise(event, Some(tenant.clone()), Timestamp(9));
    }
    assert_eq!(alerts.rows.len(), 1);
    let words = alerts.rows[&0].event.words();
    assert_eq!(
        words.title,
        "client-1: 30 identities reached their next phase"
    );
    assert_eq!(words.lines.len(), 21);
    assert_eq!(words.lines[0], "192.0.2.1: now week 3");
    assert_eq!(words.lines[20], "and 10 more");
    assert!(
        alerts.rows[&0].told_from > Timestamp(9),
        "the rest may come in the next minute"
    );
}

/// With an agent.
fn enrolled() -> Fleet {
    let mut fleet = routed();
    fleet.declare("api1", Role::Api, 7);
    fleet.state.hosts.change_each(|_, host| {
        host.lifecycle = HostLifecycle::Enrolled;
        let keys = host.keys.get_or_insert_with(|| HostKeys {
            serial: email_engine_protocol::bytes::CertificateSerial([9; 16]),
            spki: crate::command::fixture::spki(9),
            report_key: email_engine_protocol::bytes::VerifyingKey([9; 32]),
            sealing_key: email_engine_protocol::bytes::SealingPublicKey([9; 32]),
            mode: email_engine_protocol::observed::Mode::Real,
            enrolled_at: Timestamp(1),
        });
        keys.enrolled_at = Timestamp(1);
    });
    fleet
}

fn seen(fleet: &Fleet, host: HostSeen) -> Seen {
    let _ = fleet;
    Seen {
        hosts: [(host_id("pmta1"), host)].into(),
        unknown: [].into(),
    }
}

fn kinds(looked: &Looked) -> Vec<AlertKind> {
    looked.raised.iter().map(Event::kind).collect()
}

#[test]
fn a_host_is_away_after_five_minutes_and_unknown_is_neither() {
    let mut fleet = enrolled();
    let missed = HostSeen {
        missed_since: Some(fleet.now()),
        turned_away: Some("its certificate was revoked".into()),
        ..HostSeen::default()
    };
    let seen = seen(&fleet, missed);
    fleet.wait(AWAY_MILLIS - 1);
    assert_eq!(look(&fleet.state, &seen, fleet.now()), Looked::default());
    fleet.wait(1);
    let looked = look(&fleet.state, &seen, fleet.now());
    assert_eq!(kinds(&looked), [AlertKind::HostAway]);
    fleet.accept(raise(looked.raised));
    assert_eq!(
        look(&fleet.state, &seen, fleet.now()),
        Looked::default(),
        "it is told"
    );
    let unknown = Seen {
        hosts: [].into(),
        unknown: [host_id("pmta1")].into(),
    };
    assert_eq!(look(&fleet.state, &unknown, fleet.now()), Looked::default());
    let back = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(back.resolved.len(), 1);
}

#[test]
fn what_an_agent_tells_is_found_and_not_over_because_it_is_silent() {
    let mut fleet = enrolled();
    let told = HostSeen {
        contested: vec![("file:/etc/pmta/config".into(), "contested: the mode".into())],
        disks: vec![
            DiskSeen {
                mount: "/".into(),
                left: 1024 * 1024 * 1024,
                size: 100 * 1024 * 1024 * 1024,
            },
            DiskSeen {
                mount: "/boot".into(),
                left: 1,
                size: 1024 * 1024,
            },
        ],
        notices: vec!["3 messages from unknown senders were discarded".into()],
        ..HostSeen::default()
    };
    let seen_now = seen(&fleet, told);
    let looked = look(&fleet.state, &seen_now, fleet.now());
    let found = [
        AlertKind::DriftContested,
        AlertKind::DiskLow,
        AlertKind::AccountingGap,
    ];
    assert_eq!(kinds(&looked), found);
    fleet.accept(raise(looked.raised));
    let silent = HostSeen {
        missed_since: Some(fleet.now()),
        ..HostSeen::default()
    };
    let looked = look(&fleet.state, &seen(&fleet, silent), fleet.now());
    let over: Vec<_> = looked.resolved.iter().map(|key| key.kind).collect();
    assert_eq!(over, [AlertKind::AccountingGap]);
    let well = look(
        &fleet.state,
        &seen(&fleet, HostSeen::default()),
        fleet.now(),
    );
    assert_eq!(well.resolved.len(), 3);
}

#[test]
fn a_pause_is_over_when_it_is_and_a_hold_is_told_after_three_times_its_days() {
    let mut fleet = enrolled();
    let address = address(0);
    fleet.accept(Command::PauseWarmup(PauseWarmup {
        address,
        days: None,
    }));
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(kinds(&looked), [AlertKind::WarmupPaused]);
    fleet.accept(raise(looked.raised));
    fleet.accept(Command::ResumeWarmup(Box::new(ResumeWarmup {
        address,
        reason: "mended".to_owned(),
        counted: Default::default(),
    })));
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(looked.resolved.len(), 1);
    let held = fleet.now().plus(22 * Timestamp::DAY);
    let looked = look(&fleet.state, &Seen::default(), held);
    assert!(kinds(&looked).contains(&AlertKind::WarmupHeld));
    fleet.state.identities.change_each(|_, identity| {
        std::sync::Arc::make_mut(identity).spec.status = IpStatus::Resting;
    });
    let looked = look(&fleet.state, &Seen::default(), held);
    assert!(!kinds(&looked).contains(&AlertKind::WarmupHeld));
}

#[test]
fn what_happens_to_an_address_is_told_to_whose_it_is_now() {
    let mut alerts = Alerts::default();
    let tenant = |name| Some(crate::command::fixture::tenant(name).id);
    alerts.raise(away("pmta1"), tenant("client-1"), Timestamp(1));
    alerts.raise(away("pmta1"), tenant("client-2"), Timestamp(2));
    alerts.raise(away("pmta1"), tenant("client-2"), Timestamp(3));
    let rows: Vec<_> = alerts.rows.values().collect();
    assert_eq!((rows[0].count, rows[1].count), (1, 2));
    assert!(!rows[0].is_open() && rows[1].is_open());
}

#[test]
fn an_end_is_due_after_its_beginning() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    fleet.accept(over(&away("pmta1")));
    let occasions: Vec<_> = due(&fleet)[0].items.iter().map(|(_, one)| *one).collect();
    assert_eq!(occasions, [Occasion::Raised, Occasion::Resolved]);
}

/// A look at the records of the first identity, as it has to be now or at something else.
fn seen_in_dns(fleet: &mut Fleet, verdict: DnsVerdict, is_of_now: bool) {
    let identity = fleet.state.identities[&address(0)].clone();
    let (_, wanted) = subject(&fleet.state, &identity).unwrap();
    let look = DnsLook {
        at: fleet.now(),
        by: "node 1".to_owned(),
        since: fleet.now(),
        domain: identity.spec.domain.clone(),
        wanted: if is_of_now {
            wanted
        } else {
            ContentHash([9; 32])
        },
        found: [(DnsPart::Spf, verdict)].into(),
    };
    let looks = &mut fleet.state.dns_looks.last;
    looks.insert(address(0), std::sync::Arc::new(look));
}

#[test]
fn a_record_that_is_not_wanted_any_more_is_not_wrong() {
    let mut fleet = enrolled();
    let invalid = DnsVerdict::Invalid {
        seen: "no record".to_owned(),
        replace: None,
    };
    seen_in_dns(&mut fleet, invalid, true);
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    fleet.accept(raise(looked.raised));
    let last = &mut fleet.state.dns_looks.last;
    last.change_each(|_, look| std::sync::Arc::make_mut(look).found.clear());
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!((looked.raised.len(), looked.resolved.len()), (0, 1));
}

#[test]
fn a_record_that_is_wrong_is_told_of_those_that_send_with_the_line_to_publish() {
    let mut fleet = enrolled();
    let invalid = || DnsVerdict::Invalid {
        seen: "ns1 shows v=spf1 -all".to_owned(),
        replace: None,
    };
    seen_in_dns(&mut fleet, invalid(), false);
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(kinds(&looked), [], "another wish was looked at");
    seen_in_dns(&mut fleet, invalid(), true);
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(kinds(&looked), [AlertKind::DnsInvalid]);
    let words = format!("{:?}", looked.raised[0]);
    assert!(words.contains("ip4:") && words.contains("-all"), "{words}");
    fleet.accept(raise(looked.raised));
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(looked, Looked::default(), "it is told, and not over");
    // That nothing could be seen, or something else was looked at, ends nothing.
    let why = "ns1 is silent".to_owned();
    seen_in_dns(&mut fleet, DnsVerdict::Unknown { why }, true);
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(looked, Looked::default());
    let warnings = Vec::new();
    seen_in_dns(
        &mut fleet,
        DnsVerdict::Valid {
            warnings: Vec::new(),
        },
        false,
    );
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(looked, Looked::default());
    seen_in_dns(&mut fleet, DnsVerdict::Valid { warnings }, true);
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(looked.resolved.len(), 1);
    // Who does not send yet is told by preflight.
    seen_in_dns(&mut fleet, invalid(), true);
    fleet.state.identities.change_each(|_, identity| {
        std::sync::Arc::make_mut(identity).spec.status = IpStatus::Standby;
    });
    let looked = look(&fleet.state, &Seen::default(), fleet.now());
    assert_eq!(kinds(&looked), []);
}
