//! Log entries in a pipeline: requests go out while earlier ones are still being flushed at the
//! peer; every answer has a deadline of its own.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::RPCError;
use openraft::network::RPCTypes;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::time::Instant;

use super::client::Client;
use super::frame::{self, FrameReader};
use super::message::{Request, Response};
use super::peers::CallError;
use crate::raft::types::Types;

/// Requests that may be unanswered at a time.
const DEPTH: usize = 32;

type Output<'s> = openraft::base::BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

struct Pipeline<'s, S> {
    client: &'s Client,
    input: Option<S>,
    to: quinn::SendStream,
    from: FrameReader,
    /// When each unanswered request is due.
    due: VecDeque<Instant>,
    over: bool,
}

enum Event {
    Input(Option<AppendEntriesRequest<Types>>),
    Answer(Result<StreamAppendResult<Types>, CallError>),
}

/// Opens the stream; its answers come in the order of the requests.
pub(super) async fn pipeline<'s, S>(
    client: &'s Client,
    input: S,
) -> Result<Output<'s>, RPCError<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
{
    let within = client.answer_within();
    let opened = timed(within, open(client)).await;
    let (to, from) = opened.map_err(|error| client.failure(RPCTypes::AppendEntries, &error))?;
    let pipeline = Pipeline {
        client,
        input: Some(input),
        to,
        from,
        due: VecDeque::new(),
        over: false,
    };
    Ok(Box::pin(futures::stream::unfold(
        pipeline,
        |mut pipeline| async move {
            let item = pipeline.next().await?;
            Some((item, pipeline))
        },
    )))
}

async fn open(client: &Client) -> Result<(quinn::SendStream, FrameReader), CallError> {
    let (mut to, from) = client.stream().await?;
    frame::write(&mut to, &Request::AppendStream).await?;
    Ok((to, from))
}

async fn timed<T>(
    within: Duration,
    doing: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(within, doing)
        .await
        .unwrap_or(Err(CallError::Timeout(within)))
}

impl<S> Pipeline<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        if self.over {
            return None;
        }
        match self.advance().await {
            Ok(Some(result)) => {
                // The peer reads no further after a refusal.
                self.over = result.is_err();
                Some(Ok(result))
            }
            Ok(None) => None,
            Err(error) => {
                self.over = true;
                Some(Err(self.client.failure(RPCTypes::AppendEntries, &error)))
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<StreamAppendResult<Types>>, CallError> {
        loop {
            if self.input.is_none() && self.due.is_empty() {
                return Ok(None);
            }
            match self.event().await {
                Event::Input(Some(request)) => {
                    let within = self.client.answer_within();
                    let to = &mut self.to;
                    timed(within, async {
                        Ok(frame::write(to, &Request::Append(request)).await?)
                    })
                    .await?;
                    self.due.push_back(Instant::now() + within);
                }
                Event::Input(None) => {
                    self.input = None;
                    // A peer that stopped reading says so in its answers.
                    let _ = self.to.finish();
                }
                Event::Answer(answer) => {
                    self.due.pop_front();
                    return answer.map(Some);
                }
            }
        }
    }

    async fn event(&mut self) -> Event {
        let due = self.due.front().copied();
        let within = self.client.answer_within();
        let room = self.due.len() < DEPTH;
        let input = async {
            match &mut self.input {
                Some(input) if room => input.next().await,
                _ => std::future::pending().await,
            }
        };
        let from = &mut self.from;
        let answer = async {
            let Some(due) = due else {
                return std::future::pending().await;
            };
            match tokio::time::timeout_at(due, super::peers::answer(from)).await {
                Ok(Ok(Response::Appended(result))) => Ok(result),
                Ok(Ok(_)) => Err(CallError::Mixed),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(CallError::Timeout(within)),
            }
        };
        tokio::select! {
            biased;
            answer = answer => Event::Answer(answer),
            request = input => Event::Input(request),
        }
    }
}
