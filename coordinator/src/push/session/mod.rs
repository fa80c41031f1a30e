//! One agent's connection, from Hello to its end.
//!
//! One task and one `select!`. Whatever takes time (a commit, the disk, sealing) runs beside it and
//! comes back as [`Work`], so that a slow commit never delays an offer.

mod content;
mod drains;
mod expired;
mod foreign;
mod greet;
mod hear;
mod held;
mod reports;
mod seen;
mod statistics;
mod work;

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use email_engine_protocol::bytes::{ContentHash, Nonce};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Refusal, RefusalCode};

use self::content::Content;
use self::drains::Emptied;
use self::foreign::Telling;
use self::greet::Grants;
use self::seen::Seen;
use self::statistics::Statistics;
use self::work::Work;
use super::frames::{self, FrameReadError, FrameReader};
use super::intake::Intake;
use super::registry::Place;
use super::{Fleet, Push, door, metric_names, transport};
use crate::pki::Credential;
use crate::state::{FleetState, TargetRecord};

/// The Hello comes within so long.
const HELLO: Duration = Duration::from_secs(10);
/// Largest Hello.
const HELLO_BYTES: usize = 64 * 1024;
/// Between two pings.
const PING: Duration = Duration::from_secs(15);
/// Bodies on their way at once.
const BODIES: usize = 8;
/// What is done beside the session's own task at once; what the agent says next waits.
const WORKS: usize = 32;
/// The last word is taken within so long.
const LAST_WORD: Duration = Duration::from_millis(300);

/// Why a session ends: what the agent is told, if anything.
type End = Option<Refusal>;

/// Serves one agent until its connection ends.
pub(super) async fn run<F: Fleet>(
    push: Arc<Push<F>>,
    connection: Connection,
    host: HostId,
    credential: Credential,
) {
    let remote = connection.remote_address();
    let hello = async {
        let (send, mut recv) = connection.accept_bi().await.ok()?;
        let mut reader = FrameReader::new(HELLO_BYTES);
        let first = reader.next::<AgentMessage>(&mut recv).await;
        Some((send, recv, reader, first))
    };
    let Ok(Some((mut send, recv, mut reader, first))) = timeout(HELLO, hello).await else {
        connection.close(transport::SILENT, b"no Hello came");
        return;
    };
    let greeted = match first {
        Ok(AgentMessage::Holding { reason }) => Err(refusal(
            RefusalCode::Holding,
            &format!("its agent holds and changes nothing: {reason}"),
        )),
        Ok(first) => greet::greet(&push, &host, &first),
        Err(error) => Err(refusal(RefusalCode::Protocol, &error.to_string())),
    };
    let greeted = match greeted {
        Ok(greeted) => greeted,
        Err(refusal) => {
            tracing::warn!(%host, %remote, code = ?refusal.code, reason = refusal.reason, "session refused");
            push.registry.note_turned_away(&host, &refusal);
            return part(&connection, &mut send, Some(refusal)).await;
        }
    };
    let (cluster, nonce, grants) = (greeted.cluster, greeted.welcome.nonce, greeted.grants);
    let welcome = CoordinatorMessage::Welcome(Box::new(greeted.welcome));
    if let Err(error) = frames::say(&mut send, &welcome).await {
        tracing::info!(%host, %remote, %error, "session lost");
        return;
    }
    reader.set_cap(limits::FRAME_BYTES);
    let credential = Arc::new(credential);
    let registry = &push.registry;
    let place = registry.enter(&host, &connection, &credential, greeted.target);
    tracing::info!(%host, %remote, "session begins");
    let mut session = Session {
        content: Arc::new(Content::new(push.fleet.clone(), host.clone())),
        spki: credential.spki,
        push,
        host,
        cluster,
        grants,
        nonce,
        connection: connection.clone(),
        credential,
        place,
        send,
        recv: Some(recv),
        reader,
        sequence: None,
        statistics: Statistics::default(),
        seen: Seen::default(),
        offered: None,
        pings: 0,
        work: JoinSet::new(),
        bodies: JoinSet::new(),
        renewing: false,
        cutting: false,
        emptied: None,
        ending: false,
        tellings: Tellings::default(),
    };
    let end = session.serve().await;
    if let Some(refusal) = &end {
        let registry = &session.push.registry;
        registry.note_turned_away(&session.host, refusal);
    }
    tracing::info!(host = %session.host, %remote, why = end.as_ref().map(|refusal| refusal.reason.as_str()), "session ends");
    part(&connection, &mut session.send, end).await;
}

