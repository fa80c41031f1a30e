//! Two tenants cannot see each other.

use serde_json::{Value, json};

use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::{Gap, ListReplies};
use email_engine_protocol::time::Timestamp;

use super::memory::NOW;
use super::testbed::Testbed;
use crate::command::fixture::{replies, statistics};
use crate::command::{Command, RecordStatistics};
use crate::state::Span;

async fn two_fleets() -> Testbed {
    let testbed = Testbed::new();
    let document = json!({
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "red-mail", "role": "mailwizz", "tenant": "red", "addresses": ["192.0.2.2"]},
            {"id": "blue-mail", "role": "mailwizz", "tenant": "blue", "addresses": ["192.0.2.3"]}
        ],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red"},
            {"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue"}
        ]
    });
    testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document)
        .send()
        .await
        .gives(200);
    testbed
}

#[tokio::test]
async fn a_bound_key_lists_its_own_objects_only() {
    let testbed = two_fleets().await;
    for (path, own, foreign) in [
        ("/api/v1/tenants", "\"red\"", "blue"),
        ("/api/v1/hosts", "red-mail", "blue"),
        ("/api/v1/ips", "mail1.red", "blue"),
        ("/api/v1/domains", "mail1.red", "blue"),
        ("/api/v1/dns/records", "mail1.red", "blue"),
        ("/api/v1/dns/export?format=bind", "mail1.red", "blue"),
        ("/api/v1/dns/compliance", "mail1.red", "blue"),
        ("/api/v1/status", "red-mail", "blue"),
    ] {
        let answered = testbed
            .ask("red-operator", "GET", path)
            .send()
            .await
            .gives(200);
        assert!(answered.text.contains(own), "{path}: {}", answered.text);
        assert!(
            !answered.text.contains(foreign),
            "{path}: {}",
            answered.text
        );
    }
    // A shared host carries everybody's identities.
    let shared = testbed.ask(
        "red-operator",
        "GET",
        "/api/v1/hosts/pmta1/config?proposed=true",
    );
    shared.send().await.refuses(404, "not-found");
}

#[tokio::test]
async fn what_is_another_tenants_is_not_there() {
    let testbed = two_fleets().await;
    for (method, path) in [
        ("GET", "/api/v1/tenants/blue"),
        ("GET", "/api/v1/hosts/blue-mail"),
        ("GET", "/api/v1/hosts/blue-mail/config"),
        ("GET", "/api/v1/ips/198.51.100.2"),
        ("GET", "/api/v1/domains/mail1.blue.example.com"),
        ("GET", "/api/v1/dns/records?domain=mail1.blue.example.com"),
        (
            "GET",
            "/api/v1/dns/compliance?domain=mail1.blue.example.com",
        ),
        ("POST", "/api/v1/dns/check?domain=mail1.blue.example.com"),
        ("DELETE", "/api/v1/ips/198.51.100.2"),
    ] {
        let foreign = testbed.ask("red-operator", method, path).send().await;
        let foreign = foreign.refuses(404, "not-found");
        let absent = path.replace("blue", "none").replace("100.2", "100.9");
        let absent = testbed.ask("red-operator", method, &absent).send().await;
        let absent = absent.refuses(404, "not-found");
        assert_eq!(foreign.body["title"], absent.body["title"], "{path}");
    }
    let change = json!({"id": "blue", "name": "mine now"});
    let change = testbed
        .ask("red-operator", "PUT", "/api/v1/tenants/blue")
        .json(change);
    change.send().await.refuses(404, "not-found");
    let add = json!({"address": "198.51.100.3", "domain": "m2.blue.example.com", "tenant": "blue"});
    let add = testbed.ask("red-operator", "POST", "/api/v1/ips").json(add);
    add.send().await.refuses(404, "not-found");
    assert!(testbed.fleet.state().identities.len() == 2);
}

