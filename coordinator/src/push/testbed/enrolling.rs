//! Redeeming tokens, joining, and renewing past the end.

use std::sync::Arc;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::crypto::{Sealed, SealingKey};
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, ExpiredRenewal, HostAdmission, HostEnrollment,
    NodeEnrollment, RENEWAL_EXPORTER_LABEL, TokenSecret, renewal_message,
};
use email_engine_protocol::id::{NodeId, Role, TokenId};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::{AgentMessage, BodyRequest};
use email_engine_protocol::wire::{ALPN_ENROLL, frame};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use serde::Serialize;

use super::agent::{Machine, OTHER_MODE, ask, ask_on, dial, enrolling};
use super::{MODE, TestNode, executor_keys, host_id, secret_of, wait_for};
use crate::command::Command;
use crate::pki::testbed::{TestPki, now};
use crate::pki::{Credential, NodeKey, Peer};
use crate::push::enroll::KEK_INFO;
use crate::push::frames::FrameReader;
use crate::push::{Fleet, transport};
use crate::state::{FleetState, Token};

fn host_token(node: &TestNode, token: &str) {
    node.declare("pmta1");
    let admission = Admission::Host {
        host: host_id("pmta1"),
        role: Role::Powermta,
    };
    node.token(token, admission, now().plus(Timestamp::HOUR));
}

fn enrollment(token: &str, key: &NodeKey) -> HostEnrollment {
    let (report_key, sealing_key) = executor_keys("pmta1");
    HostEnrollment {
        token: TokenId::new(token).unwrap(),
        secret: TokenSecret(secret_of(token)),
        request: key.request().to_vec(),
        report_key: report_key.verifying_key(),
        sealing_key: sealing_key.public_key(),
        mode: MODE,
        hostname: "machine".to_owned(),
    }
}

fn admitted(reply: EnrollReply) -> HostAdmission {
    match reply {
        EnrollReply::Host(admission) => *admission,
        other => panic!("not admitted: {other:?}"),
    }
}

fn refusal(reply: EnrollReply) -> EnrollRefusal {
    match reply {
        EnrollReply::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn serial(admission: &HostAdmission) -> CertificateSerial {
    let leaf = admission.chain[0].clone().into();
    Credential::read(admission.cluster, &leaf).unwrap().serial
}

/// Serial of the host's current certificate.
fn on_record(node: &TestNode) -> CertificateSerial {
    let keys = |state: &FleetState| state.hosts[&host_id("pmta1")].keys.clone();
    node.fleet.view(keys).unwrap().serial
}

/// The machine that it became.
fn machine(node: &TestNode, admission: &HostAdmission, key: NodeKey) -> Machine {
    let identity = key.into_identity(
        admission.cluster,
        NodeId(0),
        &admission.chain,
        &admission.root,
    );
    Machine::with_chain(&node.pki, "pmta1", (identity.chain, identity.key))
}

#[tokio::test]
async fn a_token_makes_a_machine_a_host_that_can_begin_a_session() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    let request = EnrollRequest::Host(enrollment("t-1", &key));
    let admission = admitted(ask(&node, &request).await);
    assert_eq!(admission.cluster, node.pki.record.id);
    assert_eq!(admission.host, host_id("pmta1"));
    assert_eq!(admission.coordinators, ["192.0.2.1:7443"]);
    let grant = admission.plan_key.verify(&admission.recovery.verifying);
    assert_eq!(grant.unwrap().version, 1);
    let machine = machine(&node, &admission, key);
    machine.session(&node).await;
}

#[tokio::test]
async fn the_connection_that_admitted_a_machine_can_do_nothing_else() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    let request = EnrollRequest::Host(enrollment("t-1", &key));
    let machine = Machine::with_chain(&node.pki, "pmta1", node.pki.host_chain("pmta1", now()));
    let shown = Some((machine.chain.clone(), machine.key.clone_key()));
    let hash = ContentHash::of(b"body");
    let body = BodyRequest { hash, offset: 0 };
    // A certificate that would do for a session changes nothing of it.
    for shown in [None, shown] {
        let connection = dial(node.push.local_addr(), &node.pki, ALPN_ENROLL, shown)
            .await
            .unwrap();
        let mut enrolment = spoken(&connection, &request).await;
        let hello = AgentMessage::Hello(Box::new(machine.hello()));
        let further = [
            spoken(&connection, &hello).await,
            spoken(&connection, &body).await,
        ];
        let mut reader = FrameReader::new(usize::MAX);
        let reply = wait_for(reader.next(&mut enrolment.1), "an answer comes").await;
        admitted(reply.unwrap());
        for (_send, mut recv) in further {
            let heard = wait_for(recv.read_to_end(1 << 20), "the connection ends").await;
            assert!(heard.is_err(), "it was answered: {heard:?}");
        }
        let end = wait_for(connection.closed(), "the node closes").await;
        let ConnectionError::ApplicationClosed(close) = end else {
            panic!("closed in another way: {end}");
        };
        assert_eq!(close.error_code, transport::DONE);
        assert!(node.push.sessions().is_empty());
    }
}

