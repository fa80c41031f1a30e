//! A host that was off for many generations gets only the last.

use std::fs;

use email_engine_tests::{Fleet, samples};
use serde_json::json;

const OFFERS: &str = "email_engine_offers_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_off_for_many_generations_gets_only_the_last() {
    // The only agent: what its node offers, it is offered.
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(2)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("its first document was applied").await;
    let before = number(&fleet.host("pmta1").await["running"]);
    fleet.agents.get_mut("pmta1").unwrap().kill();

    for round in 1..=6 {
        let mut document = samples::fleet(2 + round);
        document["tenants"][0]["name"] = json!(format!("Client One, round {round}"));
        fleet.apply(&document).await;
        // Each round must be a target of its own, so the next one begins when this one is set.
        let (api, path) = (fleet.api(), "/hosts/pmta1".to_owned());
        email_engine_tests::wait_until("the planner has set this round's target", async || {
            number(&api.get(&path).await.ok()["target"]) >= before + round as u64
        })
        .await;
    }
    let offered = fleet.api_of(1).metric(OFFERS).await;
    assert!(offered >= 1.0, "offers are not counted");
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    let view = fleet.host_converged("pmta1", "it woke up").await;

    assert!(number(&view["running"]) >= before + 6, "{view}");
    assert_eq!(view["running"], view["target"]);
    let config = fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    assert!(config.contains("mail8.example.net"));
    let since = fleet.api_of(1).metric(OFFERS).await - offered;
    assert_eq!(since, 1.0, "generations were offered on the way");
}

fn number(generation: &serde_json::Value) -> u64 {
    generation["number"].as_u64().unwrap_or(0)
}
