//! Every route, what it demands, and what a tenant's key gets from it: a route that stands in the
//! router without a line here fails.

use serde_json::{Value, json};

use email_engine_protocol::api::AccessRole::{self, Admin, Metrics, Operator, Viewer};

use super::testbed::Testbed;
use crate::api::routes::Reach::{self, Fleet, Tenant};
use crate::api::routes::table;

/// What a route demands, decided here apart from the router.
const DEMANDS: [(&str, &str, AccessRole, Reach); 112] = [
    ("POST", "/api/v1/fleet", Operator, Tenant),
    ("GET", "/api/v1/tenants", Viewer, Tenant),
    ("POST", "/api/v1/tenants", Operator, Fleet),
    ("GET", "/api/v1/tenants/{tenant}", Viewer, Tenant),
    ("PUT", "/api/v1/tenants/{tenant}", Operator, Tenant),
    ("DELETE", "/api/v1/tenants/{tenant}", Operator, Fleet),
    ("GET", "/api/v1/tenants/{tenant}/secrets", Viewer, Tenant),
    (
        "PUT",
        "/api/v1/tenants/{tenant}/secrets/{name}",
        Operator,
        Tenant,
    ),
    ("GET", "/api/v1/tenants/{tenant}/campaigns", Viewer, Tenant),
    (
        "POST",
        "/api/v1/tenants/{tenant}/campaigns",
        Operator,
        Tenant,
    ),
    ("GET", "/api/v1/hosts", Viewer, Tenant),
    ("POST", "/api/v1/hosts", Operator, Fleet),
    ("GET", "/api/v1/hosts/{host}", Viewer, Tenant),
    ("DELETE", "/api/v1/hosts/{host}", Operator, Fleet),
    ("GET", "/api/v1/hosts/{host}/config", Viewer, Tenant),
    (
        "POST",
        "/api/v1/hosts/{host}/allow-removal",
        Operator,
        Fleet,
    ),
    ("GET", "/api/v1/hosts/{host}/allow-restart", Viewer, Fleet),
    (
        "POST",
        "/api/v1/hosts/{host}/allow-restart",
        Operator,
        Fleet,
    ),
    ("POST", "/api/v1/hosts/{host}/retry", Operator, Fleet),
    ("POST", "/api/v1/hosts/{host}/revoke", Operator, Fleet),
    ("GET", "/api/v1/ips", Viewer, Tenant),
    ("POST", "/api/v1/ips", Operator, Tenant),
    ("GET", "/api/v1/ips/{address}", Viewer, Tenant),
    ("DELETE", "/api/v1/ips/{address}", Operator, Tenant),
    ("GET", "/api/v1/ips/{address}/stats", Viewer, Tenant),
    ("GET", "/api/v1/tenants/{tenant}/stats", Viewer, Tenant),
    ("GET", "/api/v1/ips/{address}/explain", Viewer, Tenant),
    ("POST", "/api/v1/ips/{address}/activate", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/quarantine", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/release", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/rest", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/retire", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/move", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/reserve", Operator, Tenant),
    ("POST", "/api/v1/ips/{address}/checks", Operator, Tenant),
    ("GET", "/api/v1/dkim", Viewer, Tenant),
    ("GET", "/api/v1/ips/{address}/dkim", Viewer, Tenant),
    (
        "POST",
        "/api/v1/ips/{address}/dkim/rotate",
        Operator,
        Tenant,
    ),
    ("GET", "/api/v1/tenants/{tenant}/dkim", Viewer, Tenant),
    (
        "POST",
        "/api/v1/tenants/{tenant}/dkim/rotate",
        Operator,
        Tenant,
    ),
    ("GET", "/api/v1/leaving", Viewer, Tenant),
    ("GET", "/api/v1/domains", Viewer, Tenant),
    ("GET", "/api/v1/domains/{domain}", Viewer, Tenant),
    ("GET", "/api/v1/warmup", Viewer, Tenant),
    ("GET", "/api/v1/warmup/simulate", Viewer, Tenant),
    ("GET", "/api/v1/warmup/{address}", Viewer, Tenant),
    ("POST", "/api/v1/warmup/{address}/pause", Operator, Tenant),
    ("POST", "/api/v1/warmup/{address}/resume", Operator, Tenant),
    ("GET", "/api/v1/tenants/{tenant}/select", Viewer, Tenant),
    ("POST", "/api/v1/tenants/{tenant}/select", Viewer, Tenant),
    ("GET", "/api/v1/dns/records", Viewer, Tenant),
    ("GET", "/api/v1/dns/export", Viewer, Tenant),
    ("POST", "/api/v1/dns/check", Operator, Tenant),
    ("GET", "/api/v1/dns/compliance", Viewer, Tenant),
    ("GET", "/api/v1/dns/zones", Viewer, Fleet),
    ("PUT", "/api/v1/dns/zones/{zone}", Admin, Fleet),
    ("DELETE", "/api/v1/dns/zones/{zone}", Admin, Fleet),
    ("GET", "/api/v1/dns/zones/{zone}/plan", Operator, Fleet),
    ("POST", "/api/v1/dns/zones/{zone}/apply", Operator, Fleet),
    ("GET", "/api/v1/tokens", Operator, Fleet),
    ("POST", "/api/v1/tokens", Operator, Fleet),
    ("DELETE", "/api/v1/tokens/{token}", Operator, Fleet),
    ("GET", "/api/v1/keys", Admin, Fleet),
    ("POST", "/api/v1/keys", Admin, Fleet),
    ("DELETE", "/api/v1/keys/{key}", Admin, Fleet),
    ("GET", "/api/v1/settings", Viewer, Fleet),
    ("PUT", "/api/v1/settings", Operator, Fleet),
    ("GET", "/api/v1/releases", Viewer, Fleet),
    ("POST", "/api/v1/releases", Operator, Fleet),
    ("POST", "/api/v1/bundles", Operator, Fleet),
    ("GET", "/api/v1/bundles/{bundle}", Operator, Fleet),
    ("GET", "/api/v1/artifacts", Viewer, Fleet),
    ("POST", "/api/v1/artifacts", Operator, Fleet),
    ("GET", "/api/v1/artifacts/{sha256}", Viewer, Fleet),
    ("DELETE", "/api/v1/artifacts/{sha256}", Operator, Fleet),
    (
        "PUT",
        "/api/v1/artifacts/{sha256}/pieces/{at}",
        Operator,
        Fleet,
    ),
    ("POST", "/api/v1/artifacts/{sha256}/finish", Operator, Fleet),
    ("PUT", "/api/v1/artifact-names/{name}", Operator, Fleet),
    ("DELETE", "/api/v1/artifact-names/{name}", Operator, Fleet),
    ("GET", "/api/v1/cluster", Viewer, Fleet),
    ("POST", "/api/v1/cluster/nodes/{node}/promote", Admin, Fleet),
    ("DELETE", "/api/v1/cluster/nodes/{node}", Admin, Fleet),
    ("POST", "/api/v1/cluster/version", Admin, Fleet),
    ("GET", "/api/v1/cluster/backup", Admin, Fleet),
    ("GET", "/api/v1/audit", Viewer, Fleet),
    ("GET", "/api/v1/status", Viewer, Tenant),
    ("GET", "/api/v1/alerts", Viewer, Tenant),
    ("GET", "/api/v1/alerts/{alert}", Viewer, Tenant),
    ("POST", "/api/v1/alerts/test", Operator, Tenant),
    ("GET", "/api/v1/alerts/channels", Viewer, Tenant),
    ("PUT", "/api/v1/alerts/channels/{channel}", Operator, Fleet),
    (
        "DELETE",
        "/api/v1/alerts/channels/{channel}",
        Operator,
        Fleet,
    ),
    ("GET", "/api/v1/alerts/routes", Viewer, Tenant),
    ("PUT", "/api/v1/alerts/routes/{route}", Operator, Fleet),
    ("DELETE", "/api/v1/alerts/routes/{route}", Operator, Fleet),
    ("GET", "/api/v1/alerts/silences", Viewer, Tenant),
    ("POST", "/api/v1/alerts/silences", Operator, Tenant),
    (
        "DELETE",
        "/api/v1/alerts/silences/{silence}",
        Operator,
        Tenant,
    ),
    ("GET", "/metrics", Metrics, Fleet),
    ("GET", "/api/v1/dnsbl/lists", Viewer, Fleet),
    ("PUT", "/api/v1/dnsbl/lists/{list}/key", Admin, Fleet),
    ("GET", "/api/v1/dnsbl/sweep", Viewer, Fleet),
    ("POST", "/api/v1/dnsbl/sweep", Operator, Fleet),
    ("POST", "/api/v1/dnsbl/test", Operator, Fleet),
    ("GET", "/api/v1/listings", Viewer, Tenant),
    ("GET", "/api/v1/failover", Viewer, Tenant),
    ("GET", "/api/v1/failover/plan", Viewer, Tenant),
    (
        "POST",
        "/api/v1/failover/brakes/{list}/release",
        Operator,
        Fleet,
    ),
    (
        "POST",
        "/api/v1/tenants/{tenant}/failover/freeze",
        Operator,
        Tenant,
    ),
    (
        "POST",
        "/api/v1/tenants/{tenant}/failover/thaw",
        Operator,
        Tenant,
    ),
    (
        "POST",
        "/api/v1/tenants/{tenant}/breaker/release",
        Operator,
        Tenant,
    ),
    ("GET", "/api/v1/listings/replies", Viewer, Tenant),
];

