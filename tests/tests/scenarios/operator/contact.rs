//! A dead voter is seen from every node that lives, and forgotten when it is back; what nobody can
//! know is called unknown.

use email_engine_tests::{Fleet, Operator, wait_for};
use serde_json::Value;

const SILENCE: &str = "email_engine_raft_peer_silent_seconds";

/// What `status` says at one node, and its exit code.
fn status(fleet: &Fleet, node: u64) -> (Option<i32>, String) {
    let output = Operator::at(fleet, node).run(&["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

/// Waits until every one of these nodes names the dead one, in all ways in which it may be asked.
async fn named_by(fleet: &Fleet, living: &[u64], dead: u64) {
    let reason = format!("node {dead}: votes, and has not answered the leader since ");
    for node in living {
        wait_for("a living node names the dead one", async || {
            let (code, text) = status(fleet, *node);
            let is_named = text.contains(&reason) && text.contains("1 unreachable");
            if code == Some(4) && text.starts_with("Fleet: degraded") && is_named {
                Ok(())
            } else {
                Err((code, text))
            }
        })
        .await;
        let table = Operator::at(fleet, *node).prints(0, &["cluster", "status"]);
        let line = |id: u64| {
            let mut lines = table.lines();
            let own = format!(" {id} ");
            let line = lines.find(|line| line.starts_with(&own));
            line.unwrap_or_else(|| panic!("no node {id}: {table}"))
                .to_owned()
        };
        assert!(line(dead).contains(" not for "), "node {node}: {table}");
        for other in living {
            let line = line(*other);
            assert!(!line.contains(" not for "), "node {node}: {table}");
            // The leader's figures, whoever is asked.
            let index = line.split_whitespace().nth(6).unwrap_or_default();
            assert!(index.parse::<u64>().is_ok(), "node {node}: {table}");
        }
    }
}

async fn forgotten_by(fleet: &Fleet, nodes: &[u64]) {
    for node in nodes {
        wait_for("all is well again", async || match status(fleet, *node) {
            (Some(0), text) if !text.contains("unreachable") => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_voter_is_named_by_every_living_node_until_it_is_back() {
    let mut fleet = Fleet::three().await;
    let leader = fleet.leader().await;
    let mut nodes: Vec<u64> = fleet.nodes.keys().copied().collect();
    forgotten_by(&fleet, &nodes).await;
    let at = nodes.iter().position(|node| *node != leader).unwrap();
    let dead = nodes.remove(at);
    fleet.nodes.get_mut(&dead).unwrap().kill();
    named_by(&fleet, &nodes, dead).await;

    let silence = |text: &str| -> Option<f64> {
        let series = format!("{SILENCE}{{peer=\"{dead}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|value| value.parse().ok())
    };
    let leader = fleet.leader().await;
    for node in &nodes {
        let told = silence(&fleet.api_of(*node).metrics().await);
        if *node == leader {
            assert!(told.is_some_and(|seconds| seconds > 5.0), "{told:?}");
        } else {
            assert!(told.is_some_and(f64::is_nan), "{told:?}");
        }
    }

    fleet.nodes.get_mut(&dead).unwrap().start().await;
    nodes.push(dead);
    forgotten_by(&fleet, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_names_the_one_that_died_and_without_one_nothing_is_claimed() {
    let mut fleet = Fleet::three().await;
    let first = fleet.leader().await;
    let mut living: Vec<u64> = fleet.nodes.keys().copied().collect();
    living.retain(|node| *node != first);
    fleet.nodes.get_mut(&first).unwrap().kill();
    named_by(&fleet, &living, first).await;

    let second = living.remove(0);
    fleet.nodes.get_mut(&second).unwrap().kill();
    let api = fleet.api_of(living[0]);
    let told = wait_for("the last one knows no leader", async || {
        let told = api.get("/status?consistency=stale").await.ok();
        if told["cluster"]["leader"].is_null() {
            Ok(told)
        } else {
            Err(told)
        }
    })
    .await;
    assert_eq!(told["state"], "degraded", "{told}");
    let reasons = told["reasons"].to_string();
    assert!(reasons.contains("no leader"), "{reasons}");
    assert!(!reasons.contains("has not answered"), "{reasons}");
    let nodes = told["cluster"]["nodes"].as_array().unwrap();
    let unknown = |node: &Value| node["contact"]["unknown"]["reason"].as_str().is_some();
    assert!(nodes.len() == 3 && nodes.iter().all(unknown), "{told}");
}
