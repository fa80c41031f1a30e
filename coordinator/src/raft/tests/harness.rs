//! Nodes in one process, with certificates of their own authority and rules as small as can be.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use ring::rand::SystemRandom;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::crypto::{Entropy, RecoveryKey, Sealed};
use email_engine_protocol::id::{ClusterId, NodeId, RequestId, TenantId};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use crate::command::{
    Answer, BodyChange, Command, Effect, Outcome, Proposal, Rejection, RejectionCode, RemoveTenant,
    SetTargets,
};
use crate::pki::{NodeIdentity, node_dns_name, node_uri};
use crate::raft::config::{RaftConfig, Timings};
use crate::raft::handle::{Cluster, ProposeError};
use crate::raft::start::{StartError, start_with};
use crate::raft::types::{Entry, LogCommand, LogId};
use crate::seal::Vault;
use crate::state::{BodyRecord, ClusterRecord, FleetState, Issuer};

pub(super) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);

/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn proposal(request: &str) -> Proposal {
    let tenant = TenantId::new("nobody").unwrap();
    with_command(request, Command::RemoveTenant(RemoveTenant { tenant }))
}

pub(super) fn with_body(request: &str, body: &[u8]) -> Proposal {
    let bodies = BTreeMap::from([(ContentHash::of(body), body.to_vec())]);
    let targets = Vec::new();
    with_command(request, Command::SetTargets(SetTargets { targets, bodies }))
}

pub(super) fn with_command(request: &str, command: Command) -> Proposal {
    Proposal {
        actor: "key test".into(),
        request: RequestId::new(request).unwrap(),
        reason: String::new(),
        now: Timestamp(1),
        override_clock: false,
        command,
    }
}

pub(in crate::raft) fn entry(term: u64, index: u64, request: &str) -> Entry {
    let leader = openraft::impls::leader_id_adv::LeaderId { term, node_id: 1 };
    Entry {
        log_id: LogId::new(leader, index),
        payload: openraft::EntryPayload::Normal(LogCommand::V1(Box::new(proposal(request)))),
    }
}

/// The smallest rules: every new request is one revision, a known one is none; bodies are kept until
/// another request brings others. The clock's gate is the fleet's.
pub(super) fn rules(state: &mut FleetState, proposal: &Proposal) -> (Answer, Vec<BodyChange>) {
    let mut changes = Vec::new();
    let known = state.remembered.get(&proposal.request).cloned();
    if let Some(known) = known {
        return (known.answer.clone(), changes);
    }
    let latest = state.now.plus(Timestamp::DAY);
    let fits = (state.now..=latest).contains(&proposal.now);
    if !fits && !proposal.override_clock && state.cluster.is_some() {
        let rejection = Rejection {
            code: RejectionCode::Clock,
            field: "now".into(),
            value: proposal.now.to_string(),
            accepted: format!("{} to {latest}", state.now),
        };
        return (Err(rejection), changes);
    }
    state.now = proposal.now;
    state.revision += 1;
    state.now = proposal.now;
    state.cluster.get_or_insert_with(|| RECORD.clone());
    if let Command::SetTargets(targets) = &proposal.command {
        let old = std::mem::take(&mut state.bodies);
        changes.extend(old.keys().copied().map(BodyChange::Drop));
        for (hash, bytes) in &targets.bodies {
            let length = bytes.len() as u64;
            let references = 1;
            state
                .bodies
                .insert(*hash, BodyRecord { length, references });
            changes.push(BodyChange::Put(*hash, bytes.clone()));
        }
    }
    let answer = Ok(Outcome {
        revision: state.revision,
        effect: Effect::Done,
    });
    let remembered = crate::state::Remembered {
        answer: answer.clone(),
        at: proposal.now,
        command: ContentHash::of(b""),
    };
    state
        .remembered
        .insert(proposal.request.clone(), Arc::new(remembered));
    (answer, changes)
}

static RECOVERY: LazyLock<RecoveryKey> =
    LazyLock::new(|| RecoveryKey::generate(&Entropy(&SystemRandom::new())));
/// One for all nodes, as a command would bring it.
static RECORD: LazyLock<ClusterRecord> = LazyLock::new(record);

pub(super) fn recovery_key() -> &'static RecoveryKey {
    &RECOVERY
}

