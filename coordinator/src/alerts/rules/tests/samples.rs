//! One of everything that can be told: its words, and its bytes in the log.

use std::collections::BTreeSet;

use email_engine_protocol::api::{AlertKind, Phase, Purpose};
use email_engine_protocol::id::{NodeId, RequestId, TokenId};
use email_engine_protocol::time::Timestamp;

use super::super::*;
use crate::command::fixture::alerts::channel_name;
use crate::command::fixture::{address, domain, host_id};

const AT: Timestamp = Timestamp(1_795_240_800_000);

/// Names stand in what other parts raise: each has its words, and none says what nobody knows.
#[test]
fn every_kind_has_its_words() {
    let lines: Vec<String> = samples()
        .iter()
        .map(|event| {
            let words = event.words();
            let key = event.key();
            let lines = words.lines.iter().map(|line| format!("  {line}\n"));
            let lines: String = lines.collect();
            let head = [
                key.kind.to_string(),
                key.subject.to_string(),
                key.cause.to_string(),
            ];
            let head: Vec<_> = head.into_iter().filter(|part| !part.is_empty()).collect();
            format!("{}\n{}\n{lines}", head.join(" | "), words.title)
        })
        .collect();
    let text = lines.join("\n");
    assert_eq!(
        text,
        include_str!("../words.golden"),
        "as it is now:\n{text}"
    );
    let kinds: BTreeSet<_> = samples().iter().map(Event::kind).collect();
    assert_eq!(kinds.len(), AlertKind::ALL.len());
}

#[test]
fn events_keep_their_place_in_the_log() {
    let shape: Vec<String> = samples()
        .iter()
        .map(|event| {
            let bytes = postcard::to_stdvec(event).unwrap();
            assert_eq!(postcard::from_bytes::<Event>(&bytes).unwrap(), *event);
            data_encoding::HEXLOWER.encode(&bytes)
        })
        .collect();
    let text = shape.join("\n") + "\n";
    assert_eq!(
        text,
        include_str!("../events.golden"),
        "as it is now:\n{text}"
    );
}

fn samples() -> Vec<Event> {
    let shelves = [
        warmup_samples(),
        identity_samples(),
        listing_samples(),
        host_samples(),
        cluster_samples(),
        tenant_and_list_samples(),
    ];
    shelves.into_iter().flatten().collect()
}

fn identity(what: OfIdentity) -> Event {
    Event::Identity(Box::new(IdentityEvent {
        address: address(0),
        domain: domain("mail1.example.com"),
        what,
    }))
}

fn warmup_samples() -> Vec<Event> {
    let reasons = || vec!["hard bounces 11.00 % (11 of 100), above 10.00 %".into()];
    vec![
        identity(OfIdentity::WarmupPaused {
            reasons: reasons(),
            until: AT,
        }),
        identity(OfIdentity::WarmupStopped { reasons: reasons() }),
        identity(OfIdentity::WarmupHeld {
            phase: Phase::Week2,
            since: AT,
            reasons: vec!["too little of the quota was used".into()],
        }),
    ]
}

fn identity_samples() -> Vec<Event> {
    vec![
        identity(OfIdentity::Quarantined {
            lists: vec!["zen.example.org".into()],
            by: "key ops".into(),
            reason: "seen by hand".into(),
        }),
        identity(OfIdentity::RotationWaits {
            why: "publish should have been over".into(),
        }),
        identity(OfIdentity::Promoted {
            replaces: address(1),
            restores_percent: 5,
            phase: Phase::Week1,
        }),
        identity(OfIdentity::DnsInvalid {
            record: "spf".into(),
            what: "it does not allow 192.0.2.1".into(),
            publish: Some("mail1.example.com. TXT \"v=spf1 ip4:192.0.2.1 -all\"".into()),
        }),
        identity(OfIdentity::QueueExpired {
            recipients: 41,
            host: host_id("pmta1"),
            file: "/var/lib/list.jsonl".into(),
        }),
    ]
}

