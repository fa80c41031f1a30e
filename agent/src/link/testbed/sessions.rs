//! Sessions against a coordinator on loopback, with a test in the executor's place.

use std::time::Duration;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash, Nonce};
use email_engine_protocol::desired::Target;
use email_engine_protocol::enroll::{EnrollReply, EnrollRequest, RenewedCertificate};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Floor, Refusal, RefusalCode};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::super::{ExecutorSide, Link, LinkEnd, LinkSettings};
use super::coordinator::{TestCoordinator, TestSession, wait_for};
use super::{NodeNames, TestCluster};
use crate::halves::{FromExecutor, Standing, ToExecutor};
use crate::identity::{Identity, IdentityStore, Validity};

/// A running link and the executor's end of its channels.
pub(super) struct Agent {
    link: JoinHandle<LinkEnd>,
    heard: mpsc::Receiver<ToExecutor>,
    say: mpsc::Sender<FromExecutor>,
    stop: watch::Sender<bool>,
    store: IdentityStore,
    _dir: tempfile::TempDir,
}

impl Agent {
    pub(super) fn start(identity: Identity) -> Self {
        Self::start_believing(identity, Timestamp(0))
    }

    /// Starts with a time that a signature vouched for in an earlier life.
    fn start_believing(identity: Identity, floor: Timestamp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(dir.path()).unwrap();
        store.save(&identity).unwrap();
        store.save_clock_floor(floor).unwrap();
        let (to, heard) = mpsc::channel(4);
        let (say, from) = mpsc::channel(1);
        let (stop, shutdown) = watch::channel(false);
        let settings = LinkSettings {
            mode: Mode::Sandbox,
            reconnect_max: Duration::from_millis(20),
            silence: Duration::from_secs(60),
            software: "0.0.0".to_owned(),
        };
        let executor = ExecutorSide::new(to, from, Standing::default(), shutdown);
        let link = Link::new(settings, store.clone(), identity, executor).unwrap();
        Self {
            link: tokio::spawn(link.run()),
            heard,
            say,
            stop,
            store,
            _dir: dir,
        }
    }

    pub(super) async fn heard(&mut self) -> ToExecutor {
        wait_for(self.heard.recv(), "the executor hears something")
            .await
            .unwrap()
    }

    /// Takes the two messages with which every session begins.
    pub(super) async fn heard_session(&mut self) {
        let nonce = Nonce([7; 16]);
        assert_eq!(self.heard().await, ToExecutor::Session { nonce });
        assert!(matches!(self.heard().await, ToExecutor::Grants { .. }));
    }

    pub(super) async fn say(&self, message: FromExecutor) {
        wait_for(self.say.send(message), "the link listens")
            .await
            .unwrap();
    }

    async fn end(self) -> LinkEnd {
        wait_for(self.link, "the link ends").await.unwrap()
    }
}

pub(super) struct Stage {
    cluster: TestCluster,
    coordinator: TestCoordinator,
}

impl Stage {
    pub(super) fn new() -> Self {
        let cluster = TestCluster::new(1);
        let coordinator = TestCoordinator::start(&cluster, &NodeNames::default());
        Self {
            cluster,
            coordinator,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        let endpoints = vec![self.coordinator.name()];
        self.cluster
            .identity_of("pmta1", TestCluster::week(), endpoints)
    }

    pub(super) async fn session(&mut self, list: &[Endpoint]) -> TestSession {
        self.coordinator.session(&self.cluster, list).await
    }

    fn target(&self, issued_at: Timestamp) -> Target {
        Target {
            cluster: self.cluster.id,
            host: HostId::new("pmta1").unwrap(),
            generation: Generation {
                epoch: 1,
                number: 5,
            },
            digest: ContentHash::of(b"manifest"),
            plan_key_version: 1,
            issued_at,
        }
    }
}

#[tokio::test]
async fn messages_pass_both_ways_and_a_ping_is_answered() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    assert_eq!(session.hello.cluster, stage.cluster.id);
    assert_eq!(session.hello.mode, Mode::Sandbox);
    agent.heard_session().await;
    let offer = stage.cluster.plan.sign(&stage.target(TestCluster::now()));
    session.say(&CoordinatorMessage::Offer(offer.clone())).await;
    assert_eq!(agent.heard().await, ToExecutor::Offer(offer));
    session.say(&CoordinatorMessage::Ping { number: 8 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 8 });
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    agent.stop.send(true).unwrap();
    let closed = wait_for(session.connection.closed(), "the agent says good-bye").await;
    assert!(closed.to_string().contains("closed by peer"), "{closed}");
    assert_eq!(agent.end().await, LinkEnd::Shutdown);
}

