use email_engine_protocol::api::{AlertKind, ZoneMode};
use email_engine_protocol::bytes::ContentHash;

use super::super::{BeginPublish, EndPublish, Marks, RemoveDnsZone, SetDnsZone};
use crate::alerts::rules::{Seen, look};
use crate::command::fixture::alerts::raise;
use crate::command::fixture::dns::{ended, marks, zone};
use crate::command::fixture::{Fleet, SECOND, domain};
use crate::command::{Command, RejectionCode};
use crate::state::{DnsZone, Made};

const ZONE: &str = "example.com";

fn declared(mode: ZoneMode) -> Fleet {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(Command::SetDnsZone(Box::new(zone(ZONE, mode))));
    fleet
}

fn row(fleet: &Fleet) -> DnsZone {
    (*fleet.state.dns_zones.declared[&domain(ZONE)]).clone()
}

fn begin(marks: Marks) -> Command {
    let zone = domain(ZONE);
    Command::BeginPublish(BeginPublish { zone, marks })
}

fn end(there: Marks, gone: Marks) -> Command {
    Command::EndPublish(Box::new(ended(ZONE, there, gone)))
}

fn made(fleet: &Fleet, name: &str) -> Vec<Made> {
    let inventory = fleet.state.dns_zones.inventory(&domain(ZONE));
    inventory
        .get(name)
        .into_iter()
        .flat_map(|marks| marks.values().copied())
        .collect()
}

#[test]
fn a_zone_keeps_its_key_while_that_has_the_same_name_and_shows_it_to_nobody() {
    let mut fleet = declared(ZoneMode::Advise);
    let again = SetDnsZone {
        key: None,
        ..zone(ZONE, ZoneMode::Manage)
    };
    fleet.accept(Command::SetDnsZone(Box::new(again.clone())));
    assert_eq!(row(&fleet).mode, ZoneMode::Manage);
    assert_eq!(Some(row(&fleet).key), zone(ZONE, ZoneMode::Manage).key);
    let other = SetDnsZone {
        key_name: "other".to_owned(),
        ..again
    };
    let refused = fleet.refuse(Command::SetDnsZone(Box::new(other)));
    assert_eq!(refused.field, "key");
    let told: Vec<String> = fleet
        .state
        .audit
        .iter()
        .map(|entry| format!("{entry:?}"))
        .collect();
    assert!(
        told.iter()
            .any(|entry| entry.contains("zone example.com: manage, at 192.0.2.53:53"))
    );
    assert!(
        !told.iter().any(|entry| entry.contains("7, 7, 7")),
        "the sealed key is no part of it"
    );
}

#[test]
fn servers_and_names_of_keys_that_can_be_none_are_refused() {
    let mut fleet = Fleet::with_identities(1);
    for (server, key_name, field) in [
        ("0.0.0.0:53", "ee-key", "server"),
        ("192.0.2.53:0", "ee-key", "server"),
        ("192.0.2.53:53", "", "key_name"),
        ("192.0.2.53:53", "ee key", "key_name"),
        ("192.0.2.53:53", "Ee", "key_name"),
        ("192.0.2.53:53", "a..b", "key_name"),
    ] {
        let bad = SetDnsZone {
            server: server.parse().unwrap(),
            key_name: key_name.to_owned(),
            ..zone(ZONE, ZoneMode::Manage)
        };
        let refused = fleet.refuse(Command::SetDnsZone(Box::new(bad)));
        assert_eq!(refused.field, field, "{server} {key_name}");
    }
}

#[test]
fn nothing_is_written_down_of_a_zone_that_is_only_advised_about() {
    let mut fleet = declared(ZoneMode::Advise);
    let none = Marks::new;
    for command in [begin(marks("a.example.com", 1)), end(none(), none())] {
        assert_eq!(fleet.refuse(command).code, RejectionCode::WrongState);
    }
    let elsewhere = EndPublish {
        zone: domain("example.net"),
        ..ended(ZONE, none(), none())
    };
    let refused = fleet.refuse(Command::EndPublish(Box::new(elsewhere)));
    assert_eq!(refused.code, RejectionCode::NotFound);
}

#[test]
fn what_is_about_to_be_made_is_known_before_it_is_there_and_until_it_was_seen_to_be_gone() {
    let mut fleet = declared(ZoneMode::Manage);
    let name = "a.example.com";
    fleet.accept(begin(marks(name, 1)));
    assert_eq!(made(&fleet, name), [Made::Intended]);
    fleet.accept(end(marks(name, 1), Marks::new()));
    assert_eq!(made(&fleet, name), [Made::There]);
    // Whoever begins anew takes nothing back.
    fleet.accept(begin(marks(name, 1)));
    assert_eq!(made(&fleet, name), [Made::There]);
    fleet.accept(end(Marks::new(), marks(name, 2)));
    assert_eq!(
        made(&fleet, name),
        [Made::There],
        "another record of it is gone"
    );
    fleet.accept(end(Marks::new(), marks(name, 1)));
    assert!(made(&fleet, name).is_empty());
    assert!(fleet.state.dns_zones.made.is_empty(), "no empty row stays");
}