/// Says why, waits a moment for it to be read, and closes.
async fn part(connection: &Connection, send: &mut SendStream, end: End) {
    let Some(refusal) = end else {
        connection.close(transport::DONE, b"");
        return;
    };
    let code = transport::code_of(refusal.code);
    let said = async {
        frames::say(send, &CoordinatorMessage::Refused(refusal))
            .await
            .ok()?;
        send.finish().ok()?;
        send.stopped().await.ok()
    };
    let _ = timeout(LAST_WORD, said).await;
    connection.close(code, b"");
}

fn refusal(code: RefusalCode, reason: &str) -> Refusal {
    let retry_after_millis = matches!(code, RefusalCode::NoLeader | RefusalCode::Busy);
    Refusal {
        code,
        reason: reason.to_owned(),
        retry_after_millis: retry_after_millis.then_some(1000),
    }
}

struct Session<F: Fleet> {
    push: Arc<Push<F>>,
    host: HostId,
    cluster: ClusterId,
    /// What the Welcome granted.
    grants: Grants,
    nonce: Nonce,
    connection: Connection,
    credential: Arc<Credential>,
    /// Key of the newest certificate that this session was given.
    spki: ContentHash,
    place: Place,
    send: SendStream,
    /// Absent when the agent finished its side.
    recv: Option<RecvStream>,
    reader: FrameReader,
    /// Of the last report.
    sequence: Option<u64>,
    /// What accounting files say.
    statistics: Statistics,
    /// What was counted of its reports.
    seen: Seen,
    /// Newest generation that was offered or that the agent refused: not offered again.
    offered: Option<Generation>,
    pings: u64,
    content: Arc<Content<F>>,
    work: JoinSet<Work>,
    bodies: JoinSet<()>,
    renewing: bool,
    cutting: bool,
    /// What the last report said of queues.
    emptied: Option<Emptied>,
    /// The fleet is being told of it.
    ending: bool,
    /// What hosts say of which the fleet is told.
    tellings: Tellings,
}

enum Event {
    Heard(Result<AgentMessage, FrameReadError>),
    Target(Option<TargetRecord>),
    Coordinators(Vec<String>),
    End(Refusal),
    Body(Option<(SendStream, RecvStream)>),
    Worked(Work),
    RecordDue,
    Ping,
    Nothing,
}

/// What a host says of which the fleet is told.
#[derive(Debug, Default)]
struct Tellings {
    /// MailWizz's own plans.
    foreign: Telling,
    /// Campaigns that stand still.
    held: held::Telling,
    /// Mail that was deleted, as it was said last.
    expired: expired::Telling,
}

