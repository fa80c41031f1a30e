//! Who is let in, and what happens to the others.

use std::collections::BTreeSet;

use quinn::{ConnectionError, VarInt};

use email_engine_protocol::enroll::{EnrollRefusal, EnrollReply};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::v1::AgentMessage;
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_RAFT, RefusalCode};

use super::agent::{Machine, OTHER_MODE, ask_on, connect, dial, enrolling};
use super::{TestNode, host_id, wait_for};
use crate::command::Command;
use crate::pki::testbed::{TestPki, now};
use crate::pki::verify;
use crate::push::frames::FrameReader;
use crate::push::transport;
use crate::state::{HostLifecycle, Keys, Restored};

fn closed_with(end: ConnectionError) -> VarInt {
    match end {
        ConnectionError::ApplicationClosed(close) => close.error_code,
        other => panic!("closed in another way: {other}"),
    }
}

#[tokio::test]
async fn an_agent_without_a_certificate_is_closed_before_a_stream_is_read() {
    let node = TestNode::start();
    node.machine("pmta1");
    let connection = dial(node.push.local_addr(), &node.pki, ALPN_AGENT, None)
        .await
        .unwrap();
    let end = wait_for(connection.closed(), "the node closes").await;
    assert_eq!(closed_with(end), transport::DENIED);
    assert!(node.push.sessions().is_empty());
}

#[tokio::test]
async fn certificates_of_other_clusters_and_ended_ones_fail_in_the_handshake() {
    let node = TestNode::start_with(TestPki::founded_at(Timestamp(
        now().0 - 60 * Timestamp::DAY,
    )));
    let foreign = TestPki::new().host_chain("pmta1", now());
    let ended = node
        .pki
        .host_chain("pmta1", Timestamp(now().0 - 8 * Timestamp::DAY));
    for (shown, alert) in [(foreign, None), (ended, Some(45))] {
        // The client may believe that it is in before the server has judged it.
        let end = match dial(node.push.local_addr(), &node.pki, ALPN_AGENT, Some(shown)).await {
            Ok(connection) => wait_for(connection.closed(), "the handshake fails").await,
            Err(end) => end,
        };
        let ConnectionError::ConnectionClosed(close) = end else {
            panic!("ended in another way: {end}");
        };
        if let Some(alert) = alert {
            assert_eq!(close.error_code, quinn::TransportErrorCode::crypto(alert));
        }
    }
}

#[tokio::test]
async fn other_protocols_are_not_spoken_on_this_end_point() {
    let node = TestNode::start();
    for alpn in [ALPN_RAFT, b"h3"] {
        let end = dial(node.push.local_addr(), &node.pki, alpn, None).await;
        assert!(end.is_err());
    }
}

#[tokio::test]
async fn the_enrol_alpn_can_do_nothing_else() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let connection = enrolling(&node).await;
    let hello = AgentMessage::Hello(Box::new(machine.hello()));
    let reply = ask_on(&connection, &hello).await;
    assert!(
        matches!(
            reply,
            EnrollReply::Refused {
                code: EnrollRefusal::Malformed | EnrollRefusal::TokenUnknown,
                ..
            }
        ),
        "{reply:?}"
    );
    wait_for(connection.closed(), "one answer, and the node closes").await;
    assert!(node.push.sessions().is_empty());
    assert!(node.fleet.log().is_empty());
}

#[tokio::test]
async fn a_request_over_the_cap_is_refused_before_it_is_read() {
    let node = TestNode::start();
    let connection = enrolling(&node).await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    // Only announced: nothing of it has to come.
    send.write_all(&80_000_u32.to_be_bytes()).await.unwrap();
    let mut reader = FrameReader::new(usize::MAX);
    let reply = wait_for(reader.next(&mut recv), "an answer comes")
        .await
        .unwrap();
    let EnrollReply::Refused { code, reason } = reply else {
        panic!("not refused: {reply:?}");
    };
    assert_eq!(code, EnrollRefusal::Malformed);
    assert!(reason.contains("over the limit"), "{reason}");
}

#[tokio::test]
async fn whoever_was_ours_is_told_that_it_is_revoked() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let clone = Machine::with_chain(&node.pki, "pmta1", node.pki.host_chain("pmta1", now()));
    let refusal = clone.refused(&node, clone.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Revoked);
    assert!(refusal.reason.contains("was replaced by"), "{refusal:?}");
    let serial = machine.credential().serial;
    node.fleet.change(|state| state.revoked.insert(serial));
    let refusal = machine.refused(&node, machine.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Revoked);
    node.fleet.change(|state| {
        state.revoked = Keys::default();
        state.hosts.get_mut(&host_id("pmta1")).unwrap().lifecycle = HostLifecycle::Retired;
    });
    let refusal = machine.refused(&node, machine.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Revoked);
}

#[tokio::test]
async fn a_hello_that_lies_or_does_not_fit_is_refused() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    node.machine("pmta2");
    let mut hello = machine.hello();
    hello.host = host_id("pmta2");
    assert_eq!(
        machine.refused(&node, hello).await.code,
        RefusalCode::Identity
    );
    let mut hello = machine.hello();
    hello.cluster.0[0] ^= 1;
    assert_eq!(
        machine.refused(&node, hello).await.code,
        RefusalCode::Identity
    );
    let mut hello = machine.hello();
    hello.mode = OTHER_MODE;
    assert_eq!(
        machine.refused(&node, hello).await.code,
        RefusalCode::WrongMode
    );
    let mut hello = machine.hello();
    (hello.versions.min, hello.versions.max) = (900, 901);
    assert_eq!(
        machine.refused(&node, hello).await.code,
        RefusalCode::Version
    );
    node.fleet.lose_the_leader();
    let refusal = machine.refused(&node, machine.hello()).await;
    assert_eq!(refusal.code, RefusalCode::NoLeader);
    assert!(refusal.retry_after_millis.is_some());
}

