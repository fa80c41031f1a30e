//! A fleet document reaches every host, and the same document again is no work at all.

use email_engine_tests::{Fleet, samples, wait_for, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_file_reaches_every_host() {
    let fleet = Fleet::converged_with(3, 5).await;

    let config = std::fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    for number in 1..=5 {
        let source = format!("smtp-source-host 198.51.100.{number} mail{number}.example.net");
        assert!(
            config.contains(&source),
            "{source} is missing in:\n{config}"
        );
    }
    let keys = std::fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/dkim")).unwrap();
    assert_eq!(keys.count(), 5, "one DKIM key per identity");
    for host in ["mailwizz1", "api1"] {
        let files = walk(&fleet.agents[host].root());
        assert!(!files.is_empty(), "{host} got no files");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_node_calls_the_fleet_converged_before_a_change_is_on_its_host() {
    let fleet = Fleet::converged_with(3, 1).await;
    for count in 2..=7 {
        fleet.apply(&samples::fleet(count)).await;
        let node = u64::try_from(count).unwrap() % 3 + 1;
        wait_for("a node says that the fleet has converged", async || {
            let answer = fleet.api_of(node).try_get("/status").await?;
            let status = answer.body;
            (status["state"] == "converged")
                .then_some(())
                .ok_or_else(|| status["reasons"].to_string())
        })
        .await;
        let config = fleet.agents["pmta1"].file("/etc/pmta/config");
        let config = std::fs::read_to_string(config).unwrap();
        let name = format!("mail{count}.example.net");
        assert!(config.contains(&name), "{name} is missing in:\n{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_changes_nothing_and_writes_no_log_entry() {
    let mut fleet = Fleet::converged_with(3, 3).await;
    let leader = fleet.leader().await;
    // The stock of DKIM keys is filled up after keys were taken, which takes a busy machine its time.
    fleet.stock_is_full().await;
    let last = quiet_index(&fleet, leader).await;

    let answer = fleet.apply(&samples::fleet(3)).await;

    assert_eq!(answer["applied"], false);
    assert_eq!(answer["changes"].as_array().unwrap().len(), 0);
    // Not in the end either: a planner that found something new would have written by then.
    assert_eq!(
        quiet_index(&fleet, leader).await,
        last,
        "applying it again wrote to the log"
    );
}

/// The end of the log, once it has stayed where it is over many looks.
async fn quiet_index(fleet: &Fleet, node: u64) -> u64 {
    let (mut last, mut quiet) = (0, 0);
    wait_until("the log is quiet", async || {
        let index = last_index(fleet, node).await;
        quiet = if index == last { quiet + 1 } else { 0 };
        last = index;
        quiet > 100
    })
    .await;
    last
}

async fn last_index(fleet: &Fleet, node: u64) -> u64 {
    let cluster = fleet.api_of(node).get("/cluster").await.ok();
    cluster["last_index"].as_u64().unwrap()
}

fn walk(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files
}
