//! Small fleets for tests, made by commands alone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::api::{
    AccessRole, HostSpec, IpSpec, IpStatus, MemberRole, Phase, Purpose, Settings, TenantSpec,
};
use email_engine_protocol::bytes::{
    CaPin, CertificateSerial, Commitment, ContentHash, SealingPublicKey, SecretHash, VerifyingKey,
};
use email_engine_protocol::crypto::{RecoveryPublic, SigningKey};
use email_engine_protocol::desired::EpochGrant;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{
    ApiKeyId, ClusterId, HostId, NodeId, PoolName, RequestId, Role, TenantId, TokenId, VmtaName,
};
use email_engine_protocol::join::Admission;
use email_engine_protocol::mail::{DomainName, LocalPart};
use email_engine_protocol::observed::{Convergence, Mode, StatusCounts};
use email_engine_protocol::time::Timestamp;

use super::{
    AddHost, AddIdentity, Bearer, BodyChange, Command, CreateApiKey, CreateTenant, Found,
    IssueToken, NewTarget, Outcome, Proposal, PutBundle, PutSettings, Recover, RedeemToken,
    Rejection, SetTargets, StockKeys,
};
use crate::state::{ClusterRecord, FleetState, Issuer, Node, PreparedKey, SealedAtRest};

pub(crate) const SECOND: u64 = Timestamp::SECOND;
const BEGIN: Timestamp = Timestamp(1_795_240_800_000);

/// A fleet with a clock and a counter of requests.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) state: FleetState,
    pub(crate) bodies: Vec<BodyChange>,
    /// Every proposal that was made.
    pub(crate) log: Vec<Proposal>,
    clock: Timestamp,
    requests: u32,
}

impl Fleet {
    pub(crate) fn empty() -> Self {
        Self {
            state: FleetState::default(),
            bodies: Vec::new(),
            log: Vec::new(),
            clock: BEGIN,
            requests: 0,
        }
    }

    pub(crate) fn founded() -> Self {
        let mut fleet = Self::empty();
        fleet.accept(Command::Found(Box::new(found())));
        fleet
    }

    /// With a bundle and settings, so with a default release.
    pub(crate) fn with_content() -> Self {
        let mut fleet = Self::founded();
        fleet.accept(bundle("one"));
        let settings = Settings::default();
        fleet.accept(Command::PutSettings(PutSettings {
            settings,
            release: false,
        }));
        fleet
    }

    /// With the shared PowerMTA host `pmta1` that nobody joined yet.
    pub(crate) fn with_declared_host() -> Self {
        let mut fleet = Self::with_content();
        fleet.declare("pmta1", Role::Powermta, 1);
        fleet
    }

    /// With tenant `client-1` and this many identities of it on `pmta1`, which joined with token `t0`
    /// and key 1; ten DKIM keys are left.
    pub(crate) fn with_identities(count: u32) -> Self {
        let mut fleet = Self::with_declared_host();
        let tenant = tenant("client-1");
        fleet.accept(Command::CreateTenant(CreateTenant { tenant }));
        fleet.accept(Command::IssueToken(host_token(
            "t0",
            "pmta1",
            Role::Powermta,
        )));
        fleet.accept(redeem("t0", 1));
        let keys = (0..count + 10).map(prepared_key).collect();
        fleet.accept(Command::StockKeys(StockKeys { keys }));
        for at in 0..count {
            fleet.accept(Command::AddIdentity(AddIdentity { ip: identity(at) }));
        }
        fleet
    }

    pub(crate) fn declare(&mut self, name: &str, role: Role, at: u8) {
        let host = host(name, role, at);
        self.accept(Command::AddHost(AddHost { host }));
    }

    /// The clock that the next proposal will have.
    pub(crate) const fn now(&self) -> Timestamp {
        self.clock
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.clock = self.clock.plus(millis);
    }

    pub(crate) fn proposal(&mut self, command: Command) -> Proposal {
        self.clock = self.clock.plus(1);
        self.requests += 1;
        let proposal = Proposal {
            actor: "key admin".to_owned(),
            request: RequestId::new(format!("request-{}", self.requests)).unwrap(),
            reason: "a test".to_owned(),
            now: self.clock,
            override_clock: false,
            command,
        };
        self.log.push(proposal.clone());
        proposal
    }

    pub(crate) fn accept(&mut self, command: Command) -> Outcome {
        let proposal = self.proposal(command);
        let (answer, bodies) = self.state.apply(&proposal);
        self.bodies.extend(bodies);
        answer.unwrap_or_else(|rejection| panic!("{rejection} for {:?}", proposal.command))
    }

