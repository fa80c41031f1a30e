//! Bodies: by hash, resumed, and no faster than they are taken.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::wire::frame;
use email_engine_protocol::wire::v1::{AgentMessage, BodyReply, BodyRequest, CoordinatorMessage};

use super::super::frames::FrameReader;
use super::coordinator::{TestSession, wait_for};
use super::stage::{Agent, Stage};
use crate::halves::{FromExecutor, ToExecutor};

#[tokio::test]
async fn bodies_are_fetched_no_faster_than_the_executor_takes_them() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let mut session = stage.session(&[]).await;
    agent.heard_session().await;
    let bodies: Vec<String> = (0..40).map(|at| format!("body {at}")).collect();
    let hashes = bodies.iter().map(|body| ContentHash::of(body.as_bytes()));
    agent
        .say(FromExecutor::BodiesWanted(hashes.collect()))
        .await;
    let connection = session.connection.clone();
    let mut asked = 0;
    let mut number = 0;
    // Many rounds to and fro: time enough to ask for all of them.
    session.say(&CoordinatorMessage::Ping { number }).await;
    loop {
        tokio::select! {
            biased;
            opened = connection.accept_bi() => {
                let (send, mut recv) = opened.unwrap();
                let request: BodyRequest = FrameReader::default().next(&mut recv).await.unwrap();
                let fits = |body: &&String| ContentHash::of(body.as_bytes()) == request.hash;
                let body = bodies.iter().find(fits).unwrap().as_bytes();
                let length = body.len() as u64;
                answer_body(send, BodyReply::Found { length }, body).await;
                asked += 1;
            }
            pong = session.heard() => {
                assert_eq!(pong, AgentMessage::Pong { number });
                number += 1;
                if number > 60 {
                    break;
                }
                session.say(&CoordinatorMessage::Ping { number }).await;
            }
        }
    }
    assert!((8..=20).contains(&asked), "{asked} of 40 were asked for");
}

#[tokio::test]
async fn bodies_come_by_hash_and_what_does_not_fit_is_said_to_be_missing() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let session = stage.session(&[]).await;
    agent.heard_session().await;
    let body = vec![0x5a; 300_000];
    let hash = ContentHash::of(&body);
    let found = |length| BodyReply::Found { length };
    let answers: [(BodyReply, &[u8]); 4] = [
        (BodyReply::Missing, b""),
        (found(300_000), &body[..299_999]),
        (found(u64::MAX), b""),
        (found(5), b"other"),
    ];
    for (reply, bytes) in answers {
        agent
            .say(FromExecutor::BodiesWanted(vec![hash, hash]))
            .await;
        let (request, send) = body_request(&session).await;
        assert_eq!(request, BodyRequest { hash, offset: 0 });
        answer_body(send, reply, bytes).await;
        let said = agent.heard().await;
        assert!(
            matches!(said, ToExecutor::BodyMissing { hash: it, .. } if it == hash),
            "{said:?}"
        );
    }
    agent.say(FromExecutor::BodiesWanted(vec![hash])).await;
    let (_, send) = body_request(&session).await;
    answer_body(send, found(300_000), &body).await;
    assert_eq!(agent.heard().await, ToExecutor::Body { hash, bytes: body });
}

#[tokio::test]
async fn a_body_goes_on_where_its_line_broke() {
    let mut stage = Stage::new();
    let mut agent = Agent::start(stage.identity());
    let session = stage.session(&[]).await;
    agent.heard_session().await;
    let body: Vec<u8> = (0..12_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let hash = ContentHash::of(&body);
    let reply = BodyReply::Found { length: 12_000_000 };
    agent.say(FromExecutor::BodiesWanted(vec![hash])).await;
    let (_, mut send) = body_request(&session).await;
    send.write_all(&frame::encode(&reply).unwrap())
        .await
        .unwrap();
    // More than both windows hold: when this is through, the agent has taken a part of it.
    let part = send.write_all(&body[..10_000_000]);
    wait_for(part, "the agent reads").await.unwrap();
    session.connection.close(0_u32.into(), b"");
    while agent.heard().await != ToExecutor::Disconnected {}

    let session = stage.session(&[]).await;
    agent.heard_session().await;
    agent.say(FromExecutor::BodiesWanted(vec![hash])).await;
    let (request, send) = body_request(&session).await;
    assert!(
        (8 * 1024 * 1024..=10_000_000).contains(&request.offset),
        "{request:?}"
    );
    let from = usize::try_from(request.offset).unwrap();
    answer_body(send, reply, &body[from..]).await;
    assert_eq!(agent.heard().await, ToExecutor::Body { hash, bytes: body });
}

async fn answer_body(mut send: quinn::SendStream, reply: BodyReply, bytes: &[u8]) {
    send.write_all(&frame::encode(&reply).unwrap())
        .await
        .unwrap();
    // Whoever refuses the reply does not wait for the bytes.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
}

async fn body_request(session: &TestSession) -> (BodyRequest, quinn::SendStream) {
    let opened = wait_for(session.connection.accept_bi(), "a body is asked for").await;
    let (send, mut recv) = opened.unwrap();
    let mut reader = FrameReader::default();
    (reader.next(&mut recv).await.unwrap(), send)
}
