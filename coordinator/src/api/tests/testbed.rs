//! A fleet in memory, an API over it, and requests that read as prose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use email_engine_protocol::api::{AccessRole, DomainRecord, FleetDocument};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{Disposition, HostConfig};
use email_engine_protocol::id::{ApiKeyId, ClusterId, HostId, NodeId, RequestId, TenantId};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use crate::api::{
    Api, ApiKeyText, Backup, Draft, Fleet, MembershipError, Planning, StockError, router,
};
use crate::command::{
    Answer, Command, CreateApiKey, CreateTenant, Found, Proposal, PutBundle, PutSettings,
    Rejection, StockKeys,
};
use crate::pki;
use crate::planner;
use crate::raft::{Leadership, ProposeError, RaftStatus, ReadError, SessionRow, StoreError};
use crate::state::{FleetState, Identity, Node, PreparedKey};

pub(super) const NOW: Timestamp = Timestamp(1_795_240_800_000);

/// A fleet in memory.
pub(super) struct MemoryFleet {
    state: Mutex<FleetState>,
    /// Proposals that reached the log.
    pub(super) log: Mutex<Vec<Proposal>>,
    pub(super) has_quorum: AtomicBool,
    pub(super) has_leader: AtomicBool,
    /// So many proposals from now on find that the fleet has just moved.
    pub(super) races: AtomicUsize,
}

impl MemoryFleet {
    pub(super) fn state(&self) -> FleetState {
        self.state.lock().unwrap().clone()
    }

    pub(super) fn log_length(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Carries a command out in the system's own name, behind the API's back.
    pub(super) fn apply(&self, command: Command) -> Answer {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let request = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let proposal = Proposal {
            actor: "test".to_owned(),
            request: RequestId::new(request).unwrap(),
            reason: String::new(),
            now: NOW,
            override_clock: false,
            command,
        };
        self.state.lock().unwrap().apply(&proposal).0
    }
}

impl Fleet for MemoryFleet {
    fn view(&self, read: &mut dyn FnMut(&FleetState)) {
        read(&self.state.lock().unwrap());
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Answer, ProposeError>> {
        if !self.has_quorum.load(Ordering::Relaxed) {
            let reason = "one of three nodes".to_owned();
            return async { Err(ProposeError::NoQuorum { reason }) }.boxed();
        }
        let racing = |left: usize| left.checked_sub(1);
        if self
            .races
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, racing)
            .is_ok()
        {
            let settings = email_engine_protocol::api::Settings {
                management_port: 2000 + u16::try_from(self.races.load(Ordering::Relaxed)).unwrap(),
                ..Default::default()
            };
            self.apply(Command::PutSettings(PutSettings {
                settings,
                release: false,
            }))
            .unwrap();
        }
        let answer = self.state.lock().unwrap().apply(&proposal).0;
        self.log.lock().unwrap().push(proposal);
        async { Ok(answer) }.boxed()
    }

    fn linearize(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        let answer = if self.has_quorum.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(ReadError::NoQuorum {
                reason: "one of three nodes".to_owned(),
            })
        };
        async { answer }.boxed()
    }

    fn leadership(&self) -> Leadership {
        let leads = self.has_leader.load(Ordering::Relaxed);
        Leadership {
            leader: leads.then_some(NodeId(1)),
            term: 1,
            is_leader: leads,
        }
    }

    fn raft_status(&self) -> RaftStatus {
        RaftStatus {
            node: NodeId(1),
            leadership: self.leadership(),
            last_index: 5,
            applied_index: 5,
            voters: vec![NodeId(1)],
            learners: Vec::new(),
            matched: vec![(NodeId(1), 5)],
        }
    }

    fn body(&self, _hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<(NodeId, SessionRow)>> {
        async { Vec::new() }.boxed()
    }

    fn promote(&self, node: NodeId) -> BoxFuture<'_, Result<(), MembershipError>> {
        let reason = format!("node {node} votes already");
        async { Err(MembershipError::Refused { reason }) }.boxed()
    }

    fn remove(&self, _node: NodeId) -> BoxFuture<'_, Result<(), MembershipError>> {
        async { Ok(()) }.boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Backup, StoreError>> {
        let chunks = futures::stream::iter(["one", "two"]);
        let chunks = chunks
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .boxed();
        async { Ok(Backup { chunks }) }.boxed()
    }
}

/// Knows creation only; the real planner has tests of its own.
struct CreatingPlanner(Arc<MemoryFleet>);

impl Planning for CreatingPlanner {
    fn changes(
        &self,
        state: &FleetState,
        document: &FleetDocument,
        prune: bool,
        scope: Option<&TenantId>,
    ) -> Result<Draft, Rejection> {
        Ok(planner::document::changes(state, document, prune, scope)?.into())
    }

    fn config(
        &self,
        state: &FleetState,
        host: &HostId,
    ) -> Result<(HostConfig, BTreeMap<ContentHash, Vec<u8>>), Rejection> {
        let config = HostConfig {
            cluster: ClusterId([1; 16]),
            host: host.clone(),
            role: state.hosts[host].spec.role,
            disposition: Disposition::Active,
            resources: Vec::new(),
            large_removal: false,
        };
        Ok((config, BTreeMap::new()))
    }

    fn records(&self, _state: &FleetState, identity: &Identity) -> Vec<DomainRecord> {
        vec![DomainRecord {
            name: identity.spec.domain.to_string(),
            kind: "A".to_owned(),
            value: identity.spec.address.to_string(),
        }]
    }

