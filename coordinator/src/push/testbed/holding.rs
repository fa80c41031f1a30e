//! Why a host is silent: agents that say so themselves, and agents that are refused.

use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::observed::Mode;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Hello, RefusalCode, SUPPORTED, Versions};

use super::TestNode;
use super::agent::{Machine, OTHER_MODE};

/// Why the only host that this node knows of has no session.
fn reason(node: &TestNode) -> Option<String> {
    let rows = node.push.registry().rows();
    let row = rows.into_iter().next()?;
    assert_eq!(row.host.as_str(), "pmta1");
    row.turned_away
}

async fn hold(machine: &Machine, node: &TestNode, reason: &str) -> CoordinatorMessage {
    let reason = reason.to_owned();
    let first = AgentMessage::Holding { reason };
    machine.call(node, &first).await.1
}

#[tokio::test]
async fn an_agent_that_holds_says_why_until_it_has_a_session_on_any_node() {
    let first = TestNode::start();
    let second = first.another(2);
    let machine = first.machine("pmta1");
    for on_the_same_node in [true, false] {
        let answer = hold(&machine, &first, "the executor's keys are lost").await;
        let CoordinatorMessage::Refused(refusal) = answer else {
            panic!("not refused: {answer:?}");
        };
        assert_eq!(refusal.code, RefusalCode::Holding);
        assert_eq!(
            reason(&first).unwrap(),
            "its agent holds and changes nothing: the executor's keys are lost"
        );
        assert!(first.push.sessions().is_empty(), "it is no session");
        let node = if on_the_same_node { &first } else { &second };
        let (_session, _) = machine.session(node).await;
        let told = async {
            while reason(&first).is_some() {
                tokio::task::yield_now().await;
            }
        };
        super::wait_for(told, "the new session is known").await;
    }
    assert!(first.fleet.log().is_empty(), "nothing of it enters the log");
}

#[tokio::test]
async fn a_refused_hello_is_remembered_with_its_reason() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let newer = Versions {
        min: SUPPORTED.max + 1,
        max: SUPPORTED.max + 1,
    };
    for (hello, expected) in [
        (
            Hello {
                mode: OTHER_MODE,
                ..machine.hello()
            },
            if OTHER_MODE == Mode::Sandbox {
                "takes no sandboxes"
            } else {
                "takes no real machines"
            },
        ),
        (
            Hello {
                versions: newer,
                ..machine.hello()
            },
            "no common protocol version",
        ),
    ] {
        machine.refused(&node, hello).await;
        let reason = reason(&node).unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_session_that_ends_for_a_report_of_another_key_is_remembered_with_its_reason() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    assert_eq!(reason(&node), None);
    let other = SigningKey::from_seed([66; 32]);
    let report = other.sign(&machine.report(welcome.nonce, 1));
    session.report(report).await;
    session.end().await.unwrap();
    let left = node.push.registry();
    super::wait_for(left.emptied(), "the session is gone").await;
    let reason = reason(&node).unwrap();
    assert!(
        reason.contains("the executor key of host pmta1"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_the_reason_that_is_told() {
    let node = TestNode::start();
    let former = node.machine("pmta1");
    node.machine("pmta1");
    let refusal = former.refused(&node, former.hello()).await;
    assert_eq!(refusal.code, RefusalCode::Revoked);
    let reason = reason(&node).unwrap();
    assert!(reason.contains("was replaced by"), "{reason}");
}
