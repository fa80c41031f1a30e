//! The way to the executor, kept open while the link is busy with anything else: an executor that
//! speaks must never wait for the network.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::LinkEnd;
use super::fetch::Fetching;
use super::fetch::post::Posts;
use super::redial::Redial;
use crate::halves::{FromExecutor, Standing, ToExecutor};

/// Both directions to the executor, and the wish to stop.
#[derive(Debug)]
pub struct ExecutorSide {
    pub(super) to: mpsc::Sender<ToExecutor>,
    pub(super) from: mpsc::Receiver<FromExecutor>,
    pub(super) shutdown: watch::Receiver<bool>,
    /// The newest, for the next Hello.
    pub(super) standing: Standing,
    /// The executor has wiped the host; only the confirming report is still to be handed over.
    pub(super) retired: bool,
    /// Makes new connections, once the host is let in.
    pub(super) redial: Option<Redial>,
    /// Asks ACME servers, once the host is let in.
    pub(super) fetching: Option<Fetching>,
    /// Posts to tenants' applications.
    pub(super) posts: Posts,
}

impl ExecutorSide {
    /// Puts the channels together. `shutdown` becomes true when the process shall end.
    #[must_use]
    pub fn new(
        to: mpsc::Sender<ToExecutor>,
        from: mpsc::Receiver<FromExecutor>,
        standing: Standing,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        Self {
            to,
            from,
            shutdown,
            standing,
            retired: false,
            redial: None,
            fetching: None,
            posts: Posts::default(),
        }
    }

    /// Awaits `work` while reading what the executor says: where it stands is kept, the rest is for
    /// a session and dropped, since the executor says it again when one begins.
    ///
    /// # Errors
    /// When the process shall end or the executor has stopped first.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, LinkEnd> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                said = self.from.recv() => self.absorb(said.ok_or(LinkEnd::ExecutorGone)?),
                () = asked_to_stop(&mut self.shutdown) => return Err(LinkEnd::Shutdown),
            }
        }
    }

    /// Tells the executor something outside of a session.
    ///
    /// # Errors
    /// When the process shall end or the executor has stopped first.
    pub async fn tell(&mut self, message: ToExecutor) -> Result<(), LinkEnd> {
        let to = self.to.clone();
        self.during(async move { to.send(message).await })
            .await?
            .map_err(|_| LinkEnd::ExecutorGone)
    }

    /// Asks the executor whether it has wiped the host, when it was to, since the cluster has cut us
    /// off: it may be about to say so. Waits no longer than `patience`.
    ///
    /// # Errors
    /// When the process shall end or the executor has stopped first.
    pub(super) async fn is_retired(&mut self, patience: Duration) -> Result<bool, LinkEnd> {
        while let Ok(said) = self.from.try_recv() {
            self.absorb(said);
        }
        if self.standing.is_retiring && !self.retired {
            self.tell(ToExecutor::CutOff).await?;
            let too_late = Instant::now() + patience;
            while !self.retired {
                tokio::select! {
                    said = self.from.recv() => self.absorb(said.ok_or(LinkEnd::ExecutorGone)?),
                    () = asked_to_stop(&mut self.shutdown) => return Err(LinkEnd::Shutdown),
                    () = sleep_until(too_late) => break,
                }
            }
        }
        Ok(self.retired)
    }

    pub(super) fn absorb(&mut self, said: FromExecutor) {
        match said {
            FromExecutor::Standing(standing) => self.standing = standing,
            FromExecutor::Retired => self.retired = true,
            FromExecutor::ReconnectWanted { number } => {
                if let Some(redial) = &mut self.redial {
                    redial.begin(number, self.to.clone());
                }
            }
            FromExecutor::FetchWanted { number, fetch } => {
                if let Some(fetching) = &mut self.fetching {
                    fetching.begin(number, *fetch, self.to.clone());
                }
            }
            FromExecutor::PostWanted { number, post } => {
                self.posts.begin(number, *post, self.to.clone());
            }
            FromExecutor::Report(_)
            | FromExecutor::BodiesWanted(_)
            | FromExecutor::SecretsWanted { .. }
            | FromExecutor::Statistics(_) => {}
        }
    }
}

/// Ends when the process shall end. Nobody left to ask is the same.
pub(super) async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
