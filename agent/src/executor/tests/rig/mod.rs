//! A coordinator in miniature: signs, seals, serves bodies and reads reports.
//!
//! Here is the executor's life: how it starts, stops and starts again. `states` makes what it is
//! offered, `answers` offers it and answers what the executor asks.

mod answers;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_protocol::bytes::{CaPin, ContentHash, Nonce};
use email_engine_protocol::crypto::{Entropy, RecoveryKey, SigningKey};
use email_engine_protocol::desired::PlanKeyGrant;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role, TokenId};
use email_engine_protocol::join::{Admission, JoinToken, TrustPin};
use email_engine_protocol::observed::StatisticsBatch;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use email_engine_protocol::time::Timestamp;
use ring::rand::SystemRandom;

use crate::allow::{AllowList, CommandRule, Names, PathRule};
use crate::executor::core::Core;
use crate::executor::thread::Ended;
use crate::executor::{ExecutorConfig, ExecutorHandle, Root, Started, launch, start};
use crate::halves::{ExecutorKeys, FromExecutor, ToExecutor, Trust};
use crate::host::{Cabinet, Machine, OwnPlaces};
use crate::ledger::expected::{self, ExpectError, Expected};
use crate::reconciler::UnderWay;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const VERSION: &str = "0.1.0";
pub(super) const CLUSTER: ClusterId = ClusterId([7; 16]);

pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) recovery: SigningKey,
    pub(super) plan: SigningKey,
    pub(super) keys: ExecutorKeys,
    pub(super) audit_interval: Duration,
    /// From the next start on.
    pub(super) allow: AllowList,
    /// The same.
    pub(super) own: OwnPlaces,
    trust: Trust,
    handle: Option<ExecutorHandle>,
    left: Option<Arc<Ended>>,
    events: tokio::sync::mpsc::Receiver<FromExecutor>,
    runtime: tokio::runtime::Runtime,
    pub(super) bodies: BTreeMap<ContentHash, Vec<u8>>,
    secrets: BTreeMap<SecretRef, SecretBytes>,
    session: u8,
    /// Bodies that were asked for so far.
    pub(super) bodies_asked: usize,
    pub(super) retired: bool,
    /// The next secrets are sealed for this host instead.
    pub(super) misdirected: Option<HostId>,
    /// What it counted, each batch answered.
    pub(super) statistics: Vec<StatisticsBatch>,
}

pub(super) fn host() -> HostId {
    HostId::new("pmta1").unwrap()
}

pub(super) fn generation(number: u64) -> Generation {
    Generation { epoch: 1, number }
}