fn record() -> ClusterRecord {
    let recovery = recovery_key().public();
    let random = SystemRandom::new();
    let vault = Vault::new(1, zeroize::Zeroizing::new([3; 32]));
    ClusterRecord {
        id: CLUSTER,
        epoch: 4,
        epoch_grant: None,
        version: 1,
        mode: Mode::Sandbox,
        recovery,
        root: Vec::new(),
        ca_pin: CaPin([1; 32]),
        root_key: Sealed::new(&recovery.sealing, b"", b"", b"", &mut Entropy(&random)).unwrap(),
        issuer: Issuer {
            certificate: Vec::new(),
            key: vault.seal(b"", &Entropy(&random)),
        },
        plan_keys: BTreeMap::new(),
        created_at: Timestamp(1),
    }
}

/// A certificate authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate that names `node` of `cluster`; `dialled` is what its DNS name says.
    pub(super) fn identity(&self, cluster: ClusterId, node: u64, dialled: u64) -> NodeIdentity {
        let name = node_dns_name(cluster, NodeId(dialled));
        let mut params = CertificateParams::new(vec![name]).unwrap();
        let uri = node_uri(cluster, NodeId(node)).try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        // Told by its number, so that a test can put it on record.
        let serial = u8::try_from(node).unwrap();
        params.serial_number = Some(vec![serial; 16].into());
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        NodeIdentity {
            cluster,
            node: NodeId(node),
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            root: CertificateDer::from(self.0.der().to_vec()),
        }
    }
}

/// Nodes with folders and ports that outlive them.
pub(super) struct Fixture {
    pub(super) authority: Authority,
    folder: tempfile::TempDir,
    ports: BTreeMap<u64, u16>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self {
            authority: Authority::new(),
            folder: tempfile::tempdir().unwrap(),
            ports: BTreeMap::new(),
        }
    }

    pub(super) fn data_dir(&self, node: u64) -> PathBuf {
        self.folder.path().join(node.to_string())
    }

    pub(super) fn endpoint(&self, node: u64) -> String {
        format!("127.0.0.1:{}", self.ports[&node])
    }

    pub(super) fn config(&mut self, node: u64) -> RaftConfig {
        let identity = self.authority.identity(CLUSTER, node, node);
        self.config_as(node, identity)
    }

    pub(super) fn config_as(&mut self, node: u64, identity: NodeIdentity) -> RaftConfig {
        let port = self.ports.get(&node).copied().unwrap_or(0);
        let socket = bind(port);
        self.ports.insert(node, socket.local_addr().unwrap().port());
        let identity = watch::Sender::new(Arc::new(identity)).subscribe();
        let mut config =
            RaftConfig::new(NodeId(node), CLUSTER, self.data_dir(node), socket, identity);
        config.timings = Timings {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
            request_deadline: Duration::from_secs(10),
            change_within: Duration::from_secs(60),
            leader_contact: Duration::from_secs(3),
            clock_samples: Duration::from_millis(200),
        };
        config.min_free_bytes = 0;
        config.ballast_bytes = 0;
        config
    }

    pub(super) async fn start(&mut self, node: u64) -> Cluster {
        let config = self.config(node);
        self.start_as(config).await.unwrap()
    }

    pub(super) async fn start_as(&self, config: RaftConfig) -> Result<Cluster, StartError> {
        start_with(config, rules).await
    }

    /// Three voters; node 1 founded the cluster.
    pub(super) async fn three(&mut self) -> Vec<Cluster> {
        let mut nodes = Vec::new();
        for node in 1..=3 {
            nodes.push(self.start(node).await);
        }
        nodes[0].initialize(self.endpoint(1)).await.unwrap();
        for node in 2..=3 {
            let endpoint = self.endpoint(node);
            nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
            nodes[0].promote(NodeId(node)).await.unwrap();
        }
        nodes
    }
}

/// A stopped node's port is free a moment after it was dropped.
fn bind(port: u16) -> UdpSocket {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match UdpSocket::bind(("127.0.0.1", port)) {
            Ok(socket) => return socket,
            Err(error) if std::time::Instant::now() > deadline => panic!("port {port}: {error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

pub(super) async fn write(node: &Cluster, request: &str) -> Result<u64, ProposeError> {
    let answer = node.propose(proposal(request)).await?;
    Ok(answer.unwrap().revision)
}

pub(super) async fn wait_for(why: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "waited too long until {why}"
    );
}

pub(super) async fn leader_among(nodes: &[Cluster]) -> usize {
    let leads = |node: &Cluster| node.leadership().borrow().is_leader;
    wait_for("one of them leads", || nodes.iter().any(leads)).await;
    nodes.iter().position(leads).unwrap_or_default()
}

pub(super) fn knows(node: &Cluster, request: &str) -> bool {
    let request = RequestId::new(request).unwrap();
    node.view(|state| state.remembered.contains_key(&request))
}

pub(super) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("rocksdb")
}
