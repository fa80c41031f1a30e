//! A node's call to its cluster.

use email_engine_protocol::id::{NodeId, TokenId};
use email_engine_protocol::join::{Admission, JoinToken};
use email_engine_protocol::time::Timestamp;

use super::{TestNode, secret_of, wait_for};
use crate::pki::store::IdentityStore;
use crate::pki::testbed::{TestPki, now};
use crate::pki::{NodeKey, verify};
use crate::push::join::{JoinError, NodeEndpoints, join};

fn token(node: &TestNode, name: &str) -> JoinToken {
    let expires_at = now().plus(3 * Timestamp::SECOND);
    node.token(name, Admission::Node, expires_at);
    JoinToken {
        id: TokenId::new(name).unwrap(),
        cluster: node.pki.record.id,
        ca_pin: node.pki.record.ca_pin,
        trust: node.pki.record.trust_pin(),
        endpoints: vec![node.push.local_addr().to_string()],
        admission: Admission::Node,
        expires_at,
        secret: secret_of(name),
    }
}

fn endpoints() -> NodeEndpoints {
    NodeEndpoints {
        raft: "192.0.2.2:7444".to_owned(),
        agent: "192.0.2.2:7443".to_owned(),
        api: "192.0.2.2:7443".to_owned(),
    }
}

#[tokio::test]
async fn a_node_joins_and_may_ask_again_with_the_key_that_it_kept() {
    let node = TestNode::start();
    let token = token(&node, "t-1");
    let folder = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(folder.path());
    let mut joined_last = None;
    for _ in 0..2 {
        let key = store.staged_key().unwrap();
        let joined = join(&token, key, endpoints()).await.unwrap();
        assert_eq!(joined.identity.node, NodeId(2));
        assert_eq!(joined.vault.key(), node.pki.vault.key());
        assert_eq!(joined.peers, [(NodeId(1), "192.0.2.1:7444".to_owned())]);
        verify::agent_endpoint(&joined.identity).unwrap();
        verify::https_endpoint(&joined.identity).unwrap();
        verify::node_client(&joined.identity, b"test").unwrap();
        joined_last = Some(joined.identity);
    }
    store.save(&joined_last.unwrap()).unwrap();
    assert!(store.exists());
    let refused = join(&token, NodeKey::generate().unwrap(), endpoints()).await;
    assert!(
        matches!(refused, Err(JoinError::Refused { .. })),
        "another key"
    );
}

#[tokio::test]
async fn a_cluster_with_another_root_is_not_joined() {
    let node = TestNode::start();
    let mut token = token(&node, "t-1");
    token.expires_at = now().plus(Timestamp::DAY);
    token.ca_pin = TestPki::new().record.ca_pin;
    let key = NodeKey::generate().unwrap();
    let joining = join(&token, key, endpoints());
    let error = wait_for(joining, "the pin does not fit").await.unwrap_err();
    assert!(matches!(error, JoinError::Server { .. }), "{error:?}");
    assert!(now() < token.expires_at, "told at once");
    let told = error.to_string();
    assert!(told.contains("not the one that the token pins"), "{told}");
    assert!(node.fleet.log().is_empty());
}

#[tokio::test]
async fn a_hosts_token_is_not_for_nodes() {
    let node = TestNode::start();
    let mut token = token(&node, "t-1");
    token.admission = Admission::Host {
        host: super::host_id("pmta1"),
        role: email_engine_protocol::id::Role::Powermta,
    };
    let key = NodeKey::generate().unwrap();
    let error = join(&token, key, endpoints()).await.unwrap_err();
    assert!(matches!(error, JoinError::NotForNodes));
}