#[tokio::test]
async fn a_late_report_for_an_older_session_is_not_relayed() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    // The executor was busy when its session ended: a coordinator takes this for a replay.
    let late = stage.cluster.report_for(Nonce([6; 16]));
    agent.say(FromExecutor::Report(late)).await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
}

#[tokio::test]
async fn a_session_comes_back_after_its_coordinator_went_away() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let session = stage.session(&[]).await;
    agent.heard_session().await;
    drop(session);
    let address = stage.coordinator.stop().await;
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    // Nobody is there: what the executor says is read all the same, and where it stands is kept.
    let floor = Floor {
        generation: Generation {
            epoch: 1,
            number: 9,
        },
        digest: ContentHash::of(b"manifest"),
    };
    for _ in 0..20 {
        agent
            .say(FromExecutor::Report(stage.cluster.report()))
            .await;
    }
    let standing = Standing {
        floor: Some(floor),
        plan_key_version: 4,
        ..Standing::default()
    };
    agent.say(FromExecutor::Standing(standing)).await;
    agent
        .say(FromExecutor::BodiesWanted(vec![floor.digest]))
        .await;

    let names = NodeNames::default();
    stage.coordinator = TestCoordinator::start_at(&stage.cluster, &names, address);
    let session = stage.session(&[]).await;
    assert_eq!(session.hello.floor, Some(floor));
    assert_eq!(session.hello.plan_key_version, 4);
    agent.heard_session().await;
}

#[tokio::test]
async fn the_list_of_coordinators_is_learnt_remembered_and_used() {
    let mut stage = Stage::new();
    let mut other = TestCoordinator::start(&stage.cluster, &NodeNames::default());
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[other.name()]).await;
    agent.heard_session().await;
    let (first, second) = (stage.coordinator.name(), other.name());
    assert_eq!(
        agent.store.coordinators().unwrap(),
        [first.clone(), second.clone()]
    );
    let list = vec![second.clone(), "192.0.2.9:7443".to_owned()];
    session.say(&CoordinatorMessage::Coordinators(list)).await;
    session.say(&CoordinatorMessage::Ping { number: 1 }).await;
    session.heard().await;
    let known = agent.store.coordinators().unwrap();
    assert_eq!(known, [first, second.clone(), "192.0.2.9:7443".to_owned()]);
    let list = vec![second];
    session.say(&CoordinatorMessage::Coordinators(list)).await;

    let refusal = Refusal {
        code: RefusalCode::NoLeader,
        reason: "no leader".to_owned(),
        retry_after_millis: Some(600_000),
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    let _other = other.session(&stage.cluster, &[]).await;
    agent.heard_session().await;
    assert_eq!(agent.store.coordinators().unwrap(), [other.name()]);
}

