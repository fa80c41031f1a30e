//! Every node serves the same bytes.

use email_engine_tests::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn every_node_serves_the_same_bytes() {
    let fleet = Fleet::converged_with(3, 5).await;
    for host in email_engine_tests::samples::HOSTS {
        let path = format!("/hosts/{host}/config");
        let first = fleet.api_of(1).get(&path).await.ok();
        for node in fleet.nodes.keys() {
            assert_eq!(
                fleet.api_of(*node).get(&path).await.ok(),
                first,
                "node {node}, {host}"
            );
            // Planned anew on that node, it is the same again.
            let proposed = fleet
                .api_of(*node)
                .get(&format!("{path}?proposed=true"))
                .await
                .ok();
            assert_eq!(proposed["digest"], first["digest"], "node {node}, {host}");
        }
    }
}
