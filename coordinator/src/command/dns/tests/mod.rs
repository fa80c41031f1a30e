mod zones;

use email_engine_protocol::api::{Check, DnsPart, DnsVerdict, Verdict};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use super::{AskDns, RecordDns, SeenDns};
use crate::command::fixture::{Fleet, SECOND, address};
use crate::command::{Command, Proposal, StateChecks, TellTime};

fn valid() -> DnsVerdict {
    DnsVerdict::Valid {
        warnings: Vec::new(),
    }
}

fn invalid() -> DnsVerdict {
    DnsVerdict::Invalid {
        seen: "ns1 shows nothing".to_owned(),
        replace: None,
    }
}

fn unknown() -> DnsVerdict {
    DnsVerdict::Unknown {
        why: "silent".to_owned(),
    }
}

fn seen(fleet: &Fleet, verdict: &DnsVerdict) -> RecordDns {
    let spec = &fleet.state.identities[&address(0)].spec;
    let one = SeenDns {
        domain: spec.domain.clone(),
        hostname: spec.hostname.clone(),
        selector: spec.selector.clone(),
        wanted: ContentHash([1; 32]),
        begun_at: fleet.now(),
        found: DnsPart::ALL.map(|part| (part, verdict.clone())).into(),
    };
    RecordDns {
        seen: [(address(0), one)].into(),
    }
}

fn by_node(fleet: &mut Fleet, command: RecordDns) {
    let proposal = Proposal {
        actor: "node 1".to_owned(),
        ..fleet.proposal(Command::RecordDns(command))
    };
    fleet.state.apply(&proposal).0.unwrap();
}

fn look(fleet: &mut Fleet, verdict: &DnsVerdict) {
    let command = seen(fleet, verdict);
    by_node(fleet, command);
}

/// No command may lead the clock further than a day.
fn a_day_passes(fleet: &mut Fleet) {
    for _ in 0..3 {
        fleet.wait(Timestamp::DAY / 2);
        fleet.accept(Command::TellTime(TellTime { clocks: [].into() }));
    }
}

fn stated(fleet: &Fleet, check: Check) -> Option<Verdict> {
    let checks = &fleet.state.identities[&address(0)].life.checks;
    checks.get(&check).map(|said| said.verdict.clone())
}

#[test]
fn a_look_says_what_preflight_asks_and_nothing_else() {
    let mut fleet = Fleet::with_identities(1);
    look(&mut fleet, &valid());
    for check in [Check::A, Check::Ptr, Check::Spf, Check::Dkim, Check::Dmarc] {
        assert_eq!(stated(&fleet, check), Some(Verdict::Valid), "{check}");
    }
    assert_eq!(stated(&fleet, Check::Listing), None);
    assert_eq!(stated(&fleet, Check::Address), None);
    assert_eq!(stated(&fleet, Check::NextDkim), None);
    fleet.wait(SECOND);
    look(&mut fleet, &invalid());
    assert!(matches!(
        stated(&fleet, Check::Spf),
        Some(Verdict::Invalid { .. })
    ));
}

#[test]
fn that_nothing_could_be_seen_takes_nothing_from_what_was() {
    let mut fleet = Fleet::with_identities(1);
    look(&mut fleet, &unknown());
    assert!(matches!(
        stated(&fleet, Check::A),
        Some(Verdict::Unknown { .. })
    ));
    look(&mut fleet, &valid());
    fleet.wait(SECOND);
    look(&mut fleet, &unknown());
    assert_eq!(stated(&fleet, Check::A), Some(Verdict::Valid));
    let last = &fleet.state.dns_looks.last[&address(0)];
    assert_eq!(last.found[&DnsPart::A], unknown(), "the view tells it");
    // A day later nothing of it holds.
    a_day_passes(&mut fleet);
    look(&mut fleet, &unknown());
    assert!(matches!(
        stated(&fleet, Check::A),
        Some(Verdict::Unknown { .. })
    ));
}

#[test]
fn an_operators_word_holds_for_its_day() {
    let mut fleet = Fleet::with_identities(1);
    fleet.accept(Command::StateChecks(StateChecks {
        address: address(0),
        verdicts: [(Check::Spf, Verdict::Valid)].into(),
        sweeps: false,
    }));
    look(&mut fleet, &invalid());
    assert_eq!(stated(&fleet, Check::Spf), Some(Verdict::Valid));
    assert!(matches!(
        stated(&fleet, Check::Dmarc),
        Some(Verdict::Invalid { .. })
    ));
    a_day_passes(&mut fleet);
    look(&mut fleet, &invalid());
    assert!(matches!(
        stated(&fleet, Check::Spf),
        Some(Verdict::Invalid { .. })
    ));
}

#[test]
fn a_look_at_what_is_another_by_now_is_nobodys() {
    let mut fleet = Fleet::with_identities(1);
    for change in 0..3 {
        let mut command = seen(&fleet, &valid());
        let one = command.seen.get_mut(&address(0)).unwrap();
        let other = "other.example.net".parse().unwrap();
        match change {
            0 => one.domain = other,
            1 => one.hostname = other,
            _ => one.selector = "other".to_owned(),
        }
        let revision = fleet.state.revision;
        by_node(&mut fleet, command);
        assert_eq!(fleet.state.revision, revision);
        assert_eq!(stated(&fleet, Check::A), None);
    }
    let mut command = seen(&fleet, &valid());
    let one = command.seen.remove(&address(0)).unwrap();
    command.seen.insert(address(9), one);
    by_node(&mut fleet, command);
    assert!(fleet.state.dns_looks.last.is_empty());
}

#[test]
fn since_when_it_is_so_is_remembered_until_it_is_otherwise() {
    let mut fleet = Fleet::with_identities(1);
    look(&mut fleet, &invalid());
    let first = fleet.state.dns_looks.last[&address(0)].at;
    fleet.wait(SECOND);
    look(&mut fleet, &invalid());
    let last = fleet.state.dns_looks.last[&address(0)].clone();
    assert_eq!(last.since, first);
    assert!(last.at > first.plus(SECOND - 1));
    fleet.wait(SECOND);
    look(&mut fleet, &valid());
    let last = &fleet.state.dns_looks.last[&address(0)];
    assert_eq!(last.since, last.at);
}

#[test]
fn what_is_asked_for_is_asked_until_it_was_looked_at() {
    let mut fleet = Fleet::with_identities(2);
    let before = seen(&fleet, &valid());
    fleet.wait(SECOND);
    fleet.accept(Command::AskDns(AskDns {
        addresses: [address(0), address(1)].into(),
    }));
    by_node(&mut fleet, before);
    assert_eq!(
        fleet.state.dns_looks.asked.len(),
        2,
        "that look began before"
    );
    look(&mut fleet, &unknown());
    let asked: Vec<_> = fleet.state.dns_looks.asked.keys().collect();
    assert_eq!(asked, [&address(1)]);
    let nobody = fleet.refuse(Command::AskDns(AskDns {
        addresses: [address(7)].into(),
    }));
    assert_eq!(nobody.field, "addresses");
}

#[test]
fn texts_of_others_are_bounded() {
    let fleet = Fleet::with_identities(1);
    for bad in ["", "a\u{7}b", &"x".repeat(501)] {
        let verdict = DnsVerdict::Unknown {
            why: bad.to_owned(),
        };
        let command = seen(&fleet, &verdict);
        let mut fleet = fleet.clone();
        let refused = fleet.refuse(Command::RecordDns(command));
        assert!(refused.field.starts_with("seen."), "{refused:?}");
    }
}
