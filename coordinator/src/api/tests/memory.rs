//! A fleet in memory: no Raft, no network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{HostId, NodeId, RequestId};
use email_engine_protocol::observed::{Counts, Gap, Mode};
use email_engine_protocol::secret::SecretBytes;
use email_engine_protocol::time::Timestamp;

use crate::api::{Backup, BackupError, Draft, Fleet, MembershipError, Planning, StockError};
use crate::command::{
    Answer, BodyChange, Command, Found, Proposal, PutBundle, PutSettings, Rejection, StockKeys,
};
use crate::pki;
use crate::planner::{
    self,
    preview::{self, Preview},
};
use crate::raft::{
    Contacts, Hearing, Leadership, PeerContact, PlanErrors, Planned, ProposeError, RaftStatus,
    ReadError, Sessions, SpanCounts, StoreError,
};
use crate::seal::Vault;
use crate::state::{
    FleetState, Host, Node, PreparedKey, SealedAtRest, SeriesChange, SeriesKey, Span, Subject,
};

pub(super) const NOW: Timestamp = Timestamp(1_795_240_800_000);

/// A fleet in memory.
pub(super) struct MemoryFleet {
    state: Mutex<FleetState>,
    /// Bodies beside the state.
    bodies: Mutex<BTreeMap<ContentHash, Bytes>>,
    /// What was counted of mail.
    series: Mutex<BTreeMap<SeriesKey, Counts>>,
    /// Proposals that reached the log.
    pub(super) log: Mutex<Vec<Proposal>>,
    pub(super) has_quorum: AtomicBool,
    pub(super) has_leader: AtomicBool,
    /// Nobody answers a node that wants to read as of now.
    pub(super) is_mute: AtomicBool,
    /// So many proposals from now on find that the fleet has just moved.
    pub(super) races: AtomicUsize,
    /// Commands that somebody else gets in before the next proposal.
    pub(super) ahead: Mutex<Vec<Command>>,
    /// Commands that somebody else gets in while keys are made.
    pub(super) ahead_of_keys: Mutex<Vec<Command>>,
    /// Keys are made one by one, and no second one in time.
    pub(super) makes_keys_slowly: AtomicBool,
    /// Somebody else's backup is under way.
    pub(super) backs_up: AtomicBool,
    /// Nodes that do not tell whom they have.
    pub(super) unheard: Mutex<Vec<NodeId>>,
    /// Hosts that the leader cannot plan.
    pub(super) unplanned: Mutex<PlanErrors>,
    /// How far the leader says that it has planned.
    pub(super) planned: Mutex<u64>,
    /// What the leader hears.
    pub(super) contacts: Mutex<Contacts>,
    /// This node has not applied what it proposes, when that is answered, and what it knows.
    pub(super) lags: AtomicBool,
    behind: Mutex<Option<FleetState>>,
    /// Held while no preview shall end.
    pub(super) gate: tokio::sync::Mutex<()>,
    /// Previews that have begun.
    pub(super) previews: AtomicUsize,
}

impl MemoryFleet {
    /// A founded fleet with the shipped roles and nothing in it.
    pub(super) fn founded() -> Self {
        let fleet = Self {
            state: Mutex::new(FleetState::default()),
            bodies: Mutex::default(),
            series: Mutex::default(),
            log: Mutex::new(Vec::new()),
            has_quorum: AtomicBool::new(true),
            has_leader: AtomicBool::new(true),
            is_mute: AtomicBool::new(false),
            races: AtomicUsize::new(0),
            ahead: Mutex::new(Vec::new()),
            ahead_of_keys: Mutex::new(Vec::new()),
            makes_keys_slowly: AtomicBool::new(false),
            backs_up: AtomicBool::new(false),
            unheard: Mutex::default(),
            unplanned: Mutex::new(PlanErrors::new()),
            planned: Mutex::new(u64::MAX),
            contacts: Mutex::new(Ok(vec![heard(1)])),
            lags: AtomicBool::new(false),
            behind: Mutex::new(None),
            gate: tokio::sync::Mutex::default(),
            previews: AtomicUsize::new(0),
        };
        found(&fleet);
        fleet
    }