/// A stream on which this was said, and nothing has been heard yet.
async fn spoken<T: Serialize>(connection: &Connection, message: &T) -> (SendStream, RecvStream) {
    let (mut send, recv) = connection.open_bi().await.unwrap();
    let frame = frame::encode(message).unwrap();
    send.write_all(&frame).await.unwrap();
    (send, recv)
}

#[tokio::test]
async fn a_token_may_be_repeated_with_the_same_key_and_with_no_other() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    let request = EnrollRequest::Host(enrollment("t-1", &key));
    let first = admitted(ask(&node, &request).await);
    let committed = node.fleet.log().len();
    let again = admitted(ask(&node, &request).await);
    // The first answer was lost: it comes again, and nothing of that is in the log.
    assert_eq!(serial(&first), serial(&again));
    assert_eq!(on_record(&node), serial(&again));
    assert_eq!(node.fleet.log().len(), committed);
    let thief = NodeKey::generate().unwrap();
    let reply = ask(&node, &EnrollRequest::Host(enrollment("t-1", &thief))).await;
    assert_eq!(refusal(reply), EnrollRefusal::TokenUsed);
    machine(&node, &again, key).session(&node).await;
}

#[tokio::test]
async fn a_repeat_past_half_life_gets_the_next_certificate() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    let request = EnrollRequest::Host(enrollment("t-1", &key));
    let first = serial(&admitted(ask(&node, &request).await));
    node.fleet.change(|state| {
        let mut record = (*state.certificates[&first]).clone();
        record.issued_at = Timestamp(now().0 - 8 * Timestamp::DAY);
        state.certificates.insert(first, Arc::new(record));
    });
    let next = serial(&admitted(ask(&node, &request).await));
    assert_ne!(next, first);
    assert_eq!(on_record(&node), next);
}

#[tokio::test]
async fn a_second_machine_with_a_used_token_is_named_once_and_cannot_flood_the_log() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let holder = NodeKey::generate().unwrap();
    admitted(ask(&node, &EnrollRequest::Host(enrollment("t-1", &holder))).await);
    let committed = node.fleet.log().len();
    let mut thief = enrollment("t-1", &NodeKey::generate().unwrap());
    thief.hostname = "thief".to_owned();
    // Whoever does not know the secret names nobody.
    let mut guess = thief.clone();
    guess.secret.0[0] ^= 1;
    ask(&node, &EnrollRequest::Host(guess)).await;
    assert_eq!(node.fleet.log().len(), committed);
    for _ in 0..3 {
        let reply = ask(&node, &EnrollRequest::Host(thief.clone())).await;
        assert_eq!(refusal(reply), EnrollRefusal::TokenUsed);
    }
    let log = node.fleet.log();
    let [Command::RefuseToken(refuse)] = &log[committed..] else {
        panic!("{:?}", &log[committed..]);
    };
    assert_eq!(refuse.holder.spki, holder.spki());
    assert_eq!(refuse.refused.machine, "thief");
    for used in [&refuse.holder, &refuse.refused] {
        assert!(used.from.starts_with("127.0.0.1:"), "{used:?}");
    }
    // With a new key each time, too.
    for _ in 0..Token::REFUSED + 2 {
        let key = NodeKey::generate().unwrap();
        ask(&node, &EnrollRequest::Host(enrollment("t-1", &key))).await;
    }
    assert_eq!(node.fleet.log().len(), committed + Token::REFUSED);
}

