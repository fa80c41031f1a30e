//! A disk that is really full: what was acknowledged stays, nothing is acknowledged that is not kept,
//! reads go on, and room brings the node back.

use std::collections::BTreeMap;

use email_engine_tests::trouble::TightDisk;
use email_engine_tests::{Answer, Api, Fleet, samples, wait_for, wait_until};

const MIB: u64 = 1024 * 1024;

/// Three nodes, each on a small disk of its own, whose low-water mark lets everything through: what
/// is met is the end of the disk itself.
async fn on_tight_disks(count: u64, bytes: u64) -> (Fleet, BTreeMap<u64, TightDisk>) {
    let mut disks = BTreeMap::new();
    let mut fleet = Fleet::prepared(count, |number, node| {
        let disk = TightDisk::new(bytes);
        node.keep_data_in(&disk.folder().join("data"));
        node.set("MIN_FREE_BYTES", "0");
        disks.insert(number, disk);
    })
    .await;
    fleet.apply(&samples::fleet(0)).await;
    fleet.leader().await;
    (fleet, disks)
}

/// Adds a tenant under a request id of its own until it is acknowledged.
async fn add(api: &Api, number: usize) {
    let request = format!("full-disk-{number}");
    wait_for("a tenant is acknowledged", async || {
        let tenant = samples::further_tenant(number);
        match api.try_post("/tenants", &tenant, &request).await {
            Ok(answer) if answer.status < 300 => Ok(()),
            Ok(answer) if answer.status < 500 => panic!("refused: {answer:?}"),
            other => Err(other),
        }
    })
    .await;
}

/// Adds tenants at one node until its disk refuses one; gives the refusal and how many it
/// acknowledged before.
async fn add_until_refused(api: &Api, from: usize) -> (Answer, Vec<usize>) {
    let mut acknowledged = Vec::new();
    for number in from..from + 200 {
        let request = format!("full-disk-{number}");
        let answer = api
            .try_post("/tenants", &samples::further_tenant(number), &request)
            .await
            .unwrap();
        if answer.status >= 300 {
            return (answer, acknowledged);
        }
        acknowledged.push(number);
    }
    panic!("200 tenants went to a full disk");
}

async fn assert_holds(api: &Api, path: &str, numbers: impl Iterator<Item = usize>) {
    let held = api.get(path).await.ok().to_string();
    for number in numbers {
        let id = format!("\"further-{number}\"");
        assert!(held.contains(&id), "tenant {number} is lost: {held}");
    }
}

