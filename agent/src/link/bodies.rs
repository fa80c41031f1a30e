//! Bodies by hash, each on a stream of its own, a few at a time. What came of a body before its
//! connection broke is kept for a while, and the next request goes on from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::limits;
use email_engine_protocol::wire::frame;
use email_engine_protocol::wire::v1::{BodyReply, BodyRequest};
use quinn::{Connection, RecvStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frames::FrameReader;
use crate::halves::ToExecutor;

/// Streams at once.
const PARALLEL: usize = 4;
/// A stream that gives nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes of unfinished bodies that are kept between sessions: one of the largest, whatever it takes to
/// fetch it. Fetching takes no less memory.
#[expect(clippy::cast_possible_truncation, reason = "64 MiB")]
const KEPT_BYTES: usize = limits::BODY_BYTES as usize;

/// The bodies that the executor waits for.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    waiting: VecDeque<ContentHash>,
    wanted: BTreeSet<ContentHash>,
    running: JoinSet<Fetched>,
    unfinished: BTreeMap<ContentHash, Vec<u8>>,
}

/// One body, or what there is of it.
#[derive(Debug)]
pub(super) struct Fetched {
    hash: ContentHash,
    resumed: bool,
    bytes: Vec<u8>,
    outcome: Result<(), FetchError>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the coordinator does not have it")]
    Missing,
    #[error("it has {0} bytes, more than the {max} that are allowed", max = limits::BODY_BYTES)]
    TooLarge(u64),
    #[error("the coordinator sent {got} bytes of {length}")]
    Length { got: u64, length: u64 },
    #[error("{0}")]
    Broken(String),
}

impl Bodies {
    /// Adds what is not yet wanted.
    pub(super) fn want(&mut self, hashes: Vec<ContentHash>) {
        for hash in hashes {
            if self.wanted.insert(hash) {
                self.waiting.push_back(hash);
            }
        }
    }

    /// Starts as many as may run.
    pub(super) fn start(&mut self, connection: &Connection) {
        while self.running.len() < PARALLEL {
            let Some(hash) = self.waiting.pop_front() else {
                return;
            };
            let begun = self.unfinished.remove(&hash).unwrap_or_default();
            self.running.spawn(fetch(connection.clone(), hash, begun));
        }
    }

    pub(super) fn are_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// The next one that ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Fetched> {
        // A task of ours neither panics nor is aborted while it is waited for.
        self.running.join_next().await?.ok()
    }

    /// What to tell the executor; nothing when the body is asked for once more.
    pub(super) fn settle(&mut self, fetched: Fetched) -> Option<ToExecutor> {
        let Fetched {
            hash,
            resumed,
            bytes,
            outcome,
        } = fetched;
        let fits = outcome.is_ok() && ContentHash::of(&bytes) == hash;
        if !fits && resumed && !matches!(outcome, Err(FetchError::Broken(_))) {
            // The older part may be what is wrong: once more, from the start.
            self.waiting.push_front(hash);
            return None;
        }
        self.wanted.remove(&hash);
        let reason = match outcome {
            Ok(()) if fits => return Some(ToExecutor::Body { hash, bytes }),
            Ok(()) => "what the coordinator sent has another hash".to_owned(),
            Err(error) => {
                if matches!(error, FetchError::Broken(_)) {
                    self.keep(hash, bytes);
                }
                error.to_string()
            }
        };
        Some(ToExecutor::BodyMissing { hash, reason })
    }

    /// The session is over: whatever is under way ends with it, and what came is kept.
    pub(super) async fn interrupt(&mut self) {
        while let Some(ended) = self.running.join_next().await {
            if let Ok(Fetched {
                hash,
                bytes,
                outcome: Err(FetchError::Broken(_)),
                ..
            }) = ended
            {
                self.keep(hash, bytes);
            }
        }
        self.waiting.clear();
        self.wanted.clear();
    }

    fn keep(&mut self, hash: ContentHash, bytes: Vec<u8>) {
        if bytes.is_empty() || bytes.len() > KEPT_BYTES {
            return;
        }
        self.unfinished.insert(hash, bytes);
        // The shortest go first: they cost the least to fetch again.
        let mut kept: usize = self.unfinished.values().map(Vec::len).sum();
        while kept > KEPT_BYTES {
            let shortest = self.unfinished.iter().min_by_key(|(_, bytes)| bytes.len());
            let Some(shortest) = shortest.map(|(hash, _)| *hash) else {
                return;
            };
            kept -= self.unfinished.remove(&shortest).map_or(0, |b| b.len());
        }
    }
}

