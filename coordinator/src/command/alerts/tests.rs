//! Channels, routes and silences are checked; what is raised is told once, by the entry that says it.

use email_engine_protocol::api::{AlertKind, ChannelSpec, DeliveryState, Occasion, SmtpTls};
use email_engine_protocol::time::Timestamp;

use super::{RemoveChannel, SetChannel, TestAlerts};
use crate::alerts::rules::{AlertSubject, DeliveryOutcome};
use crate::command::RejectionCode::{ForeignTenant, InUse, Invalid, Limit, NotFound};
use crate::command::fixture::alerts::{
    away, channel_name, log_channel, over, raise, record, result, route, silence, smtp, telegram,
    webhook, with_secret,
};
use crate::command::fixture::{Fleet, SECOND, address, host_id, identity, tenant};
use crate::command::{Command, CreateTenant, Effect, RemoveTenant, SilenceAlerts, SteerIdentity};
use crate::fleet::lifecycle::Event;
use crate::state::Alert;

fn set(set: SetChannel) -> Command {
    Command::SetChannel(Box::new(set))
}

/// With one channel, to which everything goes.
fn routed() -> Fleet {
    let mut fleet = Fleet::with_identities(2);
    fleet.accept(log_channel("ops", None));
    fleet.accept(route("all", None, &["ops"]));
    fleet
}

fn last(fleet: &Fleet) -> &Alert {
    fleet.state.alerts.rows.values().last().expect("an alert")
}

fn stranger() -> Command {
    let tenant = tenant("client-2");
    Command::CreateTenant(CreateTenant { tenant })
}

#[test]
fn what_no_channel_can_be_is_refused_by_field() {
    let mut fleet = Fleet::with_identities(0);
    let plain = |server: &str| {
        let mut smtp = smtp();
        (smtp.server, smtp.tls) = (server.to_owned(), SmtpTls::Plain);
        ChannelSpec::Smtp(smtp)
    };
    let of = |change: fn(&mut email_engine_protocol::api::SmtpSpec)| {
        let mut smtp = smtp();
        change(&mut smtp);
        ChannelSpec::Smtp(smtp)
    };
    let without = |spec| SetChannel {
        secret: None,
        ..with_secret("ops", spec)
    };
    let mut strange = telegram();
    if let ChannelSpec::Telegram(spec) = &mut strange {
        spec.chat = "ops".to_owned();
    }
    for (set_channel, field) in [
        (without(webhook()), "secret"),
        (without(telegram()), "secret"),
        (with_secret("ops", ChannelSpec::Log {}), "secret"),
        (with_secret("ops", strange), "spec.telegram.chat"),
        (without(plain("192.0.2.1")), "spec.smtp.tls"),
        (without(plain("localhost.example.com")), "spec.smtp.tls"),
        (without(of(|smtp| smtp.port = 0)), "spec.smtp.port"),
        (without(of(|smtp| smtp.to.clear())), "spec.smtp.to"),
        (
            without(of(|smtp| smtp.server = "a b".to_owned())),
            "spec.smtp.server",
        ),
        (
            without(of(|smtp| smtp.username = Some("ops".to_owned()))),
            "secret",
        ),
        (with_secret("ops", of(|_| ())), "spec.smtp.username"),
    ] {
        let rejection = fleet.refuse(set(set_channel));
        assert_eq!((rejection.code, &*rejection.field), (Invalid, field));
    }
    fleet.accept(set(without(plain("127.0.0.1"))));
    let mut nobodys = with_secret("red", webhook());
    nobodys.tenant = Some(tenant("nobody").id);
    assert_eq!(fleet.refuse(set(nobodys)).code, NotFound);
}

#[test]
fn a_secret_stays_with_the_door_that_it_is_for() {
    let mut fleet = Fleet::with_identities(0);
    fleet.accept(set(with_secret("ops", telegram())));
    let mut spec = telegram();
    if let ChannelSpec::Telegram(spec) = &mut spec {
        spec.topic = Some(7);
    }
    let changed = SetChannel {
        secret: None,
        ..with_secret("ops", spec.clone())
    };
    fleet.accept(set(changed.clone()));
    let channel = &fleet.state.alerts.channels[&channel_name("ops")];
    assert!(channel.secret.is_some());
    assert_eq!(fleet.accept(set(changed)).effect, Effect::Unchanged);
    // Whoever may change a channel does not get its token sent elsewhere.
    if let ChannelSpec::Telegram(spec) = &mut spec {
        spec.api = "https://evil.example.com".parse().unwrap();
    }
    let led_away = SetChannel {
        secret: None,
        ..with_secret("ops", spec)
    };
    assert_eq!(fleet.refuse(set(led_away)).field, "secret");
}

