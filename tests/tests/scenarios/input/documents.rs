//! Bad fleet documents change nothing and say which field, which value, and what would be accepted.

use email_engine_tests::{Fleet, samples};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_document_is_named_and_changes_nothing() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(2)).await;
    let before = (everything(&fleet).await, changes(&fleet).await);

    let faults = [
        ("duplicate", "/ips/2/domain", json!("mail1.example.net")),
        ("duplicate", "/ips/2/address", json!("198.51.100.1")),
        ("duplicate", "/ips/2/hostname", json!("mail1.example.net")),
        ("brand-domain", "/ips/2/domain", json!("example.org")),
        ("wrong-role", "/ips/2/host", json!("api1")),
        ("not-found", "/ips/2/tenant", json!("nobody")),
        ("not-found", "/ips/2/host", json!("nowhere")),
        ("bad-field", "/ips/2/address", json!("198.51.100.300")),
        ("bad-field", "/ips/2/address", json!("2001:db8::g")),
        ("bad-field", "/ips/2/address", json!("2001:db8::1::2")),
        ("bad-field", "/hosts/1/addresses/0", json!("2001:db8:::20")),
        ("bad-field", "/ips/2/domain", json!("no dots")),
        ("bad-field", "/ips/2/colour", json!("blue")),
        ("bad-field", "/hosts/0/role", json!("Mail")),
    ];
    for (code, place, value) in faults {
        let refused = fleet.api().post("/fleet", &with(place, &value)).await;
        assert!((400..500).contains(&refused.status), "{code}: {refused:?}");
        assert_eq!(refused.code(), code, "{refused:?}");
        assert_eq!(refused.body["field"], field(place), "{refused:?}");
        let said = refused.body["detail"].as_str().unwrap();
        assert!(said.len() > 20, "{said}");
    }
    let after = (everything(&fleet).await, changes(&fleet).await);
    assert_eq!(after, before, "something changed");
}

/// A document with three identities, one value of which is another.
fn with(place: &str, value: &serde_json::Value) -> serde_json::Value {
    let mut document = samples::fleet(3);
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match name.parse::<usize>() {
        Ok(index) => parent[index] = value.clone(),
        Err(_) => parent[name] = value.clone(),
    }
    document
}

/// A place as answers name it: `ips[2].domain` for `/ips/2/domain`.
fn field(place: &str) -> String {
    let mut named = String::new();
    for part in place.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => named.push_str(&format!("[{index}]")),
            Err(_) if named.is_empty() => named.push_str(part),
            Err(_) => named.push_str(&format!(".{part}")),
        }
    }
    named
}

/// Every change that a key made: each has a revision, so an equal list is an equal revision, but for
/// what the cluster does by itself.
async fn changes(fleet: &Fleet) -> Vec<serde_json::Value> {
    let audit = fleet.api().get("/audit?limit=1000").await.ok();
    let entries = audit.as_array().unwrap().iter();
    let by_keys = entries.filter(|entry| entry["actor"].as_str().unwrap().starts_with("key "));
    by_keys.cloned().collect()
}

/// What was declared; targets and the stock of keys move by themselves.
async fn everything(fleet: &Fleet) -> Vec<serde_json::Value> {
    let mut all = vec![];
    for path in ["/tenants", "/ips", "/settings", "/releases"] {
        all.push(fleet.api().get(path).await.ok());
    }
    let hosts = fleet.api().get("/hosts").await.ok();
    for host in hosts.as_array().unwrap() {
        all.push(json!([
            host["id"],
            host["role"],
            host["tenant"],
            host["addresses"]
        ]));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tenant_has_is_refused_without_a_word_of_whose_it_is() {
    let fleet = Fleet::single().await;
    let mut document = samples::fleet(1);
    let second =
        json!({ "id": "client-2", "name": "Client Two", "brand_domains": ["example.com"] });
    document["tenants"].as_array_mut().unwrap().push(second);
    fleet.apply(&document).await;
    let request = json!({ "id": "second", "role": "operator", "tenant": "client-2" });
    let created = fleet.api().post("/keys", &request).await.ok();
    let key = created["key"].as_str().unwrap();
    let before = (everything(&fleet).await, changes(&fleet).await);

    // Their own identity, with one thing of the other tenant's. The sender is an address in the domain.
    let claims = [
        ("domain", "mail1.example.net", "duplicate"),
        ("hostname", "mail1.example.net", "duplicate"),
        ("vmta", "vmta-mail1-example-net", "duplicate"),
        ("pool", "client-1-pool", "pool-mismatch"),
        ("domain", "example.org", "brand-domain"),
        ("address", "198.51.100.1", "foreign-tenant"),
    ];
    for (name, value, code) in claims {
        let mut theirs = samples::identity(9);
        theirs["tenant"] = json!("client-2");
        // What sends already, the fleet's operators alone declare.
        theirs["status"] = json!("standby");
        theirs["phase"] = json!("week_1");
        theirs[name] = json!(value);
        let document = json!({ "ips": [theirs] });
        let scoped = fleet.api().with_key(key).post("/fleet", &document).await;
        let whole = fleet.api().post("/fleet", &document).await;
        for refused in [&scoped, &whole] {
            assert!((400..500).contains(&refused.status), "{refused:?}");
            assert_eq!(refused.code(), code, "{refused:?}");
        }
        assert_eq!(scoped.body["field"], format!("ips[0].{name}"), "{scoped:?}");
        // Its name is part of what was claimed, and in no other place.
        let said = scoped.body["accepted"].to_string();
        assert!(!said.contains("client-1"), "{said}");
    }
    let after = (everything(&fleet).await, changes(&fleet).await);
    assert_eq!(after, before, "something changed");
}
