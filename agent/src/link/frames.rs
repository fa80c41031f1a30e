//! Frames on a QUIC stream. Both directions survive being interrupted by a `select!`.

use std::collections::VecDeque;

use email_engine_protocol::wire::frame::{self, FrameError};
use email_engine_protocol::wire::v1::AgentMessage;
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use serde::de::DeserializeOwned;

/// Why no further message can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameReadError {
    /// The other side finished the stream, between two frames or within one.
    #[error("stream ended")]
    Ended,
    /// What came is no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads one frame after the other, and nothing behind the one that is asked for.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    partial: Vec<u8>,
}

impl FrameReader {
    /// The next message. Dropping the future loses nothing: what came stays here.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
        stream: &mut RecvStream,
    ) -> Result<T, FrameReadError> {
        loop {
            let wanted = match self.partial.first_chunk::<4>() {
                // The cap is checked before anything of the payload is read.
                Some(prefix) => 4 + frame::length(*prefix)?,
                None => 4,
            };
            if self.partial.len() >= 4 && self.partial.len() == wanted {
                let message = frame::decode(&self.partial[4..]);
                // A large frame's buffer is not kept for the small ones that follow.
                self.partial = Vec::new();
                return Ok(message?);
            }
            let missing = wanted - self.partial.len();
            match stream.read_chunk(missing, true).await? {
                Some(chunk) => self.partial.extend_from_slice(&chunk.bytes),
                None => return Err(FrameReadError::Ended),
            }
        }
    }
}

/// Messages that wait for the control stream to take them, so that a stalled coordinator never
/// stalls the executor. Bounded by replacing: only the newest report, the newest pong and the newest
/// list of wanted secrets are worth sending.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<AgentMessage>,
    begun: Option<(Vec<u8>, usize)>,
}

impl Outbox {
    pub(super) fn push(&mut self, message: AgentMessage) {
        if matches!(message, AgentMessage::Pong { .. } | AgentMessage::Report(_)) {
            let kind = std::mem::discriminant(&message);
            self.waiting
                .retain(|waiting| std::mem::discriminant(waiting) != kind);
        }
        self.waiting.push_back(message);
    }

    /// Forgets lists of wanted secrets that were not sent yet: a newer one takes their place.
    pub(super) fn drop_secrets_wanted(&mut self) {
        self.waiting
            .retain(|waiting| !matches!(waiting, AgentMessage::SecretsWanted { .. }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_none() && self.waiting.is_empty()
    }

    /// Writes some of what waits. Dropping the future loses nothing.
    pub(super) async fn advance(&mut self, stream: &mut SendStream) -> Result<(), WriteError> {
        while self.begun.is_none() {
            let Some(message) = self.waiting.pop_front() else {
                return Ok(());
            };
            match frame::encode(&message) {
                Ok(bytes) => self.begun = Some((bytes, 0)),
                Err(error) => tracing::error!(%error, "a message of ours is too large; dropped"),
            }
        }
        if let Some((bytes, written)) = &mut self.begun {
            *written += stream.write(&bytes[*written..]).await?;
            if *written == bytes.len() {
                self.begun = None;
            }
        }
        Ok(())
    }

    /// Writes all that waits.
    pub(super) async fn flush(&mut self, stream: &mut SendStream) -> Result<(), WriteError> {
        while !self.is_empty() {
            self.advance(stream).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_that_asks_and_does_not_read_fills_no_memory() {
        let mut outbox = Outbox::default();
        for number in 0..1000 {
            outbox.push(AgentMessage::Pong { number });
        }
        assert_eq!(outbox.waiting.len(), 1);
        assert_eq!(outbox.waiting[0], AgentMessage::Pong { number: 999 });
    }

    #[test]
    fn only_the_newest_report_waits() {
        let pong = |number| AgentMessage::Pong { number };
        let report = || AgentMessage::Report(super::super::testbed::TestCluster::new(1).report());
        let mut outbox = Outbox::default();
        let newest = report();
        for message in [report(), pong(1), report(), newest.clone()] {
            outbox.push(message);
        }
        assert_eq!(outbox.waiting, [pong(1), newest]);
    }
}