#[test]
fn a_look_that_found_all_as_it_was_is_nobodys_change() {
    let mut fleet = declared(ZoneMode::Manage);
    let (revision, audited) = (fleet.state.revision, fleet.state.next_audit);
    fleet.accept(end(Marks::new(), Marks::new()));
    assert!(row(&fleet).last.is_some());
    assert_eq!(
        (fleet.state.revision, fleet.state.next_audit),
        (revision, audited)
    );
    fleet.accept(end(marks("a.example.com", 1), Marks::new()));
    assert_eq!(fleet.state.next_audit, audited + 1);
}

#[test]
fn failures_are_counted_for_the_same_wishes_and_forgotten_when_somebody_declares_the_zone_anew() {
    let mut fleet = declared(ZoneMode::Manage);
    let stuck = |wanted: u8| {
        let end = EndPublish {
            wanted: ContentHash([wanted; 32]),
            stuck: Some("silent".to_owned()),
            ..ended(ZONE, Marks::new(), Marks::new())
        };
        Command::EndPublish(Box::new(end))
    };
    for (wanted, failures) in [(1, 1), (1, 2), (2, 1)] {
        fleet.wait(SECOND);
        fleet.accept(stuck(wanted));
        assert_eq!(row(&fleet).last.unwrap().failures, failures);
    }
    fleet.accept(Command::SetDnsZone(Box::new(SetDnsZone {
        key: None,
        ..zone(ZONE, ZoneMode::Manage)
    })));
    assert_eq!(row(&fleet).last, None);
}

/// Told once after an hour, whatever was wanted meanwhile, and over when it is right.
#[test]
fn a_zone_that_is_stuck_for_an_hour_is_told_of_until_it_is_published() {
    const MINUTE: u64 = 60 * SECOND;
    let mut fleet = declared(ZoneMode::Manage);
    let try_it = |fleet: &mut Fleet, wanted: u8, stuck: Option<&str>| {
        let end = EndPublish {
            wanted: ContentHash([wanted; 32]),
            stuck: stuck.map(str::to_owned),
            ..ended(ZONE, Marks::new(), Marks::new())
        };
        fleet.accept(Command::EndPublish(Box::new(end)));
    };
    let looked = |fleet: &Fleet| look(&fleet.state, &Seen::default(), fleet.now());
    let stuck = |fleet: &Fleet| -> Vec<String> {
        let found = looked(fleet).raised.into_iter();
        let ours = found.filter(|event| event.kind() == AlertKind::DnsZoneStuck);
        ours.map(|event| {
            let words = event.words();
            format!("{} {}", words.title, words.lines.join(" "))
        })
        .collect()
    };
    try_it(&mut fleet, 1, Some("192.0.2.53:53 does not answer"));
    let since = fleet.now();
    fleet.wait(59 * MINUTE);
    try_it(&mut fleet, 2, Some("192.0.2.53:53 refuses the key"));
    assert_eq!(stuck(&fleet), Vec::<String>::new());
    fleet.wait(MINUTE);
    let told = stuck(&fleet);
    let [told] = &told[..] else {
        panic!("once: {told:?}");
    };
    for words in [
        format!("Zone {ZONE} is not published as it has to be since {since}"),
        "192.0.2.53:53 refuses the key".to_owned(),
        format!("`email-engine dns plan {ZONE}`"),
    ] {
        assert!(told.contains(&words), "{told}");
    }
    fleet.accept(raise(looked(&fleet).raised));
    assert_eq!(stuck(&fleet), Vec::<String>::new(), "not told again");
    assert!(looked(&fleet).resolved.is_empty());
    try_it(&mut fleet, 2, None);
    let over = looked(&fleet).resolved;
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!(over[0].kind, AlertKind::DnsZoneStuck);
    // And then an hour begins anew.
    try_it(&mut fleet, 2, Some("again"));
    assert_eq!(row(&fleet).last.unwrap().stuck_since, Some(fleet.now()));
}

#[test]
fn a_zone_that_is_forgotten_takes_what_was_made_in_it_along_and_nothing_of_others() {
    let mut fleet = declared(ZoneMode::Manage);
    let other = zone("example.net", ZoneMode::Manage);
    fleet.accept(Command::SetDnsZone(Box::new(other)));
    fleet.accept(begin(marks("a.example.com", 1)));
    fleet.accept(Command::BeginPublish(BeginPublish {
        zone: domain("example.net"),
        marks: marks("a.example.net", 1),
    }));
    let zone = domain(ZONE);
    fleet.accept(Command::RemoveDnsZone(RemoveDnsZone { zone: zone.clone() }));
    assert!(fleet.state.dns_zones.inventory(&zone).is_empty());
    assert_eq!(
        fleet
            .state
            .dns_zones
            .inventory(&domain("example.net"))
            .len(),
        1
    );
    let refused = fleet.refuse(Command::RemoveDnsZone(RemoveDnsZone { zone }));
    assert_eq!(refused.code, RejectionCode::NotFound);
}

#[test]
fn names_and_numbers_of_records_are_bounded() {
    let mut fleet = declared(ZoneMode::Manage);
    for bad in ["", "a b", "\u{7}", &"x".repeat(254)] {
        let refused = fleet.refuse(begin(marks(bad, 1)));
        assert!(refused.field.starts_with("marks."), "{refused:?}");
    }
    let many = (0..2_001)
        .flat_map(|at| marks(&format!("a{at}.example.com"), 1))
        .collect();
    assert_eq!(fleet.refuse(begin(many)).code, RejectionCode::Limit);
}
