//! Tenants, hosts, identities and what they sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_coordinator::command::{Found, HostBatch};
use email_engine_coordinator::state::{
    ClusterRecord, Issuer, Node, PreparedKey, SealedAtRest, Span,
};
use email_engine_protocol::api::{
    HostSpec, IpSpec, IpStatus, MemberRole, Phase, Purpose, Rotation as Mode, TenantSpec,
    TenantWarmup,
};
use email_engine_protocol::bytes::{CaPin, Commitment, ContentHash};
use email_engine_protocol::crypto::{Entropy, RecoveryKey};
use email_engine_protocol::id::{
    HostId, NodeId, PoolName, ReceiverGroup, Role, TenantId, VmtaName,
};
use email_engine_protocol::mail::{DomainName, LocalPart};
use email_engine_protocol::observed::{
    AccountingFileId, Counts, IdentityTotals, Mark, Mode as AgentMode, Stretch,
};
use email_engine_protocol::time::Timestamp;

use super::{CLUSTER, Outcome, SENT, now};

pub(super) fn sealed(bytes: usize) -> SealedAtRest {
    SealedAtRest {
        uid: [2; 16],
        kek_version: 1,
        wrapped_key: vec![3; 60],
        ciphertext: vec![5; bytes],
    }
}

/// As a public half of 2,048 bits is: the same in front, and then like no other. What looks for keys compares
/// such.
fn public(number: u32) -> String {
    let mut public = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA".to_owned();
    for part in 0_u32.. {
        let bytes = [number.to_be_bytes(), part.to_be_bytes()].concat();
        public.push_str(&ContentHash::of(&bytes).to_string());
        if public.len() > 392 {
            break;
        }
    }
    public.truncate(392);
    public
}

/// As large as a key of 2,048 bits.
pub(super) fn key(number: u32) -> PreparedKey {
    let mut commitment = [0; 32];
    commitment[..4].copy_from_slice(&number.to_be_bytes());
    PreparedKey {
        commitment: Commitment(commitment),
        sealed: sealed(1_740),
        public: public(number),
    }
}

pub(super) fn tenant(group: u32) -> Outcome<TenantSpec> {
    Ok(TenantSpec {
        id: TenantId::new(format!("tenant-{group}"))?,
        name: format!("Tenant {group}"),
        brand_domains: BTreeSet::new(),
        link_domains: BTreeSet::new(),
        inbound_mailbox: None,
        dmarc_rua: None,
        mailwizz_url: None,
        rotation: Mode::default(),
        warmup: TenantWarmup::default(),
        dkim_rotation_days: None,
    })
}

pub(super) fn host(group: u32) -> Outcome<HostSpec> {
    let [high, low] = u16::try_from(group)?.to_be_bytes();
    Ok(HostSpec {
        id: HostId::new(format!("relay{group}"))?,
        role: Role::Powermta,
        tenant: None,
        // One of IPv4 as well, as each relay has, of a block that is nobody's: there are more than documentation has.
        addresses: vec![
            IpAddr::from([240, 0, high, low]),
            format!("2001:db8:ffff::{high:02x}{low:02x}").parse()?,
        ],
        labels: [("host-name".to_owned(), format!("relay{group}.example.org"))].into(),
    })
}

pub(super) fn address(at: u32) -> IpAddr {
    let (high, low) = ((at >> 16) as u16, (at & 0xffff) as u16);
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, high, low])
}

pub(super) fn identity(at: u32, group: u32) -> Outcome<IpSpec> {
    let domain = DomainName::new(format!("mail{at}.tenant{group}.example.com"))?;
    Ok(IpSpec {
        address: address(at),
        tenant: TenantId::new(format!("tenant-{group}"))?,
        host: HostId::new(format!("relay{group}"))?,
        hostname: domain.clone(),
        sender: LocalPart::new("contact")?,
        display_name: format!("Tenant {group}"),
        return_path: LocalPart::new("bounce")?,
        zone: domain.clone(),
        domain,
        selector: "mail".to_owned(),
        purpose: Purpose::Marketing,
        pool: PoolName::new(format!("tenant-{group}-pool"))?,
        vmta: VmtaName::new(format!("vmta-{at}"))?,
        status: IpStatus::Warming,
        phase: Phase::Week2,
        planned_daily: 5_000,
        reserve: false,
    })
}

/// A stretch of the file of a group's host.
pub(super) fn counted(
    group: u32,
    own: std::ops::Range<u32>,
    day: u32,
    number: u64,
) -> Outcome<HostBatch> {
    let counts = Counts {
        sent: SENT,
        delivered: SENT - 1,
        bounced: 1,
        ..Counts::NONE
    };
    let groups = [
        ReceiverGroup::new("gmail")?,
        ReceiverGroup::new("microsoft")?,
    ];
    let totals = own.flat_map(|at| {
        groups.clone().map(|group| IdentityTotals {
            address: address(at),
            hour: day * 24 + 9,
            group,
            counts,
        })
    });
    let end = Span::Day(day + 1).begins();
    let stretch = Stretch {
        file: AccountingFileId {
            name: "acct-2026-11-21-0000.csv".to_owned(),
            head: ContentHash([1; 32]),
        },
        from: number * 1_000_000,
        to: (number + 1) * 1_000_000,
        instead_of: None,
        mark: Mark {
            last: Timestamp(end.0 - 1),
            tail: ContentHash([2; 32]),
        },
        totals: totals.collect(),
        replies: Vec::new(),
    };
    Ok(HostBatch {
        host: HostId::new(format!("relay{group}"))?,
        stretch: Some(stretch),
        gap: None,
        read_until: None,
    })
}

pub(super) fn found() -> Found {
    let now = now();
    let random = ring::rand::SystemRandom::new();
    let recovery = RecoveryKey::generate(&Entropy(&random)).public();
    Found {
        cluster: ClusterRecord {
            id: CLUSTER,
            epoch: 1,
            epoch_grant: None,
            version: 1,
            mode: AgentMode::Sandbox,
            recovery,
            root: vec![1],
            ca_pin: CaPin([5; 32]),
            // Sealed bytes of no length: a key of 32 bytes, then nothing.
            root_key: postcard::from_bytes(&[0; 33]).expect("a key and no bytes"),
            issuer: Issuer {
                certificate: vec![1],
                key: sealed(64),
            },
            plan_keys: BTreeMap::new(),
            created_at: now,
        },
        node: Node {
            id: NodeId(1),
            raft_endpoint: "192.0.2.101:7441".to_owned(),
            agent_endpoint: "192.0.2.101:7443".to_owned(),
            api_endpoint: "192.0.2.101:8443".to_owned(),
            role: MemberRole::Voter,
            joined_at: now,
            supports_version: 1,
        },
    }
}
