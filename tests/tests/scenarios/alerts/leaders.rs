//! No leader takes an alert with it.

use std::collections::BTreeSet;

use email_engine_tests::{Fleet, wait_until};
use serde_json::json;

use super::receiver::Receiver;

/// Alerts are raised while leaders are killed: whatever was answered to be raised arrives, perhaps twice and
/// then under the same id.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_that_were_raised_arrive_although_leaders_are_killed() {
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::three().await;
    fleet.leader().await;
    let api = fleet.api();
    let url = format!("http://{}/in", receiver.address);
    let channel = json!({"spec": {"webhook": {"url": url}}, "secret": "0123456789abcdef"});
    api.put("/alerts/channels/pager", &channel).await.ok();
    let route = json!({"channels": ["pager"], "at_least": "info"});
    api.put("/alerts/routes/all", &route).await.ok();

    let mut raised = BTreeSet::new();
    for round in 0..3 {
        for number in 0..15 {
            let request = format!("alert-{round}-{number}");
            // The same request until it is answered: an unclear outcome is asked for again.
            let answer = loop {
                match api.try_post("/alerts/test", &json!({}), &request).await {
                    Ok(answer) if answer.status == 201 => break answer,
                    Ok(answer) if answer.status < 500 => panic!("refused: {answer:?}"),
                    _ => {}
                }
            };
            raised.insert(answer.ok()["id"].as_u64().unwrap());
            if number == 4 + round * 4 {
                let leader = fleet.leader().await;
                fleet.nodes.get_mut(&leader).unwrap().kill();
                fleet.leader().await;
                fleet.nodes.get_mut(&leader).unwrap().start().await;
            }
        }
    }
    assert_eq!(raised.len(), 45, "each request raised one");
    let arrived = || -> BTreeSet<u64> {
        let alerts = receiver.alerts();
        let number = |alert: &serde_json::Value| {
            let key = alert["alert"].as_str().unwrap();
            key.rsplit('-').next().unwrap().parse().unwrap()
        };
        alerts.iter().map(number).collect()
    };
    wait_until("every alert arrives", async || arrived() == raised).await;
    assert!(receiver.all_signed());
    let alerts = receiver.alerts();
    let ids: BTreeSet<_> = alerts.iter().map(|alert| alert["id"].to_string()).collect();
    assert_eq!(ids.len(), raised.len(), "a double has the id of the first");
    wait_until("all is written down as delivered", async || {
        let all = api.get("/alerts?limit=1000").await.ok();
        let all = all.as_array().unwrap();
        let mut deliveries = all
            .iter()
            .flat_map(|one| one["deliveries"].as_array().unwrap());
        deliveries.all(|one| one["state"] == "delivered")
    })
    .await;
}
