//! What a welcomed agent is told and can ask for.

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::{Attempt, Stage};
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};
use email_engine_protocol::wire::{Floor, RefusalCode};

use super::agent::fetch;
use super::{TestNode, host_id};
use crate::pki::testbed::now;
use crate::pki::{Credential, NodeKey};
use crate::push::Fleet;

#[tokio::test]
async fn the_current_target_is_offered_and_every_newer_one() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let first = node.target("pmta1", "one", None);
    let (mut session, welcome) = machine.session(&node).await;
    let grant = welcome
        .plan_key
        .verify(&node.pki.record.recovery.verifying)
        .unwrap();
    for expected in [first, node.target("pmta1", "two", None)] {
        let target = session.offer().await.verify(&grant.key).unwrap();
        assert_eq!(target.generation, expected.generation);
        assert_eq!(target.digest, expected.digest);
        assert_eq!(target.host, host_id("pmta1"));
        assert_eq!(target.plan_key_version, grant.version);
    }
    let rows = node.push.sessions();
    let newest = Generation {
        epoch: 1,
        number: 2,
    };
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].offered, Some(newest));
}

#[tokio::test]
async fn new_grants_reach_an_open_session_before_a_target_under_them() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    assert_eq!(welcome.plan_key.unverified().unwrap().version, 1);
    node.fleet.change(|state| {
        let record = state.cluster.as_mut().unwrap();
        for version in 2..=4 {
            record.plan_keys.insert(version, node.pki.plan_key(version));
        }
        record.epoch = 3;
        record.epoch_grant = Some(node.pki.grant_epoch(3));
    });
    node.target("pmta1", "one", None);
    let told = session.end().await.unwrap();
    assert_eq!(told.code, RefusalCode::Busy, "{}", told.reason);
    // An agent that knows the recovery key and nothing since trusts all of it at once.
    let (mut session, welcome) = machine.session(&node).await;
    let recovery = node.pki.record.recovery.verifying;
    let grant = welcome.plan_key.verify(&recovery).unwrap();
    let epoch = welcome.epoch_grant.unwrap().verify(&recovery).unwrap();
    assert_eq!((grant.version, epoch.epoch), (4, 3));
    let target = session.offer().await.verify(&grant.key).unwrap();
    assert_eq!((target.plan_key_version, target.generation.epoch), (4, 3));
}

#[tokio::test]
async fn bodies_come_whole_or_from_an_offset_and_only_those_of_the_current_target() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let content = "0123456789".repeat(40_000);
    let target = node.target("pmta1", &content, None);
    node.machine("pmta2");
    let foreign = node.target("pmta2", "of another host", None);
    let (session, _) = machine.session(&node).await;
    let get = async |hash, offset| {
        fetch::<_, BodyReply>(&session.connection, &BodyRequest { hash, offset }).await
    };
    let length = content.len() as u64;
    for offset in [0, 123_456, length] {
        let (reply, body) = get(target.body, offset).await;
        assert_eq!(reply, BodyReply::Found { length });
        assert_eq!(body, content.as_bytes()[usize::try_from(offset).unwrap()..]);
    }
    let (_, manifest) = get(target.digest, 0).await;
    assert_eq!(ContentHash::of(&manifest), target.digest);
    for (hash, offset) in [
        (foreign.body, 0),
        (foreign.digest, 0),
        (ContentHash([9; 32]), 0),
        (target.body, length + 1),
    ] {
        assert_eq!(get(hash, offset).await.0, BodyReply::Missing);
    }
    node.target("pmta1", "newer", None);
    assert_eq!(get(target.body, 0).await.0, BodyReply::Missing);
}

#[tokio::test]
async fn secrets_of_its_own_target_come_sealed_to_the_host_and_no_others() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let own = node.secret("dkim/a.example.com/mail", b"own key");
    let other = node.secret("dkim/b.example.com/mail", b"another host's key");
    let target = node.target("pmta1", "one", Some(&own));
    let (mut session, _) = machine.session(&node).await;
    let newer = SecretRef {
        version: 2,
        ..own.clone()
    };
    let wanted = AgentMessage::SecretsWanted {
        generation: target.generation,
        secrets: vec![other, newer, own.clone()],
    };
    session.say(&wanted).await;
    let sealed = loop {
        if let CoordinatorMessage::Secrets(secrets) = session.heard().await {
            break secrets;
        }
    };
    assert_eq!(sealed.len(), 1);
    assert_eq!(sealed[0].secret, own);
    let host = host_id("pmta1");
    let opened = sealed[0].open(machine.cluster, &host, &machine.sealing_key);
    assert_eq!(opened.unwrap().bytes, b"own key");
}

