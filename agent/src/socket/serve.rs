//! The executor's side: lets the network half in, the newest one, and carries messages both ways.
//!
//! The executor never waits for it: what it says while nobody listens is where it stands, which is kept
//! for the next [`Begin`], or is said again in the next session.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::frames::{self, SocketError};
use super::place::{NetworkUser, is_network_half};
use super::{Begin, VERSION};
use crate::executor::{ExecutorHandle, Started};
use crate::halves::{ExecutorKeys, FromExecutor, Standing};

/// A network half that reads nothing for so long is let go, to be started anew.
const STALLED: Duration = Duration::from_secs(10);

/// After the host was retired, for whoever carries the last word away: many times what it gives a coordinator
/// for that. The keys are wiped afterwards, and the machine can be joined anew, whoever stays.
const FAREWELL: Duration = Duration::from_secs(30);

/// After a connection that could not be taken.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeEnd {
    /// The executor's thread is gone.
    ExecutorGone,
    /// The host was retired, and whoever carried the last word away has hung up, or had the time to.
    Retired,
    /// It was asked to.
    Shutdown,
}

/// The executor as the socket knows it.
#[derive(Debug)]
struct Side {
    handle: ExecutorHandle,
    events: mpsc::Receiver<FromExecutor>,
    keys: ExecutorKeys,
    standing: Standing,
    /// When it ends at the latest, once this life has retired the host, and how long after that.
    leave: Option<Instant>,
    farewell: Duration,
    /// Bodies that the executor asked for and has not had.
    wanted: Wanted,
}

/// Shared with whoever reads: no other body is taken.
type Wanted = Arc<Mutex<BTreeSet<ContentHash>>>;

/// Why one connection ended.
enum Closed {
    ByPeer,
    Failed(SocketError),
    /// Another one came: the newest wins, as between hosts.
    Newer(UnixStream),
    Serve(ServeEnd),
}

/// Serves until the process shall end or the executor has stopped.
pub async fn serve(
    listener: UnixListener,
    user: NetworkUser,
    started: Started,
    shutdown: watch::Receiver<bool>,
) -> ServeEnd {
    serve_until(listener, user, started, shutdown, FAREWELL).await
}

/// As [`serve`], and no longer than `farewell` after the host was retired.
pub(super) async fn serve_until(
    listener: UnixListener,
    user: NetworkUser,
    started: Started,
    mut shutdown: watch::Receiver<bool>,
    farewell: Duration,
) -> ServeEnd {
    let mut side = Side {
        handle: started.handle,
        events: started.events,
        keys: started.keys,
        standing: started.standing,
        leave: None,
        farewell,
        wanted: Wanted::default(),
    };
    let mut newer = None;
    loop {
        let stream = match newer.take() {
            Some(stream) => stream,
            None => tokio::select! {
                stream = enter(&listener, user) => stream,
                said = side.events.recv() => match said {
                    Some(said) => {
                        side.note(&said);
                        continue;
                    }
                    None => return ServeEnd::ExecutorGone,
                },
                () = has_come(side.leave) => return ServeEnd::Retired,
                () = asked_to_stop(&mut shutdown) => return ServeEnd::Shutdown,
            },
        };
        let next = enter(&listener, user);
        match side.connection(stream, next, &mut shutdown).await {
            Closed::Serve(end) => return end,
            Closed::ByPeer => tracing::info!("the network half is gone"),
            Closed::Failed(error) => tracing::warn!(%error, "the network half is let go"),
            Closed::Newer(stream) => {
                tracing::info!("a newer network half takes over");
                newer = Some(stream);
            }
        }
        if side.handle.disconnected().is_err() {
            return ServeEnd::ExecutorGone;
        }
        if side.is_retired() {
            return ServeEnd::Retired;
        }
    }
}

