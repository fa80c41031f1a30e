//! Whoever is left says so.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use email_engine_tests::{Fleet, wait_until};

use super::receiver::Receiver;

/// Two of three nodes are gone. Nothing can be written down, and the third tells it through channels of its
/// own: once, and once when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_majority_tells_it_by_itself() {
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::three().await;
    let leader = fleet.leader().await;
    let left = *fleet.nodes.keys().find(|node| **node != leader).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alarm.toml");
    let text = format!(
        "[[channels]]\nname = \"pager\"\nsecret = \"0123456789abcdef\"\n\
         spec.webhook = {{ url = \"http://{}\" }}\n",
        receiver.address
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = fleet.nodes.get_mut(&left).unwrap();
    node.stop();
    node.set("ALARM_FILE", file.to_str().unwrap());
    node.set("ALARM_AFTER_SECONDS", "2");
    node.start().await;
    fleet.leader().await;

    let told = |occasion: &str| -> Vec<serde_json::Value> {
        let alerts = receiver.alerts().into_iter();
        alerts
            .filter(|alert| alert["occasion"] == occasion)
            .collect()
    };
    // On a busy machine the start itself may have lasted for two seconds.
    let before = told("raised").len();
    let others: Vec<u64> = fleet
        .nodes
        .keys()
        .copied()
        .filter(|node| *node != left)
        .collect();
    for node in &others {
        fleet.nodes.get_mut(node).unwrap().kill();
    }
    wait_until("the loss is told", async || told("raised").len() > before).await;
    let loss = told("raised").last().unwrap().clone();
    assert_eq!(loss["kind"], "no-quorum");
    assert_eq!(loss["subject"], format!("node {left}"));
    for node in &others {
        fleet.nodes.get_mut(node).unwrap().start().await;
    }
    let is_end = |alert: &serde_json::Value| alert["alert"] == loss["alert"];
    wait_until("its end is told", async || {
        told("resolved").iter().any(is_end)
    })
    .await;
    let alerts = receiver.alerts();
    let ids: BTreeSet<_> = alerts.iter().map(|alert| alert["id"].to_string()).collect();
    assert_eq!(ids.len(), alerts.len(), "each is told once");
}
