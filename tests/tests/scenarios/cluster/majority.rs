//! A lost majority is a clear refusal, not a hang, and ends when it returns; a node that only stands
//! still is gone without.

use std::time::{Duration, Instant};

use email_engine_tests::{Fleet, samples, wait_for};

/// Nothing that a majority can do takes as long, on a busy machine either.
const BOUND: Duration = Duration::from_secs(30);

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
    assert!(asked.elapsed() < BOUND, "a refusal must not hang");
    let status = alone.get("/status?consistency=stale").await.ok();
    assert_eq!(status["stale"], true);

    for node in &lost {
        fleet.nodes.get_mut(node).unwrap().start().await;
    }
    fleet.leader().await;
    fleet.api().post("/ips", &samples::identity(3)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_keeps_nobody_waiting_be_it_the_leader() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(0)).await;
    let leader = fleet.leader().await;
    let mut others = fleet.nodes.keys().copied().filter(|node| *node != leader);
    let (off, other) = (others.next().unwrap(), others.next().unwrap());
    drop(others);

    // Its sockets stay open, and it answers nothing.
    fleet.nodes.get_mut(&off).unwrap().daemon().pause();
    for number in 1..=20 {
        let asked = Instant::now();
        let tenant = samples::further_tenant(number);
        fleet.api_of(leader).post("/tenants", &tenant).await.ok();
        assert!(asked.elapsed() < BOUND, "write {number} waited for it");
    }
    fleet.nodes.get_mut(&off).unwrap().daemon().resume();
    has(&fleet, off, "further-20").await;

    fleet.nodes.get_mut(&leader).unwrap().daemon().pause();
    let paused = Instant::now();
    let next = led_by(&fleet, other, |next| next != leader).await;
    assert!([off, other].contains(&next), "{next} leads");
    let tenant = samples::further_tenant(21);
    fleet.api_of(next).post("/tenants", &tenant).await.ok();
    let took = paused.elapsed();
    assert!(took < BOUND, "{took:?} without a leader");
    println!("a write was taken {took:?} after the leader stood still");
    fleet.nodes.get_mut(&leader).unwrap().daemon().resume();
    led_by(&fleet, leader, |now| now != leader).await;
    has(&fleet, leader, "further-21").await;
}

/// Waits until a node names such a leader.
async fn led_by(fleet: &Fleet, node: u64, is_meant: impl Fn(u64) -> bool) -> u64 {
    wait_for("it knows of the new leader", async || {
        let api = fleet.api_of(node);
        let cluster = api.try_get("/cluster?consistency=stale").await?;
        let leader = cluster.body["leader"].as_u64();
        leader
            .filter(|leader| is_meant(*leader))
            .ok_or_else(|| format!("{leader:?} leads"))
    })
    .await
}

/// Waits until a node that was away has what was written meanwhile.
async fn has(fleet: &Fleet, node: u64, tenant: &str) {
    let path = format!("/tenants/{tenant}?consistency=stale");
    wait_for("it has caught up", async || {
        let answer = fleet.api_of(node).try_get(&path).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(format!("{answer:?}")),
        }
    })
    .await;
}
