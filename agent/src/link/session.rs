//! One session: from Welcome until something ends it.
//!
//! One task, one `select!`, in which nothing waits for anything else: what is for the coordinator
//! waits in the outbox, what is for the executor in the inbox, and both are emptied when the other
//! side takes them. So neither a stalled coordinator nor a busy executor stalls the other.

use std::collections::VecDeque;

use email_engine_protocol::bytes::{Nonce, VerifyingKey};
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::limits;
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::wire::Refusal;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use quinn::{Connection, RecvStream, SendStream, VarInt, WriteError};
use tokio::time::{Instant, sleep_until, timeout};

use super::bodies::Fetched;
use super::dial::{Call, Opened, close};
use super::frames::{FrameReadError, FrameReader, Outbox};
use super::relay::asked_to_stop;
use super::renew::Renewal;
use super::{LAST_WORDS, Link, LinkEnd};
use crate::halves::{FromExecutor, ToExecutor};

/// Messages for the executor that may wait before the control stream is read no further.
const INBOX: usize = 64;
/// Messages for the executor that may wait before no further body is fetched.
const BODIES_AHEAD: usize = 4;
/// Why a session is over.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The connection failed, or was closed without a word.
    Lost(String),
    /// The coordinator ended it with a reason.
    Refused(Refusal),
    /// The whole link ends.
    Link(LinkEnd),
}

/// What happened next.
enum Event {
    Heard(Result<CoordinatorMessage, FrameReadError>),
    Said(Option<FromExecutor>),
    Wrote(Result<(), WriteError>),
    Delivered,
    ExecutorGone,
    Fetched(Option<Fetched>),
    RenewalDue,
    Silent,
    Shutdown,
}

struct Session<'a> {
    link: &'a mut Link,
    connection: Connection,
    endpoint: &'a str,
    send: SendStream,
    recv: RecvStream,
    reader: FrameReader,
    outbox: Outbox,
    inbox: VecDeque<ToExecutor>,
    nonce: Nonce,
    plan_key: Option<VerifyingKey>,
    renewal: Renewal,
    heard_at: Instant,
}

/// Runs a session that was let in, closes it and tells the executor that it is over.
pub(super) async fn run(link: &mut Link, endpoint: &str, opened: Opened) -> SessionEnd {
    let Opened {
        call,
        send,
        recv,
        reader,
        welcome,
    } = opened;
    link.learn_coordinators(endpoint, &welcome.coordinators);
    let inbox = VecDeque::from([
        ToExecutor::Session {
            nonce: welcome.nonce,
        },
        ToExecutor::Grants {
            plan_key: welcome.plan_key.clone(),
            epoch: welcome.epoch_grant.clone(),
        },
    ]);
    let plan_key = verified_plan_key(link, &welcome.plan_key);
    let mut session = Session {
        connection: call.connection.clone(),
        endpoint,
        send,
        recv,
        reader,
        outbox: Outbox::default(),
        inbox,
        nonce: welcome.nonce,
        plan_key,
        renewal: Renewal::new(),
        heard_at: Instant::now(),
        link,
    };
    let (end, code) = session.serve().await;
    drop((session.send, session.recv, session.connection));
    finish(link, call, end, code).await
}

async fn finish(link: &mut Link, call: Call, end: SessionEnd, code: VarInt) -> SessionEnd {
    call.close(code, "").await;
    link.bodies.interrupt().await;
    if matches!(end, SessionEnd::Link(_)) {
        return end;
    }
    match link.relay.tell(ToExecutor::Disconnected).await {
        Ok(()) => end,
        Err(over) => SessionEnd::Link(over),
    }
}

/// The plan key, when the recovery key that we know granted it. Only for believing times: what the
/// executor trusts it decides itself.
fn verified_plan_key(link: &Link, grant: &Signed<PlanKeyGrant>) -> Option<VerifyingKey> {
    match grant.verify(&link.identity.recovery().verifying) {
        Ok(grant) if grant.cluster == link.identity.cluster() => Some(grant.key),
        _ => {
            tracing::error!("the coordinator's plan key was not granted by our recovery key");
            None
        }
    }
}

