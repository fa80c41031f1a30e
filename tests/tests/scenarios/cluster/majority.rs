//! A lost majority is a clear refusal, not a hang, and ends when it returns.

use std::time::{Duration, Instant};

use email_engine_tests::{Fleet, samples};

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_lost_means_a_clear_refusal_and_recovery_when_it_returns() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    let leader = fleet.leader().await;
    let lost: Vec<u64> = fleet
        .nodes
        .keys()
        .copied()
        .filter(|node| *node != leader)
        .collect();
    for node in &lost {
        fleet.nodes.get_mut(node).unwrap().kill();
    }

    let alone = fleet.api_of(leader);
    let asked = Instant::now();
    let refused = alone.post("/ips", &samples::identity(2)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "no-quorum"),
        "{refused:?}"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(30),
        "a refusal must not hang"
    );
    let status = alone.get("/status?consistency=stale").await.ok();
    assert_eq!(status["stale"], true);

    for node in &lost {
        fleet.nodes.get_mut(node).unwrap().start().await;
    }
    fleet.leader().await;
    fleet.api().post("/ips", &samples::identity(3)).await.ok();
}