    /// The refusal of a command, which changed nothing but the memory of answers.
    pub(crate) fn refuse(&mut self, command: Command) -> Rejection {
        let before = self.state.clone();
        let proposal = self.proposal(command);
        let (answer, bodies) = self.state.apply(&proposal);
        assert!(bodies.is_empty());
        let mut after = self.state.clone();
        after.remembered.clone_from(&before.remembered);
        after.remembered_order.clone_from(&before.remembered_order);
        assert_eq!(after, before, "a refusal changes nothing");
        answer.expect_err("it was to be refused")
    }

    /// More keys, none of them known.
    pub(crate) fn stock(&self, count: u32) -> Command {
        let first = 100_000 + u32::try_from(self.state.next_prepared_key).unwrap();
        let keys = (first..first + count).map(prepared_key).collect();
        Command::StockKeys(StockKeys { keys })
    }

    /// A next target of `pmta1` with these bodies and a manifest of them.
    pub(crate) fn target(&self, bodies: &[&[u8]]) -> Command {
        let id = host_id("pmta1");
        let manifest = bodies.concat();
        let mut all: BTreeMap<_, _> = bodies
            .iter()
            .map(|body| (ContentHash::of(body), body.to_vec()))
            .collect();
        let named = all.keys().copied().collect();
        let manifest = [b"manifest of ", &manifest[..]].concat();
        let digest = ContentHash::of(&manifest);
        all.insert(digest, manifest);
        all.retain(|hash, _| !self.state.bodies.contains_key(hash));
        let target = NewTarget {
            parent: self.state.targets.get(&id).map(|target| target.digest),
            digest,
            bodies: named,
            resources: 1,
            planner_version: 1,
            release: self.state.hosts[&id].release.clone(),
            host: id,
        };
        Command::SetTargets(SetTargets {
            targets: vec![target],
            bodies: all,
        })
    }
}

/// The recovery key's signing half.
pub(crate) fn recovery_key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

pub(crate) fn found() -> Found {
    let sealed = SealedAtRest {
        uid: [1; 16],
        kek_version: 1,
        wrapped_key: vec![1],
        ciphertext: vec![2],
    };
    let recovery = RecoveryPublic {
        verifying: recovery_key().verifying_key(),
        sealing: SealingPublicKey([4; 32]),
    };
    Found {
        cluster: ClusterRecord {
            id: ClusterId([1; 16]),
            epoch: 1,
            epoch_grant: None,
            version: 1,
            mode: Mode::Sandbox,
            recovery,
            root: vec![1, 2, 3],
            ca_pin: CaPin([5; 32]),
            // Sealed bytes of no length: a key of 32 bytes, then nothing.
            root_key: postcard::from_bytes(&[0; 33]).unwrap(),
            issuer: Issuer {
                certificate: vec![4, 5],
                key: sealed,
            },
            plan_keys: BTreeMap::new(),
            created_at: BEGIN,
        },
        node: Node {
            id: NodeId(1),
            raft_endpoint: "192.0.2.101:7441".to_owned(),
            agent_endpoint: "192.0.2.101:7443".to_owned(),
            api_endpoint: "192.0.2.101:8443".to_owned(),
            role: MemberRole::Voter,
            joined_at: BEGIN,
            supports_version: 1,
        },
    }
}

pub(crate) fn tenant(name: &str) -> TenantSpec {
    TenantSpec {
        id: TenantId::new(name).unwrap(),
        name: format!("Tenant {name}"),
        brand_domains: [].into(),
        link_domains: [].into(),
        inbound_mailbox: None,
        dmarc_rua: None,
    }
}

pub(crate) fn host_id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

pub(crate) fn host(name: &str, role: Role, at: u8) -> HostSpec {
    HostSpec {
        id: host_id(name),
        role,
        tenant: None,
        addresses: vec![IpAddr::from([203, 0, 113, at])],
        labels: BTreeMap::new(),
    }
}

pub(crate) fn domain(name: &str) -> DomainName {
    DomainName::new(name).unwrap()
}

/// The address of identity `at`: 192.0.2.0/24 first, then the documentation prefix of IPv6.
pub(crate) fn address(at: u32) -> IpAddr {
    match u8::try_from(at + 1) {
        Ok(last) => IpAddr::from([192, 0, 2, last]),
        Err(_) => {
            let [a, b, c, d] = at.to_be_bytes().map(u16::from);
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, (a << 8) | b, (c << 8) | d])
        }
    }
}