async fn fetch(connection: Connection, hash: ContentHash, begun: Vec<u8>) -> Fetched {
    let resumed = !begun.is_empty();
    let mut bytes = begun;
    let outcome = receive(&connection, hash, &mut bytes).await;
    Fetched {
        hash,
        resumed,
        bytes,
        outcome,
    }
}

async fn receive(
    connection: &Connection,
    hash: ContentHash,
    bytes: &mut Vec<u8>,
) -> Result<(), FetchError> {
    let broken = |error: &dyn std::fmt::Display| FetchError::Broken(error.to_string());
    let (mut send, mut recv) = connection.open_bi().await.map_err(|e| broken(&e))?;
    let offset = bytes.len() as u64;
    let request = frame::encode(&BodyRequest { hash, offset }).map_err(|e| broken(&e))?;
    send.write_all(&request).await.map_err(|e| broken(&e))?;
    let _ = send.finish();
    let mut reader = FrameReader::default();
    let reply = timeout(STALLED, reader.next(&mut recv))
        .await
        .map_err(|e| broken(&e))?
        .map_err(|e| broken(&e))?;
    let length = match reply {
        BodyReply::Missing => return Err(FetchError::Missing),
        BodyReply::Found { length } if length > limits::BODY_BYTES => {
            return Err(FetchError::TooLarge(length));
        }
        BodyReply::Found { length } => length,
    };
    fill(&mut recv, bytes, length).await
}

/// Reads to the end of the stream, which must be the announced length.
async fn fill(recv: &mut RecvStream, bytes: &mut Vec<u8>, length: u64) -> Result<(), FetchError> {
    loop {
        let chunk = timeout(STALLED, recv.read_chunk(limits::CHUNK_BYTES, true))
            .await
            .map_err(|error| FetchError::Broken(error.to_string()))?
            .map_err(|error| FetchError::Broken(error.to_string()))?;
        let Some(chunk) = chunk else { break };
        bytes.extend_from_slice(&chunk.bytes);
        if bytes.len() as u64 > length {
            break;
        }
    }
    let got = bytes.len() as u64;
    if got == length {
        Ok(())
    } else {
        Err(FetchError::Length { got, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(bytes: &[u8], resumed: bool, outcome: Result<(), FetchError>) -> Fetched {
        Fetched {
            hash: ContentHash::of(b"body"),
            resumed,
            bytes: bytes.to_vec(),
            outcome,
        }
    }

    #[test]
    fn a_body_with_another_hash_is_not_handed_on() {
        let mut bodies = Bodies::default();
        let said = bodies.settle(fetched(b"body", false, Ok(())));
        assert!(matches!(said, Some(ToExecutor::Body { .. })));
        let said = bodies.settle(fetched(b"other", false, Ok(())));
        assert!(matches!(said, Some(ToExecutor::BodyMissing { .. })));
    }

    #[test]
    fn a_resumed_body_that_does_not_fit_is_fetched_again_from_the_start() {
        let mut bodies = Bodies::default();
        assert_eq!(bodies.settle(fetched(b"other", true, Ok(()))), None);
        assert_eq!(bodies.waiting, [ContentHash::of(b"body")]);
        assert!(bodies.unfinished.is_empty());
    }

    #[test]
    fn what_came_before_a_break_is_kept_within_a_bound() {
        let mut bodies = Bodies::default();
        let broken = || Err(FetchError::Broken("lost".to_owned()));
        let said = bodies.settle(fetched(b"bo", false, broken()));
        assert!(matches!(said, Some(ToExecutor::BodyMissing { .. })));
        assert_eq!(bodies.unfinished[&ContentHash::of(b"body")], b"bo");
        bodies.keep(ContentHash::of(b"huge"), vec![0; KEPT_BYTES + 1]);
        assert_eq!(bodies.unfinished.len(), 1);
        // The largest body goes on from where it was, and only the least is given up for it.
        let large = ContentHash::of(b"large");
        bodies.keep(large, vec![0; KEPT_BYTES - 1]);
        assert_eq!(bodies.unfinished.keys().collect::<Vec<_>>(), [&large]);
    }
}
