//! Each fault of a fleet document has its code and its place, and changes nothing.

use serde_json::{Value, json};

use email_engine_protocol::limits;

use super::testbed::{Answered, Testbed};

fn fleet() -> Value {
    json!({
        "tenants": [{"id": "red", "name": "red", "brand_domains": ["brand.example.com"]}],
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "red-mail", "role": "mailwizz", "tenant": "red", "addresses": ["192.0.2.2"]}
        ],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.example.com", "tenant": "red"},
            {"address": "2001:db8::1", "domain": "mail6.example.com", "tenant": "red"}
        ]
    })
}

/// An identity that is right, with one field changed.
fn identity(field: &str, value: Value) -> Value {
    let mut ip =
        json!({"address": "198.51.100.7", "domain": "mail7.example.com", "tenant": "blue"});
    ip[field] = value;
    json!({"ips": [ip]})
}

async fn testbed() -> Testbed {
    let testbed = Testbed::new();
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(fleet()).send().await.gives(200);
    testbed
}

/// Sends each document and expects its refusal; afterwards the state is what it was, byte for byte,
/// and the log has no entry more.
async fn refuses_each<const N: usize>(faults: [(Value, u16, &str, &str); N]) {
    let testbed = testbed().await;
    let before = (testbed.fleet.state(), testbed.fleet.log_length());
    for (document, status, code, field) in faults {
        for path in ["/api/v1/fleet", "/api/v1/fleet?dry_run=true"] {
            let ask = testbed.ask("operator", "POST", path).json(document.clone());
            let refused: Answered = ask.send().await.refuses(status, code);
            assert_eq!(refused.body["field"], field, "{}", refused.text);
            let accepted = refused.body["accepted"].as_str().unwrap_or_default();
            assert!(!accepted.is_empty(), "what would do? {}", refused.text);
        }
    }
    assert!(testbed.fleet.state() == before.0, "something changed");
    assert_eq!(testbed.fleet.log_length(), before.1);
}

#[tokio::test]
async fn keys_and_types_that_are_not_a_documents() {
    let host = |field: &str, value: Value| {
        let mut host = json!({"id": "h", "role": "powermta", "addresses": ["192.0.2.9"]});
        host[field] = value;
        json!({"hosts": [host]})
    };
    refuses_each([
        (json!({"tennants": []}), 422, "bad-field", "tennants"),
        (
            identity("colour", json!("blue")),
            422,
            "bad-field",
            "ips[0].colour",
        ),
        (
            identity("planned_daily", json!("many")),
            422,
            "bad-field",
            "ips[0].planned_daily",
        ),
        (
            identity("planned_daily", json!(-1)),
            422,
            "bad-field",
            "ips[0].planned_daily",
        ),
        (
            identity("status", json!("sleepy")),
            422,
            "bad-field",
            "ips[0].status",
        ),
        (json!({"ips": {}}), 422, "bad-field", "ips"),
        (
            host("role", json!("Mail")),
            422,
            "bad-field",
            "hosts[0].role",
        ),
        (host("role", json!("mail")), 422, "invalid", "hosts[0].role"),
        (
            host("addresses", json!("192.0.2.9")),
            422,
            "bad-field",
            "hosts[0].addresses",
        ),
        (
            host("labels", json!({"a": 1})),
            422,
            "bad-field",
            "hosts[0].labels.a",
        ),
    ])
    .await;
}

