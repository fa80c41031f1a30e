//! Two connections of one host: the newest wins, over all nodes, and a clone is told to stay away.

use email_engine_protocol::id::NodeId;
use email_engine_protocol::wire::v1::CoordinatorMessage;
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::{TestNode, wait_for};

#[tokio::test]
async fn the_newest_connection_of_a_host_wins() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut older, _) = machine.session(&node).await;
    let (mut newer, _) = machine.session(&node).await;
    let told = older.end().await.unwrap();
    assert_eq!(told.code, RefusalCode::Superseded);
    node.target("pmta1", "one", None);
    newer.offer().await;
    assert_eq!(node.push.sessions().len(), 1);
}

#[tokio::test]
async fn the_newest_connection_wins_over_all_nodes() {
    let first = TestNode::start();
    let second = first.another(2);
    let machine = first.machine("pmta1");
    let (mut on_first, _) = machine.session(&first).await;
    let (mut on_second, _) = machine.session(&second).await;
    let told = wait_for(on_first.end(), "the older one ends")
        .await
        .unwrap();
    assert!(gave_way(&told), "{told:?}");
    let (_back, _) = machine.session(&first).await;
    let told = wait_for(on_second.end(), "the older one ends")
        .await
        .unwrap();
    assert!(gave_way(&told), "{told:?}");
    let left = second.push.registry();
    wait_for(left.emptied(), "the one that was told leaves").await;
    assert_eq!(first.push.sessions().len(), 1);
    assert!(
        first.fleet.log().is_empty(),
        "connecting never writes to the log"
    );
}

/// To a session on another node; how long this one was there decides what it is told.
fn gave_way(told: &Refusal) -> bool {
    matches!(told.code, RefusalCode::Superseded | RefusalCode::Busy)
}

#[tokio::test]
async fn a_node_that_could_not_be_told_of_a_newer_connection_is_told_later() {
    let first = TestNode::start();
    let second = first.another(2);
    let machine = first.machine("pmta1");
    let (mut older, _) = machine.session(&first).await;
    first.fleet.set_deaf(NodeId(1), true);
    let (_newer, _) = machine.session(&second).await;
    first.fleet.set_deaf(NodeId(1), false);
    let told = wait_for(older.end(), "the older one ends").await.unwrap();
    assert!(gave_way(&told), "{told:?}");
    assert!(told.reason.contains("node 2"), "{}", told.reason);
}

#[tokio::test]
async fn a_clone_that_loops_over_two_nodes_is_told_to_stay_away() {
    let first = TestNode::start();
    let second = first.another(2);
    let machine = first.machine("pmta1");
    let mut last = machine.session(&first).await.0;
    let mut refused = None;
    for turn in 0..12 {
        let node = [&second, &first][turn % 2];
        match machine.greet(node, machine.hello()).await {
            (session, CoordinatorMessage::Welcome(_)) => {
                let told = wait_for(last.end(), "the older one ends").await.unwrap();
                assert!(gave_way(&told), "{told:?}");
                last = session;
            }
            (_, CoordinatorMessage::Refused(refusal)) => {
                refused = Some((turn, refusal));
                break;
            }
            (_, other) => panic!("neither welcomed nor refused: {other:?}"),
        }
    }
    let (turn, refusal) = refused.expect("it goes on for ever");
    assert!(turn >= 4, "a bad network is no clone");
    assert_eq!(refusal.code, RefusalCode::Busy);
    assert!(refusal.retry_after_millis.unwrap() > 10_000, "{refusal:?}");
    assert!(refusal.reason.contains("copy"), "{}", refusal.reason);
    // The one that was there keeps its session.
    let other = first.machine("pmta2");
    other.session(&second).await;
    first.target("pmta1", "one", None);
    last.offer().await;
}
