//! A coordinator in miniature: signs, seals, serves bodies and reads reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::crypto::{Entropy, RecoveryKey, SealedSecret, Signed, SigningKey};
use email_engine_protocol::desired::{
    Disposition, EpochGrant, FileContent, FileSpec, HostConfig, HostPath, OnRemove, PlanKeyGrant,
    Policy, Resource, Spec, Target,
};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, ResourceId, Role, SecretId};
use email_engine_protocol::observed::{Convergence, HostReport};
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use email_engine_protocol::time::Timestamp;
use ring::rand::SystemRandom;

use crate::allow::{AllowList, Names, PathRule};
use crate::executor::core::Core;
use crate::executor::thread::Ended;
use crate::executor::{ExecutorConfig, ExecutorHandle, Root, Started, launch, start};
use crate::halves::{ExecutorKeys, FromExecutor, ToExecutor, Trust};
use crate::host::{Cabinet, Machine};
use crate::reconciler::UnderWay;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const CLUSTER: ClusterId = ClusterId([7; 16]);

pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) recovery: SigningKey,
    pub(super) plan: SigningKey,
    pub(super) keys: ExecutorKeys,
    pub(super) audit_interval: Duration,
    /// From the next start on.
    pub(super) allow: AllowList,
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

impl Rig {
    /// A host that was let in and has a session.
    pub(super) fn new() -> Self {
        Self::with_audit(Duration::from_secs(3600))
    }