#[tokio::test]
async fn a_bound_key_takes_no_name_in_what_another_tenant_has() {
    let testbed = two_fleets().await;
    let brand = json!({"tenants": [{"id": "blue", "name": "Blue", "brand_domains": ["blue.example.org"]}],
        "ips": [{"address": "198.51.100.9", "domain": "mail9.blue.example.net", "tenant": "blue",
                 "zone": "blue.example.net"}]});
    let apply = testbed.ask("operator", "POST", "/api/v1/fleet").json(brand);
    apply.send().await.gives(200);
    let add = |who: &str, names: Value| {
        let mut ip = json!({"address": "198.51.100.7", "tenant": "red"});
        ip.as_object_mut()
            .unwrap()
            .extend(names.as_object().unwrap().clone());
        testbed.ask(who, "POST", "/api/v1/ips").json(ip).send()
    };
    for (names, field) in [
        (json!({"domain": "www.blue.example.org"}), "domain"),
        (json!({"domain": "a.mail1.blue.example.com"}), "domain"),
        (json!({"domain": "blue.example.com"}), "domain"),
        (
            json!({"domain": "m.red.example.com", "hostname": "b.mail1.blue.example.com"}),
            "hostname",
        ),
        (
            json!({"domain": "www.blue.example.net", "zone": "blue.example.net"}),
            "zone",
        ),
    ] {
        let refused = add("red-operator", names.clone()).await;
        let refused = refused.refuses(422, "foreign-tenant");
        assert_eq!(refused.body["field"], field, "{names}");
    }
    assert_eq!(testbed.fleet.state().identities.len(), 3);
    // Whoever runs the fleet may share a zone between tenants, and then it is shared.
    let shared = json!({"domain": "www.blue.example.net", "zone": "blue.example.net"});
    add("operator", shared).await.gives(201);
    let next = json!({"address": "198.51.100.8", "domain": "www2.blue.example.net", "tenant": "red",
                      "zone": "blue.example.net"});
    let next = testbed
        .ask("red-operator", "POST", "/api/v1/ips")
        .json(next);
    next.send().await.gives(201);
}

#[tokio::test]
async fn a_bound_key_does_not_come_to_hosts_by_a_document() {
    let testbed = two_fleets().await;
    let apply = |target: &str, document: Value| {
        let path = format!("/api/v1/fleet{target}");
        testbed
            .ask("red-operator", "POST", &path)
            .json(document)
            .send()
    };
    let host = |id: &str| {
        json!({"hosts": [
            {"id": id, "role": "mailwizz", "tenant": "red", "addresses": ["192.0.2.9"]}
        ]})
    };
    for id in ["red-api", "red-mail"] {
        let denied = apply("", host(id)).await.refuses(403, "forbidden");
        assert_eq!(denied.body["field"], "hosts[0].id");
    }
    apply("?prune=true", json!({})).await.gives(200);
    let state = testbed.fleet.state();
    assert_eq!(state.identities.len(), 1, "its identity is gone");
    let allowed: Vec<_> = state.removal_allowed.keys().map(HostId::as_str).collect();
    assert_eq!(allowed, ["red-mail"], "and the shared host keeps its guard");
    let lives = |host: &crate::state::Host| host.takes_work();
    assert!(
        state.hosts.values().all(lives),
        "hosts are not its to retire"
    );
}

#[tokio::test]
async fn a_secret_is_given_by_its_tenant_and_never_said_again() {
    const VALUE: &str = "0f3b0f3b0f3b0f3b";
    let testbed = two_fleets().await;
    let give = |key: &str, path: &str, value: &str| {
        let ask = testbed.ask(key, "PUT", &format!("/api/v1/tenants/{path}"));
        ask.json(json!({ "value": value })).send()
    };
    let own = "red/secrets/mailwizz-api-key";
    let given = give("red-operator", own, VALUE).await.gives(200);
    assert_eq!(given.body["name"], "mailwizz-api-key");
    let first = given.body["version"].as_u64().unwrap();
    let again = give("operator", own, "another-value").await.gives(200);
    assert!(again.body["version"].as_u64().unwrap() > first);
    let list = testbed.ask("red-operator", "GET", "/api/v1/tenants/red/secrets");
    let list = list.send().await.gives(200);
    assert_eq!(list.body[0], json!({ "name": "api-key", "version": null }));
    assert_eq!(list.body[1]["version"], again.body["version"]);

    for path in ["blue/secrets/api-key", "nobody/secrets/api-key"] {
        give("red-operator", path, VALUE)
            .await
            .refuses(404, "not-found");
    }
    let list = testbed.ask("red-operator", "GET", "/api/v1/tenants/blue/secrets");
    list.send().await.refuses(404, "not-found");
    let unknown = give("operator", "red/secrets/dkim-key", VALUE).await;
    assert!(
        unknown.text.contains("mailwizz-api-key"),
        "{}",
        unknown.text
    );
    for bad in ["short", "two words", "line\nfeed-line", "quote\"quote"] {
        let refused = give("operator", own, bad).await;
        assert_eq!(refused.body["field"], "value", "{}", refused.text);
        assert!(!refused.text.contains(bad), "{}", refused.text);
    }
    for proposal in testbed.fleet.log.lock().unwrap().iter() {
        let said = format!("{proposal:?}");
        assert!(
            !said.contains(VALUE) && !said.contains("another-value"),
            "{said}"
        );
        let bytes = postcard::to_stdvec(proposal).unwrap();
        let mut parts = bytes.windows(VALUE.len());
        assert!(
            !parts.any(|part| part == VALUE.as_bytes()),
            "it is sealed in the log"
        );
    }
}

