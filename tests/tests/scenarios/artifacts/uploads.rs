//! An upload survives whatever is cut off, and takes nothing that was not announced.

use std::fs;

use email_engine_protocol::bytes::ContentHash;
use email_engine_tests::{Fleet, Operator, wait_for};
use serde_json::json;

use super::{PIECE, announced, noise};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_cut_off_goes_on_through_other_nodes_when_the_leader_falls() {
    let mut fleet = Fleet::three().await;
    let bytes = noise(3 * PIECE + 5, 1);
    let sha256 = ContentHash::of(&bytes);
    let leader = fleet.leader().await;
    let api = fleet.api_of(leader);
    let begun = api.post("/artifacts", &announced(&bytes)).await.ok();
    assert_eq!(begun["missing"], json!([0, 1, 2, 3]));
    let pieces: Vec<&[u8]> = bytes.chunks(PIECE).collect();
    let path = |at: usize| format!("/artifacts/{sha256}/pieces/{at}");

    // What was damaged on its way is told apart, and the upload goes on.
    let mut damaged = pieces[0].to_vec();
    damaged[PIECE / 2] ^= 1;
    let refused = api.put_bytes(&path(0), damaged).await;
    assert_eq!((refused.status, refused.code()), (422, "invalid"));
    assert_eq!(refused.body["field"], "bytes");
    for at in [0, 2] {
        api.put_bytes(&path(at), pieces[at].to_vec()).await.ok();
    }
    fleet.nodes.get_mut(&leader).unwrap().kill();

    let operator = Operator::of(&fleet);
    fs::write(operator.folder().join("upload"), &bytes).unwrap();
    let notes = operator.notes(0, &["artifact", "put", "upload"]);
    assert!(notes.contains("2 of 4 pieces are there already"), "{notes}");
    let again = operator.notes(0, &["artifact", "put", "upload"]);
    assert!(again.contains("has it already"), "{again}");
    let shown = operator.answer(&["artifact", "show", &sha256.to_string()]);
    assert_eq!(shown["missing"], json!([]));
    assert!(shown["finished_at"].is_string());

    // The node that fell has it too, and lets go of it with the others.
    fleet.nodes.get_mut(&leader).unwrap().start().await;
    let api = fleet.api_of(leader);
    wait_for("the node that fell has the artifact", async || {
        let answer = api.try_get(&format!("/artifacts/{sha256}")).await?;
        match answer.body["finished_at"].is_string() {
            true => Ok(()),
            false => Err(format!("{answer:?}")),
        }
    })
    .await;
    let back = Operator::at(&fleet, leader);
    let _ = back.prints(0, &["artifact", "remove", &sha256.to_string(), "--yes"]);
    let rows = operator.rows(&["artifact", "list"]);
    assert!(rows.is_empty(), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_refused_before_anything_is_sent() {
    let fleet = Fleet::configured(
        1,
        &[
            ("ARTIFACTS_LARGEST_BYTES", "3000000"),
            ("ARTIFACTS_TOTAL_BYTES", "4000000"),
        ],
    )
    .await;
    let operator = Operator::of(&fleet);
    for (name, length, seed) in [
        ("large", 3_000_001, 1),
        ("one", 2_500_000, 2),
        ("two", 1_500_001, 3),
    ] {
        fs::write(operator.folder().join(name), noise(length, seed)).unwrap();
    }
    let refused = operator.notes(1, &["artifact", "put", "large"]);
    assert!(refused.contains("at most 3000000 bytes"), "{refused}");
    let _ = operator.prints(0, &["artifact", "put", "one"]);
    let refused = operator.notes(1, &["artifact", "put", "two"]);
    assert!(
        refused.contains("storage-full") || refused.contains("are taken"),
        "{refused}"
    );
    assert_eq!(operator.rows(&["artifact", "list"]).len(), 1);
}
