//! Two tenants cannot see each other.

use email_engine_tests::{Fleet, samples};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_cannot_see_each_other() {
    let fleet = Fleet::single().await;
    let mut document = samples::fleet(2);
    document["tenants"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "id": "client-2", "name": "Client Two" }));
    document["hosts"].as_array_mut().unwrap().push(json!(
        { "id": "mailwizz2", "role": "mailwizz", "tenant": "client-2", "addresses": ["192.0.2.11"] }
    ));
    let mut theirs = samples::identity(9);
    theirs["tenant"] = json!("client-2");
    document["ips"].as_array_mut().unwrap().push(theirs);
    fleet.apply(&document).await;
    let request = json!({ "id": "second", "role": "operator", "tenant": "client-2" });
    let created = fleet.api().post("/keys", &request).await.ok();
    let second = fleet.api().with_key(created["key"].as_str().unwrap());

    for path in [
        "/tenants/client-1",
        "/ips/198.51.100.1",
        "/hosts/mailwizz1",
        "/hosts/mailwizz1/config",
    ] {
        assert_eq!(second.get(path).await.status, 404, "{path}");
    }
    for path in ["/tenants", "/ips", "/hosts", "/domains"] {
        let text = second.get(path).await.ok().to_string();
        assert!(
            !text.contains("client-1") && !text.contains("198.51.100.1\""),
            "{path}: {text}"
        );
    }
    assert_eq!(second.get("/cluster").await.status, 404);
    let status = second.get("/status").await.ok();
    assert_eq!(status["cluster"]["nodes"], json!([]), "where the nodes are");
    assert_eq!(second.get("/ips/198.51.100.9").await.status, 200);
    assert_eq!(second.delete("/ips/198.51.100.1").await.status, 404);
    let mut planted = samples::identity(10);
    planted["tenant"] = json!("client-1");
    let refused = second.post("/ips", &planted).await;
    assert!([403, 404].contains(&refused.status), "{refused:?}");
}
