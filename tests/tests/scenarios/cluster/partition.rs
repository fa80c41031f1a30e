//! Wires that are cut, in one direction or both: the majority goes on, nobody is deposed who leads
//! it, and everything heals.

use std::time::{Duration, Instant};

use email_engine_tests::trouble::Wires;
use email_engine_tests::{Fleet, samples, wait_for, wait_until};
use serde_json::Value;

/// A refusal comes after a search of 10 s for a majority; the rest is a busy machine.
const BOUND: Duration = Duration::from_secs(30);

async fn wired(election: (&str, &str)) -> (Fleet, Wires) {
    let wires = Wires::new(3).await;
    let mut fleet = Fleet::prepared(3, |number, node| {
        wires.connect(number, node);
        node.set("RAFT_ELECTION_MIN_MILLIS", election.0);
        node.set("RAFT_ELECTION_MAX_MILLIS", election.1);
    })
    .await;
    fleet.apply(&samples::fleet(0)).await;
    fleet.leader().await;
    (fleet, wires)
}

/// The cluster as one node sees it, with or without a leader.
async fn seen_by(fleet: &Fleet, node: u64) -> Value {
    fleet
        .api_of(node)
        .get("/cluster?consistency=stale")
        .await
        .ok()
}

/// The leader and the two others.
async fn roles(fleet: &mut Fleet) -> (u64, u64, u64) {
    let leader = fleet.leader().await;
    let others: Vec<u64> = fleet
        .nodes
        .keys()
        .copied()
        .filter(|node| *node != leader)
        .collect();
    (leader, others[0], others[1])
}

/// Cuts one follower off in some way, and shows that the leader keeps its lead and its term, that
/// writes go on, and that the follower is back when the wires are whole.
async fn nobody_is_deposed(cut: impl FnOnce(&Wires, u64, u64, u64)) {
    // Patient enough that a busy machine alone causes no election: it would have to stall for six
    // seconds.
    let (mut fleet, wires) = wired(("6000", "9000")).await;
    let (leader, off, other) = roles(&mut fleet).await;
    let before = seen_by(&fleet, leader).await;
    cut(&wires, leader, off, other);

    let majority = fleet.api_of(leader);
    let mut number = 0;
    wait_until(
        "the follower misses its leader while writes go on",
        async || {
            number += 1;
            majority
                .post("/tenants", &samples::further_tenant(number))
                .await
                .ok();
            seen_by(&fleet, off).await["leader"].is_null()
        },
    )
    .await;
    let asked = Instant::now();
    let refused = fleet.api_of(off).get("/tenants").await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "no-quorum"),
        "{refused:?}"
    );
    assert!(asked.elapsed() < BOUND, "a refusal must not hang");
    // Several of its election times have passed, and it stood for none.
    for node in [leader, off, other] {
        let now = seen_by(&fleet, node).await;
        assert_eq!(now["term"], before["term"], "node {node} saw an election");
    }

    wires.heal();
    wait_for("the follower follows again", async || {
        let answer = fleet.api_of(off).get("/tenants").await;
        let held = answer.body.as_array().map_or(0, Vec::len);
        if held == number + 1 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    number += 1;
    let own = fleet.api_of(off);
    own.post("/tenants", &samples::further_tenant(number))
        .await
        .ok();
    for node in [leader, off, other] {
        let now = seen_by(&fleet, node).await;
        let kept = (&now["leader"], &now["term"]) == (&before["leader"], &before["term"]);
        assert!(kept, "node {node}: {before} became {now}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_but_is_not_heard_deposes_nobody() {
    nobody_is_deposed(|wires, leader, off, other| {
        wires.cut(off, leader);
        wires.cut(off, other);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_heard_but_does_not_hear_deposes_nobody() {
    nobody_is_deposed(|wires, leader, off, other| {
        wires.cut(leader, off);
        wires.cut(other, off);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_reaches_all_but_the_leader_deposes_nobody() {
    nobody_is_deposed(|wires, leader, off, _| wires.cut_both(leader, off)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_refuses_in_time_and_the_others_and_the_agents_go_on() {
    let (mut fleet, wires) = wired(("750", "1500")).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("the fleet was applied").await;
    let (old, one, other) = roles(&mut fleet).await;
    connect_agent_to(&mut fleet, old).await;
    wires.cut_both(old, one);
    wires.cut_both(old, other);

    let alone = fleet.api_of(old);
    let asked = Instant::now();
    let lost = samples::identity(50);
    let (written, read) =
        tokio::join!(alone.try_post("/ips", &lost, "lost"), alone.try_get("/ips"),);
    for refused in [written.unwrap(), read.unwrap()] {
        assert_eq!(
            (refused.status, refused.code()),
            (503, "no-quorum"),
            "{refused:?}"
        );
    }
    assert!(asked.elapsed() < BOUND, "a refusal must not hang");

    let majority = fleet.api_of(one);
    wait_for("the others elect a leader and take a write", async || {
        let identity = samples::identity(1);
        let answer = majority.try_post("/ips", &identity, "kept").await.unwrap();
        if answer.status < 300 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    // What the old leader has is old by now: it serves it to nobody who asks for the present.
    let old_view = alone.try_get("/ips/198.51.100.1").await.unwrap();
    assert_eq!(old_view.status, 503, "{old_view:?}");
    assert!(
        ["no-quorum", "no-leader"].contains(&old_view.code()),
        "{old_view:?}"
    );
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    wait_until(
        "the agent went to another node and has the change",
        async || {
            let text = std::fs::read_to_string(&config).unwrap_or_default();
            text.contains("mail1.example.net")
        },
    )
    .await;
    wait_for("the agent is where the majority is", async || {
        let at = fleet.api_of(one).get("/hosts/pmta1").await.ok()["connected"].clone();
        if at == one || at == other {
            Ok(())
        } else {
            Err(at)
        }
    })
    .await;

    wires.heal();
    wait_for("the old leader has what the others decided", async || {
        let answer = alone.get("/ips/198.51.100.1").await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    // Refused without a majority, overruled since: on no node.
    for node in [old, one, other] {
        let found = fleet.api_of(node).get("/ips/198.51.100.50").await;
        assert_eq!(found.status, 404, "node {node}: {found:?}");
    }
}

/// Sends the agent away from wherever it is until it has chosen this node.
async fn connect_agent_to(fleet: &mut Fleet, wanted: u64) {
    loop {
        let api = fleet.api_of(wanted);
        let at = wait_for("the agent is connected", async || {
            let view = api.get("/hosts/pmta1").await.ok();
            view["connected"].as_u64().ok_or_else(|| view.to_string())
        })
        .await;
        if at == wanted {
            return;
        }
        fleet.nodes.get_mut(&at).unwrap().stop();
        wait_until("the agent chose another node", async || {
            let view = api.get("/hosts/pmta1").await.ok();
            view["connected"].as_u64().is_some_and(|node| node != at)
        })
        .await;
        fleet.nodes.get_mut(&at).unwrap().start().await;
    }
}
