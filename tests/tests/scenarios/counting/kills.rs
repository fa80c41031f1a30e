//! Agents, nodes and leaders are ended at any moment (SIGKILL): no record is counted twice, and none is lost.

use email_engine_tests::{Fleet, wait_for};
use fastrand::Rng;
use serde_json::Value;

use super::files::{Files, Sender, Written};

const HOST: &str = "pmta1";
const TENANT: &str = "/tenants/client-1/stats";

/// What is counted, as any node tells.
async fn counted(fleet: &Fleet, path: &str) -> Result<Written, String> {
    let view = fleet.api().try_get(path).await?.body;
    let rows = view["rows"].as_array().ok_or_else(|| view.to_string())?;
    let sum = |field: &str| rows.iter().filter_map(|row| row[field].as_u64()).sum();
    Ok(Written {
        delivered: sum("delivered"),
        bounced: sum("bounced"),
    })
}

/// Waits until that is all that was written, and no more.
async fn is_counted(fleet: &Fleet, files: &Files, why: &str) {
    wait_for(why, async || {
        let (found, wanted) = (counted(fleet, TENANT).await?, files.total());
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?} of {wanted:?}"))
        }
    })
    .await;
}

pub(super) async fn senders(fleet: &Fleet) -> Vec<Sender> {
    let list = fleet.api().get("/ips").await.ok();
    let of = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = list.as_array().unwrap();
    rows.iter()
        .map(|row| Sender {
            address: of(row, "address"),
            domain: of(row, "domain"),
            vmta: of(row, "vmta"),
        })
        .collect()
}

async fn kill_node(fleet: &mut Fleet, number: u64, files: &mut Files, random: &mut Rng) {
    fleet.nodes.get_mut(&number).unwrap().kill();
    files.write(random);
    fleet.nodes.get_mut(&number).unwrap().start().await;
}

/// Somebody is ended and comes back, while mail goes on.
async fn kill_somebody(fleet: &mut Fleet, files: &mut Files, random: &mut Rng) {
    match random.u8(..6) {
        0 => {
            let leader = fleet.leader().await;
            kill_node(fleet, leader, files, random).await;
        }
        1 => kill_node(fleet, random.u64(1..=3), files, random).await,
        _ => {
            fleet.agents.get_mut(HOST).unwrap().kill();
            files.write(random);
            fleet.agents.get_mut(HOST).unwrap().start(None);
        }
    }
}

/// A total since counting began is the same on all nodes.
async fn every_node_tells_the_same(fleet: &Fleet, files: &Files) {
    for node in 1..=3 {
        let why = format!("node {node} has applied all counts");
        wait_for(&why, async || {
            let text = fleet.api_of(node).metrics().await;
            for (address, written) in &files.written {
                let of = |status: &str, count: u64| {
                    text.lines().any(|line| {
                        line.starts_with("email_engine_emails_sent_total{")
                            && line.contains(&format!("ip=\"{address}\""))
                            && line.ends_with(&format!("status=\"{status}\"}} {count}"))
                    })
                };
                if !of("delivered", written.delivered) || !of("bounced", written.bounced) {
                    return Err(format!("{address} has not {written:?}"));
                }
            }
            Ok(())
        })
        .await;
    }
}

async fn every_record_is_counted_once(kills: u32) {
    let seed = Rng::new().u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut fleet = Fleet::converged_with(3, 3).await;
    let folder = fleet.agents[HOST].file("/var/log/pmta");
    let mut files = Files::new(folder, senders(&fleet).await);
    files.write(&mut random);
    let mut before = counted(&fleet, TENANT).await.unwrap();
    for kill in 0..kills {
        kill_somebody(&mut fleet, &mut files, &mut random).await;
        // Some come right after one another; in between, counting gets on.
        if random.bool() {
            let why = format!("something more is counted after end {kill} (seed {seed})");
            before = wait_for(&why, async || {
                let now = counted(&fleet, TENANT).await?;
                if now == before {
                    Err(format!("{now:?}"))
                } else {
                    Ok(now)
                }
            })
            .await;
        }
    }
    files.finish();
    is_counted(&fleet, &files, &format!("all is counted (seed {seed})")).await;
    // Had something been counted twice, or were it to be, one record more would not make it right.
    fleet.agents.get_mut(HOST).unwrap().kill();
    for node in fleet.nodes.values_mut() {
        node.kill();
    }
    for node in fleet.nodes.values_mut() {
        node.start().await;
    }
    files.write(&mut random);
    files.finish();
    fleet.agents.get_mut(HOST).unwrap().start(None);
    is_counted(
        &fleet,
        &files,
        &format!("all is counted after all ended (seed {seed})"),
    )
    .await;
    for (address, written) in &files.written {
        let path = format!("/ips/{address}/stats");
        assert_eq!(
            counted(&fleet, &path).await.unwrap(),
            *written,
            "{address}, seed {seed}"
        );
    }
    every_node_tells_the_same(&fleet, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_counted_once_whoever_is_killed() {
    every_record_is_counted_once(16).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: tests/run --lab"]
async fn every_record_is_counted_once_whoever_is_killed_hundreds_of_times() {
    every_record_is_counted_once(400).await;
}