    pub(super) fn state(&self) -> FleetState {
        self.state.lock().unwrap().clone()
    }

    /// A second node, without a vote.
    pub(super) fn add_learner(&self) {
        let mut state = self.state.lock().unwrap();
        let second = Node {
            id: NodeId(2),
            role: email_engine_protocol::api::MemberRole::Learner,
            ..state.nodes[&NodeId(1)].clone()
        };
        state.nodes.insert(second.id, second);
    }

    /// A command that makes so many keys.
    pub(super) fn stocked(count: usize) -> Command {
        let keys = (0..count).map(|_| prepared_key()).collect();
        Command::StockKeys(StockKeys { keys })
    }

    pub(super) fn log_length(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// All identities were added so long ago.
    pub(super) fn age_identities(&self, millis: u64) {
        let mut state = self.state.lock().unwrap();
        state.identities.change_each(|_, identity| {
            Arc::make_mut(identity).added_at = Timestamp(NOW.0 - millis);
        });
    }

    /// What `pmta1` counted was once counted at this host as well, with gaps.
    pub(super) fn sent_before_from(&self, host: &str, gaps: impl IntoIterator<Item = Gap>) {
        let mut state = self.state.lock().unwrap();
        let hosts = &mut state.accounting.hosts;
        let mut counted = hosts[&HostId::new("pmta1").unwrap()].clone();
        Arc::make_mut(&mut counted).gaps.extend(gaps);
        hosts.insert(HostId::new(host).unwrap(), counted);
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
        let (answer, changes) = self.state.lock().unwrap().apply(&proposal);
        for change in changes {
            if let BodyChange::Series(change) = change {
                self.count(change);
            }
        }
        answer
    }
}

impl MemoryFleet {
    fn count(&self, change: SeriesChange) {
        let SeriesChange::Add(rows) = change else {
            return;
        };
        let mut series = self.series.lock().unwrap();
        for (key, counts) in rows {
            series.entry(key).or_default().add(&counts);
        }
    }
}

impl Fleet for MemoryFleet {
    fn view(&self, read: &mut dyn FnMut(&FleetState)) {
        match &*self.behind.lock().unwrap() {
            Some(known) => read(known),
            None => read(&self.state.lock().unwrap()),
        }
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
        let ahead = std::mem::take(&mut *self.ahead.lock().unwrap());
        for command in ahead {
            self.apply(command).unwrap();
        }
        let lags = self.lags.load(Ordering::Relaxed);
        if lags {
            *self.behind.lock().unwrap() = Some(self.state());
        }
        let (answer, changes) = self.state.lock().unwrap().apply(&proposal);
        let mut bodies = self.bodies.lock().unwrap();
        for change in changes {
            match change {
                BodyChange::Put(hash, bytes) => bodies.insert(hash, bytes.into()),
                BodyChange::Drop(hash) => bodies.remove(&hash),
                BodyChange::Series(change) => {
                    self.count(change);
                    None
                }
            };
        }
        drop(bodies);
        self.log.lock().unwrap().push(proposal);
        let answer = match answer {
            Ok(outcome) if lags => {
                let outcome = Box::new(outcome);
                Err(ProposeError::NotAppliedHere { outcome })
            }
            answer => Ok(answer),
        };
        async { answer }.boxed()
    }

    fn series(&self, subject: &Subject, spans: &[Span]) -> Result<SpanCounts, StoreError> {
        let series = self.series.lock().unwrap();
        let of = |span: &Span| {
            let own = series
                .iter()
                .filter(|(key, _)| key.span == *span && key.subject == *subject);
            let groups = own.map(|(key, counts)| (key.group.clone(), *counts));
            (*span, groups.collect::<BTreeMap<_, _>>())
        };
        let found = spans.iter().map(of);
        Ok(found.filter(|(_, groups)| !groups.is_empty()).collect())
    }

    fn linearize(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        if self.is_mute.load(Ordering::Relaxed) {
            return futures::future::pending().boxed();
        }
        let answer = if self.has_quorum.load(Ordering::Relaxed) {
            *self.behind.lock().unwrap() = None;
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
            contacts: None,
        }
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        Ok(self.bodies.lock().unwrap().get(hash).cloned())
    }

