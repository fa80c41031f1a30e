//! An agent whose network half lies cannot make a report believed. (That it cannot make a state
//! accepted is shown beside the executor, which the network half cannot reach but by messages.)

use email_engine_tests::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_report_is_not_believed() {
    let mut fleet = Fleet::converged_with(1, 1).await;
    let before = fleet.host("pmta1").await;
    let agent = fleet.agents.get_mut("pmta1").unwrap();
    agent.kill();

    // The network half has the host's certificate, but not the executor's report key.
    let said = email_engine_tests::lying::send_forged_report(
        &agent.data_dir(),
        &fleet.nodes[&1].endpoints().agent,
    )
    .await;

    assert!(
        said.contains("Protocol") || said.contains("closed"),
        "the session went on: {said}"
    );
    let after = fleet.host("pmta1").await;
    assert_eq!(before["convergence"], after["convergence"]);
    assert_eq!(before["running"], after["running"]);
}
