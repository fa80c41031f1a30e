//! The agents' end point over real QUIC on loopback, in front of a state in memory.

mod agent;
mod counting;
mod door;
mod endings;
mod enrolling;
mod fleet;
mod holding;
mod joining;
mod reporting;
mod sessions;
mod takeovers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use email_engine_protocol::api::{HostSpec, MemberRole};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::{SealingKey, SigningKey};
use email_engine_protocol::desired::{
    Disposition, FileContent, FileSpec, HostConfig, HostPath, OnRemove, Policy, Resource, Spec,
};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, NodeId, ResourceId, Role, SecretId, TokenId};
use email_engine_protocol::join::{Admission, hash_secret};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use email_engine_protocol::time::Timestamp;

pub(crate) use self::agent::Machine;
pub(crate) use self::fleet::FakeFleet;
use super::{Fleet, PushConfig, PushHandle, start};
use crate::pki::Life;
use crate::pki::testbed::{TestPki, now};
use crate::seal::Vault;
use crate::state::{
    FleetState, Host, HostLifecycle, Node, Release, StoredSecret, TargetRecord, Token, TokenState,
};

/// Nothing in these tests takes longer, unless it never ends.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits something that has to happen; the reason is shown when it does not.
pub(crate) async fn wait_for<T>(what: impl Future<Output = T>, why: &str) -> T {
    match tokio::time::timeout(DEADLINE, what).await {
        Ok(done) => done,
        Err(_) => panic!("waited too long: {why}"),
    }
}

pub(crate) fn host_id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

pub(crate) fn release() -> Release {
    Release {
        bundle: ContentHash([0; 32]),
        planner_version: 1,
        settings: 1,
    }
}

/// A cluster of one node with a listening end point.
pub(crate) struct TestNode {
    pub(crate) pki: Arc<TestPki>,
    pub(crate) fleet: FakeFleet,
    pub(crate) push: PushHandle,
}

/// A state with the cluster in it and one node.
pub(crate) fn founded(pki: &TestPki) -> FleetState {
    let node = Node {
        id: NodeId(1),
        raft_endpoint: "192.0.2.1:7444".to_owned(),
        agent_endpoint: "192.0.2.1:7443".to_owned(),
        api_endpoint: "192.0.2.1:7443".to_owned(),
        role: MemberRole::Voter,
        joined_at: now(),
        supports_version: 1,
    };
    FleetState {
        cluster: Some(pki.record.clone()),
        nodes: BTreeMap::from([(NodeId(1), node)]),
        next_node: 2,
        now: now(),
        ..FleetState::default()
    }
}

impl TestNode {
    /// Must be called within a runtime.
    pub(crate) fn start() -> Self {
        Self::start_with(TestPki::new())
    }

    pub(crate) fn start_with(pki: TestPki) -> Self {
        let fleet = FakeFleet::new(founded(&pki));
        Self::listening(Arc::new(pki), fleet)
    }

    /// Another node of the same cluster.
    pub(crate) fn another(&self, number: u64) -> Self {
        Self::listening(self.pki.clone(), self.fleet.of_node(NodeId(number)))
    }