/// The next one that may enter; whoever may not is turned away at once, also while another is here.
async fn enter(listener: &UnixListener, user: NetworkUser) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if may_enter(&stream, user) => return stream,
            Ok(_) => {}
            Err(error) => {
                // Too many open files, perhaps: it passes.
                tracing::warn!(%error, "a connection could not be taken");
                sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Who is not the network half hears nothing, not even that.
fn may_enter(stream: &UnixStream, user: NetworkUser) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if is_network_half(peer.uid(), user, own) => {
            tracing::info!(
                pid = peer.pid(),
                uid = peer.uid(),
                "the network half is here"
            );
            true
        }
        Ok(peer) => {
            tracing::warn!(
                pid = peer.pid(),
                uid = peer.uid(),
                expected = user.uid,
                "not the network half's user: turned away"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "who called is not known: turned away");
            false
        }
    }
}

impl Side {
    fn note(&mut self, said: &FromExecutor) {
        match said {
            FromExecutor::Standing(standing) => self.standing.clone_from(standing),
            FromExecutor::Retired => {
                let farewell = self.farewell;
                self.leave.get_or_insert_with(|| Instant::now() + farewell);
            }
            FromExecutor::BodiesWanted(hashes) => {
                let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                wanted.extend(hashes);
            }
            _ => {}
        }
    }

    /// Whether nothing is left to be done here.
    fn is_retired(&self) -> bool {
        self.leave.is_some() || self.handle.is_retired()
    }

    fn begin(&self) -> Begin {
        Begin {
            keys: self.keys,
            standing: self.standing.clone(),
            trust: self.handle.trust(),
            expected: self.handle.expected().ok(),
            retired: self.is_retired(),
        }
    }

    async fn connection(
        &mut self,
        stream: UnixStream,
        next: impl Future<Output = UnixStream>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Closed {
        let mut next = std::pin::pin!(next);
        let (from, mut to) = stream.into_split();
        self.wanted = Wanted::default();
        if let Err(error) = begin(&mut to, &self.begin()).await {
            return Closed::Failed(error);
        }
        // A task of its own: a message that is read half is lost with whoever reads it.
        let heard = hear(from, self.handle.clone(), Arc::clone(&self.wanted));
        let mut hearing = tokio::spawn(heard);
        let closed = loop {
            tokio::select! {
                said = self.events.recv() => {
                    let Some(said) = said else {
                        break Closed::Serve(ServeEnd::ExecutorGone);
                    };
                    self.note(&said);
                    if let Err(error) = say(&mut to, &said).await {
                        break Closed::Failed(error);
                    }
                }
                heard = &mut hearing => break heard.unwrap_or(Closed::ByPeer),
                newer = &mut next => break Closed::Newer(newer),
                () = has_come(self.leave) => break Closed::Serve(ServeEnd::Retired),
                () = asked_to_stop(shutdown) => break Closed::Serve(ServeEnd::Shutdown),
            }
        };
        hearing.abort();
        closed
    }
}

async fn say<T: serde::Serialize>(to: &mut OwnedWriteHalf, message: &T) -> Result<(), SocketError> {
    match timeout(STALLED, frames::write(to, message, frames::FROM_EXECUTOR)).await {
        Ok(written) => written,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// The version first, by itself: it is understood when nothing else is.
async fn begin(to: &mut OwnedWriteHalf, begin: &Begin) -> Result<(), SocketError> {
    say(to, &VERSION).await?;
    say(to, begin).await
}

async fn hear(mut from: OwnedReadHalf, handle: ExecutorHandle, wanted: Wanted) -> Closed {
    let take = |hash: &ContentHash| {
        let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.remove(hash)
    };
    loop {
        match frames::read_to_executor(&mut from, take).await {
            Ok(Some(message)) => {
                if handle.send(message).await.is_err() {
                    return Closed::Serve(ServeEnd::ExecutorGone);
                }
            }
            Ok(None) => return Closed::ByPeer,
            Err(error) => return Closed::Failed(error),
        }
    }
}

async fn has_come(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Ends when the process shall end. Nobody left to ask is the same.
async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