#[test]
fn a_tenants_channel_gets_its_own_alerts_whatever_routes_say() {
    let mut fleet = routed();
    fleet.accept(stranger());
    let (own, other) = (tenant("client-1").id, tenant("client-2").id);
    fleet.accept(log_channel("red", Some(own.clone())));
    fleet.accept(log_channel("blue", Some(other.clone())));
    for foreign in [None, Some(other.clone())] {
        let rejection = fleet.refuse(route("mine", foreign, &["red"]));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (ForeignTenant, "channels")
        );
    }
    fleet.accept(route("mine", Some(own), &["red", "ops"]));
    fleet.accept(route("theirs", Some(other.clone()), &["blue"]));
    // `pmta1` is nobody's, the identity is client-1's.
    fleet.accept(raise(vec![away("pmta1")]));
    let to = |row: &Alert| -> Vec<String> {
        let channels = row.deliveries.keys();
        channels.map(|(channel, _)| channel.to_string()).collect()
    };
    assert_eq!(to(last(&fleet)), ["ops"]);
    fleet.accept(quarantine());
    assert_eq!(to(last(&fleet)), ["ops", "red"], "each once");
    assert_eq!(last(&fleet).tenant, Some(identity(0).tenant));
    // With the tenant, everything of it goes: its name may be another's one day.
    fleet.accept(Command::RemoveTenant(RemoveTenant { tenant: other }));
    assert_eq!(fleet.state.alerts.channels.len(), 2);
    assert_eq!(fleet.state.alerts.routes.len(), 2);
}

fn quarantine() -> Command {
    Command::SteerIdentity(SteerIdentity {
        address: address(0),
        event: Event::Quarantine {
            lists: ["zen.example.org".to_owned()].into(),
        },
        force: false,
        on_host: None,
    })
}

#[test]
fn a_change_that_is_told_is_told_by_its_own_entry() {
    let mut fleet = routed();
    let before = fleet.state.revision;
    fleet.accept(quarantine());
    assert_eq!(fleet.state.revision, before + 1);
    let row = last(&fleet);
    let words = row.event.words();
    assert_eq!(
        words.title,
        "192.0.2.1 (mail0.example.com): in quarantine on zen.example.org, it takes no new mail"
    );
    assert_eq!(row.event.kind(), AlertKind::Quarantined);
    assert_eq!(row.waiting().count(), 1);
}

#[test]
fn the_same_is_told_once_an_hour_and_counted() {
    let mut fleet = routed();
    let test = |channel| {
        Command::TestAlerts(TestAlerts {
            channel,
            tenant: None,
        })
    };
    fleet.accept(raise(vec![away("pmta1"), away("pmta1"), away("mw1")]));
    assert_eq!(fleet.state.alerts.rows.len(), 2);
    fleet.wait(23 * Timestamp::HOUR);
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(fleet.state.alerts.rows[&0].count, 3);
    assert_eq!(
        fleet.state.alerts.due.len(),
        2,
        "a state that goes on is told again after a day"
    );
    fleet.wait(Timestamp::HOUR);
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(fleet.state.alerts.rows.len(), 3);
    assert!(
        !fleet.state.alerts.rows[&0].is_open(),
        "the new one goes on in its place"
    );
    // Two tests are two.
    fleet.accept(test(None));
    fleet.accept(test(Some(channel_name("ops"))));
    assert_eq!(fleet.state.alerts.rows.len(), 5);
    assert_eq!(
        fleet.refuse(test(Some(channel_name("nobodys")))).code,
        NotFound
    );
    // What no leader would say.
    let rejection = fleet.refuse(raise(vec![away("mw1"); 201]));
    assert_eq!((rejection.code, &*rejection.field), (Limit, "raised"));
}