#[test]
fn every_route_demands_what_was_decided_for_it() {
    let mut routed: Vec<_> = table()
        .iter()
        .map(|(rule, _)| {
            let method = rule.method.as_str().to_owned();
            (method, rule.path, rule.role as u8, rule.reach == Fleet)
        })
        .collect();
    let mut decided: Vec<_> = DEMANDS
        .iter()
        .map(|(method, path, role, reach)| {
            ((*method).to_owned(), *path, *role as u8, *reach == Fleet)
        })
        .collect();
    routed.sort();
    decided.sort();
    assert_eq!(routed, decided);
}

/// What a key of tenant `red` asks for that is `blue`'s, on every route that a tenant's key may use.
/// None: the route has no name in it, and shows a list.
fn foreign(method: &str, path: &str) -> (String, Option<Value>) {
    let named = path
        .replace("{tenant}", "blue")
        .replace("secrets/{name}", "secrets/api-key")
        .replace("{host}", "blue-mail")
        .replace("{address}", "198.51.100.2")
        .replace("{alert}", "0")
        .replace("{silence}", "0")
        .replace("{domain}", "mail1.blue.example.com")
        .replace("/failover/plan", "/failover/plan?listed=198.51.100.2")
        .replace("/dns/export", "/dns/export?format=csv")
        .replace("/dns/check", "/dns/check?domain=mail1.blue.example.com");
    let body = match (method, path) {
        ("POST", "/api/v1/fleet") => Some(json!({"tenants": [{"id": "blue", "name": "mine"}]})),
        ("POST", "/api/v1/ips") => Some(json!(
            {"address": "198.51.100.3", "domain": "m2.blue.example.com", "tenant": "blue"}
        )),
        ("POST", "/api/v1/tenants/{tenant}/campaigns") => {
            Some(json!(crate::mailwizz::testbed::request()))
        }
        ("PUT", "/api/v1/tenants/{tenant}") => Some(json!({"id": "blue", "name": "mine"})),
        ("PUT", "/api/v1/tenants/{tenant}/secrets/{name}") => Some(json!({"value": "0123456789"})),
        ("POST", "/api/v1/warmup/{address}/pause") => Some(json!({})),
        ("POST", "/api/v1/warmup/{address}/resume") => Some(json!({"reason": "mine"})),
        ("POST", "/api/v1/tenants/{tenant}/select") => Some(json!({"purpose": "marketing"})),
        ("POST", "/api/v1/ips/{address}/checks") => Some(json!({"checks": {"a": "valid"}})),
        ("POST", "/api/v1/ips/{address}/move") => Some(json!({"pool": "red-pool"})),
        (
            "POST",
            "/api/v1/tenants/{tenant}/failover/freeze"
            | "/api/v1/tenants/{tenant}/failover/thaw"
            | "/api/v1/tenants/{tenant}/breaker/release",
        ) => Some(json!({"reason": "mine"})),
        ("POST", "/api/v1/alerts/test") => Some(json!({"channel": "blue-ops"})),
        ("POST", "/api/v1/alerts/silences") => {
            Some(json!({"tenant": "blue", "minutes": 5, "reason": "mine"}))
        }
        ("POST", path) if path.starts_with("/api/v1/ips/{address}/") => None,
        ("POST", "/api/v1/tenants/{tenant}/dkim/rotate" | "/api/v1/dns/check") => None,
        ("GET" | "DELETE", _) => None,
        _ => panic!("say what is foreign to {method} {path}"),
    };
    (named, body)
}