    fn listening(pki: Arc<TestPki>, fleet: FakeFleet) -> Self {
        let (_, identity) = watch::channel(Arc::new(pki.node(fleet.node(), &["127.0.0.1:7443"])));
        let config = PushConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            identity,
            vault: Arc::new(Vault::new(
                pki.vault.version(),
                zeroize::Zeroizing::new(*pki.vault.key()),
            )),
            fleet: fleet.clone(),
            certificate_life: Life::default(),
        };
        let push = start(config).unwrap();
        Self { pki, fleet, push }
    }

    /// Declares a host.
    pub(crate) fn declare(&self, name: &str) {
        let spec = HostSpec {
            id: host_id(name),
            role: Role::Powermta,
            tenant: None,
            addresses: Vec::new(),
            labels: BTreeMap::new(),
        };
        let row = Host {
            spec,
            lifecycle: HostLifecycle::Declared,
            keys: None,
            release: release(),
            large_removal: false,
        };
        self.fleet
            .change(|state| state.hosts.insert(host_id(name), row));
    }

    /// Issues a join token.
    pub(crate) fn token(&self, name: &str, admission: Admission, expires_at: Timestamp) {
        let id = TokenId::new(name).unwrap();
        let token = Token {
            id: id.clone(),
            secret: hash_secret(&secret_of(name)),
            admission,
            replace: false,
            created_at: now(),
            expires_at,
            state: TokenState::Open,
            used_by: None,
            refused: Vec::new(),
        };
        self.fleet.change(|state| state.tokens.insert(id, token));
    }

    /// Declares and enrols a host without going over the wire.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        self.declare(name);
        let machine = Machine::with_chain(&self.pki, name, self.pki.host_chain(name, now()));
        self.fleet.change(|state| machine.enrol_in(state));
        machine
    }

    /// Gives a host its next target: a file with a body, and one with this secret.
    pub(crate) fn target(&self, name: &str, content: &str, secret: Option<&SecretRef>) -> Target {
        let body = content.as_bytes().to_vec();
        let mut resources = vec![file(
            "/etc/a",
            FileContent::Body {
                hash: ContentHash::of(&body),
                length: body.len() as u64,
            },
        )];
        resources.extend(secret.map(|secret| file("/etc/b", FileContent::Secret(secret.clone()))));
        let config = HostConfig {
            cluster: self.pki.record.id,
            host: host_id(name),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
            accounting: None,
        };
        let manifest = config.to_bytes();
        let (digest, hash) = (ContentHash::of(&manifest), ContentHash::of(&body));
        self.fleet.put_body(manifest);
        self.fleet.put_body(body);
        let generation = self.fleet.change(|state| {
            let epoch = state.cluster.as_ref().unwrap().epoch;
            let last = state.targets.get(&host_id(name));
            let generation = last.map(|last| last.generation).unwrap_or_default();
            let generation = generation.next(epoch);
            let record = TargetRecord {
                generation,
                digest,
                planner_version: 1,
                planned_from: state.revision,
                set_at: now(),
                resources: 1,
            };
            state.targets.insert(host_id(name), record);
            generation
        });
        Target {
            generation,
            digest,
            body: hash,
        }
    }

    /// Stores a secret.
    pub(crate) fn secret(&self, name: &str, bytes: &[u8]) -> SecretRef {
        let id = SecretId::new(name).unwrap();
        let bytes = SecretBytes {
            salt: [4; 16],
            bytes: bytes.to_vec(),
        };
        let stored = StoredSecret {
            id,
            version: 1,
            commitment: bytes.commitment(),
            sealed: self.pki.vault.seal_secret(&bytes, &self.pki.entropy()),
        };
        let reference = stored.reference();
        self.fleet.change(|state| state.put_secret(stored));
        reference
    }
}

/// What a test target names.
pub(crate) struct Target {
    pub(crate) generation: Generation,
    pub(crate) digest: ContentHash,
    pub(crate) body: ContentHash,
}

/// The secret half of a test token.
pub(crate) fn secret_of(token: &str) -> [u8; 32] {
    ContentHash::of(token.as_bytes()).0
}

/// A file of a test target.
pub(crate) fn file(path: &str, content: FileContent) -> Resource {
    Resource {
        id: ResourceId::new(format!("file:{path}")).unwrap(),
        spec: Spec::File(FileSpec {
            path: HostPath::new(path).unwrap(),
            content,
            mode: 0o640,
            owner: None,
            group: None,
            validate: None,
        }),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

/// Keys of a machine's executor.
pub(crate) fn executor_keys(name: &str) -> (SigningKey, SealingKey) {
    let seed = ContentHash::of(format!("executor {name}").as_bytes()).0;
    (SigningKey::from_seed(seed), SealingKey::from_seed(&seed))
}

/// The mode of the test cluster.
pub(crate) const MODE: Mode = Mode::Real;
