//! The executor's side: lets the network half in, one at a time, and carries messages both ways.
//!
//! The executor never waits for it: what it says while nobody listens is where it stands, which is kept
//! for the next [`Begin`], or is said again in the next session.

use std::time::Duration;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::frames::{self, SocketError};
use super::place::{NetworkUser, is_network_half};
use super::{Begin, VERSION};
use crate::executor::{ExecutorHandle, Started};
use crate::halves::{ExecutorKeys, FromExecutor, Standing, ToExecutor};

/// A network half that reads nothing for so long is let go, to be started anew.
const STALLED: Duration = Duration::from_secs(30);

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeEnd {
    /// The executor's thread is gone.
    ExecutorGone,
    /// The host was retired, and whoever carried the last word away has hung up.
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
    retired: bool,
}

/// Why one connection ended.
enum Closed {
    ByPeer,
    Failed(SocketError),
    Serve(ServeEnd),
}

/// Serves until the process shall end or the executor has stopped.
pub async fn serve(
    listener: UnixListener,
    user: NetworkUser,
    started: Started,
    mut shutdown: watch::Receiver<bool>,
) -> ServeEnd {
    let mut side = Side {
        handle: started.handle,
        events: started.events,
        keys: started.keys,
        standing: started.standing,
        retired: started.retired,
    };
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    continue;
                }
            },
            said = side.events.recv() => match said {
                Some(said) => {
                    side.note(&said);
                    continue;
                }
                None => return ServeEnd::ExecutorGone,
            },
            () = asked_to_stop(&mut shutdown) => return ServeEnd::Shutdown,
        };
        if !may_enter(&stream, user) {
            continue;
        }
        match side.connection(stream, &mut shutdown).await {
            Closed::Serve(end) => return end,
            Closed::ByPeer => tracing::info!("the network half is gone"),
            Closed::Failed(error) => tracing::warn!(%error, "the network half is let go"),
        }
        if side.handle.send(ToExecutor::Disconnected).await.is_err() {
            return ServeEnd::ExecutorGone;
        }
        if side.retired {
            return ServeEnd::Retired;
        }
    }
}

/// Who is not the network half hears nothing, not even that.
fn may_enter(stream: &UnixStream, user: NetworkUser) -> bool {
    match stream.peer_cred() {
        Ok(peer) if is_network_half(&peer, user) => {
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
            FromExecutor::Retired => self.retired = true,
            _ => {}
        }
    }

    fn begin(&self) -> Begin {
        Begin {
            version: VERSION,
            keys: self.keys,
            standing: self.standing.clone(),
            trust: self.handle.trust(),
            retired: self.retired,
        }
    }

    async fn connection(
        &mut self,
        stream: UnixStream,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Closed {
        let (from, mut to) = stream.into_split();
        if let Err(error) = say(&mut to, &self.begin()).await {
            return Closed::Failed(error);
        }
        // A task of its own: a message that is read half is lost with whoever reads it.
        let mut hearing = tokio::spawn(hear(from, self.handle.clone()));
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

async fn hear(mut from: OwnedReadHalf, handle: ExecutorHandle) -> Closed {
    loop {
        match frames::read_to_executor(&mut from).await {
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

/// Ends when the process shall end. Nobody left to ask is the same.
async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