#[tokio::test]
async fn no_route_gives_or_changes_what_is_another_tenants() {
    let testbed = Testbed::new();
    let document = json!({
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "blue-mail", "role": "mailwizz", "tenant": "blue", "addresses": ["192.0.2.3"]}
        ],
        "ips": [{"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue"}]
    });
    let ask = testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document);
    ask.send().await.gives(200);
    alerts_of_blue(&testbed).await;
    let before = testbed.fleet.state();
    for (method, path, _, _) in DEMANDS.into_iter().filter(|demand| demand.3 == Tenant) {
        let (named, body) = foreign(method, path);
        // As it is stored, and as it would be: a rendered file is no way around the fence.
        let also = format!("{named}?proposed=true");
        let paths = if path.ends_with("/config") {
            vec![named, also]
        } else {
            vec![named]
        };
        for named in paths {
            let mut ask = testbed.ask("red-operator", method, &named);
            if let Some(body) = &body {
                ask = ask.json(body.clone());
            }
            let answered = ask.send().await;
            let is_list = method == "GET" && !path.contains('{') && !named.contains("listed=");
            if is_list {
                let answered = answered.gives(200);
                assert!(!answered.text.contains("blue"), "{path}: {}", answered.text);
            } else {
                let refused = answered.status.as_u16();
                assert!(
                    [404, 422].contains(&refused),
                    "{method} {named}: {} {}",
                    refused,
                    answered.text
                );
                assert!(!answered.text.contains("mail1.blue.example.com\",\"tenant"));
            }
        }
    }
    assert!(
        testbed.fleet.state() == before,
        "something of blue's changed"
    );
}