    fn ensure_stock(&self, needed: usize) -> BoxFuture<'_, Result<(), StockError>> {
        let held = self.0.state().prepared_keys.len();
        let missing = needed.saturating_sub(held);
        if missing > 0 {
            let keys = (0..missing).map(|_| prepared_key()).collect();
            self.0
                .apply(Command::StockKeys(StockKeys { keys }))
                .unwrap();
        }
        async { Ok(()) }.boxed()
    }
}

fn prepared_key() -> PreparedKey {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = ring::rand::SystemRandom::new();
    let vault = crate::seal::Vault::new(1, Zeroizing::new([1; 32]));
    let secret = email_engine_protocol::secret::SecretBytes {
        salt: [1; 16],
        bytes: format!("key {number}").into_bytes(),
    };
    PreparedKey {
        commitment: secret.commitment(),
        sealed: vault.seal_secret(&secret, &email_engine_protocol::crypto::Entropy(&random)),
        public: format!("public{number}"),
    }
}

/// An API over a founded fleet, with a key of each kind.
pub(super) struct Testbed {
    pub(super) fleet: Arc<MemoryFleet>,
    api: Arc<Api>,
    keys: BTreeMap<&'static str, String>,
}

/// What was answered.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
}

impl Answered {
    #[track_caller]
    pub(super) fn gives(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if status >= 400 {
            let kind = &self.headers["content-type"];
            assert_eq!(kind, "application/problem+json", "{}", self.text);
            assert_eq!(self.body["status"], status, "{}", self.text);
            let request = self.headers["x-request-id"].to_str().unwrap();
            assert_eq!(self.body["request_id"], request, "{}", self.text);
        }
        self
    }

    #[track_caller]
    pub(super) fn refuses(self, status: u16, code: &str) -> Self {
        let answered = self.gives(status);
        assert_eq!(answered.body["code"], code, "{}", answered.text);
        answered
    }
}

impl Testbed {
    pub(super) fn new() -> Self {
        let fleet = Arc::new(MemoryFleet {
            state: Mutex::new(FleetState::default()),
            log: Mutex::new(Vec::new()),
            has_quorum: AtomicBool::new(true),
            has_leader: AtomicBool::new(true),
            races: AtomicUsize::new(0),
        });
        found(&fleet);
        for tenant in ["red", "blue"] {
            let tenant = serde_json::from_value(serde_json::json!({"id": tenant, "name": tenant}));
            let tenant = tenant.unwrap();
            fleet
                .apply(Command::CreateTenant(CreateTenant { tenant }))
                .unwrap();
        }
        let mut keys = BTreeMap::new();
        for (name, role, tenant) in [
            ("admin", AccessRole::Admin, None),
            ("operator", AccessRole::Operator, None),
            ("viewer", AccessRole::Viewer, None),
            ("red-operator", AccessRole::Operator, Some("red")),
            ("blue-viewer", AccessRole::Viewer, Some("blue")),
        ] {
            let id = ApiKeyId::new(name).unwrap();
            let secret = Zeroizing::new([u8::try_from(keys.len()).unwrap() + 1; 32]);
            let key = ApiKeyText {
                id: id.clone(),
                secret,
            };
            let command = CreateApiKey {
                id,
                secret: key.secret_hash(),
                role,
                tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()),
            };
            fleet.apply(Command::CreateApiKey(command)).unwrap();
            keys.insert(name, key.to_text().to_string());
        }
        let planning = Arc::new(CreatingPlanner(Arc::clone(&fleet)));
        let api = Api::new(Arc::clone(&fleet) as Arc<dyn Fleet>, planning, None, || NOW);
        Self {
            fleet,
            api: Arc::new(api),
            keys,
        }
    }

    pub(super) fn key(&self, name: &str) -> &str {
        &self.keys[name]
    }

    /// A request as one of the testbed's keys.
    pub(super) fn ask(&self, key: &str, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(path);
        Ask {
            testbed: self,
            request: request.header("x-api-key", self.key(key)),
            body: Vec::new(),
        }
    }

    /// A request without a key.
    pub(super) fn ask_unknown(&self, method: &str, path: &str) -> Ask<'_> {
        Ask {
            testbed: self,
            request: Request::builder().method(method).uri(path),
            body: Vec::new(),
        }
    }
}

/// A request in the making.
pub(super) struct Ask<'a> {
    testbed: &'a Testbed,
    request: axum::http::request::Builder,
    body: Vec<u8>,
}

impl Ask<'_> {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(super) fn text(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better with json! at the call"
    )]
    pub(super) fn json(self, body: Value) -> Self {
        let text = body.to_string();
        self.text(text)
    }

    pub(super) async fn send(self) -> Answered {
        let request = self.request.body(Body::from(self.body)).unwrap();
        let service = router(Arc::clone(&self.testbed.api));
        let response = service.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }
}

fn found(fleet: &MemoryFleet) {
    let founding = pki::found(Mode::Sandbox, NOW).unwrap();
    let found = Found {
        cluster: founding.record,
        node: Node {
            id: NodeId(1),
            raft_endpoint: "192.0.2.1:7444".to_owned(),
            agent_endpoint: "192.0.2.1:7443".to_owned(),
            api_endpoint: "192.0.2.1:7443".to_owned(),
            role: email_engine_protocol::api::MemberRole::Voter,
            joined_at: NOW,
            supports_version: 1,
        },
    };
    fleet.apply(Command::Found(Box::new(found))).unwrap();
    let files = BTreeMap::from([("powermta.json".to_owned(), "{}".to_owned())]);
    fleet
        .apply(Command::PutBundle(PutBundle { files }))
        .unwrap();
    let settings = email_engine_protocol::api::Settings::default();
    let put = PutSettings {
        settings,
        release: true,
    };
    fleet.apply(Command::PutSettings(put)).unwrap();
}
