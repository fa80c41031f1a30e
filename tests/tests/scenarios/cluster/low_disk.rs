//! Below its low-water mark the leader refuses proposals and keeps serving reads.

use email_engine_tests::{Fleet, samples};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_little_disk_refuses_proposals_and_keeps_serving_reads() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let node = fleet.nodes.get_mut(&1).unwrap();
    node.stop();
    // More than any disk has free.
    node.set("MIN_FREE_BYTES", &(1u64 << 60).to_string());
    node.start().await;
    fleet.leader().await;

    let refused = fleet.api().post("/ips", &samples::identity(2)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (507, "low-disk"),
        "{refused:?}"
    );
    assert_eq!(fleet.api().get("/ips/198.51.100.1").await.status, 200);
}