#[test]
fn what_ends_is_told_to_whoever_was_told_that_it_began() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    fleet.accept(log_channel("late", None));
    fleet.accept(route("late", None, &["late"]));
    fleet.wait(SECOND);
    fleet.accept(over(&away("pmta1")));
    let row = last(&fleet);
    let keys: Vec<_> = row.deliveries.keys().cloned().collect();
    let ops = channel_name("ops");
    assert_eq!(
        keys,
        [(ops.clone(), Occasion::Raised), (ops, Occasion::Resolved)]
    );
    assert_eq!(fleet.accept(over(&away("pmta1"))).effect, Effect::Unchanged);
}

#[test]
fn what_flickers_is_told_once_an_hour_and_nothing_of_what_is_over_by_then() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    for _ in 0..20 {
        fleet.wait(60 * SECOND);
        fleet.accept(over(&away("pmta1")));
        fleet.wait(60 * SECOND);
        fleet.accept(raise(vec![away("pmta1")]));
    }
    let alerts = &fleet.state.alerts;
    assert_eq!(alerts.rows.len(), 2, "one that was told, one that waits");
    assert_eq!(alerts.rows[&1].count, 20);
    let begun = alerts.rows[&0].raised_at;
    assert_eq!(alerts.rows[&1].told_from, begun.plus(Timestamp::HOUR));
    fleet.accept(over(&away("pmta1")));
    let states = last(&fleet).deliveries.values().map(|one| one.state);
    assert_eq!(states.collect::<Vec<_>>(), [DeliveryState::Dropped]);
    assert_eq!(
        fleet.state.alerts.due.len(),
        2,
        "the first one, and that it was over"
    );
}

#[test]
fn a_silence_keeps_quiet_what_fits_until_it_ends_and_is_audited() {
    let mut fleet = routed();
    let subject = AlertSubject::Host(host_id("pmta1"));
    fleet.accept(Command::SilenceAlerts(silence(
        Some(AlertKind::HostAway),
        Some(subject),
    )));
    let told = fleet.state.audit.last().unwrap();
    assert_eq!(
        told.object,
        "kind host-away, host pmta1 for 60 minutes: maintenance"
    );
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(last(&fleet).silenced_by, Some(0));
    assert!(fleet.state.alerts.due.is_empty());
    fleet.accept(raise(vec![away("mw1")]));
    assert_eq!(fleet.state.alerts.due.len(), 1);
    // It still is so when the silence ends: now somebody has to know.
    fleet.wait(3_599 * SECOND);
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(fleet.state.alerts.rows.len(), 2);
    fleet.wait(2 * SECOND);
    fleet.accept(raise(vec![away("pmta1")]));
    assert_eq!(fleet.state.alerts.due.len(), 2);
    for (change, field) in [
        (silence(None, None), "kind"),
        (
            SilenceAlerts {
                minutes: 0,
                ..silence(Some(AlertKind::Test), None)
            },
            "minutes",
        ),
        (
            SilenceAlerts {
                minutes: 43_201,
                ..silence(Some(AlertKind::Test), None)
            },
            "minutes",
        ),
        (
            SilenceAlerts {
                reason: String::new(),
                ..silence(Some(AlertKind::Test), None)
            },
            "reason",
        ),
    ] {
        assert_eq!(fleet.refuse(Command::SilenceAlerts(change)).field, field);
    }
}

#[test]
fn what_waits_for_a_channel_that_goes_is_given_up_and_a_route_keeps_it() {
    let mut fleet = routed();
    fleet.accept(raise(vec![away("pmta1")]));
    let remove = || {
        let name = channel_name("ops");
        Command::RemoveChannel(RemoveChannel { name })
    };
    let rejection = fleet.refuse(remove());
    assert_eq!((rejection.code, &*rejection.field), (InUse, "name"));
    fleet.accept(log_channel("other", None));
    fleet.accept(route("all", None, &["other"]));
    fleet.accept(remove());
    let delivery = last(&fleet).deliveries.values().next().unwrap();
    assert_eq!(delivery.state, DeliveryState::GivenUp);
    let late = result(0, "ops", DeliveryOutcome::Delivered);
    assert_eq!(fleet.accept(record(vec![late])).effect, Effect::Unchanged);
}