#[tokio::test]
async fn a_certificate_is_renewed_without_dropping_the_session() {
    let mut stage = Stage::new();
    let mut identity = stage.identity();
    // Half of its life is over.
    identity.obtained_at = TestCluster::week().not_before;
    identity.obtained_at.0 -= 20 * Timestamp::DAY;
    let (old_key, old_chain) = (identity.key.public().to_vec(), identity.chain.clone());
    let mut agent = Agent::start(identity);
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let AgentMessage::Renew { request } = session.heard().await else {
        panic!("no renewal");
    };
    // Until the answer is here, a restart finds the old identity, whole, and the staged key.
    let found = agent.store.load().unwrap().unwrap();
    assert_eq!(
        (found.key.public(), &found.chain),
        (&old_key[..], &old_chain)
    );
    assert!(agent.store.has_staged_key());

    let renewed = |chain| {
        CoordinatorMessage::Renewed(RenewedCertificate {
            chain,
            serial: CertificateSerial([1; 16]),
            not_after: TestCluster::week().not_after,
        })
    };
    let foreign = TestCluster::new(1).issue(&request, "pmta1", TestCluster::week());
    session.say(&renewed(foreign)).await;
    session.say(&CoordinatorMessage::Ping { number: 1 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 1 });
    let found = agent.store.load().unwrap().unwrap();
    assert_eq!(
        found.key.public(),
        old_key,
        "a foreign chain is not adopted"
    );

    let chain = stage.cluster.issue(&request, "pmta1", TestCluster::week());
    session.say(&renewed(chain.clone())).await;
    session.say(&CoordinatorMessage::Ping { number: 2 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 2 });
    let found = agent.store.load().unwrap().unwrap();
    assert_eq!(found.chain[0].to_vec(), chain[0]);
    assert_ne!(found.key.public(), old_key);
    assert!(!agent.store.has_staged_key());

    // The next session is opened with the new certificate.
    session.connection.close(0_u32.into(), b"");
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    let session = stage.session(&[]).await;
    let shown = session.connection.peer_identity().unwrap();
    let shown = shown
        .downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>()
        .unwrap();
    assert_eq!(shown[0].to_vec(), chain[0]);
}

#[tokio::test]
async fn a_host_that_slept_past_its_certificate_comes_back_by_itself() {
    let mut stage = Stage::new();
    let over = Validity {
        not_before: Timestamp(0),
        not_after: Timestamp(TestCluster::now().0 - Timestamp::DAY),
    };
    let endpoints = vec![stage.coordinator.name()];
    let mut agent = Agent::start(stage.cluster.identity_of("pmta1", over, endpoints));
    let call = stage.coordinator.enrolling().await;
    let EnrollRequest::Renew(renewal) = &call.request else {
        panic!("not a renewal: {:?}", call.request);
    };
    let admission =
        stage
            .cluster
            .admission(&renewal.request, "pmta1", vec![stage.coordinator.name()]);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let _session = stage.session(&[]).await;
    agent.heard_session().await;
}

#[tokio::test]
async fn a_coordinator_that_finds_the_certificate_ended_is_asked_for_a_new_one() {
    let mut stage = Stage::new();
    let over = Validity {
        not_before: Timestamp(0),
        not_after: Timestamp(TestCluster::now().0 - Timestamp::DAY),
    };
    let endpoints = vec![stage.coordinator.name()];
    let mut identity = stage.cluster.identity_of("pmta1", over, endpoints);
    // By our clock it would still be good.
    identity.validity = TestCluster::week();
    let mut agent = Agent::start(identity);
    let call = stage.coordinator.enrolling().await;
    let EnrollRequest::Renew(renewal) = &call.request else {
        panic!("not a renewal: {:?}", call.request);
    };
    let admission = stage.cluster.admission(&renewal.request, "pmta1", vec![]);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let _session = stage.session(&[]).await;
    agent.heard_session().await;
}

#[tokio::test]
async fn whoever_may_have_lost_a_renewal_asks_for_it_before_giving_up() {
    let mut stage = Stage::new();
    let identity = stage.identity();
    let mut agent = Agent::start(identity);
    let staged = agent.store.staged_key(None).unwrap();
    let refusal = |code| {
        CoordinatorMessage::Refused(Refusal {
            code,
            reason: "another key is known".to_owned(),
            retry_after_millis: None,
        })
    };
    let mut session = stage.coordinator.hello().await;
    session.say(&refusal(RefusalCode::Revoked)).await;
    let call = stage.coordinator.enrolling().await;
    let EnrollRequest::Renew(renewal) = &call.request else {
        panic!("not a renewal: {:?}", call.request);
    };
    let admission = stage.cluster.admission(&renewal.request, "pmta1", vec![]);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let found = agent.store.load().unwrap().unwrap();
    assert_eq!(found.key.public(), staged.public());
    session.say(&refusal(RefusalCode::Revoked)).await;
    // Said after its Welcome, while the session was good: told to the executor all the same.
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
    assert_eq!(agent.end().await, LinkEnd::Revoked);
}

