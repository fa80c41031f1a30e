use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;

use email_engine_protocol::api::{FleetDocument, KEYS_UNDER_WAY, TenantSpec};
use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;

use super::ClientError;
use super::testbed::{Authority, LONG, nobody, problem};

const ANSWER: &str = r#"{"applied":true,"revision":7,"changes":[],"warnings":[]}"#;

#[tokio::test]
async fn a_call_goes_to_the_first_node_that_can_serve_it_under_one_idempotency_key() {
    let authority = Authority::new(1);
    let leaderless = authority.node(|_| problem(503, "no-leader"));
    let leading = authority.node(|_| ANSWER.into_response());
    let absent = nobody();
    let client = authority
        .client(&[&absent, &leaderless.url, &leading.url], LONG)
        .with_reason(Some("ordered by André"))
        .unwrap();
    let document = FleetDocument::default();
    let answer = client.apply(&document, false, true).await.unwrap();
    assert_eq!(answer.revision, 7);
    let (first, second) = (leaderless.asked(), leading.asked());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(second[0].target, "/api/v1/fleet?dry_run=false&prune=true");
    assert_eq!(second[0].api_key.as_deref(), Some("eek1.admin.secret"));
    assert_eq!(second[0].reason.as_deref(), Some("ordered by André"));
    assert!(first[0].idempotency_key.is_some());
    assert_eq!(first[0].idempotency_key, second[0].idempotency_key);

    client.apply(&document, false, false).await.unwrap();
    let again = leading.asked();
    assert_eq!(
        leaderless.asked().len(),
        1,
        "who answered last is asked first"
    );
    assert_ne!(again[1].idempotency_key, second[0].idempotency_key);
}

#[tokio::test]
async fn a_refusal_is_the_answer_and_no_other_node_is_asked() {
    let authority = Authority::new(1);
    let refusing = authority.node(|_| problem(409, "duplicate-domain"));
    let other = authority.node(|_| ANSWER.into_response());
    let client = authority.client(&[&refusing.url, &other.url], LONG);
    let error = client
        .apply(&FleetDocument::default(), false, false)
        .await
        .unwrap_err();
    let ClientError::Refused { problem } = error else {
        panic!("{error}");
    };
    assert_eq!(problem.code, "duplicate-domain");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_waited_for_and_then_named_as_such() {
    let authority = Authority::new(1);
    let node = authority.node(|_| problem(503, "no-leader"));
    let absent = nobody();
    let client = authority.client(&[&node.url, &absent], Duration::from_millis(350));
    let error = client.hosts().await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    let shown = error.to_string();
    assert!(shown.starts_with("it is no-leader"), "{shown}");
    assert!(
        shown.contains(&node.url) && shown.contains(&absent),
        "{shown}"
    );
    assert!(node.asked().len() >= 2, "{:?}", node.asked());
}

#[tokio::test]
async fn keys_that_are_being_made_are_waited_for_under_the_same_idempotency_key() {
    let authority = Authority::new(1);
    let asked = Arc::new(AtomicUsize::new(0));
    let node = authority.node(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0..3 => problem(503, KEYS_UNDER_WAY),
        _ => ANSWER.into_response(),
    });
    // Whoever gets on is not one who cannot serve.
    let client = authority.client(&[&node.url], Duration::ZERO);
    let answer = client.apply(&FleetDocument::default(), false, false).await;
    assert_eq!(answer.unwrap().revision, 7);
    let asked = node.asked();
    assert_eq!(asked.len(), 4);
    let key = &asked[0].idempotency_key;
    assert!(key.is_some() && asked.iter().all(|one| one.idempotency_key == *key));
}

#[tokio::test]
async fn keys_are_waited_for_no_longer_than_was_said_and_asked_of_one_node_only() {
    let authority = Authority::new(1);
    let at_work = authority.node(|_| problem(503, KEYS_UNDER_WAY));
    let leaderless = authority.node(|_| problem(503, "no-leader"));
    let mut client = authority.client(&[&at_work.url, &leaderless.url], LONG);
    client.patience.keys = Duration::ZERO;
    let error = client
        .apply(&FleetDocument::default(), false, false)
        .await
        .unwrap_err();
    let ClientError::Unavailable { problem, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(problem.code, KEYS_UNDER_WAY);
    assert_eq!(at_work.asked().len(), 1);
    assert!(leaderless.asked().is_empty(), "it would make the same keys");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_named_as_such() {
    let ours = Authority::new(1);
    let theirs = Authority::new(2);
    let node = theirs.node(|_| "[]".into_response());
    let client = ours.client(&[&node.url], Duration::ZERO);
    let shown = client.hosts().await.unwrap_err().to_string();
    let expected = format!(
        "it shows a certificate of another cluster ({}); this context is for {}",
        "02".repeat(16),
        "01".repeat(16)
    );
    assert!(shown.contains(&expected), "{shown}");
    assert!(node.asked().is_empty(), "no key may reach a stranger");
}

#[tokio::test]
async fn somebody_who_merely_claims_our_cluster_is_refused() {
    let node = Authority::new(1).node(|_| "[]".into_response());
    let client = Authority::new(1).client(&[&node.url], Duration::ZERO);
    let shown = client.hosts().await.unwrap_err().to_string();
    assert!(
        shown.contains("not signed by the CA of cluster 0101"),
        "{shown}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_per_end_point() {
    let urls = [nobody(), nobody()];
    let client = Authority::new(1).client(&[&urls[0], &urls[1]], LONG);
    let shown = client.hosts().await.unwrap_err().to_string();
    for url in urls {
        assert!(
            shown.contains(&format!("{url}: Connection refused")),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn names_in_paths_lead_nowhere_else_and_odd_answers_are_told() {
    let authority = Authority::new(1);
    let node = authority.node(|_| (StatusCode::OK, "<html>").into_response());
    let client = authority.client(&[&node.url], Duration::ZERO);
    let host = HostId::new("pmta1").unwrap();
    let error = client.config(&host, true).await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    client.remove_ip("../keys/admin", false).await.unwrap_err();
    let targets: Vec<_> = node.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        targets,
        [
            "/api/v1/hosts/pmta1/config?proposed=true",
            "/api/v1/ips/..%2Fkeys%2Fadmin"
        ]
    );
}

#[tokio::test]
async fn half_a_backup_is_removed_and_a_whole_one_is_private() {
    let authority = Authority::new(1);
    let node = authority.node(|_| "sealed".into_response());
    let client = authority.client(&[&node.url], Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.backup");
    assert_eq!(client.backup(&path).await.unwrap(), 6);
    assert_eq!(crate::private_file::read(&path).unwrap().as_str(), "sealed");
    client.backup(&path).await.unwrap_err();
    assert!(path.exists(), "an older backup is not harmed");
}

#[tokio::test]
async fn what_no_node_takes_is_said_and_not_sent() {
    let authority = Authority::new(1);
    let node = authority.node(|_| ANSWER.into_response());
    let client = authority.client(&[&node.url], LONG);
    let tenant = TenantSpec {
        name: "x".repeat(limits::REQUEST_BYTES),
        ..tenant()
    };
    let document = FleetDocument {
        tenants: vec![tenant],
        ..FleetDocument::default()
    };
    let error = client.apply(&document, false, false).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { got } if got > limits::REQUEST_BYTES));
    assert!(
        error.to_string().contains("16777216: nothing was sent"),
        "{error}"
    );
    assert!(node.asked().is_empty());
}

fn tenant() -> TenantSpec {
    serde_json::from_str(r#"{"id": "client-1", "name": "Client 1"}"#).unwrap()
}