    pub(super) fn with_audit(audit_interval: Duration) -> Self {
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
        let every = Names {
            all: true,
            ..Names::default()
        };
        let allow = AllowList {
            origin: "the rig's list".to_owned(),
            paths: vec![PathRule::Below(None)],
            commands: vec![Vec::new()],
            packages: every.clone(),
            services: every,
            set_id: vec![PathRule::Below(None)],
            own: BTreeSet::new(),
        };
        let started = start(config(dir.path(), audit_interval, &allow)).unwrap();
        let mut rig = Self {
            dir,
            recovery: recovery.signing_key(),
            plan,
            keys: started.keys,
            audit_interval,
            allow,
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
        };
        rig.tell(ToExecutor::Admitted(Box::new(rig.trust.clone())));
        rig.begin_session();
        rig
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

    /// Offers a state and answers until everything that it needs was asked for.
    pub(super) fn offer_quietly(&mut self, config: &HostConfig, number: u64) {
        let target = self.target(config, generation(number));
        self.tell(ToExecutor::Offer(self.plan.sign(&target)));
        self.report_where("it is accepted", |report| {
            report.generations.accepted == Some(generation(number))
        });
    }

    /// Starts again after [`stop`](Self::stop), with nobody there.
    pub(super) fn start_alone(&mut self) {
        let Started {
            keys,
            handle,
            events,
            ..
        } = start(config(self.dir.path(), self.audit_interval, &self.allow)).unwrap();
        self.keys = keys;
        self.handle = Some(handle);
        self.events = events;
    }

    /// The executor of this host without its thread.
    pub(super) fn core(&self, events: tokio::sync::mpsc::Sender<FromExecutor>) -> Core {
        let config = config(self.dir.path(), self.audit_interval, &self.allow);
        let cabinet = Cabinet::open(&config.data_dir).unwrap();
        Core::open(config, cabinet, events, Arc::default()).unwrap()
    }

    pub(super) fn restart(&mut self) {
        self.stop();
        self.start_alone();
        self.tell(ToExecutor::Admitted(Box::new(self.trust.clone())));
        self.begin_session();
    }

    /// A file resource whose body this coordinator serves.
    pub(super) fn file(&mut self, path: &str, content: &str) -> Resource {
        let hash = ContentHash::of(content.as_bytes());
        self.bodies.insert(hash, content.as_bytes().to_vec());
        let length = content.len() as u64;
        file_resource(path, FileContent::Body { hash, length }, 0o644)
    }

    /// A secret file resource, mode 0640.
    pub(super) fn secret_file(
        &mut self,
        path: &str,
        id: &str,
        version: u32,
        text: &str,
    ) -> Resource {
        let bytes = SecretBytes {
            salt: [9; 16],
            bytes: text.as_bytes().to_vec(),
        };
        let secret = SecretRef {
            id: SecretId::new(id).unwrap(),
            version,
            commitment: bytes.commitment(),
        };
        self.secrets.insert(secret.clone(), bytes);
        file_resource(path, FileContent::Secret(secret), 0o640)
    }

    pub(super) fn config(&self, mut resources: Vec<Resource>) -> HostConfig {
        resources.sort_by(|one, two| one.id.cmp(&two.id));
        HostConfig {
            cluster: CLUSTER,
            host: host(),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
        }
    }

    pub(super) fn target(&mut self, config: &HostConfig, generation: Generation) -> Target {
        let bytes = config.to_bytes();
        let digest = ContentHash::of(&bytes);
        self.bodies.insert(digest, bytes);
        Target {
            cluster: CLUSTER,
            host: host(),
            generation,
            digest,
            plan_key_version: 1,
            issued_at: Timestamp(1),
        }
    }

    pub(super) fn grant_epoch(&self, epoch: u64) -> Signed<EpochGrant> {
        self.recovery.sign(&EpochGrant {
            cluster: CLUSTER,
            epoch,
            issued_at: Timestamp(1),
        })
    }

    pub(super) fn plan_grant(&self) -> Signed<PlanKeyGrant> {
        self.trust.plan_key.clone()
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// Offers a state and answers every question until it was applied.
    pub(super) fn converge(&mut self, config: &HostConfig, number: u64) -> HostReport {
        let report = self.offer(config, number);
        assert_eq!(
            report.convergence,
            Convergence::Converged,
            "{:?} {:?}",
            report.generations,
            report.statuses.first()
        );
        report
    }

    /// Offers a state and answers every question until a verdict on it is reported.
    pub(super) fn offer(&mut self, config: &HostConfig, number: u64) -> HostReport {
        let target = self.target(config, generation(number));
        self.offer_target(&target)
    }

    pub(super) fn offer_target(&mut self, target: &Target) -> HostReport {
        let signed = self.plan.sign(target);
        self.offer_signed(signed, target.generation)
    }

    pub(super) fn offer_signed(&mut self, signed: Signed<Target>, of: Generation) -> HostReport {
        self.tell(ToExecutor::Offer(signed));
        self.report_where("a verdict on the offer", |report| {
            let done = report.convergence != Convergence::Converging;
            let running = report.generations.running == Some(of) && done;
            let attempt = report.generations.attempted.as_ref();
            running || attempt.is_some_and(|attempt| attempt.generation == of)
        })
    }

    /// Answers questions until a report says what is waited for.
    pub(super) fn report_where(
        &mut self,
        why: &str,
        condition: impl Fn(&HostReport) -> bool,
    ) -> HostReport {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .runtime
                .block_on(async { tokio::time::timeout(left, self.events.recv()).await });
            let event = event.unwrap_or_else(|_| panic!("waited in vain: {why}"));
            if let Some(report) = self.answer(event.expect("the executor ended"))
                && condition(&report)
            {
                return report;
            }
        }
    }

    fn answer(&mut self, event: FromExecutor) -> Option<HostReport> {
        match event {
            FromExecutor::BodiesWanted(hashes) => {
                self.bodies_asked += hashes.len();
                for hash in hashes {
                    self.serve(hash);
                }
            }
            FromExecutor::Report(signed) => {
                let report = signed.verify(&self.keys.report_key).unwrap();
                assert_eq!(report.nonce, Nonce([self.session; 16]));
                return Some(report);
            }
            FromExecutor::Retired => self.retired = true,
            FromExecutor::SecretsWanted { secrets, .. } => {
                let to = self.misdirected.take().unwrap_or_else(host);
                let sealed = secrets.iter().map(|secret| self.seal(secret, &to));
                let sealed = sealed.collect();
                self.tell(ToExecutor::Secrets(sealed));
            }
            FromExecutor::Standing(_) => {}
        }
        None
    }

    fn serve(&self, hash: ContentHash) {
        match self.bodies.get(&hash) {
            Some(bytes) => self.tell(ToExecutor::Body {
                hash,
                bytes: bytes.clone(),
            }),
            None => self.tell(ToExecutor::BodyMissing {
                hash,
                reason: "nobody has it".to_owned(),
            }),
        }
    }

    fn seal(&self, secret: &SecretRef, host: &HostId) -> SealedSecret {
        let random = SystemRandom::new();
        let bytes = &self.secrets[secret];
        let mut entropy = Entropy(&random);
        let to = &self.keys.sealing_key;
        SealedSecret::new(CLUSTER, host, to, secret.clone(), bytes, &mut entropy).unwrap()
    }

    /// Waits until the executor said that the host is retired.
    pub(super) fn wait_retired(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.retired {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .runtime
                .block_on(async { tokio::time::timeout(left, self.events.recv()).await });
            let event = event.expect("waited in vain: the host says that it is retired");
            self.answer(event.expect("the executor ended"));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

fn config(dir: &std::path::Path, audit_interval: Duration, allow: &AllowList) -> ExecutorConfig {
    ExecutorConfig {
        data_dir: dir.join("data"),
        root: Root::Sandbox(dir.join("root")),
        allow: allow.clone(),
        audit_interval,
        agent_version: "0.1.0".to_owned(),
    }
}

fn file_resource(path: &str, content: FileContent, mode: u32) -> Resource {
    Resource {
        id: ResourceId::new(format!("file:{path}")).unwrap(),
        spec: Spec::File(FileSpec {
            path: HostPath::new(path).unwrap(),
            content,
            mode,
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
