//! A replicated state that is neither replicated nor on disk. Its `apply` keeps to what the commands
//! promise, for those few that this room proposes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use tokio::sync::watch;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use crate::command::{
    Answer, Bearer, Command, Effect, Outcome, Proposal, RedeemToken, Rejection, RejectionCode,
    RenewCertificate, SetSubmissionCertificate, SetTargets,
};
use crate::pki::testbed::now;
use crate::push::Fleet;
use crate::raft::{
    Announced, Applied, Leadership, ProposeError, ReadError, SessionHearing, SessionNotice,
    SessionRow, StoreError,
};
use crate::state::{
    CertificateRecord, CertificateSubject, FleetState, HostKeys, HostLifecycle, Node, StoredSecret,
    SubmissionCertificate, TokenState, TokenUse,
};

/// One node's door to the state that all of them share.
#[derive(Clone)]
pub(crate) struct FakeFleet(Arc<Fake>, NodeId);

struct Fake {
    state: RwLock<FleetState>,
    bodies: Mutex<BTreeMap<ContentHash, Bytes>>,
    applied: watch::Sender<Applied>,
    leadership: watch::Sender<Leadership>,
    log: Mutex<Vec<Command>>,
    hearing: Mutex<BTreeMap<NodeId, SessionHearing>>,
    /// Nodes that cannot be told anything.
    deaf: Mutex<BTreeSet<NodeId>>,
    /// Nodes that have not caught up, and what they know.
    behind: Mutex<BTreeMap<NodeId, Arc<FleetState>>>,
    /// Nodes that do not apply in time what they propose.
    lagging: Mutex<BTreeSet<NodeId>>,
    /// Linearizable reads that have begun, and what holds them up.
    reads: AtomicU64,
    reading: Arc<tokio::sync::Mutex<()>>,
}

const LED: Leadership = Leadership {
    leader: Some(NodeId(1)),
    term: 1,
    is_leader: true,
};

impl FakeFleet {
    pub(crate) fn new(state: FleetState) -> Self {
        let fake = Fake {
            state: RwLock::new(state),
            bodies: Mutex::default(),
            applied: watch::channel(Applied::default()).0,
            leadership: watch::channel(LED).0,
            log: Mutex::default(),
            hearing: Mutex::default(),
            deaf: Mutex::default(),
            behind: Mutex::default(),
            lagging: Mutex::default(),
            reads: AtomicU64::new(0),
            reading: Arc::default(),
        };
        Self(Arc::new(fake), NodeId(1))
    }

    /// Another node's door to the same state.
    pub(crate) fn of_node(&self, node: NodeId) -> Self {
        Self(self.0.clone(), node)
    }

    /// Cuts a node off from what the others tell, or heals that.
    pub(crate) fn set_deaf(&self, node: NodeId, deaf: bool) {
        let mut all = self.0.deaf.lock().unwrap();
        if deaf {
            all.insert(node);
        } else {
            all.remove(&node);
        }
    }

    /// Leaves this node at what it knows now, until it asks whether it is behind.
    pub(crate) fn fall_behind(&self) {
        let known = Arc::new(self.view(FleetState::clone));
        self.0.behind.lock().unwrap().insert(self.1, known);
    }

    /// From now on, or no more, this node has not applied what it proposed when that is answered.
    pub(crate) fn set_lagging(&self, lagging: bool) {
        let mut all = self.0.lagging.lock().unwrap();
        if lagging {
            all.insert(self.1);
        } else {
            all.remove(&self.1);
        }
    }

    /// Linearizable reads that have begun.
    pub(crate) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// No linearizable read ends while this is held.
    pub(crate) async fn hold_reads(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.0.reading.clone().lock_owned().await
    }

    /// Changes the state, as if a command had been applied.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut FleetState) -> R) -> R {
        let mut state = self.0.state.write().unwrap();
        let result = change(&mut state);
        state.revision += 1;
        let revision = state.revision;
        drop(state);
        let index = revision;
        self.0.applied.send_replace(Applied { index, revision });
        result
    }

    pub(crate) fn put_body(&self, body: Vec<u8>) {
        let hash = ContentHash::of(&body);
        self.0.bodies.lock().unwrap().insert(hash, body.into());
    }

    pub(crate) fn lose_the_leader(&self) {
        self.0.leadership.send_replace(Leadership::default());
    }

    /// Commands that were proposed.
    pub(crate) fn log(&self) -> Vec<Command> {
        self.0.log.lock().unwrap().clone()
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&FleetState) -> bool, why: &str) {
        let mut applied = self.0.applied.subscribe();
        let met = async {
            while !self.view(&wanted) {
                applied.changed().await.unwrap();
            }
        };
        super::wait_for(met, why).await;
    }
}

impl Fleet for FakeFleet {
    fn node(&self) -> NodeId {
        self.1
    }