/// It waits for room, ends when there is some, and a supervisor starts it again.
async fn ends_and_starts_again(fleet: &mut Fleet, number: u64) {
    let node = fleet.nodes.get_mut(&number).unwrap();
    let status = node.daemon().wait_exit("there is room again");
    assert!(!status.success(), "a supervisor restarts what failed");
    node.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_full_loses_nothing_and_another_one_leads() {
    let (mut fleet, disks) = on_tight_disks(3, 40 * MIB).await;
    let full = fleet.leader().await;
    for number in 1..=5 {
        add(&fleet.api(), number).await;
    }
    disks[&full].fill();
    // The others do not wait for it: they elect a leader among them and go on.
    let healthy: Vec<u64> = fleet
        .nodes
        .keys()
        .copied()
        .filter(|node| *node != full)
        .collect();
    let elsewhere = fleet.api_of(healthy[0]);
    for number in 6..=30 {
        add(&elsewhere, number).await;
    }
    let own = fleet.api_of(full);
    let refused = wait_for("the full node says why it takes nothing", async || {
        let answer = own.post("/tenants", &samples::further_tenant(99)).await;
        let says = answer.status == 503 && answer.body.to_string().contains("No space left");
        if says { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert_eq!(refused.code(), "no-quorum");
    let status = own.get("/status?consistency=stale").await.ok();
    assert_eq!(status["stale"], true, "{status}");
    assert_holds(&own, "/tenants?consistency=stale", 1..=5).await;

    disks[&full].clear();
    ends_and_starts_again(&mut fleet, full).await;
    fleet.leader().await;
    for node in [full, healthy[0], healthy[1]] {
        assert_holds(&fleet.api_of(node), "/tenants", 1..=30).await;
    }
    add(&fleet.api_of(full), 31).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_is_full_serves_stale_reads_until_its_ballast_is_deleted() {
    // Room for the ballast of 64 MiB and a little more.
    let (mut fleet, disks) = on_tight_disks(3, 90 * MIB).await;
    let leader = fleet.leader().await;
    let full = *fleet.nodes.keys().find(|node| **node != leader).unwrap();
    let ballast = fleet.nodes[&full].data_dir().join("raft/ballast");
    assert!(ballast.exists(), "there was room for it");
    add(&fleet.api_of(leader), 1).await;
    fleet.api_of(full).get("/tenants/further-1").await.ok();
    disks[&full].fill();

    let own = fleet.api_of(full);
    let mut number = 1;
    wait_until(
        "the full follower has only stale reads to give",
        async || {
            number += 1;
            add(&fleet.api_of(leader), number).await;
            let status = own.get("/status?consistency=stale").await.ok();
            status["stale"] == true && own.get("/tenants").await.status == 503
        },
    )
    .await;
    assert_holds(&own, "/tenants?consistency=stale", 1..=1).await;
    let log = std::fs::read_to_string(fleet.nodes[&full].log()).unwrap();
    assert!(log.contains("No space left"), "{log}");
    let advice = format!("deleting {}", ballast.display());
    wait_until("its log says what helps", async || {
        let log = std::fs::read_to_string(fleet.nodes[&full].log()).unwrap();
        log.contains(&advice)
    })
    .await;

    std::fs::remove_file(&ballast).unwrap();
    ends_and_starts_again(&mut fleet, full).await;
    assert_holds(&fleet.api_of(full), "/tenants", 1..=number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_keeps_every_acknowledged_write_through_a_full_disk() {
    let (mut fleet, disks) = on_tight_disks(1, 40 * MIB).await;
    add(&fleet.api(), 1).await;
    disks[&1].fill();
    let own = fleet.api_of(1);
    let (refused, acknowledged) = add_until_refused(&own, 2).await;
    assert_eq!((refused.status, refused.code()), (503, "no-quorum"));
    let last = 1 + acknowledged.len();
    assert_holds(&own, "/tenants?consistency=stale", 1..=last).await;

    // Dead in the middle of it: the torn end of the log is no reason not to start.
    fleet.nodes.get_mut(&1).unwrap().kill();
    disks[&1].clear();
    fleet.nodes.get_mut(&1).unwrap().start().await;
    fleet.leader().await;
    assert_holds(&fleet.api_of(1), "/tenants", 1..=last).await;
    // The refused one was never in doubt for whoever repeats it.
    add(&fleet.api_of(1), last + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_low_water_mark_of_a_filled_disk_the_leader_only_reads_and_recovers_by_itself() {
    let (mut fleet, disks) = on_tight_disks(1, 40 * MIB).await;
    let node = fleet.nodes.get_mut(&1).unwrap();
    node.stop();
    node.set("MIN_FREE_BYTES", &(8 * MIB).to_string());
    node.start().await;
    fleet.leader().await;
    add(&fleet.api(), 1).await;
    let own = fleet.api_of(1);
    for left in [4 * MIB, 0] {
        disks[&1].leave(left);
        let refused = wait_for("the low-water mark is noticed", async || {
            // The same tenant each time: at most one of them is taken.
            let answer = own.post("/tenants", &samples::further_tenant(2)).await;
            if answer.code() == "low-disk" {
                Ok(answer)
            } else {
                Err(answer)
            }
        })
        .await;
        assert_eq!(refused.status, 507, "{refused:?}");
        assert_eq!(
            own.get("/tenants/further-1").await.status,
            200,
            "linearizable"
        );
    }
    disks[&1].clear();
    add(&own, 3).await;
}