#[tokio::test]
async fn addresses_that_are_none_or_cannot_send() {
    refuses_each([
        (
            identity("address", json!("198.51.100.300")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("198.51.100")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("198.051.100.007")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("2001:db8::g")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("2001:db8::1::2")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("fe80::1%eth0")),
            422,
            "bad-field",
            "ips[0].address",
        ),
        (
            identity("address", json!("127.0.0.1")),
            422,
            "invalid",
            "ips[0].address",
        ),
        (
            identity("address", json!("::ffff:198.51.100.1")),
            422,
            "invalid",
            "ips[0].address",
        ),
        (
            identity("address", json!("fe80::1")),
            422,
            "invalid",
            "ips[0].address",
        ),
        (
            identity("address", json!("0.0.0.0")),
            422,
            "invalid",
            "ips[0].address",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_another_tenants_identity_has_in_whatever_spelling() {
    let two = |second: Value| {
        let first = identity("address", json!("2001:db8::7"))["ips"][0].clone();
        let mut other = identity("domain", json!("mail8.example.com"))["ips"][0].clone();
        for (field, value) in second.as_object().unwrap() {
            other[field] = value.clone();
        }
        json!({"ips": [first, other]})
    };
    refuses_each([
        (
            identity("domain", json!("mail1.example.com")),
            409,
            "duplicate",
            "ips[0].domain",
        ),
        (
            identity("domain", json!("MAIL1.Example.COM")),
            409,
            "duplicate",
            "ips[0].domain",
        ),
        (
            identity("hostname", json!("Mail1.example.com")),
            409,
            "duplicate",
            "ips[0].hostname",
        ),
        (
            two(json!({"address": "2001:DB8:0:0::7"})),
            409,
            "duplicate",
            "ips[1].address",
        ),
        (
            two(json!({"domain": "MAIL7.example.com"})),
            409,
            "duplicate",
            "ips[1].domain",
        ),
        (
            two(json!({"domain": "Mail7.Example.com", "hostname": "a.example.com"})),
            409,
            "duplicate",
            "ips[1].domain",
        ),
        // Another spelling of an address that the fleet has is that address, and it is not blue's.
        (
            identity("address", json!("2001:0DB8:0000:0000:0000:0000:0000:0001")),
            422,
            "foreign-tenant",
            "ips[0].tenant",
        ),
        (
            identity("address", json!("198.51.100.1")),
            422,
            "foreign-tenant",
            "ips[0].tenant",
        ),
    ])
    .await;
}

#[tokio::test]
async fn places_that_are_wrong() {
    refuses_each([
        (
            identity("domain", json!("brand.example.com")),
            422,
            "brand-domain",
            "ips[0].domain",
        ),
        (
            identity("domain", json!("Brand.EXAMPLE.com")),
            422,
            "brand-domain",
            "ips[0].domain",
        ),
        (
            identity("domain", json!("example.com")),
            422,
            "brand-domain",
            "ips[0].domain",
        ),
        (
            identity("host", json!("red-mail")),
            422,
            "wrong-role",
            "ips[0].host",
        ),
        (
            identity("host", json!("nowhere")),
            404,
            "not-found",
            "ips[0].host",
        ),
        (
            identity("tenant", json!("nobody")),
            404,
            "not-found",
            "ips[0].tenant",
        ),
        (
            identity("address", json!("192.0.2.1")),
            409,
            "duplicate",
            "ips[0].address",
        ),
        (
            identity("domain", json!("no dots")),
            422,
            "bad-field",
            "ips[0].domain",
        ),
        (
            identity("sender", json!("a b")),
            422,
            "bad-field",
            "ips[0].sender",
        ),
        (
            json!({"hosts": [{"id": "pmta1", "role": "api", "addresses": ["192.0.2.1"]}]}),
            422,
            "wrong-role",
            "hosts[0].role",
        ),
        (
            json!({"hosts": [
                {"id": "m", "role": "mailwizz", "tenant": "nobody", "addresses": ["192.0.2.5"]}
            ]}),
            404,
            "not-found",
            "hosts[0].tenant",
        ),
    ])
    .await;
}

/// What only the commands judge is said by its place in the document, too.
#[tokio::test]
async fn values_that_a_command_refuses() {
    let long = "x".repeat(300);
    let tenant = |name: &str| json!({"tenants": [{"id": "red", "name": "red"}, {"id": "green", "name": name}]});
    let testbed = testbed().await;
    let before = testbed.fleet.state();
    for (document, field) in [
        (tenant(&long), "tenants[1].name"),
        (tenant("two\nlines"), "tenants[1].name"),
        (identity("display_name", json!(long)), "ips[0].display_name"),
        (
            json!({"hosts": [{"id": "h", "role": "powermta", "addresses": ["0.0.0.0"]}]}),
            "hosts[0].addresses[0]",
        ),
    ] {
        for path in ["/api/v1/fleet", "/api/v1/fleet?dry_run=true"] {
            let ask = testbed.ask("operator", "POST", path).json(document.clone());
            let refused = ask.send().await.refuses(422, "invalid");
            assert_eq!(refused.body["field"], field, "{}", refused.text);
        }
    }
    let after = testbed.fleet.state();
    assert_eq!(after.revision, before.revision);
    assert!(after.hosts == before.hosts && after.tenants == before.tenants);
}

#[tokio::test]
async fn one_that_is_too_large() {
    let testbed = testbed().await;
    let before = (testbed.fleet.state(), testbed.fleet.log_length());
    let body = vec![b' '; limits::REQUEST_BYTES + 1];
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet").text(body);
    ask.send().await.refuses(413, "body-too-large");
    assert!(testbed.fleet.state() == before.0);
    assert_eq!(testbed.fleet.log_length(), before.1);
}
