//! A node that loses its majority, in front of a stand-in.

use super::*;
use crate::alerts::channels::testbed::{Mood, StandIn};
use crate::push::testbed::wait_for;

async fn posted(stand_in: &StandIn, count: usize) -> Vec<serde_json::Value> {
    let met = async {
        while stand_in.heard().len() < count {
            tokio::task::yield_now().await;
        }
    };
    wait_for(met, "the alarm arrives").await;
    stand_in.heard().iter().map(|heard| heard.json()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_its_loss_once_and_its_end_once_through_its_own_channels() {
    let (bad, good) = (StandIn::web(None).await, StandIn::web(None).await);
    bad.next([Mood::Says(403, "", "no")]);
    let text = |name: &str, stand_in: &StandIn| {
        format!(
            "[[channels]]\nname = \"{name}\"\nsecret = \"0123456789\"\n\
             spec.webhook = {{ url = \"http://{}\" }}\n",
            stand_in.address
        )
    };
    let text = text("bad", &bad) + &text("good", &good);
    let file: AlarmFile = toml::from_str(&text).unwrap();
    let led = Leadership {
        leader: Some(NodeId(1)),
        term: 1,
        is_leader: false,
    };
    let (leadership, seen) = watch::channel(led);
    let speaker = Speaker {
        cluster: ClusterId([1; 16]),
        node: NodeId(3),
        now: || Timestamp(1_795_240_800_000),
    };
    let channels = Channels::believing(Vec::new(), Duration::from_secs(20)).unwrap();
    let after = Duration::from_millis(20);
    let running = tokio::spawn(run(seen, speaker, file, channels, after));
    leadership.send_replace(Leadership::default());
    let first = &posted(&good, 1).await[0]["alerts"][0];
    assert_eq!(first["kind"], "no-quorum");
    assert_eq!(first["occasion"], "raised");
    assert_eq!(first["subject"], "node 3");
    leadership.send_replace(led);
    let both = posted(&good, 2).await;
    assert_eq!(both[1]["alerts"][0]["occasion"], "resolved");
    assert_eq!(both[1]["alerts"][0]["alert"], first["alert"]);
    // The other channel is ill and waits; it keeps nobody from being told.
    assert_eq!(posted(&bad, 1).await.len(), 1);
    running.abort();
}