/// A channel, a route, a silence and an alert.
async fn alerts_of_blue(testbed: &Testbed) {
    for (method, path, body) in [
        (
            "PUT",
            "channels/blue-ops",
            json!({"spec": {"log": {}}, "tenant": "blue"}),
        ),
        (
            "PUT",
            "routes/blue-all",
            json!({"tenant": "blue", "channels": ["blue-ops"]}),
        ),
        (
            "POST",
            "silences",
            json!({"tenant": "blue", "minutes": 5, "reason": "blue"}),
        ),
        ("POST", "test", json!({"channel": "blue-ops"})),
    ] {
        let path = format!("/api/v1/alerts/{path}");
        let answered = testbed.ask("operator", method, &path).json(body);
        let status = answered.send().await.status.as_u16();
        assert!([200, 201].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn a_tenants_viewer_renders_its_own_host_and_no_other() {
    let testbed = Testbed::new();
    let document = json!({
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "blue-mail", "role": "mailwizz", "tenant": "blue", "addresses": ["192.0.2.3"]},
            {"id": "red-pmta", "role": "powermta", "tenant": "red", "addresses": ["192.0.2.4"]}
        ],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red"},
            {"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue"}
        ]
    });
    let ask = testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document);
    ask.send().await.gives(200);
    let render = |key: &'static str, host: &str| {
        let path = format!("/api/v1/hosts/{host}/config?proposed=true");
        let ask = testbed.ask(key, "GET", &path);
        ask.send()
    };
    let own = render("blue-viewer", "blue-mail").await.gives(200);
    assert!(own.text.contains("mail1.blue.example.com"), "{}", own.text);
    for foreign in ["red-pmta", "pmta1", "nowhere"] {
        render("blue-viewer", foreign)
            .await
            .refuses(404, "not-found");
    }
    // A DKIM key's file is named with its secret, and masked.
    let rendered = render("red-operator", "red-pmta").await.gives(200);
    let files = rendered.body["files"].as_array().unwrap();
    let key = files
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with(".pem"));
    let text = key.unwrap()["text"].as_str().unwrap();
    assert!(
        text.starts_with("(secret dkim/mail1.red.example.com/mail version "),
        "{text}"
    );
    assert!(!rendered.text.contains("PRIVATE KEY") && !rendered.text.contains("key 0"));
}