#[tokio::test]
async fn unknown_ended_and_misused_tokens_are_refused_without_a_log_entry() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let ended = Admission::Host {
        host: host_id("pmta1"),
        role: Role::Powermta,
    };
    node.token("t-old", ended, Timestamp(now().0 - 1000));
    node.token("t-node", Admission::Node, now().plus(Timestamp::HOUR));
    let key = NodeKey::generate().unwrap();
    let ask = async |enrollment| refusal(ask(&node, &EnrollRequest::Host(enrollment)).await);
    assert_eq!(
        ask(enrollment("t-none", &key)).await,
        EnrollRefusal::TokenUnknown
    );
    assert_eq!(
        ask(enrollment("t-old", &key)).await,
        EnrollRefusal::TokenExpired
    );
    assert_eq!(
        ask(enrollment("t-node", &key)).await,
        EnrollRefusal::TokenUnknown
    );
    let mut guessed = enrollment("t-1", &key);
    guessed.secret.0[31] ^= 1;
    assert_eq!(ask(guessed).await, EnrollRefusal::TokenUnknown);
    let mut sandbox = enrollment("t-1", &key);
    sandbox.mode = OTHER_MODE;
    assert_eq!(ask(sandbox).await, EnrollRefusal::WrongMode);
    let mut keyless = enrollment("t-1", &key);
    keyless.request = vec![1, 2, 3];
    assert_eq!(ask(keyless).await, EnrollRefusal::Malformed);
    assert!(node.fleet.log().is_empty());
}

#[tokio::test]
async fn a_node_gets_a_number_a_certificate_and_the_key_encryption_key() {
    let node = TestNode::start();
    node.token("t-1", Admission::Node, now().plus(Timestamp::HOUR));
    let key = NodeKey::generate().unwrap();
    let sealing = SealingKey::from_seed(&[7; 32]);
    let request = EnrollRequest::Node(NodeEnrollment {
        token: TokenId::new("t-1").unwrap(),
        secret: TokenSecret(secret_of("t-1")),
        request: key.request().to_vec(),
        sealing_key: sealing.public_key(),
        raft_endpoint: "192.0.2.2:7444".to_owned(),
        agent_endpoint: "192.0.2.2:7443".to_owned(),
        api_endpoint: "192.0.2.2:7443".to_owned(),
    });
    let mut given = Vec::new();
    for _ in 0..2 {
        let EnrollReply::Node(admission) = ask(&node, &request).await else {
            panic!("not admitted");
        };
        assert_eq!(admission.node, NodeId(2));
        assert_eq!(admission.peers, [(NodeId(1), "192.0.2.1:7444".to_owned())]);
        let leaf = admission.chain[0].clone().into();
        let credential = Credential::read(admission.cluster, &leaf).unwrap();
        assert_eq!(credential.peer, Peer::Node(NodeId(2)));
        let kek =
            |sealed: &Sealed, number: u64| sealing.open(sealed, KEK_INFO, &number.to_be_bytes());
        let opened = kek(&admission.key_encryption_key, 2).unwrap();
        assert_eq!(opened[..4], 1_u32.to_be_bytes());
        assert_eq!(opened[4..], node.pki.vault.key()[..]);
        assert!(kek(&admission.key_encryption_key, 3).is_err());
        given.push((admission.node, credential.serial, node.fleet.log().len()));
        let serial = credential.serial;
        let recorded = node
            .fleet
            .view(|state| state.certificates.contains_key(&serial));
        assert!(recorded);
    }
    assert_eq!(
        given[0], given[1],
        "the same certificate, and nothing in the log"
    );
}

/// A host with a certificate of this age.
fn aged(node: &TestNode, days: u64) -> Machine {
    let at = Timestamp(now().0 - days * Timestamp::DAY);
    node.declare("pmta1");
    let chain = node.pki.host_chain("pmta1", at);
    let machine = Machine::with_chain(&node.pki, "pmta1", chain);
    node.fleet.change(|state| machine.enrol_in(state));
    machine
}

fn old_cluster() -> TestNode {
    TestNode::start_with(TestPki::founded_at(Timestamp(
        now().0 - 60 * Timestamp::DAY,
    )))
}

fn renewal(on: &Connection, machine: &Machine, key: &NodeKey) -> EnrollRequest {
    let mut exporter = [0; 32];
    on.export_keying_material(&mut exporter, RENEWAL_EXPORTER_LABEL, b"")
        .unwrap();
    let request = key.request().to_vec();
    EnrollRequest::Renew(ExpiredRenewal {
        certificate: machine.chain[0].to_vec(),
        proof: machine.prove(&renewal_message(&exporter, &request)),
        request,
    })
}

#[tokio::test]
async fn a_host_that_slept_past_its_end_comes_back_by_its_key() {
    let node = old_cluster();
    let sleeper = aged(&node, 30);
    let key = NodeKey::generate().unwrap();
    let connection = enrolling(&node).await;
    let first = admitted(ask_on(&connection, &renewal(&connection, &sleeper, &key)).await);
    // The answer was lost: the same keys ask again.
    let connection = enrolling(&node).await;
    let again = admitted(ask_on(&connection, &renewal(&connection, &sleeper, &key)).await);
    assert_ne!(serial(&first), serial(&again));
    assert_eq!(on_record(&node), serial(&again));
    machine(&node, &again, key).session(&node).await;
}

