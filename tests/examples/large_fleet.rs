//! What a large fleet costs whoever works with it, over real processes: reading all its addresses, and one
//! address more, from the call to the host that has it, beside the same in a small fleet.
//!
//! `cargo run --release --example large_fleet -- FILL [IDENTITIES [OF_EACH_HOST]]`, `FILL` being the program of the coordinator's
//! example `scale`: making 100,000 real DKIM keys would take hours, so those of the large part are of the right
//! size and no keys. The host that is measured has real ones.

use std::process::Command;
use std::time::{Duration, Instant};

use email_engine_tests::{Fleet, has_converged, samples, wait_for};
use serde_json::{Value, json};

/// Addresses that are added, one after the other.
const ADDED: u32 = 20;
/// Between two looks: each costs the node what it is to work with.
const LOOK: Duration = Duration::from_millis(5);
/// So long nothing is changed in a fleet to which nothing is done.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let fill = arguments.next().expect("the program that fills");
    let count = arguments.next().unwrap_or_else(|| "100000".to_owned());
    let group = arguments.next().unwrap_or_else(|| "1000".to_owned());
    let mut fleet = Fleet::converged_with(1, 5).await;
    let (mut small, mut answered) = add(&fleet, 100).await;
    println!(
        "one address more, in a fleet of 5: {}; answered: {}",
        told(&mut small),
        told(&mut answered)
    );

    let node = fleet.nodes.get_mut(&1).expect("the only node");
    node.stop();
    let began = Instant::now();
    let filled = Command::new(fill)
        .arg("fill")
        .args([node.data_dir().into_os_string(), count.into(), group.into()])
        .status();
    assert!(
        filled.is_ok_and(|status| status.success()),
        "it is not filled"
    );
    println!("filled in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    node.start().await;
    fleet.leader().await;
    println!("started in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    fleet.converged("the node is back").await;
    planned(&fleet).await;
    println!(
        "everybody planned after {:.1} s more",
        began.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    quiet(&fleet).await;
    println!(
        "its hosts have their certificates after {:.1} s more",
        began.elapsed().as_secs_f64()
    );

    list(&fleet).await;
    let (mut large, mut answered) = add(&fleet, 150).await;
    println!(
        "one address more: {}; answered: {}",
        told(&mut large),
        told(&mut answered)
    );
    println!(
        "a large fleet's by a small one's: {:.2}",
        median(&large) / median(&small)
    );
}

/// Waits until nobody is still to be planned.
async fn planned(fleet: &Fleet) {
    wait_for("all hosts have a target", async || {
        let hosts = fleet.api().get("/hosts").await.ok();
        let waits = |host: &&Value| host["target"].is_null();
        let waiting = hosts
            .as_array()
            .map_or(1, |all| all.iter().filter(waits).count());
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
}

/// Waits until the stock of keys is full, and nothing is changed any more: each new host gets a certificate,
/// whose key costs a processor as long as a DKIM key does, and these are not what is measured.
async fn quiet(fleet: &Fleet) {
    fleet.stock_is_full().await;
    let mut last = (0, Instant::now());
    while last.1.elapsed() < QUIET {
        let newest = fleet.api().get("/audit?limit=1").await.ok();
        let number = newest[0]["sequence"].as_u64().expect("a number");
        if number != last.0 {
            last = (number, Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(fleet: &Fleet) {
    let (mut after, mut pages, mut seen) = (String::new(), Vec::new(), 0);
    loop {
        let began = Instant::now();
        let page = fleet
            .api()
            .get(&format!("/ips?limit=1000{after}"))
            .await
            .ok();
        pages.push(began.elapsed().as_secs_f64() * 1e3);
        let page = page.as_array().expect("a list");
        seen += page.len();
        match page.last() {
            Some(last) if page.len() == 1_000 => {
                after = format!("&after={}", last["address"].as_str().expect("an address"));
            }
            _ => break,
        }
    }
    println!(
        "{seen} addresses in {} pages: a page of 1,000 {}",
        pages.len(),
        told(&mut pages)
    );
}

/// Milliseconds from each call to the host's word that it has it, and to the answer to the call.
async fn add(fleet: &Fleet, first: u32) -> (Vec<f64>, Vec<f64>) {
    let host = samples::HOSTS
        .iter()
        .find(|host| host.starts_with("pmta"))
        .expect("a relay");
    let (mut taken, mut answered) = (Vec::new(), Vec::new());
    for number in first..first + ADDED {
        wait_for("a key is made", async || {
            let ready = fleet.api().metric("email_engine_prepared_keys").await;
            if ready == 0.0 { Err(()) } else { Ok(()) }
        })
        .await;
        let address = format!("192.0.2.{number}");
        let domain = format!("m{number}.example.net");
        let one =
            json!({ "address": address, "domain": domain, "tenant": "client-1", "host": host });
        let before = fleet.host(host).await["target"].clone();
        let began = Instant::now();
        fleet.api().post("/ips", &one).await.ok();
        answered.push(began.elapsed().as_secs_f64() * 1e3);
        let deadline = began + Duration::from_secs(60);
        loop {
            let view = fleet.host(host).await;
            if view["target"] != before && has_converged(&view) {
                break;
            }
            assert!(Instant::now() < deadline, "{address} did not come: {view}");
            tokio::time::sleep(LOOK).await;
        }
        taken.push(began.elapsed().as_secs_f64() * 1e3);
    }
    (taken, answered)
}

fn median(taken: &[f64]) -> f64 {
    taken[taken.len() / 2]
}

fn told(taken: &mut [f64]) -> String {
    taken.sort_by(f64::total_cmp);
    let most = taken.last().copied().unwrap_or_default();
    format!("median {:.0} ms, at most {most:.0} ms", median(taken))
}
