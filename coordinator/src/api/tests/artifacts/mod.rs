//! Uploads over HTTP: what is answered, and what is refused.

use serde_json::{Value, json};

use email_engine_protocol::bytes::ContentHash;

use super::testbed::Testbed;

fn announced(bytes: &[u8]) -> Value {
    let hash = ContentHash::of(bytes);
    json!({"name": "a.zip", "length": bytes.len(), "sha256": hash, "pieces": [hash]})
}

fn path(bytes: &[u8]) -> String {
    format!("/api/v1/artifacts/{}", ContentHash::of(bytes))
}

#[tokio::test]
async fn an_upload_is_begun_sent_compared_named_and_removed() {
    let testbed = Testbed::new();
    let bytes = b"an archive";
    let begin = || {
        let ask = testbed.ask("operator", "POST", "/api/v1/artifacts");
        ask.json(announced(bytes))
    };
    let begun = begin().send().await.gives(201);
    assert_eq!(begun.body["missing"], json!([0]));
    let finish = format!("{}/finish", path(bytes));
    let early = testbed.ask("operator", "POST", &finish).send().await;
    early.refuses(409, "wrong-state");
    let piece = format!("{}/pieces/0", path(bytes));
    let damaged = testbed.ask("operator", "PUT", &piece).text(*b"an archivf");
    let refused = damaged.send().await.refuses(422, "invalid");
    assert_eq!(refused.body["field"], "bytes");
    let sent = testbed.ask("operator", "PUT", &piece).text(*bytes);
    sent.send().await.gives(204);
    let sent = testbed.ask("operator", "PUT", &piece).text(*bytes);
    sent.send().await.gives(204);
    assert_eq!(begin().send().await.gives(201).body["missing"], json!([]));
    let whole = testbed.ask("operator", "POST", &finish).send().await;
    assert!(whole.gives(200).body["finished_at"].is_string());

    let name = "/api/v1/artifact-names/product";
    let ask = testbed.ask("operator", "PUT", name);
    let named = ask.json(json!({"sha256": ContentHash::of(bytes)}));
    assert_eq!(
        named.send().await.gives(200).body["named"],
        json!(["product"])
    );
    let remove = || testbed.ask("operator", "DELETE", &path(bytes)).send();
    remove().await.refuses(409, "in-use");
    let unnamed = testbed.ask("operator", "DELETE", name).send().await;
    unnamed.gives(204);
    remove().await.gives(204);
    let shown = testbed.ask("viewer", "GET", &path(bytes)).send().await;
    shown.refuses(404, "not-found");
}

#[tokio::test]
async fn pieces_that_are_not_what_was_announced_together_are_dropped() {
    let testbed = Testbed::new();
    let (first, second) = (vec![7; 1 << 20], b"second".to_vec());
    let whole = ContentHash::of(b"something else");
    let pieces = [ContentHash::of(&first), ContentHash::of(&second)];
    let length = first.len() + second.len();
    let ask = testbed.ask("operator", "POST", "/api/v1/artifacts");
    let ask = ask.json(json!({"name": "a", "length": length, "sha256": whole, "pieces": pieces}));
    ask.send().await.gives(201);
    let path = format!("/api/v1/artifacts/{whole}");
    for (at, bytes) in [first, second].into_iter().enumerate() {
        let piece = format!("{path}/pieces/{at}");
        let sent = testbed.ask("operator", "PUT", &piece).text(bytes);
        sent.send().await.gives(204);
    }
    let finish = format!("{path}/finish");
    let refused = testbed.ask("operator", "POST", &finish).send().await;
    let refused = refused.refuses(422, "invalid");
    assert_eq!(refused.body["field"], "sha256");
    let gone = testbed.ask("viewer", "GET", &path).send().await;
    gone.refuses(404, "not-found");
    assert!(testbed.fleet.state().bodies.is_empty());
}

#[tokio::test]
async fn what_is_too_large_or_finds_no_room_is_told_the_bound() {
    let testbed = Testbed::new();
    let begin = |length: u64| {
        let pieces =
            vec![ContentHash::of(b"piece"); usize::try_from(length.div_ceil(1 << 20)).unwrap()];
        let sha256 = ContentHash::of(&length.to_be_bytes());
        let body = json!({"name": "a", "length": length, "sha256": sha256, "pieces": pieces});
        testbed
            .ask("operator", "POST", "/api/v1/artifacts")
            .json(body)
    };
    let refused = begin((512 << 20) + 1).send().await.refuses(422, "invalid");
    assert!(refused.text.contains("536870912"), "{}", refused.text);
    for more in 0..4 {
        // Whole pieces, so that all may be alike.
        begin((508 + more) << 20).send().await.gives(201);
    }
    let full = begin(512 << 20).send().await.refuses(507, "storage-full");
    assert!(full.text.contains("artifacts.total_bytes"), "{}", full.text);
}

#[tokio::test]
async fn a_viewer_sees_that_a_licence_is_there_and_nothing_of_it() {
    let testbed = Testbed::new();
    let bytes = b"the words of a licence";
    let mut secret = announced(bytes);
    secret["secret"] = json!(true);
    let ask = testbed.ask("operator", "POST", "/api/v1/artifacts");
    ask.json(secret).send().await.gives(201);
    let piece = format!("{}/pieces/0", path(bytes));
    let forbidden = testbed.ask("viewer", "PUT", &piece).text(*bytes);
    forbidden.send().await.refuses(403, "forbidden");
    let sent = testbed.ask("operator", "PUT", &piece).text(*bytes);
    sent.send().await.gives(204);
    let shown = testbed
        .ask("viewer", "GET", "/api/v1/artifacts")
        .send()
        .await;
    let shown = shown.gives(200);
    assert_eq!(shown.body[0]["secret"], json!(true));
    assert!(!shown.text.contains("the words"));
    let logged = format!("{:?}", testbed.fleet.log.lock().unwrap());
    assert!(!logged.contains("the words") && logged.contains("22 bytes"));
}
