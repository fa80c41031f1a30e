//! A word to the cluster from an agent that can have no session.
//!
//! An agent that holds runs on and changes nothing: its executor's keys are lost, or it cannot start.
//! No report of it would be believed, so it opens no session; but its certificate is good, and by it
//! it says in one message why it is silent. Nobody acts on that: it is for whoever looks.

use std::time::Duration;

use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{ALPN_AGENT, RefusalCode, frame};
use tokio::time::timeout;

use super::dial::{self, Call, DialError, close};
use super::enroll;
use super::frames::FrameReader;
use super::route::Candidates;
use super::tls;
use super::verify::{Anchor, Dates};
use crate::identity::{Clock, Identity, IdentityStore};

/// For one coordinator, from the call to its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// No coordinator keeps more of it.
const REASON_BYTES: usize = 2048;

/// Says why this agent holds to one coordinator after the other until one has heard it. It is no
/// more than a courtesy: what stands in its way is only logged.
pub async fn tell(store: &IdentityStore, identity: &Identity, reason: &str) {
    let mut clock = Clock::new(store.clock_floor().unwrap_or_default());
    clock.at_least(identity.validity.not_before);
    let learnt = store.coordinators().unwrap_or_default();
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES)];
    for endpoint in Candidates::new(learnt, identity.endpoints.clone()).order() {
        let told = tell_one(&endpoint, identity, &clock, reason);
        match timeout(ANSWER, told).await {
            Ok(Ok(())) => {
                tracing::info!(endpoint, "the cluster was told why this agent holds");
                return;
            }
            Ok(Err(error)) => tracing::warn!(endpoint, %error, "not told why this agent holds"),
            Err(_) => tracing::warn!(endpoint, "not told why this agent holds: no answer"),
        }
    }
}

async fn tell_one(
    endpoint: &str,
    identity: &Identity,
    clock: &Clock,
    reason: &str,
) -> Result<(), DialError> {
    let anchor = Anchor::Root(identity.root.clone());
    let verifier = enroll::verifier(identity.cluster(), anchor, Dates::At(clock.now()));
    let config = tls::client_config(ALPN_AGENT, verifier.clone(), Some(identity))?;
    let call = dial::connect(endpoint, config, &verifier).await?;
    let answered = say(&call, reason).await;
    call.close(close::DONE, "").await;
    answered
}

async fn say(call: &Call, reason: &str) -> Result<(), DialError> {
    let opened = call.connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| DialError::of(&error))?;
    let reason = reason.to_owned();
    let frame = frame::encode(&AgentMessage::Holding { reason })?;
    send.write_all(&frame).await.map_err(DialError::of_write)?;
    let mut reader = FrameReader::default();
    let answer = reader.next(&mut recv).await.map_err(DialError::of_read)?;
    match answer {
        CoordinatorMessage::Refused(refusal) if refusal.code == RefusalCode::Holding => Ok(()),
        CoordinatorMessage::Refused(refusal) => Err(DialError::Refused(refusal)),
        other => Err(DialError::Protocol(format!("not an answer: {other:?}"))),
    }
}