impl Session<'_> {
    async fn serve(&mut self) -> (SessionEnd, VarInt) {
        loop {
            let event = self.next().await;
            if let Some(end) = self.on(event).await {
                return end;
            }
        }
    }

    async fn next(&mut self) -> Event {
        // What the executor has not taken yet is held in memory.
        if self.inbox.len() < BODIES_AHEAD {
            self.link.bodies.start(&self.connection);
        }
        let silent_at = self.heard_at + self.link.settings.silence;
        let renew_at = self.renewal.wake(self.link);
        let relay = &mut self.link.relay;
        tokio::select! {
            heard = self.reader.next(&mut self.recv), if self.inbox.len() < INBOX => {
                Event::Heard(heard)
            }
            said = relay.from.recv() => Event::Said(said),
            wrote = self.outbox.advance(&mut self.send), if !self.outbox.is_empty() => {
                Event::Wrote(wrote)
            }
            permit = relay.to.reserve(), if !self.inbox.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(message) = self.inbox.pop_front() {
                        permit.send(message);
                    }
                    Event::Delivered
                }
                Err(_) => Event::ExecutorGone,
            },
            fetched = self.link.bodies.next(), if self.link.bodies.are_running() => {
                Event::Fetched(fetched)
            }
            () = sleep_until(renew_at) => Event::RenewalDue,
            () = sleep_until(silent_at) => Event::Silent,
            () = asked_to_stop(&mut relay.shutdown) => Event::Shutdown,
        }
    }

    async fn on(&mut self, event: Event) -> Option<(SessionEnd, VarInt)> {
        match event {
            Event::Heard(Ok(message)) => {
                self.heard_at = Instant::now();
                self.heard(message)
            }
            Event::Heard(Err(FrameReadError::Frame(error))) => {
                tracing::error!(endpoint = self.endpoint, %error, "the coordinator breaks the protocol");
                Some((SessionEnd::Lost(error.to_string()), close::PROTOCOL))
            }
            Event::Heard(Err(error)) => lost(error),
            Event::Wrote(Err(error)) => lost(error),
            Event::Wrote(Ok(())) | Event::Delivered => None,
            Event::Said(Some(said)) => self.said(said).await,
            Event::Said(None) | Event::ExecutorGone => {
                Some((SessionEnd::Link(LinkEnd::ExecutorGone), close::DONE))
            }
            Event::Fetched(fetched) => {
                let said = fetched.and_then(|fetched| self.link.bodies.settle(fetched));
                self.inbox.extend(said);
                None
            }
            Event::RenewalDue => {
                self.renew();
                None
            }
            Event::Silent => {
                let end = SessionEnd::Lost("nothing was heard for too long".to_owned());
                Some((end, close::SILENT))
            }
            Event::Shutdown => Some((SessionEnd::Link(LinkEnd::Shutdown), close::DONE)),
        }
    }

    fn heard(&mut self, message: CoordinatorMessage) -> Option<(SessionEnd, VarInt)> {
        match message {
            CoordinatorMessage::Offer(target) => {
                self.note_time(&target);
                // An offer that the executor has not seen yet is superseded by this one.
                self.inbox
                    .retain(|waiting| !matches!(waiting, ToExecutor::Offer(_)));
                self.inbox.push_back(ToExecutor::Offer(target));
            }
            CoordinatorMessage::Secrets(secrets) => {
                self.inbox.push_back(ToExecutor::Secrets(secrets));
            }
            CoordinatorMessage::Coordinators(told) => {
                self.link.learn_coordinators(self.endpoint, &told);
            }
            CoordinatorMessage::Renewed(renewed) => match self.link.adopt(&renewed.chain) {
                Ok(()) => self.renewal.done(),
                Err(error) => tracing::error!(%error, "certificate not renewed"),
            },
            CoordinatorMessage::RenewRefused { reason } => {
                tracing::error!(reason, "certificate not renewed");
            }
            CoordinatorMessage::Ping { number } => {
                self.outbox.push(AgentMessage::Pong { number });
            }
            CoordinatorMessage::StatisticsStored { cursor } => {
                self.inbox
                    .push_back(ToExecutor::StatisticsStored { cursor });
            }
            CoordinatorMessage::StatisticsRefused { cursor } => {
                self.inbox
                    .push_back(ToExecutor::StatisticsRefused { cursor });
            }
            CoordinatorMessage::StatisticsCursors(cursors) => {
                self.inbox.push_back(ToExecutor::StatisticsCursors(cursors));
            }
            CoordinatorMessage::Refused(refusal) => {
                return Some((SessionEnd::Refused(refusal), close::DONE));
            }
            CoordinatorMessage::Welcome(_) => {
                let end = SessionEnd::Lost("a second Welcome".to_owned());
                return Some((end, close::PROTOCOL));
            }
        }
        None
    }

    async fn said(&mut self, said: FromExecutor) -> Option<(SessionEnd, VarInt)> {
        let mut last = false;
        match said {
            // An executor that was busy may speak to an older session still: as a replay, that would
            // end this one.
            FromExecutor::Report(report)
                if !report
                    .unverified()
                    .is_ok_and(|said| said.nonce == self.nonce) =>
            {
                tracing::debug!("a report for an older session is dropped");
            }
            FromExecutor::Statistics(batch)
                if !batch
                    .unverified()
                    .is_ok_and(|said| said.nonce == self.nonce) =>
            {
                tracing::debug!("statistics for an older session are dropped");
            }
            FromExecutor::Statistics(batch) => self.outbox.push(AgentMessage::Statistics(batch)),
            FromExecutor::Report(report) => {
                self.outbox.push(AgentMessage::Report(report));
                last = self.link.relay.retired;
            }
            FromExecutor::BodiesWanted(hashes) => self.link.bodies.want(hashes),
            FromExecutor::SecretsWanted {
                generation,
                secrets,
            } => self.want_secrets(generation, &secrets),
            FromExecutor::Retired => {
                self.link.relay.retired = true;
                last = true;
            }
            other @ (FromExecutor::FetchWanted { .. }
            | FromExecutor::PostWanted { .. }
            | FromExecutor::ReconnectWanted { .. }
            | FromExecutor::Standing(_)) => {
                self.link.relay.absorb(other);
            }
        }
        if !last {
            return None;
        }
        self.last_words().await;
        Some((SessionEnd::Link(LinkEnd::Retired), close::DONE))
    }

    /// Hands over the report that confirms the wipe. The coordinator closes when it has read the
    /// finished stream: a close of ours could overtake what it has received but not yet read.
    async fn last_words(&mut self) {
        let words = async {
            let sent = self.outbox.flush(&mut self.send).await.is_ok()
                && self.send.finish().is_ok()
                && matches!(self.send.stopped().await, Ok(None));
            if sent {
                self.connection.closed().await;
            }
            sent
        };
        match timeout(LAST_WORDS, words).await {
            Ok(true) => {}
            Ok(false) => tracing::error!("the report that confirms the wipe was not delivered"),
            Err(_) => tracing::warn!("the report that confirms the wipe may not have been read"),
        }
    }

    fn want_secrets(&mut self, generation: Generation, secrets: &[SecretRef]) {
        self.outbox.drop_secrets_wanted();
        for some in secrets.chunks(limits::SECRETS_PER_MESSAGE) {
            self.outbox.push(AgentMessage::SecretsWanted {
                generation,
                secrets: some.to_vec(),
            });
        }
    }

    fn renew(&mut self) {
        if !self.renewal.is_due(self.link) {
            return;
        }
        self.renewal.asked(self.link);
        match self.link.renewal_request() {
            Ok(request) => self.outbox.push(AgentMessage::Renew { request }),
            Err(error) => tracing::error!(%error, "certificate cannot be renewed"),
        }
    }

    /// A rightly signed target proves that it is not earlier than its date.
    fn note_time(&mut self, target: &Signed<Target>) {
        let Some(key) = &self.plan_key else { return };
        let Ok(target) = target.verify(key) else {
            return;
        };
        if target.cluster == self.link.identity.cluster()
            && self.link.clock.at_least(target.issued_at)
            && let Err(error) = self.link.store.save_clock_floor(target.issued_at)
        {
            tracing::warn!(%error, "the time of the newest target is not remembered");
        }
    }
}

fn lost(error: impl std::fmt::Display) -> Option<(SessionEnd, VarInt)> {
    Some((SessionEnd::Lost(error.to_string()), close::DONE))
}
