//! An agent whose network half lies cannot make a report believed. (That it cannot make a state
//! accepted is shown beside the executor, which the network half cannot reach but by messages.)

use email_engine_protocol::wire::RefusalCode;
use email_engine_tests::Fleet;
use email_engine_tests::lying::Session;

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_report_is_not_believed() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let before = fleet.host("pmta1").await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();

    // The network half has the host's certificate, but not the executor's report key.
    let endpoint = &fleet.nodes[&1].endpoints().agent;
    let mut session = Session::open(&agent.data_dir(), endpoint).await.unwrap();
    session.report_what_never_was().await;

    let ending = session.end().await;
    let refusal = ending.refusal.expect("it was not told why");
    assert_eq!(refusal.code, RefusalCode::Protocol, "{refusal:?}");
    assert!(refusal.reason.contains("signature"), "{refusal:?}");
    assert_eq!(ending.code, Some(1), "{}", ending.reason);
    let refused = "email_engine_reports_refused_total";
    assert_eq!(fleet.api_of(1).metric(refused).await, 1.0);
    let after = fleet.host("pmta1").await;
    assert_eq!(before["convergence"], after["convergence"]);
    assert_eq!(before["running"], after["running"]);
}
