//! Identity 57 of 100 is bad and none is added.

use email_engine_tests::{Fleet, samples};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn identity_57_of_100_is_bad_and_none_is_added() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let mut ips: Vec<Value> = (1..=100).map(samples::identity).collect();
    // The 57th has the domain of the 3rd.
    ips[56]["domain"] = json!("mail3.example.net");

    let refused = fleet.api().post("/ips", &json!(ips)).await;

    assert_eq!(
        (refused.status, refused.code()),
        (409, "duplicate"),
        "{refused:?}"
    );
    assert!(
        refused.body["field"].as_str().unwrap().contains("56"),
        "{refused:?}"
    );
    assert_eq!(refused.body["value"], "mail3.example.net");
    assert_eq!(
        fleet.api().get("/ips").await.ok(),
        json!([]),
        "some were added"
    );
}
