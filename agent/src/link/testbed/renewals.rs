//! Certificates that end, on a session and past it.

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::enroll::{EnrollReply, EnrollRequest, RenewedCertificate};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::super::LinkEnd;
use super::TestCluster;
use super::coordinator::TestSession;
use super::stage::{Agent, Stage};
use crate::halves::ToExecutor;
use crate::identity::{Identity, Validity};

/// An identity whose certificate ended yesterday.
fn past_its_end(stage: &Stage) -> Identity {
    let over = Validity {
        not_before: Timestamp(0),
        not_after: Timestamp(TestCluster::now().0 - Timestamp::DAY),
    };
    let endpoints = vec![stage.coordinator.name()];
    stage.cluster.identity_of("pmta1", over, endpoints)
}

/// The agent asks for another certificate by its key, gets it, and comes with it.
async fn renew_past_end(stage: &mut Stage, agent: &mut Agent) -> TestSession {
    let call = stage.coordinator.enrolling().await;
    let EnrollRequest::Renew(renewal) = &call.request else {
        panic!("not a renewal: {:?}", call.request);
    };
    let endpoints = vec![stage.coordinator.name()];
    let admission = stage
        .cluster
        .admission(&renewal.request, "pmta1", endpoints);
    call.answer(&EnrollReply::Host(Box::new(admission))).await;
    let session = stage.session(&[]).await;
    agent.heard_session().await;
    session
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
    let mut agent = Agent::start(past_its_end(&stage));
    let _session = renew_past_end(&mut stage, &mut agent).await;
}

#[tokio::test]
async fn a_coordinator_that_finds_the_certificate_ended_is_asked_for_a_new_one() {
    let mut stage = Stage::new();
    let mut identity = past_its_end(&stage);
    // By our clock it would still be good.
    identity.validity = TestCluster::week();
    let mut agent = Agent::start(identity);
    let _session = renew_past_end(&mut stage, &mut agent).await;
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
    let mut session = renew_past_end(&mut stage, &mut agent).await;
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
    let _session = renew_past_end(&mut stage, &mut agent).await;
    // Otherwise every restart would ask for another certificate.
    assert!(agent.store.clock_floor().unwrap() < TestCluster::now());
}