/// Waits for a condition, and says what it waited for when it does not come.
pub(super) fn wait_for(why: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {why}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A list that allows everything, and a source of packages.
fn everything() -> AllowList {
    let every = Names {
        all: true,
        ..Names::default()
    };
    AllowList {
        origin: "the rig's list".to_owned(),
        paths: vec![PathRule::Below(None)],
        commands: vec![CommandRule::default()],
        packages: every.clone(),
        package_files: every.clone(),
        package_repositories: vec!["https://packages.example.com/apt".to_owned()],
        services: every.clone(),
        users: every.clone(),
        groups: every.clone(),
        sysctls: every.clone(),
        interfaces: every.clone(),
        ports: every.clone(),
        databases: every.clone(),
        database_users: every.clone(),
        tables: every.clone(),
        acme_directories: every,
        addresses: vec!["192.0.2.0/24".parse().unwrap()],
        firewall: true,
        set_id: vec![PathRule::Below(None)],
        own: BTreeSet::new(),
    }
}

impl Rig {
    /// A host that was let in and has a session.
    pub(super) fn new() -> Self {
        Self::with_audit(Duration::from_secs(3600))
    }

    pub(super) fn with_audit(audit_interval: Duration) -> Self {
        let mut rig = Self::bare(audit_interval);
        rig.expect(&rig.token("t-1")).unwrap();
        rig.tell(ToExecutor::Admitted(Box::new(rig.trust.clone())));
        rig.begin_session();
        rig
    }

    /// A machine that was let in by nobody, nor told whom it may belong to.
    pub(super) fn bare(audit_interval: Duration) -> Self {
        let random = SystemRandom::new();
        let recovery = RecoveryKey::generate(&Entropy(&random));
        let plan = SigningKey::from_seed([3; 32]);
        let grant = PlanKeyGrant {
            cluster: CLUSTER,
            version: 1,
            key: plan.verifying_key(),
        };
        let trust = Trust {
            cluster: CLUSTER,
            host: host(),
            role: Role::Powermta,
            recovery: recovery.public(),
            plan_key: recovery.signing_key().sign(&grant),
            epoch: 1,
        };
        let dir = tempfile::tempdir().unwrap();
        let allow = everything();
        let started = start(ExecutorConfig {
            data_dir: dir.path().join("data"),
            root: Root::Sandbox(dir.path().join("root")),
            allow: allow.clone(),
            own: OwnPlaces::new(),
            audit_interval,
            agent_version: VERSION.to_owned(),
        })
        .unwrap();
        Self {
            dir,
            recovery: recovery.signing_key(),
            plan,
            keys: started.keys,
            audit_interval,
            allow,
            own: OwnPlaces::new(),
            trust,
            handle: Some(started.handle),
            left: None,
            events: started.events,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            bodies: BTreeMap::new(),
            secrets: BTreeMap::new(),
            session: 0,
            bodies_asked: 0,
            retired: false,
            misdirected: None,
            statistics: Vec::new(),
        }
    }

    /// A token by which the machine may become the host of the rig's cluster.
    pub(super) fn token(&self, id: &str) -> JoinToken {
        JoinToken {
            id: TokenId::new(id).unwrap(),
            cluster: CLUSTER,
            ca_pin: CaPin([2; 32]),
            trust: TrustPin {
                recovery: self.trust.recovery.pin(),
                plan_key_version: 1,
                epoch: 1,
            },
            endpoints: vec!["192.0.2.1:7443".to_owned()],
            admission: Admission::Host {
                host: host(),
                role: Role::Powermta,
            },
            expires_at: Timestamp(5),
            secret: [9; 32],
        }
    }

    /// Whoever holds the machine says whom it may belong to.
    pub(super) fn expect(&self, token: &JoinToken) -> Result<Expected, ExpectError> {
        let cabinet = Cabinet::open(&self.data()).unwrap();
        expected::expect(&cabinet, token)
    }

    fn executor_config(&self) -> ExecutorConfig {
        ExecutorConfig {
            data_dir: self.data(),
            root: Root::Sandbox(self.root()),
            allow: self.allow.clone(),
            own: self.own.clone(),
            audit_interval: self.audit_interval,
            agent_version: VERSION.to_owned(),
        }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub(super) fn tell(&self, message: ToExecutor) {
        let handle = self.handle.as_ref().unwrap();
        self.runtime.block_on(handle.send(message)).unwrap();
    }

    pub(super) fn begin_session(&mut self) {
        self.session += 1;
        self.tell(ToExecutor::Session {
            nonce: Nonce([self.session; 16]),
        });
    }

    pub(super) fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop(PATIENCE);
        }
    }

    /// Ends the executor as a signal does.
    pub(super) fn stop_within(&mut self, grace: Duration) {
        let handle = self.handle.take().unwrap();
        self.left = Some(Arc::clone(&handle.ended));
        handle.stop(grace);
    }

    /// Waits for the thread of an executor that was not waited for.
    pub(super) fn wait_gone(&mut self) {
        let left = self.left.take().unwrap();
        assert!(left.wait(PATIENCE), "the thread did not end");
    }

    pub(super) fn under_way(&self) -> Arc<UnderWay> {
        Arc::clone(&self.handle.as_ref().unwrap().under_way)
    }

    /// Starts again on another machine.
    pub(super) fn restart_on(&mut self, machine: Machine) {
        self.stop();
        let (sender, events) = tokio::sync::mpsc::channel(64);
        let mut core = self.core(sender);
        core.reconciler.machine = machine;
        let started = launch(core, events).unwrap();
        self.handle = Some(started.handle);
        self.events = started.events;
        self.tell(ToExecutor::Admitted(Box::new(self.trust.clone())));
        self.begin_session();
    }

    /// Starts again after [`stop`](Self::stop), with nobody there.
    pub(super) fn start_alone(&mut self) {
        let Started {
            keys,
            handle,
            events,
            ..
        } = start(self.executor_config()).unwrap();
        self.keys = keys;
        self.handle = Some(handle);
        self.events = events;
    }

    /// The executor of this host without its thread.
    pub(super) fn core(&self, events: tokio::sync::mpsc::Sender<FromExecutor>) -> Core {
        let config = self.executor_config();
        let cabinet = Cabinet::open(&config.data_dir).unwrap();
        Core::open(config, cabinet, events, Arc::default()).unwrap()
    }

    pub(super) fn restart(&mut self) {
        self.stop();
        self.start_alone();
        self.tell(ToExecutor::Admitted(Box::new(self.trust.clone())));
        self.begin_session();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}