fn listing_samples() -> Vec<Event> {
    let listed = |remedy| {
        identity(OfIdentity::Listed(Listing {
            lists: vec![ListHit {
                list: "zen.example.org".into(),
                codes: vec!["127.0.0.2".into(), "127.0.0.4".into()],
                meaning: "a spam source".into(),
            }],
            remedy,
            until: AT.plus(7 * Timestamp::DAY),
            campaigns: vec!["Autumn".into()],
        }))
    };
    vec![
        listed(Remedy::Searching),
        listed(Remedy::Replaced {
            by: address(1),
            domain: domain("mail2.example.com"),
            restores_percent: 100,
        }),
        listed(Remedy::NoneLeft {
            why: "no standby of purpose marketing is left".into(),
        }),
        listed(Remedy::NothingLost),
    ]
}

fn host_samples() -> Vec<Event> {
    let host = |what| {
        let host = host_id("pmta1");
        Event::Host(HostEvent { host, what })
    };
    vec![
        host(OfHost::Away {
            since: AT,
            why: Some("it is a sandbox".into()),
        }),
        host(OfHost::Refused {
            generation: "1.7".into(),
            stage: "apply".into(),
            reason: "the disk is full".into(),
        }),
        host(OfHost::Contested {
            resource: "file:/etc/pmta/config".into(),
            reason: "contested: the mode".into(),
        }),
        host(OfHost::CertificateEnding { ends_at: AT }),
        host(OfHost::FromFuture {
            holds: "generation 1.9".into(),
            known: "generation 1.7".into(),
        }),
        host(OfHost::Uncounted {
            what: vec!["3 records could not be read".into()],
        }),
        host(OfHost::DiskLow {
            mount: "/".into(),
            left_mib: 900,
            size_mib: 20_000,
        }),
    ]
}

fn cluster_samples() -> Vec<Event> {
    let node = NodeId(2);
    let all = [
        OfCluster::ChannelDead {
            channel: channel_name("ops"),
            since: AT,
            error: "no route to host".into(),
        },
        OfCluster::Clone {
            token: TokenId::new("t1").unwrap(),
            holder: "a at 192.0.2.1:1".into(),
            refused: "b at 192.0.2.2:2".into(),
        },
        OfCluster::NodeCertificateEnding { node, ends_at: AT },
        OfCluster::NoQuorum { node, since: AT },
        OfCluster::Test {
            by: "key ops".into(),
            channel: None,
            request: RequestId::new("r1").unwrap(),
        },
        OfCluster::ZoneStuck {
            zone: domain("example.com"),
            since: AT,
            why: "no answer from 192.0.2.53:53".into(),
        },
    ];
    all.into_iter().map(Event::Cluster).collect()
}

fn tenant_and_list_samples() -> Vec<Event> {
    let list = |what| {
        let list = "zen.example.org".into();
        Event::List(ListEvent { list, what })
    };
    let tenant = |what| {
        let tenant = crate::command::fixture::tenant("client-1").id;
        Event::Tenant(TenantEvent { tenant, what })
    };
    vec![
        tenant(OfTenant::advanced(20_778, address(0), Phase::Active)),
        tenant(OfTenant::BreakerOpen {
            reason: "3 of 10 identities are in quarantine".into(),
            paused: vec![Purpose::Marketing],
        }),
        tenant(OfTenant::CampaignsHeld {
            host: host_id("mailwizz1"),
            since: AT,
            named: vec!["Spring (ab12) has vmta-mail1".into()],
            more: 2,
            outlook: vec![
                "vmta-mail1 (192.0.2.1) takes no mail (status quarantine): another is sought"
                    .into(),
            ],
        }),
        list(OfList::MassBrake {
            addresses: 21,
            hours: 4,
        }),
        list(OfList::Unknown {
            since: AT,
            why: "SERVFAIL".into(),
        }),
        list(OfList::NewCode {
            code: "127.0.0.99".into(),
            about: Line::said(address(0)),
        }),
    ]
}
