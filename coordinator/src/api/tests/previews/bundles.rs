//! What is known of receivers comes in as a bundle, is examined, and its effect shown before it is.

use serde_json::{Value, json};

use super::super::testbed::Testbed;
use crate::planner::builtin_bundle;

const GMAIL: &str = "powermta/providers/gmail.toml";
const BASE: &str = "powermta/base.toml";

const OWN: &str = "checked = \"2026-11-21\"\norigin = \"an earlier configuration\"\n\
    [global]\nlog-rotate = \"30\"\n[[provider]]\nname = \"own\"\ntitle = \"Own\"\n\
    checked = \"2026-11-21\"\ndomains = [\"gmail.com\"]\n\
    settings = { max-smtp-out = \"3\", backoff-to-normal-after = \"1h\" }\n\
    [[provider.reply]]\nid = \"own-1\"\nmeaning = \"m\"\naction = \"mode=backoff\"\npattern = 'slow down'\n";

async fn with_a_host() -> Testbed {
    let testbed = Testbed::new();
    let fleet = json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [{"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red"}]
    });
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(fleet).send().await.gives(200);
    testbed
}

async fn pinned(testbed: &Testbed) -> Value {
    let ask = testbed.ask("viewer", "GET", "/api/v1/releases");
    ask.send().await.gives(200).body["default"]["bundle"].clone()
}

#[tokio::test]
async fn a_catalogue_that_does_not_do_what_it_says_is_refused_with_file_line_and_what_would_do() {
    let testbed = Testbed::new();
    let log = testbed.fleet.log_length();
    for (from, to, place, said) in [
        (
            "max-smtp-out = \"5\"",
            "max-smtp-out = \"many\"",
            "line 19",
            "accepted is a number or unlimited",
        ),
        ("title = ", "titel = ", "line 2", "unknown field `titel`"),
        (
            r"4\.7\.28\b(",
            r"4\.7\.29\b(",
            "line 33",
            "is not matched by the expression",
        ),
        // What TOML itself says is TOML's; the place is ours.
        ("name = \"gmail\"", "name = ", "line 1", ""),
    ] {
        let mut files = builtin_bundle();
        let text = files[GMAIL].replacen(from, to, 1);
        assert_ne!(text, files[GMAIL]);
        files.insert(GMAIL.to_owned(), text);
        let ask = testbed.ask("operator", "POST", "/api/v1/bundles");
        let refused = ask.json(json!({ "files": files })).send().await;
        let refused = refused.refuses(422, "invalid");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(&format!("{GMAIL} {place}: ")),
            "{detail}"
        );
        assert_eq!(refused.body["field"], format!("files {GMAIL} {place}"));
        assert!(detail.contains(said), "{detail}");
    }
    assert_eq!(testbed.fleet.log_length(), log);
}

/// The bundle that is another one with these files.
async fn changed(testbed: &Testbed, from: &Value, files: Value) -> Value {
    let ask = testbed.ask("operator", "POST", "/api/v1/bundles");
    let changed = json!({ "from": from, "files": files });
    ask.json(changed).send().await.gives(201).body["bundle"].clone()
}

/// Moves every host to a bundle, or shows what that would do.
async fn released(testbed: &Testbed, bundle: &Value, how: &str) -> Value {
    let ask = testbed.ask("operator", "POST", &format!("/api/v1/releases{how}"));
    let ask = ask.json(json!({ "bundle": bundle }));
    ask.send().await.gives(200).body
}