#[tokio::test]
async fn a_node_that_lags_does_not_tell_a_host_that_renewed_that_it_is_revoked() {
    let node = old_cluster();
    let sleeper = aged(&node, 30);
    let key = NodeKey::generate().unwrap();
    node.fleet.set_lagging(true);
    let connection = enrolling(&node).await;
    let reply = ask_on(&connection, &renewal(&connection, &sleeper, &key)).await;
    assert_eq!(refusal(reply), EnrollRefusal::Unavailable);
    // It asks again, as an agent does, and this node has caught up.
    node.fleet.set_lagging(false);
    let connection = enrolling(&node).await;
    let again = admitted(ask_on(&connection, &renewal(&connection, &sleeper, &key)).await);
    machine(&node, &again, key).session(&node).await;
}

#[tokio::test]
async fn a_copy_that_renews_after_the_original_is_refused() {
    let node = old_cluster();
    let original = aged(&node, 30);
    let connection = enrolling(&node).await;
    let request = renewal(&connection, &original, &NodeKey::generate().unwrap());
    admitted(ask_on(&connection, &request).await);
    let connection = enrolling(&node).await;
    let request = renewal(&connection, &original, &NodeKey::generate().unwrap());
    let reply = ask_on(&connection, &request).await;
    assert_eq!(refusal(reply), EnrollRefusal::Revoked);
}

#[tokio::test]
async fn a_proof_counts_on_its_own_connection_and_by_the_certificates_key_only() {
    let node = old_cluster();
    let sleeper = aged(&node, 30);
    let key = NodeKey::generate().unwrap();
    let elsewhere = enrolling(&node).await;
    let stolen = renewal(&elsewhere, &sleeper, &key);
    let connection = enrolling(&node).await;
    let reply = ask_on(&connection, &stolen).await;
    assert_eq!(refusal(reply), EnrollRefusal::Malformed);

    let mut impostor = Machine::with_chain(&node.pki, "pmta1", node.pki.host_chain("pmta1", now()));
    impostor.chain.clone_from(&sleeper.chain);
    let connection = enrolling(&node).await;
    let reply = ask_on(&connection, &renewal(&connection, &impostor, &key)).await;
    assert_eq!(refusal(reply), EnrollRefusal::Malformed);

    let foreign = TestPki::new();
    let stranger = Machine::with_chain(&foreign, "pmta1", foreign.host_chain("pmta1", now()));
    let connection = enrolling(&node).await;
    let reply = ask_on(&connection, &renewal(&connection, &stranger, &key)).await;
    assert_eq!(refusal(reply), EnrollRefusal::Malformed);

    let serial = sleeper.credential().serial;
    node.fleet.change(|state| state.revoked.insert(serial));
    let connection = enrolling(&node).await;
    let reply = ask_on(&connection, &renewal(&connection, &sleeper, &key)).await;
    assert_eq!(refusal(reply), EnrollRefusal::Revoked);
    assert!(node.fleet.log().is_empty());
}

#[tokio::test]
async fn a_second_token_that_the_same_key_shows_is_used_up() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    admitted(ask(&node, &EnrollRequest::Host(enrollment("t-1", &key))).await);
    // The answer was lost and the first token ended.
    let admission = node.fleet.view(|state| {
        state.tokens[&TokenId::new("t-1").unwrap()]
            .admission
            .clone()
    });
    node.token("t-2", admission, now().plus(Timestamp::HOUR));
    admitted(ask(&node, &EnrollRequest::Host(enrollment("t-2", &key))).await);
    let thief = NodeKey::generate().unwrap();
    let reply = ask(&node, &EnrollRequest::Host(enrollment("t-2", &thief))).await;
    assert_eq!(refusal(reply), EnrollRefusal::TokenUsed);
}

#[tokio::test]
async fn who_guesses_tokens_costs_the_leader_little() {
    let node = TestNode::start();
    host_token(&node, "t-1");
    let key = NodeKey::generate().unwrap();
    let show = async |token| ask(&node, &EnrollRequest::Host(enrollment(token, &key))).await;
    let mut guesses = 0;
    while refusal(show("t-none").await) == EnrollRefusal::TokenUnknown {
        guesses += 1;
        assert!(guesses < 100, "guesses are not slowed");
    }
    let reads = node.fleet.reads();
    assert_eq!(reads, guesses);
    assert_eq!(refusal(show("t-none").await), EnrollRefusal::Unavailable);
    assert_eq!(node.fleet.reads(), reads, "nobody was asked");
    // Whoever has a token that is known comes in, from the same address.
    admitted(show("t-1").await);
}