#[tokio::test]
async fn a_renewal_replaces_the_key_and_not_the_session() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, _) = machine.session(&node).await;
    let mut renew = async |key: &NodeKey| {
        let request = key.request().to_vec();
        session.say(&AgentMessage::Renew { request }).await;
        session.heard().await
    };
    let key = NodeKey::generate().unwrap();
    let mut serials = Vec::new();
    // Twice with the same key: the first answer could have been lost.
    for _ in 0..2 {
        let CoordinatorMessage::Renewed(renewed) = renew(&key).await else {
            panic!("not renewed");
        };
        let leaf = renewed.chain[0].clone().into();
        let credential = Credential::read(machine.cluster, &leaf).unwrap();
        assert_eq!(credential.serial, renewed.serial);
        serials.push(renewed.serial);
    }
    assert_ne!(serials[0], serials[1]);
    let keys = |state: &crate::state::FleetState| state.hosts[&host_id("pmta1")].keys.clone();
    assert_eq!(node.fleet.view(keys).unwrap().serial, serials[1]);
    // And once more, with the next key, on the same session.
    let next = NodeKey::generate().unwrap();
    let answer = renew(&next).await;
    assert!(
        matches!(answer, CoordinatorMessage::Renewed(_)),
        "{answer:?}"
    );
    node.target("pmta1", "one", None);
    session.offer().await;
    let refusal = machine.refused(&node, machine.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Revoked, "the old key is out");
}

#[tokio::test]
async fn a_host_ahead_of_the_state_is_frozen_until_the_state_is_ahead_again() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    node.target("pmta1", "one", None);
    let mut hello = machine.hello();
    let beyond = Generation {
        epoch: 1,
        number: 9,
    };
    hello.floor = Some(Floor {
        generation: beyond,
        digest: ContentHash([1; 32]),
    });
    let (mut session, answer) = machine.greet(&node, hello.clone()).await;
    assert!(matches!(answer, CoordinatorMessage::Welcome(_)));
    let frozen = node.push.registry().frozen();
    assert_eq!(frozen[&host_id("pmta1")].accepted, beyond);
    // Nothing that its floor would refuse is offered.
    session
        .say(&AgentMessage::Hello(Box::new(hello.clone())))
        .await;
    let told = session.end().await.unwrap();
    assert_eq!(told.code, RefusalCode::Protocol);
    // A restore raised the epoch: whatever comes now is above the host's floor.
    node.fleet
        .change(|state| state.cluster.as_mut().unwrap().epoch = 2);
    let (mut session, _) = machine.greet(&node, hello).await;
    assert!(node.push.registry().frozen().is_empty());
    node.target("pmta1", "two", None);
    session.offer().await;
}

#[tokio::test]
async fn a_generation_that_the_host_refused_is_not_offered_again() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    let refused = Generation {
        epoch: 1,
        number: 1,
    };
    let mut report = machine.report(welcome.nonce, 1);
    report.generations.attempted = Some(Attempt {
        generation: refused,
        stage: Stage::Accept,
        reason: "other content".to_owned(),
    });
    session.report(machine.report_key.sign(&report)).await;
    let recorded =
        |state: &crate::state::FleetState| state.outcomes.contains_key(&host_id("pmta1"));
    node.fleet.until(recorded, "the report is taken").await;
    node.target("pmta1", "one", None);
    let second = node.target("pmta1", "two", None);
    let grant = welcome.plan_key.unverified().unwrap();
    let offer = session.offer().await.verify(&grant.key).unwrap();
    assert_eq!(offer.generation, second.generation);
}

#[tokio::test]
async fn the_list_of_coordinators_is_told_when_it_changes() {
    let node = TestNode::start();
    let (mut session, welcome) = node.machine("pmta1").session(&node).await;
    assert_eq!(welcome.coordinators, ["192.0.2.1:7443"]);
    assert_ne!(welcome.nonce, Nonce([0; 16]));
    assert!(welcome.now.since(now()) < 60_000);
    node.fleet.change(|state| {
        let mut second = state.nodes.values().next().unwrap().clone();
        second.id.0 = 2;
        second.agent_endpoint = "192.0.2.2:7443".to_owned();
        state.nodes.insert(second.id, second);
    });
    let list = loop {
        if let CoordinatorMessage::Coordinators(list) = session.heard().await
            && list.len() > 1
        {
            break list;
        }
    };
    assert_eq!(list, ["192.0.2.1:7443", "192.0.2.2:7443"]);
    assert_eq!(node.fleet.view(|state| state.nodes.len()), 2);
}