/// `pmta1` delivered three messages of red's identity this hour, and five two days ago.
fn count(testbed: &Testbed) {
    testbed.fleet.age_identities(3 * Timestamp::DAY);
    let mut batches = vec![statistics(0, 100, 3), statistics(100, 200, 5)];
    for (batch, days) in batches.iter_mut().zip([0, 2]) {
        let row = &mut batch.stretch.as_mut().unwrap().totals[0];
        row.address = "198.51.100.1".parse().unwrap();
        row.hour = Span::hour_of(NOW) - 24 * days;
    }
    let record = Command::RecordStatistics(RecordStatistics { batches });
    testbed.fleet.apply(record).unwrap();
}

#[tokio::test]
async fn replies_that_name_lists_are_shown_to_their_tenant_and_are_evidence_for_a_day() {
    let testbed = two_fleets().await;
    testbed.fleet.age_identities(3 * Timestamp::DAY);
    let told = |address: &str, at| ListReplies {
        address: address.parse().unwrap(),
        ..replies(0, "psbl", at)
    };
    let mut batch = statistics(0, 100, 3);
    batch.stretch.as_mut().unwrap().replies = vec![
        told("198.51.100.1", NOW),
        told("198.51.100.2", Timestamp(NOW.0 - 2 * Timestamp::DAY)),
    ];
    let batches = vec![batch];
    let record = Command::RecordStatistics(RecordStatistics { batches });
    testbed.fleet.apply(record).unwrap();
    for (key, all, wanted) in [
        ("red-operator", true, &["198.51.100.1"][..]),
        ("operator", false, &["198.51.100.1"]),
        ("operator", true, &["198.51.100.1", "198.51.100.2"]),
    ] {
        let path = format!("/api/v1/listings/replies?all={all}");
        let answered = testbed.ask(key, "GET", &path).send().await.gives(200);
        let rows = answered.body.as_array().unwrap().clone();
        let subjects: Vec<_> = rows.iter().map(|row| row["subject"].clone()).collect();
        assert_eq!(subjects, wanted, "{key} {all}");
        assert_eq!(
            (&rows[0]["count"], &rows[0]["list"]),
            (&json!(2), &json!("psbl"))
        );
    }
    let refused = testbed.ask("operator", "GET", "/api/v1/listings/replies?limit=0");
    refused.send().await.refuses(422, "invalid");
}

