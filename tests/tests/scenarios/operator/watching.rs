//! What machines read: logs as JSON, and metrics for Prometheus.

use std::fs;
use std::path::Path;

use email_engine_tests::{AgentProcess, Fleet, samples, wait_for};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_lines_and_metrics_are_prometheus_text() {
    let mut fleet = Fleet::configured(1, &[("LOG_FORMAT", "json")]).await;
    fleet.apply(&samples::fleet(1)).await;
    let token = fleet.host_token("pmta1", "powermta").await;
    let mut agent = AgentProcess::new("pmta1", &fleet.host_dir("pmta1"));
    agent.set("EMAIL_ENGINE_AGENT_LOG_FORMAT", "json");
    agent.start(Some(&token));
    fleet.agents.insert("pmta1".to_owned(), agent);
    fleet.host_converged("pmta1", "it was let in").await;
    metrics_are_prometheus_text(&fleet).await;

    fleet.agents.get_mut("pmta1").unwrap().daemon().stop();
    fleet.nodes.get_mut(&1).unwrap().stop();
    let agent = lines(&fleet.agents["pmta1"].log());
    let node = lines(&fleet.nodes[&1].log());
    let of_host = |line: &&Value| line["fields"]["host"] == "pmta1";
    assert!(
        node.iter().any(|line| of_host(&line)),
        "fields are values of their own"
    );
    assert!(agent.len() >= 5 && node.len() >= 5, "{agent:?} {node:?}");
}

/// Every line is one JSON object with when, how grave, where from and what.
fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| {
            panic!("{}: {error}: {line}", log.display());
        });
        for (place, field) in [
            (&value, "timestamp"),
            (&value, "level"),
            (&value, "target"),
            (&value["fields"], "message"),
        ] {
            assert!(place[field].is_string(), "no {field}: {line}");
        }
        value
    };
    text.lines().map(parse).collect()
}

async fn metrics_are_prometheus_text(fleet: &Fleet) {
    let api = fleet.api_of(1);
    let (kind, _) = api.text("/metrics").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = wait_for("the agent's session is counted", async || {
        let text = api.metrics().await;
        let counted = text
            .lines()
            .any(|line| line == "email_engine_agent_sessions 1");
        if counted { Ok(text) } else { Err(text) }
    })
    .await;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            assert!(matches!(words.next(), Some("HELP" | "TYPE")), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("email_engine_"), "{line}");
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let typed = |name: &str| text.contains(&format!("# TYPE {name} "));
        assert!(typed(name) || typed(family), "{line} has no type");
        let said = |name: &str| text.contains(&format!("# HELP {name} "));
        assert!(said(name) || said(family), "{line} has no help");
    }
    for name in [
        "email_engine_api_latency_seconds",
        "email_engine_certificate_days_left",
        "email_engine_commit_seconds",
        "email_engine_db_query_duration_seconds",
        "email_engine_offers_total",
        "email_engine_raft_purged_index",
        "email_engine_raft_term",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}: {text}"
        );
    }
    // For those who hold a key of the whole fleet; others do not learn that it is there.
    let request = json!({ "id": "client-1", "role": "viewer", "tenant": "client-1" });
    let created = fleet.api().post("/keys", &request).await.ok();
    let scoped = api.with_key(created["key"].as_str().unwrap());
    assert_eq!(scoped.metrics_status().await, 404);
    assert_eq!(api.with_key("nobody").metrics_status().await, 401);
}
