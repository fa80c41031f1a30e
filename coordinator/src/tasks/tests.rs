//! The tasks in front of a state in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{Disposition, FileContent, HostConfig};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, NodeId, Role};
use email_engine_protocol::observed::{Convergence, StatusCounts};
use email_engine_protocol::time::Timestamp;

use super::plan::Planning;
use super::{Plan, PlanErrors, PlanFn, Stock, expire, plan, renew};
use crate::command::{Answer, Command, Proposal, Rejection, RejectionCode};
use crate::pki::Credential;
use crate::pki::store::IdentityStore;
use crate::pki::testbed::{TestPki, now};
use crate::push::testbed::{FakeFleet, file, founded, host_id, release, wait_for};
use crate::push::{Fleet, Registry};
use crate::raft::{
    Announced, Applied, Leadership, ProposeError, ReadError, SessionHearing, SessionNotice,
    SessionRow, StoreError,
};
use crate::seal::Vault;
use crate::state::{FleetState, Host, HostLifecycle, Outcome};

/// A body that all hosts have.
const SHARED: &[u8] = b"the same everywhere";

/// What each host shall have, as the planner of these tests knows it.
type Wishes = Arc<Mutex<BTreeMap<HostId, Result<Role, String>>>>;

struct Plans {
    fleet: FakeFleet,
    wishes: Wishes,
    errors: watch::Receiver<PlanErrors>,
}

fn vault(pki: &TestPki) -> Arc<Vault> {
    let key = zeroize::Zeroizing::new(*pki.vault.key());
    Arc::new(Vault::new(pki.vault.version(), key))
}

fn declare(state: &mut FleetState, name: &str) {
    let spec = email_engine_protocol::api::HostSpec {
        id: host_id(name),
        role: Role::Powermta,
        tenant: None,
        addresses: Vec::new(),
        labels: BTreeMap::new(),
    };
    let host = Host {
        spec,
        lifecycle: HostLifecycle::Declared,
        keys: None,
        release: release(),
        large_removal: false,
    };
    state.hosts.insert(host_id(name), host);
}

/// Starts planning for hosts whose plan differs by nothing but a role.
fn planning(hosts: &[&str]) -> Plans {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    let wishes = Wishes::default();
    for host in hosts {
        declare(&mut state, host);
        let wish = Ok(Role::Powermta);
        wishes.lock().unwrap().insert(host_id(host), wish);
    }
    let fleet = FakeFleet::new(state);
    let errors = start_planning(fleet.clone(), wishes.clone());
    Plans {
        fleet,
        wishes,
        errors,
    }
}

fn start_planning<F: Fleet>(fleet: F, wishes: Wishes) -> watch::Receiver<PlanErrors> {
    let asked = wishes;
    let plan: PlanFn = Arc::new(move |state, host| {
        let role = asked.lock().unwrap()[host].clone()?;
        let cluster = state.cluster.as_ref().unwrap().id;
        let content = FileContent::Body {
            hash: ContentHash::of(SHARED),
            length: SHARED.len() as u64,
        };
        Ok(Plan {
            config: HostConfig {
                cluster,
                host: host.clone(),
                role,
                disposition: Disposition::Active,
                resources: vec![file("/etc/shared", content)],
                large_removal: false,
            },
            bodies: BTreeMap::from([(ContentHash::of(SHARED), SHARED.to_vec())]),
        })
    });
    let (errors, errors_seen) = watch::channel(PlanErrors::new());
    tokio::spawn(plan::run(Planning {
        fleet,
        registry: Registry::default(),
        plan,
        errors,
    }));
    errors_seen
}

fn number(state: &FleetState, host: &str) -> u64 {
    let target = state.targets.get(&host_id(host));
    target.map_or(0, |target| target.generation.number)
}

#[tokio::test]
async fn what_is_planned_becomes_the_target_once() {
    let plans = planning(&["a", "b"]);
    let both = |state: &FleetState| number(state, "a") == 1 && number(state, "b") == 1;
    plans.fleet.until(both, "both hosts have a target").await;
    assert_eq!(plans.fleet.log().len(), 1, "in one command");
    // Changes that change no plan make no target; the one that does makes one, for its host alone.
    plans.fleet.change(|_| ());
    let wish = Ok(Role::Api);
    plans.wishes.lock().unwrap().insert(host_id("b"), wish);
    plans.fleet.change(|_| ());
    let newer = |state: &FleetState| number(state, "b") == 2;
    plans.fleet.until(newer, "b has its next target").await;
    assert_eq!(plans.fleet.view(|state| number(state, "a")), 1);
    // What is stored already does not travel again.
    let log = plans.fleet.log();
    let [Command::SetTargets(first), Command::SetTargets(second)] = &log[..] else {
        panic!("not two commands: {log:?}");
    };
    let shared = ContentHash::of(SHARED);
    assert_eq!(first.bodies.len(), 3);
    assert!(first.bodies.contains_key(&shared) && !second.bodies.contains_key(&shared));
    let manifests: Vec<_> = second.bodies.keys().copied().collect();
    assert_eq!(manifests, [second.targets[0].digest]);
}