#[tokio::test]
async fn counts_of_mail_are_shown_to_their_tenant_by_day_and_hour_as_json_and_csv() {
    let testbed = two_fleets().await;
    count(&testbed);
    let red = |path: &str| testbed.ask("red-operator", "GET", path);
    for path in [
        "/api/v1/ips/198.51.100.1/stats",
        "/api/v1/tenants/red/stats",
    ] {
        let answered = red(path).send().await.gives(200);
        let sent: Vec<_> = answered.body["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["group"].as_str().unwrap(),
                    row["sent"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(sent, [("gmail", 5), ("gmail", 3)], "{path}");
        let today = red(&format!("{path}?from=2026-11-21&by=hour&group=gmail"));
        let today = today.send().await.gives(200);
        assert_eq!(today.body["rows"].as_array().unwrap().len(), 1);
        assert_eq!(today.body["rows"][0]["at"], "2026-11-21T06:00:00.000Z");
        let none = red(&format!("{path}?group=yahoo")).send().await.gives(200);
        assert_eq!(none.body["rows"], json!([]));
        let csv = red(&format!("{path}?format=csv")).send().await.gives(200);
        assert!(
            csv.text.starts_with("at,group,sent,delivered,"),
            "{}",
            csv.text
        );
        assert_eq!(csv.text.lines().count(), 3 + 7, "and opens of a week");
        let csv = red(path)
            .header("accept", "text/csv")
            .send()
            .await
            .gives(200);
        assert_eq!(csv.text.lines().count(), 3 + 7);
        let unknown = csv
            .text
            .lines()
            .filter(|line| line.ends_with(",unknown,unknown,unknown"));
        assert_eq!(unknown.count(), 7, "{}", csv.text);
        for (bad, field) in [
            ("from=soon", "from"),
            ("from=2026-11-21&to=2026-11-20", "to"),
            ("by=week", "by"),
            ("format=xml", "format"),
            ("group=No", "group"),
        ] {
            let refused = red(&format!("{path}?{bad}")).send().await;
            let refused = refused.refuses(422, "invalid");
            assert_eq!(refused.body["field"], field, "{bad}");
        }
    }
    for foreign in [
        "/api/v1/ips/198.51.100.2/stats",
        "/api/v1/tenants/blue/stats",
    ] {
        red(foreign).send().await.refuses(404, "not-found");
    }
    let host = testbed.ask("operator", "GET", "/api/v1/hosts/pmta1");
    let host = host.send().await.gives(200);
    assert_eq!(host.body["mail"]["days"][0]["sent"], 3);
}

#[tokio::test]
async fn what_may_be_missing_in_counts_is_told_with_them_wherever_it_was_sent() {
    let testbed = two_fleets().await;
    count(&testbed);
    let at = |day: &str| format!("{day}T06:00:00.000Z").parse::<Timestamp>().unwrap();
    let gap = |from: &str, to: &str| Gap {
        from: at(from),
        to: at(to),
    };
    let gaps = [
        gap("2026-11-19", "2026-11-20"),
        gap("2026-10-01", "2026-10-02"),
    ];
    testbed.fleet.sent_before_from("pmta9", gaps);
    for path in [
        "/api/v1/ips/198.51.100.1/stats",
        "/api/v1/tenants/red/stats",
    ] {
        let answered = testbed.ask("red-operator", "GET", path).send();
        let answered = answered.await.gives(200);
        let told = json!([{"host": "pmta9", "from": at("2026-11-19"), "to": at("2026-11-20")}]);
        assert_eq!(
            answered.body["gaps"], told,
            "{path}: of the week that is asked for"
        );
        let csv = testbed.ask("red-operator", "GET", &format!("{path}?format=csv"));
        let csv = csv.send().await.gives(200);
        let told = csv.headers["x-gap"].to_str().unwrap();
        assert_eq!(
            told,
            "pmta9 2026-11-19T06:00:00.000Z 2026-11-20T06:00:00.000Z"
        );
        assert_eq!(csv.headers["x-gaps"], "1");
    }
}

#[tokio::test]
async fn identities_come_in_pages_that_name_the_next() {
    let testbed = Testbed::new();
    let ips: Vec<_> = (1..=5)
        .map(|n| {
            let tenant = if n == 3 { "blue" } else { "red" };
            json!({"address": format!("198.51.100.{n}"), "domain": format!("mail{n}.{tenant}.example.com"), "tenant": tenant})
        })
        .collect();
    let hosts = [json!({"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]})];
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(json!({"hosts": hosts, "ips": ips}))
        .send()
        .await
        .gives(200);
    for (key, path, wanted) in [
        ("viewer", "/api/v1/ips?limit=2", &[1, 2, 3, 4, 5][..]),
        ("viewer", "/api/v1/ips?limit=2&tenant=red", &[1, 2, 4, 5]),
        ("red-operator", "/api/v1/ips?limit=2", &[1, 2, 4, 5]),
        ("red-operator", "/api/v1/ips?limit=4", &[1, 2, 4, 5]),
        ("viewer", "/api/v1/ips?after=198.51.100.3", &[4, 5]),
        ("viewer", "/api/v1/ips", &[1, 2, 3, 4, 5]),
        ("viewer", "/api/v1/dkim?limit=2", &[1, 2, 3, 4, 5]),
        ("red-operator", "/api/v1/dkim?limit=3", &[1, 2, 4, 5]),
        ("viewer", "/api/v1/warmup?limit=2", &[1, 2, 3, 4, 5]),
        ("viewer", "/api/v1/warmup?limit=1&tenant=blue", &[3]),
        ("viewer", "/api/v1/domains?limit=2", &[1, 2, 3, 4, 5]),
        ("red-operator", "/api/v1/domains?limit=1", &[1, 2, 4, 5]),
        (
            "viewer",
            "/api/v1/domains?tenant=red&after=mail2.red.example.com",
            &[4, 5],
        ),
    ] {
        let (mut next, mut found) = (Some(path.to_owned()), Vec::new());
        while let Some(path) = next {
            let page = testbed.ask(key, "GET", &path).send().await.gives(200);
            let rows = page.body.as_array().unwrap();
            assert!(!rows.is_empty() && rows.len() <= 5, "{path}: an empty page");
            let address = |row: &Value| {
                let own = row.get("address").unwrap_or_else(|| &row["ip"]["address"]);
                own.as_str().unwrap().to_owned()
            };
            found.extend(rows.iter().map(address));
            next = page.headers.get("link").map(|link| {
                let link = link.to_str().unwrap();
                let path = link.strip_suffix(">; rel=\"next\"").unwrap();
                path.strip_prefix('<').unwrap().to_owned()
            });
        }
        let wanted: Vec<_> = wanted.iter().map(|n| format!("198.51.100.{n}")).collect();
        assert_eq!(found, wanted, "{key} {path}");
    }
    for (path, field) in [
        ("/api/v1/ips?limit=0", "limit"),
        ("/api/v1/ips?limit=10001", "limit"),
        ("/api/v1/ips?after=mail1", "after"),
        ("/api/v1/domains?after=_", "after"),
        ("/api/v1/dkim?limit=0", "limit"),
    ] {
        let refused = testbed.ask("viewer", "GET", path).send().await;
        assert_eq!(refused.refuses(422, "invalid").body["field"], field);
    }
}