    fn sessions(&self) -> BoxFuture<'_, Sessions> {
        let unheard = self.unheard.lock().unwrap().clone();
        let rows = Vec::new();
        async { Sessions { rows, unheard } }.boxed()
    }

    fn planned(&self, _revision: u64) -> BoxFuture<'_, Option<Planned>> {
        let errors = self.unplanned.lock().unwrap().clone();
        let revision = *self.planned.lock().unwrap();
        let failed = 0;
        let planned = Planned {
            revision,
            errors,
            failed,
        };
        async { Some(planned) }.boxed()
    }

    fn contacts(&self) -> BoxFuture<'_, Contacts> {
        let contacts = self.contacts.lock().unwrap().clone();
        async { contacts }.boxed()
    }

    fn promote(
        &self,
        node: NodeId,
        _record: Proposal,
    ) -> BoxFuture<'_, Result<(), MembershipError>> {
        let reason = format!("node {node} votes already");
        async { Err(MembershipError::Refused { reason }) }.boxed()
    }

    fn remove(
        &self,
        _node: NodeId,
        record: Proposal,
    ) -> BoxFuture<'_, Result<(), MembershipError>> {
        async {
            self.propose(record).await??;
            Ok(())
        }
        .boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Backup, BackupError>> {
        if self.backs_up.load(Ordering::Relaxed) {
            return async { Err(BackupError::UnderWay) }.boxed();
        }
        if !self.has_quorum.load(Ordering::Relaxed) {
            let reason = "one of three nodes".to_owned();
            return async { Err(BackupError::Read(ReadError::NoQuorum { reason })) }.boxed();
        }
        let chunks = futures::stream::iter(["one", "two"]);
        let chunks = chunks
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .boxed();
        async { Ok(Backup { chunks }) }.boxed()
    }
}

/// What seals and opens here.
pub(super) fn vault() -> Vault {
    Vault::new(1, Zeroizing::new([7; 32]))
}

/// The real planner, over keys that cost nothing to make.
pub(super) struct Planner(pub(super) Arc<MemoryFleet>);

impl Planning for Planner {
    fn preview(
        &self,
        state: &FleetState,
        draft: &Draft,
        may_see: &dyn Fn(&Host) -> bool,
    ) -> Result<Preview, Rejection> {
        self.0.previews.fetch_add(1, Ordering::SeqCst);
        let _gate = self.0.gate.blocking_lock();
        let after = preview::carried_out(state, &draft.commands, draft.new_identities)?;
        Ok(preview::preview(state, &after, may_see))
    }

    fn seal(&self, secret: &SecretBytes) -> SealedAtRest {
        vault().seal_secret(secret, &Entropy(&SystemRandom::new()))
    }

    fn ensure_stock(&self, needed: usize) -> BoxFuture<'_, Result<(), StockError>> {
        let ahead = std::mem::take(&mut *self.0.ahead_of_keys.lock().unwrap());
        for command in ahead {
            self.0.apply(command).unwrap();
        }
        let held = self.0.state().prepared_keys.len();
        let missing = needed.saturating_sub(held);
        let slow = missing > 1 && self.0.makes_keys_slowly.load(Ordering::SeqCst);
        let made = if slow { 1 } else { missing };
        if made > 0 {
            self.0.apply(MemoryFleet::stocked(made)).unwrap();
        }
        match slow {
            true => std::future::pending().boxed(),
            false => async { Ok(()) }.boxed(),
        }
    }
}

/// A member that has just answered.
pub(super) const fn heard(node: u64) -> PeerContact {
    PeerContact {
        node: NodeId(node),
        matched: Some(5),
        hearing: Hearing::Answers,
        silent_millis: 0,
    }
}

fn prepared_key() -> PreparedKey {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = SystemRandom::new();
    let vault = Vault::new(1, Zeroizing::new([1; 32]));
    let secret = SecretBytes {
        salt: [1; 16],
        bytes: format!("key {number}").into_bytes(),
    };
    PreparedKey {
        commitment: secret.commitment(),
        sealed: vault.seal_secret(&secret, &Entropy(&random)),
        public: format!("public{number}"),
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
    let files = planner::builtin_bundle();
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