#[tokio::test]
async fn a_host_that_cannot_be_planned_holds_up_nobody_and_is_named() {
    let mut plans = planning(&["a", "b"]);
    let wish = Err("no such template".to_owned());
    plans.wishes.lock().unwrap().insert(host_id("a"), wish);
    plans.fleet.change(|_| ());
    let b = |state: &FleetState| number(state, "b") == 1;
    plans.fleet.until(b, "b has a target").await;
    let named = plans
        .errors
        .wait_for(|errors| errors.contains_key(&host_id("a")));
    let errors = wait_for(named, "the error is kept").await.unwrap().clone();
    assert_eq!(errors[&host_id("a")], "no such template");
    let wish = Ok(Role::Api);
    plans.wishes.lock().unwrap().insert(host_id("a"), wish);
    plans.fleet.change(|_| ());
    let mended = plans.errors.wait_for(PlanErrors::is_empty);
    wait_for(mended, "the error is gone").await.unwrap();
}

#[tokio::test]
async fn a_host_from_the_future_waits_for_a_new_epoch_and_then_gets_everything_anew() {
    let plans = planning(&["a", "b"]);
    let both = |state: &FleetState| number(state, "a") == 1 && number(state, "b") == 1;
    plans.fleet.until(both, "both hosts have a target").await;
    let ahead = Outcome {
        accepted: Some(Generation {
            epoch: 1,
            number: 9,
        }),
        running: None,
        last_good: None,
        attempted: None,
        convergence: Convergence::Converged,
        counts: StatusCounts::default(),
        changed_at: now(),
    };
    for host in ["a", "b"] {
        let wish = Ok(Role::Api);
        plans.wishes.lock().unwrap().insert(host_id(host), wish);
    }
    plans
        .fleet
        .change(|state| state.outcomes.insert(host_id("a"), ahead));
    let b = |state: &FleetState| number(state, "b") == 2;
    plans.fleet.until(b, "b has its next target").await;
    assert_eq!(plans.fleet.view(|state| number(state, "a")), 1, "frozen");
    plans
        .fleet
        .change(|state| state.cluster.as_mut().unwrap().epoch = 2);
    let anew = |state: &FleetState| {
        state
            .targets
            .values()
            .all(|target| target.generation.epoch == 2)
    };
    plans.fleet.until(anew, "both are targeted anew").await;
}

