use std::collections::BTreeMap;

use email_engine_protocol::api::{ComplianceState, DnsPart, DnsVerdict, Purpose, Rate};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use super::{compliance, rules};
use crate::command::fixture::{Fleet, address};
use crate::dns::wanted::wanted;
use crate::state::{DnsLook, Identity};

/// A 2048-bit and a 1024-bit key are made nowhere here: lengths are all that is looked at.
fn public(bits: usize) -> String {
    let modulus = [&[0][..], &[0x80], &vec![1; bits / 8 - 1]].concat();
    let integer = |value: &[u8]| der(2, value);
    let key = der(0x30, &[integer(&modulus), integer(&[1, 0, 1])].concat());
    let algorithm = [
        0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0,
    ];
    let bits = der(3, &[&[0][..], &key].concat());
    let info = der(0x30, &[&algorithm[..], &bits].concat());
    data_encoding::BASE64.encode(&info)
}

fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head[..], value].concat()
}

fn identity(fleet: &Fleet) -> Identity {
    let mut identity = (*fleet.state.identities[&address(0)]).clone();
    identity.dkim_public = public(2048);
    identity.spec.purpose = Purpose::Transactional;
    identity.warmup.rates.complaints = Some(Rate {
        events: 1,
        of: 10_000,
        measured: true,
    });
    identity
}

fn states(
    fleet: &Fleet,
    identity: &Identity,
    verdict: Option<(DnsPart, DnsVerdict)>,
) -> BTreeMap<String, (ComplianceState, String)> {
    let state = &fleet.state;
    let tenant = &state.tenants[&identity.spec.tenant];
    let wanted = wanted(identity, tenant, state.hosts.get(&identity.spec.host));
    let valid = || DnsVerdict::Valid {
        warnings: Vec::new(),
    };
    let mut found: BTreeMap<_, _> = DnsPart::ALL.map(|part| (part, valid())).into();
    found.extend(verdict);
    let look = DnsLook {
        at: Timestamp(0),
        by: "node 1".to_owned(),
        since: Timestamp(0),
        domain: identity.spec.domain.clone(),
        wanted: ContentHash([0; 32]),
        found,
    };
    let view = compliance(&rules(), identity, &wanted, Some(&look));
    let one = |receiver: email_engine_protocol::api::ReceiverCompliance| {
        let told = receiver.rules.iter().map(|rule| {
            format!(
                "{:?}: {}; {}",
                rule.state,
                rule.evidence,
                rule.fix.join(" ")
            )
        });
        let told = told.collect::<Vec<_>>().join("\n");
        (receiver.receiver, (receiver.state, told))
    };
    view.receivers.into_iter().map(one).collect()
}

#[test]
fn the_shipped_rules_are_dated_and_of_three_receivers() {
    let rules = rules();
    let names: Vec<&str> = rules
        .receivers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["Google", "Yahoo", "Microsoft"]);
    let is_day = |text: &str| text.parse::<jiff::civil::Date>().is_ok();
    assert!(is_day(&rules.as_of));
    for receiver in &rules.receivers {
        assert!(is_day(&receiver.since) && is_day(&receiver.refuses_since));
        assert!(receiver.source.starts_with("https://"));
        assert!(!receiver.rules.is_empty());
    }
}

#[test]
fn an_identity_that_is_right_meets_all_of_them() {
    let fleet = Fleet::with_identities(1);
    let states = states(&fleet, &identity(&fleet), None);
    for (receiver, (state, told)) in &states {
        assert_eq!(*state, ComplianceState::Met, "{receiver}: {told}");
    }
    assert!(states["Google"].1.contains("its key has 2048 bits"));
}

#[test]
fn what_is_wrong_is_told_with_the_line_that_mends_it_and_what_nobody_knows_is_open() {
    let fleet = Fleet::with_identities(1);
    let right = identity(&fleet);
    let invalid = DnsVerdict::Invalid {
        seen: "ns1 shows no SPF record".to_owned(),
        replace: None,
    };
    let wrong = states(&fleet, &right, Some((DnsPart::Spf, invalid)));
    for (state, told) in wrong.values() {
        assert_eq!(*state, ComplianceState::NotMet);
        assert!(
            told.contains("publish: ") && told.contains("v=spf1 ip4:"),
            "{told}"
        );
    }
    let unknown = DnsVerdict::Unknown {
        why: "ns2 does not answer".to_owned(),
    };
    let dark = states(&fleet, &right, Some((DnsPart::Ptr, unknown)));
    assert_eq!(dark["Google"].0, ComplianceState::Unknown);
    assert_eq!(dark["Microsoft"].0, ComplianceState::Met, "it asks no name");
    let mut short = right.clone();
    short.dkim_public = public(512);
    let short = states(&fleet, &short, None);
    assert_eq!(short["Yahoo"].0, ComplianceState::NotMet);
    assert!(
        short["Yahoo"]
            .1
            .contains("its key has 512 bits; email-engine dkim rotate")
    );
    let mut complained = right.clone();
    complained.warmup.rates.complaints = Some(Rate {
        events: 30,
        of: 10_000,
        measured: true,
    });
    assert_eq!(
        states(&fleet, &complained, None)["Google"].0,
        ComplianceState::NotMet
    );
    let mut unmeasured = right.clone();
    unmeasured.warmup.rates.complaints = None;
    assert_eq!(
        states(&fleet, &unmeasured, None)["Google"].0,
        ComplianceState::Unknown
    );
    let mut marketing = right;
    marketing.spec.purpose = Purpose::Marketing;
    assert_eq!(
        states(&fleet, &marketing, None)["Yahoo"].0,
        ComplianceState::Unknown
    );
}

#[test]
fn without_a_look_nothing_of_dns_is_claimed() {
    let fleet = Fleet::with_identities(1);
    let identity = identity(&fleet);
    let view = compliance(&rules(), &identity, &[], None);
    for receiver in &view.receivers {
        assert_eq!(receiver.state, ComplianceState::Unknown);
        let fix = &receiver.rules[0].fix;
        assert!(fix[0].contains("dns check --domain"), "{fix:?}");
    }
}
