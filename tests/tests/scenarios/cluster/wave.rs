//! A leader change in the middle of a held wave pushes nothing early.

use email_engine_tests::{Fleet, samples, wait_until};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_change_in_the_middle_of_a_held_wave_pushes_nothing_early() {
    let mut fleet = Fleet::three().await;
    let mut document = samples::fleet(2);
    document["hosts"].as_array_mut().unwrap().push(json!(
        { "id": "pmta2", "role": "powermta", "addresses": ["192.0.2.21"] }
    ));
    fleet.apply(&document).await;
    fleet.start_agents(&["pmta1", "pmta2"]).await;
    fleet.converged("the fleet was applied").await;

    // New settings wait until a release moves; the wave begins with pmta1 only.
    let settings = json!({ "management_port": 1999 });
    fleet
        .api()
        .put("/settings?release=false", &settings)
        .await
        .ok();
    let releases = fleet.api().get("/releases").await.ok();
    let revision = releases["newest_settings"].clone();
    let wave = json!({ "hosts": ["pmta1"], "settings": revision });
    fleet.api().post("/releases", &wave).await.ok();
    wait_until("the first host of the wave has it", async || {
        port(&fleet, "pmta1") == 1999
    })
    .await;

    let leader = fleet.leader().await;
    fleet.nodes.get_mut(&leader).unwrap().kill();
    fleet.leader().await;
    // Something that always flows shows that the new leader plans and pushes, to both hosts.
    fleet.api().post("/ips", &samples::identity(3)).await.ok();
    let mut held = samples::identity(4);
    held["host"] = json!("pmta2");
    held["pool"] = json!("client-1-second");
    fleet.api().post("/ips", &held).await.ok();
    for (host, domain) in [
        ("pmta1", "mail3.example.net"),
        ("pmta2", "mail4.example.net"),
    ] {
        wait_until("a new leader went on", async || {
            config(&fleet, host).contains(domain)
        })
        .await;
    }
    fleet.converged("a new leader went on").await;
    assert_eq!(
        (port(&fleet, "pmta1"), port(&fleet, "pmta2")),
        (1999, 1983),
        "pushed early"
    );

    let rest = json!({ "settings": revision });
    fleet.api().post("/releases", &rest).await.ok();
    wait_until("the rest of the wave has it", async || {
        port(&fleet, "pmta2") == 1999
    })
    .await;
}

fn config(fleet: &Fleet, host: &str) -> String {
    let file = fleet.agents[host].file("/etc/pmta/config");
    std::fs::read_to_string(file).unwrap_or_default()
}

fn port(fleet: &Fleet, host: &str) -> u64 {
    let config = config(fleet, host);
    let line = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("http-mgmt-port "));
    line.and_then(|port| port.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_reach_every_host_when_they_are_released() {
    let fleet = Fleet::converged_with(1, 1).await;
    let answer: Value = fleet
        .api()
        .put(
            "/settings?release=true",
            &json!({ "management_port": 2001 }),
        )
        .await
        .ok();
    assert_eq!(answer["management_port"], 2001);
    wait_until("the new port is on the host", async || {
        port(&fleet, "pmta1") == 2001
    })
    .await;
}
