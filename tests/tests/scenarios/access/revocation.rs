//! Who is revoked is cut off at once, in the middle of a session.

use std::time::{Duration, Instant};

use email_engine_protocol::wire::RefusalCode;
use email_engine_tests::lying::Session;
use email_engine_tests::{Fleet, samples};
use serde_json::json;

/// The promise; the time runs from the answer to the operator.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_host_revoked_through_any_node_loses_its_connection_within_a_second() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(0)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("it was let in").await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let stolen = fleet.agents["pmta1"].data_dir();
    let leader = fleet.leader().await;
    let others: Vec<u64> = fleet
        .nodes
        .keys()
        .copied()
        .filter(|node| *node != leader)
        .collect();

    // It is connected to one follower, and the operator to the other.
    let endpoint = &fleet.nodes[&others[0]].endpoints().agent;
    let session = Session::open(&stolen, endpoint).await.unwrap();
    let revoke = fleet.api_of(others[1]);
    let ended = tokio::spawn(async move {
        let ending = session.end().await;
        (ending, Instant::now())
    });
    let began = Instant::now();
    revoke.post("/hosts/pmta1/revoke", &json!({})).await.ok();
    let answered = Instant::now();
    // A machine on which one change takes long is allowed as much for its way to the other node.
    let at_once = AT_ONCE.max(5 * (answered - began));
    let (ending, at) = ended.await.unwrap();
    let late = at.saturating_duration_since(answered);
    assert!(late < at_once, "{late:?} after the answer: {ending:?}");
    let refusal = ending.refusal.expect("it was not told why");
    assert_eq!(
        (refusal.code, ending.code),
        (RefusalCode::Revoked, Some(18))
    );
    assert!(refusal.reason.contains("is revoked"), "{refusal:?}");

    // Nor does it come back, on any node.
    for node in fleet.nodes.values() {
        let endpoint = &node.endpoints().agent;
        let ending = Session::open(&stolen, endpoint).await.unwrap_err();
        assert_eq!(ending.code, Some(18), "{ending:?}");
    }
}