impl<F: Fleet> Session<F> {
    async fn serve(&mut self) -> End {
        // The state may have moved between the door and this place.
        if let Err(told) = door::remains(&self.push, &self.host, &self.credential).await {
            return Some(told);
        }
        let first = self.place.target.borrow_and_update().clone();
        if let Err(end) = self.offer(first.as_ref()).await {
            return end;
        }
        if let Err(end) = self.say_cursors().await {
            return end;
        }
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            let event = self.next(&mut pings).await;
            if let Err(end) = self.on(event).await {
                return end;
            }
        }
    }

    async fn next(&mut self, pings: &mut tokio::time::Interval) -> Event {
        let due = self.intake().due(Instant::now());
        let reading = async {
            match &mut self.recv {
                Some(recv) => self.reader.next(recv).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = reading, if self.work.len() < WORKS => Event::Heard(heard),
            Ok(()) = self.place.target.changed() => {
                Event::Target(self.place.target.borrow_and_update().clone())
            }
            Ok(()) = self.place.coordinators.changed() => {
                Event::Coordinators(self.place.coordinators.borrow_and_update().clone())
            }
            Ok(()) = self.place.end.changed() => match &*self.place.end.borrow_and_update() {
                Some(refusal) => Event::End(refusal.clone()),
                None => Event::Nothing,
            },
            opened = self.connection.accept_bi(), if self.bodies.len() < BODIES => {
                Event::Body(opened.ok())
            }
            Some(_) = self.bodies.join_next() => Event::Nothing,
            Some(done) = self.work.join_next() => done.map_or(Event::Nothing, Event::Worked),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Event::RecordDue,
            _ = pings.tick() => Event::Ping,
        }
    }

    async fn on(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Heard(Ok(message)) => self.heard(message).await,
            Event::Heard(Err(FrameReadError::Ended)) => self.finished(),
            Event::Heard(Err(error @ FrameReadError::Read(_))) => {
                tracing::debug!(host = %self.host, %error, "connection lost");
                Err(None)
            }
            Event::Heard(Err(error)) => self.broken(&error.to_string()),
            Event::Target(target) => self.offer(target.as_ref()).await,
            Event::Coordinators(list) => self.say(CoordinatorMessage::Coordinators(list)).await,
            Event::End(refusal) => Err(Some(refusal)),
            Event::Body(None) => Err(None),
            Event::Body(Some((send, recv))) => {
                self.bodies
                    .spawn(content::serve(self.content.clone(), send, recv));
                Ok(())
            }
            Event::Worked(work) => self.worked(work).await,
            Event::RecordDue => {
                self.record();
                Ok(())
            }
            Event::Ping => {
                self.pings += 1;
                self.end_drains();
                self.tell_foreign();
                self.tell_held();
                self.tell_expired();
                let number = self.pings;
                self.say(CoordinatorMessage::Ping { number }).await
            }
            Event::Nothing => Ok(()),
        }
    }

    /// Offers the host's target, signed now; never one that it had already.
    async fn offer(&mut self, target: Option<&TargetRecord>) -> Result<(), End> {
        let Some(target) = target.filter(|target| Some(target.generation) > self.offered) else {
            return Ok(());
        };
        if let Some(frozen) = self.push.registry.frozen_host(&self.host) {
            if target.generation <= frozen.accepted {
                return Ok(());
            }
            self.push.registry.set_frozen(&self.host, None);
        }
        let granted = |state: &FleetState| state.cluster.as_ref().map(Grants::of);
        if self.push.fleet.view(granted) != Some(self.grants) {
            // Grants travel in the Welcome, and a target under one that was not told is refused.
            let reason = "the cluster's grants changed: come again for the new ones";
            return Err(Some(refusal(RefusalCode::Busy, reason)));
        }
        match greet::sign(&self.push, &self.host, target) {
            Ok(signed) => {
                self.offered = Some(target.generation);
                self.place.note_offered(target.generation);
                metrics::counter!(metric_names::OFFERS).increment(1);
                self.say(CoordinatorMessage::Offer(signed)).await
            }
            Err(error) => {
                tracing::error!(host = %self.host, %error, "the target cannot be signed");
                Err(Some(refusal(
                    RefusalCode::Busy,
                    "this node cannot sign targets",
                )))
            }
        }
    }

    async fn say(&mut self, message: CoordinatorMessage) -> Result<(), End> {
        let said = frames::say(&mut self.send, &message).await;
        said.map_err(|error| {
            tracing::info!(host = %self.host, %error, "session lost");
            None
        })
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.place
            .intake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
