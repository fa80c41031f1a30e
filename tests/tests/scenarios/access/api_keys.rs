//! A key revoked is refused at once, by every node.

use email_engine_tests::{Fleet, samples};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_is_refused_at_once() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.leader().await;
    let request = json!({ "id": "ci", "role": "operator" });
    let created = fleet.api().post("/keys", &request).await.ok();
    let key = created["key"].as_str().unwrap().to_owned();
    for node in fleet.nodes.keys() {
        assert_eq!(
            fleet.api_of(*node).with_key(&key).get("/ips").await.status,
            200
        );
    }

    fleet.api().delete("/keys/ci").await.ok();

    for node in fleet.nodes.keys() {
        let refused = fleet.api_of(*node).with_key(&key).get("/ips").await;
        assert_eq!(
            (refused.status, refused.code()),
            (401, "unauthenticated"),
            "node {node}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_may_and_no_more() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let mut keys = vec![];
    for role in ["viewer", "operator"] {
        let request = json!({ "id": role, "role": role });
        let created = fleet.api().post("/keys", &request).await.ok();
        keys.push(fleet.api().with_key(created["key"].as_str().unwrap()));
    }
    let [viewer, operator] = &keys[..] else {
        unreachable!()
    };

    assert_eq!(viewer.get("/ips").await.status, 200);
    assert_eq!(viewer.post("/ips", &samples::identity(2)).await.status, 403);
    // What sends already is taken over by an admin's word; an operator's begins on the bench.
    let mut identity = samples::identity(2);
    assert_eq!(operator.post("/ips", &identity).await.status, 403);
    for field in ["status", "phase"] {
        identity.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(operator.post("/ips", &identity).await.status, 201);
    let more = json!({ "id": "mine", "role": "admin" });
    assert_eq!(operator.post("/keys", &more).await.status, 403);
    let nobody = fleet
        .api()
        .with_key("eek1.nobody.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(nobody.get("/ips").await.status, 401);
}