    async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        if self.0.leadership.borrow().leader.is_none() {
            let reason = "no leader".to_owned();
            return Err(ProposeError::NoQuorum { reason });
        }
        self.0.log.lock().unwrap().push(proposal.command.clone());
        let lags = self.0.lagging.lock().unwrap().contains(&self.1);
        if lags {
            self.fall_behind();
        }
        if matches!(proposal.command, Command::RecordReadings(_)) {
            let mut state = self.0.state.write().unwrap();
            return Ok(state.apply(&proposal).0);
        }
        if matches!(
            proposal.command,
            Command::RaiseAlerts(_) | Command::RecordDeliveries(_)
        ) {
            // As it is: no change of the fleet, and so no revision.
            let answer = self.0.state.write().unwrap().apply(&proposal).0;
            self.0.applied.send_modify(|applied| applied.index += 1);
            return Ok(answer);
        }
        if matches!(proposal.command, Command::RecordStatistics(_)) {
            return Ok(self.change(|state| state.apply(&proposal).0));
        }
        let bodies = &self.0.bodies;
        let effect = self.change(|state| apply(state, proposal.command, bodies));
        let answer = effect.map(|effect| Outcome {
            revision: self.0.state.read().unwrap().revision,
            effect,
        });
        match answer {
            Ok(outcome) if lags => {
                let outcome = Box::new(outcome);
                Err(ProposeError::NotAppliedHere { outcome })
            }
            answer => Ok(answer),
        }
    }

    async fn linearize(&self) -> Result<(), ReadError> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        drop(self.0.reading.lock().await);
        if self.0.leadership.borrow().leader.is_none() {
            let reason = "no leader".to_owned();
            return Err(ReadError::NoQuorum { reason });
        }
        self.0.behind.lock().unwrap().remove(&self.1);
        Ok(())
    }

    fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        let behind = self.0.behind.lock().unwrap().get(&self.1).cloned();
        if let Some(known) = behind {
            return read(&known);
        }
        read(&self.0.state.read().unwrap())
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.bodies.lock().unwrap().get(hash).cloned())
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        self.0.applied.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    async fn announce_sessions(&self, notices: Vec<SessionNotice>) -> Announced {
        let hearing = self.0.hearing.lock().unwrap().clone();
        let deaf = self.0.deaf.lock().unwrap().clone();
        let mut announced = Announced {
            complete: true,
            ..Announced::default()
        };
        for (node, hear) in hearing {
            if deaf.contains(&node) {
                announced.complete = false;
            } else if node != self.1 {
                announced.ended.extend(hear(&notices));
            }
        }
        announced
    }

    fn hear_sessions(&self, hear: SessionHearing) {
        self.0.hearing.lock().unwrap().insert(self.1, hear);
    }

    fn serve_sessions(&self, _source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {}
}

fn reject(code: RejectionCode, field: &str) -> Result<Effect, Rejection> {
    Err(Rejection {
        code,
        field: field.to_owned(),
        value: String::new(),
        accepted: String::new(),
    })
}

fn apply(
    state: &mut FleetState,
    command: Command,
    bodies: &Mutex<BTreeMap<ContentHash, Bytes>>,
) -> Result<Effect, Rejection> {
    match command {
        Command::RedeemToken(redeem) => redeem_token(state, *redeem),
        Command::RenewCertificate(renew) => renew_certificate(state, renew),
        Command::ReadmitHost(readmit) => {
            let host = state.hosts.get_mut(&readmit.host).unwrap();
            let keys = host.keys.as_mut().unwrap();
            (keys.serial, keys.spki) = (readmit.shown.serial, readmit.shown.spki);
            let restored = state.restored.as_mut().unwrap();
            restored.readmitted.insert(readmit.host);
            Ok(Effect::Done)
        }
        Command::RefuseToken(refuse) => {
            let token = state.tokens.get_mut(&refuse.id).unwrap();
            token.refused.push(refuse.refused);
            Ok(Effect::Done)
        }
        Command::RecordOutcome(record) => {
            state.outcomes.insert(record.host, record.outcome);
            Ok(Effect::Done)
        }
        Command::CutOffHost(cut) => {
            let host = state.hosts.get_mut(&cut.host).unwrap();
            host.lifecycle = HostLifecycle::Retired;
            Ok(Effect::Done)
        }
        Command::StockKeys(stock) => {
            for key in stock.keys {
                state
                    .prepared_keys
                    .insert(state.next_prepared_key, Arc::new(key));
                state.next_prepared_key += 1;
            }
            Ok(Effect::Done)
        }
        Command::SetSubmissionAuthority(set) => {
            let record = crate::state::SubmissionAuthorityRecord {
                authority: set.authority,
                revision: state.revision + 1,
                issued: 0,
            };
            state.submission_authority = Some(Arc::new(record));
            Ok(Effect::Done)
        }
        Command::SetSubmissionCertificate(set) => {
            certify(state, *set);
            Ok(Effect::Done)
        }
        Command::SetDatabasePassword(set) => {
            let id = FleetState::database_secret(&set.host, &set.database).unwrap();
            let stored = StoredSecret {
                id,
                version: 1,
                commitment: set.commitment,
                sealed: set.sealed,
            };
            state.put_secret(stored);
            Ok(Effect::Done)
        }
        Command::SetTargets(set) => set_targets(state, set, bodies),
        other => panic!("not proposed by these rooms: {other:?}"),
    }
}