#[tokio::test]
async fn a_base_is_put_into_the_bundle_that_is_there_and_its_effect_is_shown_as_a_diff() {
    let testbed = with_a_host().await;
    let from = pinned(&testbed).await;
    let bundle = &changed(&testbed, &from, json!({ BASE: OWN })).await;
    assert_ne!(*bundle, from);

    let (before, log) = (testbed.fleet.state(), testbed.fleet.log_length());
    let shown = released(&testbed, bundle, "?dry_run=true").await;
    assert_eq!(shown["applied"], false);
    let resources = shown["hosts"][0]["resources"].as_array().unwrap();
    let config = resources
        .iter()
        .find(|it| it["id"] == "file:/etc/pmta/config");
    let unified = config.unwrap()["diff"]["unified"].as_str().unwrap();
    for line in [
        "+log-rotate 30\n",
        "-domain-macro gmail gmail.com,googlemail.com\n",
        "+domain-macro gmail googlemail.com\n",
        "+domain-macro own gmail.com\n",
        "+<smtp-pattern-list replies-own>\n",
        "+    reply /slow down/ mode=backoff\n",
        "+<domain $own>\n",
        "+    max-smtp-out 3\n",
    ] {
        assert!(unified.contains(line), "{line} in {unified}");
    }
    assert!(testbed.fleet.state() == before, "nothing moves");
    assert_eq!(testbed.fleet.log_length(), log);

    let set = released(&testbed, bundle, "").await;
    assert_eq!(set["hosts"]["pmta1"]["bundle"], *bundle);
    // An empty file takes the base away again, and the bundle is the first one.
    let without = changed(&testbed, bundle, json!({ BASE: "" })).await;
    assert_eq!(without, from);
}

#[tokio::test]
async fn a_bundle_from_one_that_is_not_there_is_refused() {
    let testbed = Testbed::new();
    let ask = testbed.ask("operator", "POST", "/api/v1/bundles");
    let unknown = "0".repeat(64);
    let changed = json!({ "from": unknown, "files": { BASE: OWN } });
    ask.json(changed).send().await.refuses(404, "not-found");
    let dry = testbed.ask("operator", "POST", "/api/v1/releases?dry_run=true");
    let answered = dry.json(json!({ "bundle": unknown })).send().await;
    assert!(answered.status.as_u16() >= 400, "{}", answered.text);
}

#[tokio::test]
async fn a_bound_key_neither_stores_bundles_nor_asks_what_one_would_do() {
    let testbed = with_a_host().await;
    let bundle = pinned(&testbed).await;
    for (path, body) in [
        ("/api/v1/bundles", json!({ "from": bundle, "files": {} })),
        ("/api/v1/releases?dry_run=true", json!({ "bundle": bundle })),
    ] {
        let ask = testbed.ask("red-operator", "POST", path).json(body);
        ask.send().await.refuses(404, "not-found");
    }
}

const EXTRA: &str = "powermta/extra.conf";

/// Every host moved to the bundle that is there with lines of the operator's own.
async fn with_own_lines(testbed: &Testbed, lines: &str) {
    let from = pinned(testbed).await;
    let bundle = changed(testbed, &from, json!({ EXTRA: lines })).await;
    let shown = released(testbed, &bundle, "?dry_run=true").await;
    let warnings = shown["warnings"].to_string();
    assert!(warnings.contains(FLAG), "{warnings}");
    released(testbed, &bundle, "").await;
}

const FLAG: &str = "pmta1: 1 lines of /etc/pmta/config are verbatim: neither known nor checked";

#[tokio::test]
async fn verbatim_lines_are_flagged_in_every_plan_also_where_nothing_changes() {
    let testbed = with_a_host().await;
    let plan = async |key: &str, document: Value| {
        let ask = testbed.ask(key, "POST", "/api/v1/fleet?dry_run=true");
        ask.json(document).send().await.gives(200).body
    };
    let elsewhere = json!({ "tenants": [
        {"id": "red", "name": "Red, by another name", "inbound_mailbox": "in@example.org"}
    ] });
    for document in [json!({}), elsewhere.clone()] {
        assert_eq!(plan("operator", document).await["warnings"], json!([]));
    }
    with_own_lines(&testbed, "new-directive yes\n").await;
    for document in [json!({}), elsewhere] {
        let answered = plan("operator", document.clone()).await;
        assert_eq!(answered["warnings"], json!([FLAG]), "{document}");
        assert_eq!(
            answered["hosts"].as_array().map_or(0, Vec::len),
            0,
            "{document}"
        );
    }
    // A bound key is told nothing of hosts that it may not see.
    let answered = plan("red-operator", json!({})).await;
    assert_eq!(answered["warnings"], json!([]));
}