pub(crate) fn identity(at: u32) -> IpSpec {
    let domain = domain(&format!("mail{at}.example.com"));
    IpSpec {
        address: address(at),
        tenant: tenant("client-1").id,
        host: host_id("pmta1"),
        hostname: domain.clone(),
        sender: LocalPart::new("contact").unwrap(),
        display_name: "Example".to_owned(),
        return_path: LocalPart::new("bounce").unwrap(),
        zone: domain.clone(),
        domain,
        selector: "mail".to_owned(),
        purpose: Purpose::Marketing,
        pool: PoolName::new("client-1-pool").unwrap(),
        vmta: VmtaName::new(format!("vmta-{at}")).unwrap(),
        status: IpStatus::Warming,
        phase: Phase::Week2,
        planned_daily: 5_000,
    }
}

pub(crate) fn prepared_key(number: u32) -> PreparedKey {
    let mut commitment = [0; 32];
    commitment[..4].copy_from_slice(&number.to_be_bytes());
    PreparedKey {
        commitment: Commitment(commitment),
        sealed: SealedAtRest {
            uid: [2; 16],
            kek_version: 1,
            wrapped_key: vec![3; 60],
            ciphertext: number.to_be_bytes().to_vec(),
        },
        public: format!("MIIBIjANBgkq{number}"),
    }
}

pub(crate) fn spki(of: u8) -> ContentHash {
    ContentHash::of(&[of])
}

pub(crate) fn host_token(id: &str, host: &str, role: Role) -> IssueToken {
    IssueToken {
        id: TokenId::new(id).unwrap(),
        secret: SecretHash([7; 32]),
        admission: Admission::Host {
            host: host_id(host),
            role,
        },
        ttl_millis: 3600 * SECOND,
        replace: false,
    }
}

pub(crate) fn node_token(id: &str) -> IssueToken {
    IssueToken {
        admission: Admission::Node,
        ..host_token(id, "unused", Role::Api)
    }
}

pub(crate) fn redemption(token: &str, key: u8) -> RedeemToken {
    RedeemToken {
        id: TokenId::new(token).unwrap(),
        secret: SecretHash([7; 32]),
        spki: spki(key),
        bearer: Bearer::Host {
            report_key: VerifyingKey([key; 32]),
            sealing_key: SealingPublicKey([key; 32]),
            mode: Mode::Sandbox,
            serial: CertificateSerial([key; 16]),
            not_after: BEGIN.plus(365 * Timestamp::DAY),
            hostname: format!("machine-{key}"),
        },
        from: format!("192.0.2.{key}:40000"),
    }
}

pub(crate) fn redeem(token: &str, key: u8) -> Command {
    Command::RedeemToken(Box::new(redemption(token, key)))
}

pub(crate) fn redeem_node(token: &str, key: u8) -> Command {
    let endpoint = |port| format!("192.0.2.10{key}:{port}");
    let redeem = RedeemToken {
        bearer: Bearer::Node {
            raft_endpoint: endpoint(7441),
            agent_endpoint: endpoint(7443),
            api_endpoint: endpoint(8443),
            supports_version: 1,
        },
        ..redemption(token, key)
    };
    Command::RedeemToken(Box::new(redeem))
}

pub(crate) fn api_key(name: &str, role: AccessRole) -> CreateApiKey {
    CreateApiKey {
        id: ApiKeyId::new(name).unwrap(),
        secret: SecretHash([8; 32]),
        role,
        tenant: None,
    }
}

fn files(text: &str) -> PutBundle {
    let files = [("powermta/role.toml".to_owned(), text.to_owned())].into();
    PutBundle { files }
}

pub(crate) fn bundle(text: &str) -> Command {
    Command::PutBundle(files(text))
}

pub(crate) fn bundle_hash(text: &str) -> ContentHash {
    files(text).hash()
}

pub(crate) fn outcome(number: u64) -> crate::state::Outcome {
    let generation = Some(Generation { epoch: 1, number });
    crate::state::Outcome {
        accepted: generation,
        running: generation,
        last_good: generation,
        attempted: None,
        convergence: Convergence::Converged,
        counts: StatusCounts {
            converged: 3,
            ..StatusCounts::default()
        },
        changed_at: Timestamp(0),
    }
}

/// A restore: the next life of the fixture's cluster begins at this node.
pub(crate) fn recover(epoch: u64, node: u64) -> Command {
    let mut row = found().node;
    row.id = NodeId(node);
    let grant = recovery_key().sign(&EpochGrant {
        cluster: found().cluster.id,
        epoch,
        issued_at: found().cluster.created_at,
    });
    Command::Recover(Box::new(Recover { grant, node: row }))
}