fn set_targets(
    state: &mut FleetState,
    set: SetTargets,
    bodies: &Mutex<BTreeMap<ContentHash, Bytes>>,
) -> Result<Effect, Rejection> {
    for (hash, body) in set.bodies {
        bodies.lock().unwrap().insert(hash, body.into());
    }
    let mut given = Vec::new();
    let epoch = state.cluster.as_ref().unwrap().epoch;
    for new in set.targets {
        let current = state.targets.get(&new.host);
        if current.map(|current| current.digest) != new.parent {
            continue;
        }
        let last = current.map(|current| current.generation);
        let generation = last.unwrap_or_default().next(epoch);
        given.push((new.host.clone(), generation));
        let record = crate::state::TargetRecord {
            generation,
            digest: new.digest,
            planner_version: new.planner_version,
            planned_from: new.planned_from,
            set_at: now(),
            resources: new.resources,
        };
        state.targets.insert(new.host, record);
        for hash in new.bodies.into_iter().chain([new.digest]) {
            let record = crate::state::BodyRecord {
                length: 0,
                references: 1,
            };
            state.bodies.insert(hash, record);
        }
    }
    if given.is_empty() {
        return reject(RejectionCode::StaleParent, "targets");
    }
    Ok(Effect::Targets(given))
}

fn certify(state: &mut FleetState, set: SetSubmissionCertificate) {
    let secret = FleetState::submission_secret(&set.host);
    let before = state.secrets.get(&secret).map(|stored| stored.version);
    let stored = StoredSecret {
        id: secret.clone(),
        version: before.unwrap_or_default() + 1,
        commitment: set.commitment,
        sealed: set.sealed,
    };
    state.put_secret(stored);
    let row = SubmissionCertificate {
        secret,
        names: set.names,
        serial: set.serial,
        issued_at: now(),
        not_after: set.not_after,
    };
    state.submission_certificates.insert(set.host, row);
}

fn redeem_token(state: &mut FleetState, redeem: RedeemToken) -> Result<Effect, Rejection> {
    let Some(token) = state.tokens.get_mut(&redeem.id) else {
        return reject(RejectionCode::TokenUnknown, "id");
    };
    let mut given = None;
    if let TokenState::Redeemed { spki, node } = token.state {
        if spki != redeem.spki {
            return reject(RejectionCode::TokenUsed, "id");
        }
        given = node;
    }
    if let Some(given) = given {
        return Ok(Effect::Node(given));
    }
    token.used_by = Some(TokenUse::new(redeem.spki, "holder", &redeem.from));
    let node = matches!(redeem.bearer, Bearer::Node { .. }).then_some(NodeId(state.next_node));
    token.state = TokenState::Redeemed {
        spki: redeem.spki,
        node,
    };
    let admission = token.admission.clone();
    match (admission, redeem.bearer) {
        (
            email_engine_protocol::join::Admission::Host { host, .. },
            Bearer::Host {
                report_key,
                sealing_key,
                mode,
                serial,
                not_after,
                ..
            },
        ) => {
            let row = state.hosts.get_mut(&host).unwrap();
            row.lifecycle = HostLifecycle::Enrolled;
            row.keys = Some(HostKeys {
                serial,
                spki: redeem.spki,
                report_key,
                sealing_key,
                mode,
                enrolled_at: now(),
            });
            let record = CertificateRecord {
                serial,
                subject: CertificateSubject::Host(host),
                spki: redeem.spki,
                issued_at: now(),
                not_after,
            };
            state.certificates.insert(serial, Arc::new(record));
            Ok(Effect::Done)
        }
        (
            email_engine_protocol::join::Admission::Node,
            Bearer::Node {
                raft_endpoint,
                agent_endpoint,
                api_endpoint,
                supports_version,
            },
        ) => {
            let id = NodeId(state.next_node);
            state.next_node += 1;
            let row = Node {
                id,
                raft_endpoint,
                agent_endpoint,
                api_endpoint,
                role: MemberRole::Learner,
                joined_at: now(),
                supports_version,
            };
            state.nodes.insert(id, row);
            Ok(Effect::Node(id))
        }
        _ => reject(RejectionCode::TokenUnknown, "id"),
    }
}

fn renew_certificate(state: &mut FleetState, renew: RenewCertificate) -> Result<Effect, Rejection> {
    if let CertificateSubject::Host(host) = &renew.subject {
        let keys = state.hosts.get_mut(host).unwrap().keys.as_mut().unwrap();
        if keys.spki != renew.current_spki && keys.spki != renew.spki {
            return reject(RejectionCode::WrongState, "current_spki");
        }
        keys.serial = renew.serial;
        keys.spki = renew.spki;
    }
    let record = CertificateRecord {
        serial: renew.serial,
        subject: renew.subject,
        spki: renew.spki,
        issued_at: now(),
        not_after: renew.not_after,
    };
    state.certificates.insert(renew.serial, Arc::new(record));
    Ok(Effect::Done)
}
