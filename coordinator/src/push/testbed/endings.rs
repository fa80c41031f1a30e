//! What ends the session of a welcomed agent.

use std::time::Duration;

use tokio::time::Instant;

use email_engine_protocol::generation::Generation;
use email_engine_protocol::wire::RefusalCode;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};

use super::agent::Session;
use super::{TestNode, host_id, wait_for};
use crate::pki::NodeKey;
use crate::push::transport;
use crate::state::{HostLifecycle, Keys};

#[tokio::test]
async fn an_open_session_goes_with_the_certificate_that_it_began_with_when_that_is_revoked() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, _) = machine.session(&node).await;
    let request = NodeKey::generate().unwrap().request().to_vec();
    session.say(&AgentMessage::Renew { request }).await;
    let answer = session.heard().await;
    assert!(
        matches!(answer, CoordinatorMessage::Renewed(_)),
        "{answer:?}"
    );
    let serial = machine.credential().serial;
    node.fleet.change(|state| state.revoked.insert(serial));
    ends(&mut session, RefusalCode::Revoked).await;
}

async fn ends(session: &mut Session, code: RefusalCode) {
    let told = session.end().await;
    let connection = session.connection.clone();
    wait_for(connection.closed(), "the connection closes").await;
    assert_eq!(told.unwrap().code, code);
}

/// Tests of this have the machine to themselves (`.config/nextest.toml`): the second is promised.
async fn ends_within_a_second(session: &mut Session, code: RefusalCode) {
    let begin = Instant::now();
    ends(session, code).await;
    let taken = begin.elapsed();
    assert!(taken < Duration::from_secs(1), "{taken:?}");
}

#[tokio::test]
async fn revoking_or_retiring_ends_the_live_connection_within_a_second() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, _) = machine.session(&node).await;
    let serial = machine.credential().serial;
    node.fleet.change(|state| state.revoked.insert(serial));
    ends_within_a_second(&mut session, RefusalCode::Revoked).await;
    node.fleet.change(|state| state.revoked = Keys::default());
    let (mut session, _) = machine.session(&node).await;
    node.fleet.change(|state| {
        state.hosts.get_mut(&host_id("pmta1")).unwrap().lifecycle = HostLifecycle::Retired;
    });
    ends_within_a_second(&mut session, RefusalCode::Revoked).await;
}

#[tokio::test]
async fn a_machine_that_reads_nothing_is_cut_off_all_the_same() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let secret = node.secret("dkim/a/b", &[7; 12_000]);
    let (mut session, _) = machine.session(&node).await;
    node.target("pmta1", "one", Some(&secret));
    // Fills the stream until the node's writes stall.
    let wanted = AgentMessage::SecretsWanted {
        generation: Generation::default(),
        secrets: vec![secret; 100],
    };
    session.say(&wanted).await;
    let serial = machine.credential().serial;
    node.fleet.change(|state| state.revoked.insert(serial));
    let ended = wait_for(session.connection.closed(), "the connection closes").await;
    // By the node, and not because nothing came for a long time; how soon is shown above.
    let revoked = transport::code_of(RefusalCode::Revoked);
    assert!(
        matches!(&ended, quinn::ConnectionError::ApplicationClosed(close)
            if close.error_code == revoked),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_node_without_a_leader_sends_its_agents_away() {
    let node = TestNode::start();
    let (mut session, _) = node.machine("pmta1").session(&node).await;
    node.fleet.lose_the_leader();
    ends(&mut session, RefusalCode::NoLeader).await;
    assert!(node.push.sessions().is_empty());
}

#[tokio::test]
async fn a_node_that_stops_says_so_to_its_agents() {
    let node = TestNode::start();
    let (mut session, _) = node.machine("pmta1").session(&node).await;
    node.push.shutdown().await;
    assert_eq!(session.end().await.unwrap().code, RefusalCode::NoLeader);
}

#[tokio::test]
async fn a_frame_over_the_cap_ends_the_session() {
    let node = TestNode::start();
    let (mut session, _) = node.machine("pmta1").session(&node).await;
    session.send.write_all(&[0xff; 4]).await.unwrap();
    ends(&mut session, RefusalCode::Protocol).await;
}