#[tokio::test]
async fn a_second_connection_is_a_full_handshake_too() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    // A client that would resume if it were given anything to resume with.
    let mut tls = rustls::ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(verify::server_verifier(node.pki.issuer.root()).unwrap())
        .with_client_auth_cert(machine.chain.clone(), machine.key.clone_key())
        .unwrap();
    let tickets = std::sync::Arc::new(Tickets::default());
    tls.resumption = rustls::client::Resumption::store(tickets.clone());
    tls.enable_early_data = true;
    tls.alpn_protocols = vec![ALPN_AGENT.to_vec()];
    for _ in 0..2 {
        let connection = connect(node.push.local_addr(), tls.clone()).await.unwrap();
        // Tickets would come with or before the first answer.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let hello = AgentMessage::Hello(Box::new(machine.hello()));
        let frame = email_engine_protocol::wire::frame::encode(&hello).unwrap();
        send.write_all(&frame).await.unwrap();
        let answered = async { recv.read_chunk(1, true).await };
        wait_for(answered, "the node answers").await.unwrap();
        assert_eq!(tickets.0.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
}

/// Counts the tickets that a server gives out.
#[derive(Debug, Default)]
struct Tickets(std::sync::atomic::AtomicUsize);

impl rustls::client::ClientSessionStore for Tickets {
    fn set_kx_hint(
        &self,
        _server: rustls_pki_types::ServerName<'static>,
        _group: rustls::NamedGroup,
    ) {
    }

    fn kx_hint(&self, _server: &rustls_pki_types::ServerName<'_>) -> Option<rustls::NamedGroup> {
        None
    }

    fn set_tls12_session(
        &self,
        _server: rustls_pki_types::ServerName<'static>,
        _value: rustls::client::Tls12ClientSessionValue,
    ) {
    }

    fn tls12_session(
        &self,
        _server: &rustls_pki_types::ServerName<'_>,
    ) -> Option<rustls::client::Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server: &rustls_pki_types::ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _server: rustls_pki_types::ServerName<'static>,
        _value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    fn take_tls13_ticket(
        &self,
        _server: &rustls_pki_types::ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        None
    }
}

#[tokio::test]
async fn a_node_that_is_behind_does_not_tell_a_host_that_it_is_revoked() {
    let node = TestNode::start();
    node.declare("pmta1");
    node.machine("pmta2");
    node.fleet.fall_behind();
    let machine = |name: &str| {
        let machine = Machine::with_chain(&node.pki, name, node.pki.host_chain(name, now()));
        node.fleet.change(|state| machine.enrol_in(state));
        machine
    };
    // Enrolled meanwhile.
    let enrolled = machine("pmta1");
    enrolled.session(&node).await;
    // Renewed meanwhile.
    node.fleet.fall_behind();
    let renewed = machine("pmta2");
    renewed.session(&node).await;
    // As long as it cannot find out, it says nothing for good.
    node.fleet.fall_behind();
    let renewed_again = machine("pmta2");
    node.fleet.lose_the_leader();
    let refusal = renewed_again.refused(&node, renewed_again.hello()).await;
    assert_eq!(refusal.code, RefusalCode::NoLeader, "{refusal:?}");
    assert!(refusal.retry_after_millis.is_some());
}

/// As if the cluster had been restored from a backup of this moment.
fn restore(node: &TestNode) {
    node.fleet.change(|state| {
        state.restored = Some(Restored {
            as_of: now(),
            at: now().plus(Timestamp::HOUR),
            on_record: state.certificates.keys().copied().collect(),
            readmitted: BTreeSet::new(),
        });
        state.hosts.change_each(|_, host| {
            host.keys.as_mut().unwrap().enrolled_at = Timestamp(0);
        });
    });
}

#[tokio::test]
async fn a_host_that_renewed_after_the_backup_is_let_in_once_after_a_restore() {
    let node = TestNode::start();
    let backed_up = node.machine("pmta1");
    restore(&node);
    let renewed =
        |name: &str| Machine::with_chain(&node.pki, name, node.pki.host_chain(name, now()));
    let machine = renewed("pmta1");
    machine.session(&node).await;
    machine.session(&node).await;
    let readmitted = node.fleet.log();
    assert!(
        matches!(&readmitted[..], [Command::ReadmitHost(_)]),
        "{readmitted:?}"
    );
    // Two more who say that they are this host: its certificate of the backup, and one more of the
    // lost time.
    for copy in [backed_up, renewed("pmta1")] {
        let refusal = copy.refused(&node, copy.hello()).await;
        assert_eq!(refusal.code, RefusalCode::Revoked, "{refusal:?}");
    }
    // Who enrolled after the backup waits for a token.
    let newcomer = renewed("pmta9");
    let refusal = newcomer.refused(&node, newcomer.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Busy, "{refusal:?}");
    assert!(refusal.reason.contains("join token"), "{refusal:?}");
}
