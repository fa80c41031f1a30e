//! Requests that nobody would write: each is answered as what it is, and none as an error of ours.

use std::sync::LazyLock;

use axum::http::Uri;
use email_engine_fuzz::fuzz;
use email_engine_protocol::api::FleetDocument;

use super::testbed::Testbed;
use crate::api::ApiKeyText;
use crate::api::request::parse_json;

static TESTBED: LazyLock<Testbed> = LazyLock::new(Testbed::new);

fn answered(method: &str, target: &str, body: &[u8]) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let ask = TESTBED.ask("admin", method, target).text(body);
    let answer = runtime.block_on(ask.send());
    let status = answer.status.as_u16();
    assert!(status < 500, "{method} {target}: {}", answer.text);
    answer.gives(status);
    status
}

#[test]
fn any_path_and_query_is_answered() {
    let targets = [
        "/api/v1/hosts/pmta1?consistency=stale",
        "/api/v1/audit?before=10&limit=5",
        "/api/v1/ips/192.0.2.1",
        "/api/v1/hosts/pmta1/config?proposed=true",
    ];
    fuzz!(
        targets.map(|target| target.as_bytes().to_vec()).to_vec(),
        |input| {
            // What is no request target never gets past the HTTP library.
            let Ok(target) = Uri::try_from(input) else {
                return false;
            };
            if target.path().is_empty() || target.authority().is_some() {
                return false;
            }
            answered("GET", &target.to_string(), b"");
            true
        },
        500
    );
}

const DOCUMENT: &str = r#"{"tenants": [{"id": "green", "name": "Green", "brand_domains": ["example.org"]}],
"hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
"ips": [{"address": "198.51.100.1", "domain": "mail1.example.com", "tenant": "red", "phase": "week_2"}]}"#;

#[test]
fn any_json_document_is_read_or_placed() {
    fuzz!(vec![DOCUMENT.as_bytes().to_vec()], |body| {
        match parse_json::<FleetDocument>(body) {
            Ok(document) => {
                let again = serde_json::to_vec(&document).unwrap();
                assert!(parse_json::<FleetDocument>(&again).is_ok_and(|same| same == document));
                true
            }
            Err(refused) => {
                assert!(format!("{refused:?}").contains("line "), "{refused:?}");
                false
            }
        }
    });
}

#[test]
fn any_body_is_answered_by_every_route_that_takes_one() {
    let bodies = [
        DOCUMENT,
        r#"{"id": "ci", "role": "operator", "tenant": "red"}"#,
        r#"{"admission": {"host": {"host": "h", "role": "api"}}, "ttl_seconds": 600}"#,
        r#"{"management_port": 1999}"#,
    ];
    fuzz!(
        bodies.map(|body| body.as_bytes().to_vec()).to_vec(),
        |body| {
            for path in [
                "fleet?dry_run=true",
                "keys",
                "tokens",
                "tenants",
                "hosts",
                "ips",
            ] {
                answered("POST", &format!("/api/v1/{path}"), body);
            }
            true
        },
        200
    );
}

#[test]
fn any_key_is_read_or_refused_and_never_shown() {
    let good = TESTBED.key("admin").as_bytes().to_vec();
    fuzz!(vec![good], |input| {
        let text = std::str::from_utf8(input).ok();
        text.and_then(|text| text.parse::<ApiKeyText>().ok())
            .is_some_and(|key| {
                assert_eq!(key.to_text().as_bytes(), input);
                assert!(!format!("{key:?}").contains(key.to_text().rsplit('.').next().unwrap()));
                true
            })
    });
}