#[tokio::test]
async fn keys_are_stocked_whole_and_sealed() {
    let pki = TestPki::new();
    let fleet = FakeFleet::new(founded(&pki));
    let stock = Stock::new(fleet.clone(), vault(&pki));
    let (one, two) = tokio::join!(stock.ensure(2), stock.ensure(2));
    one.unwrap();
    two.unwrap();
    let keys: Vec<_> = fleet.view(|state| state.prepared_keys.values().cloned().collect());
    assert_eq!(keys.len(), 2, "two who ask make no more than is needed");
    assert_ne!(keys[0].public, keys[1].public);
    for key in keys {
        let secret = pki.vault.open_secret(&key.sealed).unwrap();
        assert_eq!(secret.commitment(), key.commitment);
        let pem = std::str::from_utf8(&secret.bytes).unwrap();
        let private = rsa::RsaPrivateKey::from_pkcs8_pem(pem).unwrap();
        let public = private.to_public_key().to_public_key_der().unwrap();
        let text = data_encoding::BASE64.encode(public.as_bytes());
        assert_eq!(text, key.public);
        // What is published is a 2,048 bit key, not only what was asked of the generator.
        let der = data_encoding::BASE64.decode(key.public.as_bytes()).unwrap();
        let published = rsa::RsaPublicKey::from_public_key_der(&der).unwrap();
        assert_eq!(published.n().bits(), 2_048);
        let logged = format!("{:?}", fleet.log());
        assert!(!logged.contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn a_retiring_host_is_cut_off_after_its_deadline_and_not_before() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    for (host, deadline) in [
        ("late", Timestamp(now().0 - 1)),
        ("in-time", now().plus(Timestamp::HOUR)),
    ] {
        declare(&mut state, host);
        let host = state.hosts.get_mut(&host_id(host)).unwrap();
        host.lifecycle = HostLifecycle::Retiring { deadline };
    }
    let fleet = FakeFleet::new(state);
    tokio::spawn(expire::run(fleet.clone()));
    let cut =
        |state: &FleetState| state.hosts[&host_id("late")].lifecycle == HostLifecycle::Retired;
    fleet.until(cut, "the deadline passed").await;
    let log = fleet.log();
    assert!(matches!(&log[..], [Command::CutOffHost(cut)] if !cut.confirmed));
}

#[tokio::test]
async fn a_node_renews_its_own_certificate_after_half_its_life() {
    let pki = TestPki::founded_at(Timestamp(now().0 - 60 * Timestamp::DAY));
    let four_days_ago = Timestamp(now().0 - 4 * Timestamp::DAY);
    let names = ["192.0.2.1:7443"];
    let old = pki.node_at(NodeId(1), &names, four_days_ago);
    assert!(renew::due(&old).unwrap() < now());
    assert!(renew::due(&pki.node(NodeId(1), &names)).unwrap() > now());
    let folder = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(folder.path());
    store.save(&old).unwrap();
    let fleet = FakeFleet::new(founded(&pki));
    let (identity, mut seen) = watch::channel(Arc::new(old.clone()));
    tokio::spawn(renew::run(
        fleet.clone(),
        vault(&pki),
        store.clone(),
        (identity, crate::pki::Life::default()),
    ));
    wait_for(seen.changed(), "the node renews").await.unwrap();
    let renewed = seen.borrow().clone();
    assert_ne!(renewed.chain, old.chain);
    assert_eq!(store.load().unwrap().chain, renewed.chain);
    let credential = Credential::read(pki.record.id, &renewed.chain[0]).unwrap();
    let recorded = fleet.view(|state| state.certificates.get(&credential.serial).cloned());
    assert_eq!(recorded.unwrap().spki, credential.spki);
    let old = Credential::read(pki.record.id, &old.chain[0]).unwrap();
    assert_ne!(old.spki, credential.spki, "with another key");
    assert_ne!(credential.spki, ContentHash([0; 32]));
}

/// A fleet that takes no target of one host, as a state does that finds it over a limit.
#[derive(Clone)]
struct Picky {
    inner: FakeFleet,
    unwanted: HostId,
    /// Commands that named the host.
    refusals: Arc<AtomicUsize>,
}

impl Fleet for Picky {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        let names_it = |command: &Command| match command {
            Command::SetTargets(set) => set.targets.iter().any(|it| it.host == self.unwanted),
            _ => false,
        };
        if !names_it(&proposal.command) {
            return self.inner.propose(proposal).await;
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        // A refusal is an entry of the log as well, and wakes whoever watches it.
        self.inner.change(|_| ());
        Ok(Err(Rejection {
            code: RejectionCode::Limit,
            field: "targets[0].bodies".to_owned(),
            value: "9".to_owned(),
            accepted: "at most 8".to_owned(),
        }))
    }

    async fn linearize(&self) -> Result<(), ReadError> {
        self.inner.linearize().await
    }

    fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        self.inner.view(read)
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        self.inner.body(hash)
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        self.inner.applied()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership()
    }

    async fn announce_sessions(&self, notices: Vec<SessionNotice>) -> Announced {
        self.inner.announce_sessions(notices).await
    }

    fn hear_sessions(&self, hear: SessionHearing) {
        self.inner.hear_sessions(hear);
    }

    fn serve_sessions(&self, source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {
        self.inner.serve_sessions(source);
    }
}

#[tokio::test]
async fn a_refused_host_holds_up_nobody_is_named_and_does_not_fill_the_log() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    let hosts = ["a", "b", "c", "d", "e"];
    let wishes = Wishes::default();
    for host in hosts {
        declare(&mut state, host);
        let wish = Ok(Role::Powermta);
        wishes.lock().unwrap().insert(host_id(host), wish);
    }
    let fleet = Picky {
        inner: FakeFleet::new(state),
        unwanted: host_id("c"),
        refusals: Arc::default(),
    };
    let began = Instant::now();
    let mut errors = start_planning(fleet.clone(), wishes.clone());
    let others = |state: &FleetState| {
        hosts
            .iter()
            .all(|host| *host == "c" || number(state, host) == 1)
    };
    fleet.inner.until(others, "all but one have a target").await;
    let named = errors.wait_for(|errors| errors.contains_key(&host_id("c")));
    let errors = wait_for(named, "the refusal is told")
        .await
        .unwrap()
        .clone();
    let reason = &errors[&host_id("c")];
    assert!(
        reason.contains("targets[0].bodies") && reason.contains("at most 8"),
        "{reason}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");

    // Passes by the dozen, each of which finds the refused target again.
    for round in 1..=20 {
        let role = if round % 2 == 0 {
            Role::Powermta
        } else {
            Role::Api
        };
        wishes.lock().unwrap().insert(host_id("b"), Ok(role));
        fleet.inner.change(|_| ());
        let next = |state: &FleetState| number(state, "b") == round + 1;
        fleet.inner.until(next, "b has its next target").await;
    }
    // Found by halving (3 commands of 5 hosts), then after 1, 3, 7, ... seconds.
    let allowed = 4 + (began.elapsed().as_secs() + 1).ilog2() as usize;
    let refusals = fleet.refusals.load(Ordering::Relaxed);
    assert!(
        refusals <= allowed,
        "{refusals} refusals, at most {allowed}"
    );
}
