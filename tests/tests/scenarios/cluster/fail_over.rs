//! Any node takes a write, and the loss of the leader loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use email_engine_tests::{Fleet, samples};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_a_write() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(0)).await;
    fleet.leader().await;
    let nodes: Vec<u64> = fleet.nodes.keys().copied().collect();
    for (number, node) in nodes.iter().enumerate() {
        fleet
            .api_of(*node)
            .post("/ips", &samples::identity(number + 1))
            .await
            .ok();
        // A linearizable read on every other node sees it at once.
        for other in &nodes {
            let path = format!("/ips/198.51.100.{}", number + 1);
            assert_eq!(
                fleet.api_of(*other).get(&path).await.status,
                200,
                "node {other}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_leader_loses_no_acknowledged_write_and_agents_keep_converging() {
    let mut fleet = Fleet::converged_with(3, 1).await;
    let api = fleet.api();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (api, stop) = (api.clone(), Arc::clone(&stop));
        async move {
            let mut acknowledged = vec![];
            for number in 2..=200 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = format!("fail-over-{number}");
                // The same request id until it is answered: an unclear outcome is asked for again.
                loop {
                    let answer = api
                        .try_post("/ips", &samples::identity(number), &request)
                        .await;
                    match answer {
                        Ok(answer) if answer.status < 300 => break,
                        Ok(answer) if answer.status < 500 => panic!("refused: {answer:?}"),
                        _ => {}
                    }
                }
                acknowledged.push(number);
            }
            acknowledged
        }
    });

    for _ in 0..2 {
        let leader = fleet.leader().await;
        fleet.nodes.get_mut(&leader).unwrap().kill();
        fleet.leader().await;
        fleet.nodes.get_mut(&leader).unwrap().start().await;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    assert!(
        !acknowledged.is_empty(),
        "nothing was written while leaders died"
    );

    let held = api.get("/ips").await.ok();
    let held = serde_json::to_string(&held).unwrap();
    for number in &acknowledged {
        let domain = format!("\"mail{number}.example.net\"");
        assert!(
            held.contains(&domain),
            "identity {number} was acknowledged and is lost"
        );
    }
    fleet
        .converged("leaders were killed while identities were added")
        .await;
    let config = std::fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    for number in &acknowledged {
        assert!(
            config.contains(&format!("mail{number}.example.net")),
            "{number} is not on its host"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_returns_the_first_outcome() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let api = fleet.api();
    let first = api
        .try_post("/ips", &samples::identity(1), "once")
        .await
        .unwrap();
    let again = api
        .try_post("/ips", &samples::identity(1), "once")
        .await
        .unwrap();
    assert_eq!(first, again);
    let other = api
        .try_post("/ips", &samples::identity(2), "once")
        .await
        .unwrap();
    assert_eq!(other.code(), "request-reused", "{other:?}");
    let without = api.post("/ips", &samples::identity(1)).await;
    assert_eq!(
        (without.status, without.code()),
        (409, "already-exists"),
        "{without:?}"
    );
    assert_eq!(
        api.get("/ips").await.ok().as_array().map(Vec::len),
        Some(1),
        "{}",
        json!(first.body)
    );
}