#[tokio::test]
async fn a_time_that_was_vouched_for_too_early_goes_with_the_next_certificate() {
    let mut stage = Stage::new();
    let future = TestCluster::now().plus(30 * Timestamp::DAY);
    let mut agent = Agent::start_believing(stage.identity(), future);
    let call = stage.coordinator.enrolling().await;
    let EnrollRequest::Renew(renewal) = &call.request else {
        panic!("not a renewal: {:?}", call.request);
    };
    let admission = stage.cluster.admission(&renewal.request, "pmta1", vec![]);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let _session = stage.session(&[]).await;
    agent.heard_session().await;
    // Otherwise every restart would ask for another certificate.
    assert!(agent.store.clock_floor().unwrap() < TestCluster::now());
}

#[tokio::test]
async fn a_busy_executor_does_not_silence_the_link() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    // Far more than the channel to the executor takes.
    for _ in 0..30 {
        session.say(&CoordinatorMessage::Secrets(vec![])).await;
    }
    session.say(&CoordinatorMessage::Ping { number: 4 }).await;
    assert_eq!(session.heard().await, AgentMessage::Pong { number: 4 });
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    agent.heard_session().await;
    for _ in 0..30 {
        assert_eq!(agent.heard().await, ToExecutor::Secrets(vec![]));
    }
}

#[tokio::test]
async fn a_frame_over_the_cap_closes_the_connection() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    session.send.write_all(&[0xff; 4]).await.unwrap();
    let closed = wait_for(session.connection.closed(), "the agent closes").await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed otherwise: {closed}");
    };
    assert_eq!(close.error_code, 1_u32.into());
    assert_eq!(agent.heard().await, ToExecutor::Disconnected);
}

#[tokio::test]
async fn a_revoked_host_stops_for_good() {
    let mut stage = Stage::new();
    let agent = Agent::start(stage.identity());
    let mut session = stage.coordinator.hello().await;
    let refusal = Refusal {
        code: RefusalCode::Revoked,
        reason: "revoked by an operator".to_owned(),
        retry_after_millis: None,
    };
    session.say(&CoordinatorMessage::Refused(refusal)).await;
    assert_eq!(agent.end().await, LinkEnd::Revoked);
}

#[tokio::test]
async fn a_retired_host_hands_over_its_last_report_and_ends() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    agent.say(FromExecutor::Retired).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    session.over().await;
    assert_eq!(agent.end().await, LinkEnd::Retired);
}

#[tokio::test]
async fn a_host_that_was_retired_while_alone_confirms_it_in_the_next_session() {
    let mut stage = Stage::new();
    let identity = stage.identity();
    let names = NodeNames::default();
    let address = stage.coordinator.stop().await;
    let mut agent = Agent::start(identity);
    agent.say(FromExecutor::Retired).await;
    stage.coordinator = TestCoordinator::start_at(&stage.cluster, &names, address);
    let mut session = stage.coordinator.session(&stage.cluster, &[]).await;
    agent.heard_session().await;
    let report = stage.cluster.report();
    agent.say(FromExecutor::Report(report.clone())).await;
    assert_eq!(session.heard().await, AgentMessage::Report(report));
    session.over().await;
    assert_eq!(agent.end().await, LinkEnd::Retired);
}

#[tokio::test]
async fn a_signed_target_lifts_a_clock_that_is_behind() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let later = TestCluster::now().plus(Timestamp::DAY);
    let forged = TestCluster::new(9).plan.sign(&stage.target(later.plus(1)));
    session.say(&CoordinatorMessage::Offer(forged)).await;
    agent.heard().await;
    assert!(agent.store.clock_floor().unwrap() < later);
    let good = stage.cluster.plan.sign(&stage.target(later));
    session.say(&CoordinatorMessage::Offer(good)).await;
    agent.heard().await;
    assert_eq!(agent.store.clock_floor().unwrap(), later);
}
