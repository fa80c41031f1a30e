//! Fleet documents for the scenarios, as JSON bodies of the API.

use email_engine_protocol::join::JoinToken;
use email_engine_protocol::time::Timestamp;
use serde_json::{Value, json};

/// One tenant with a MailWizz, a PowerMTA and an API host, and `count` identities.
#[must_use]
pub fn fleet(count: usize) -> Value {
    let ips: Vec<Value> = (1..=count).map(identity).collect();
    json!({ "tenants": [tenant()], "hosts": hosts(), "ips": ips })
}

/// The tenant of [`fleet`].
#[must_use]
pub fn tenant() -> Value {
    json!({
        "id": "client-1",
        "name": "Client One",
        "brand_domains": ["example.org"],
        "inbound_mailbox": "postmaster@example.org",
    })
}

/// One more tenant, from 1: a write that needs no DKIM key and so costs next to nothing.
#[must_use]
pub fn further_tenant(number: usize) -> Value {
    json!({
        "id": format!("further-{number}"),
        "name": format!("Further {number}"),
        "brand_domains": [format!("brand{number}.example.com")],
        "inbound_mailbox": format!("postmaster@brand{number}.example.com"),
    })
}

/// The hosts of [`fleet`].
#[must_use]
pub fn hosts() -> Value {
    json!([
        { "id": "mailwizz1", "role": "mailwizz", "tenant": "client-1", "addresses": ["192.0.2.10"] },
        { "id": "pmta1", "role": "powermta", "addresses": ["192.0.2.20"] },
        { "id": "api1", "role": "api", "tenant": "client-1", "addresses": ["192.0.2.30"] },
    ])
}

/// Names of the hosts of [`fleet`].
pub const HOSTS: [&str; 3] = ["mailwizz1", "pmta1", "api1"];

/// Identity `number` of [`fleet`], from 1.
#[must_use]
pub fn identity(number: usize) -> Value {
    json!({
        "address": format!("198.51.100.{number}"),
        "domain": format!("mail{number}.example.net"),
        "tenant": "client-1",
        "host": "pmta1",
        "sender": "contact",
        "purpose": "marketing",
        "status": "warming",
        "phase": "week_2",
    })
}

/// The token with another pin: what somebody gets whose token was tampered with.
#[must_use]
pub fn token_with_another_pin(token: &str) -> String {
    let mut token: JoinToken = token.parse().unwrap();
    token.ca_pin.0[0] ^= 1;
    token.to_text().to_string()
}

/// The first token with the pin of the second.
#[must_use]
pub fn token_with_pin_of(token: &str, other: &str) -> String {
    let (mut token, other): (JoinToken, JoinToken) =
        (token.parse().unwrap(), other.parse().unwrap());
    token.ca_pin = other.ca_pin;
    token.to_text().to_string()
}

/// The first token as if it were of the second one's cluster.
#[must_use]
pub fn token_with_cluster_of(token: &str, other: &str) -> String {
    let (mut token, other): (JoinToken, JoinToken) =
        (token.parse().unwrap(), other.parse().unwrap());
    token.cluster = other.cluster;
    token.to_text().to_string()
}

/// The token with an end a day later.
#[must_use]
pub fn token_that_ends_later(token: &str) -> String {
    let mut token: JoinToken = token.parse().unwrap();
    token.expires_at = token.expires_at.plus(Timestamp::DAY);
    token.to_text().to_string()
}

/// The first token with the end points of the second: what somebody gets who is lured to another
/// cluster's address.
#[must_use]
pub fn token_with_endpoints_of(token: &str, other: &str) -> String {
    let mut token: JoinToken = token.parse().unwrap();
    let other: JoinToken = other.parse().unwrap();
    token.endpoints = other.endpoints;
    token.to_text().to_string()
}
