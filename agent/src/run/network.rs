//! What the network half does, wherever the executor is: lets the host in, then keeps the link.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::admission::{Entrance, Stop, has_nothing_new, same_host};
use super::expect::Witness;
use super::{End, RunError, Task, VERSION, mode};
use crate::config::Config;
use crate::executor::{ExecutorHandle, Started};
use crate::halves::{ExecutorKeys, FromExecutor, Standing, ToExecutor, Trust};
use crate::identity::IdentityStore;
use crate::link::{ExecutorSide, Link, LinkEnd, LinkSettings};
use crate::socket::call::Called;

/// Messages for the executor that may be under way.
const QUEUE: usize = 16;
/// Three pings of a coordinator.
const SILENCE: Duration = Duration::from_secs(60);

/// The executor, as the network half knows it.
#[derive(Debug)]
pub(super) struct Other {
    keys: ExecutorKeys,
    standing: Standing,
    trust: Option<Trust>,
    witness: Witness,
    retired: bool,
    to: mpsc::Sender<ToExecutor>,
    from: mpsc::Receiver<FromExecutor>,
}

impl Other {
    /// In this very process.
    pub(super) fn beside(started: Started) -> Self {
        Self {
            keys: started.keys,
            standing: started.standing,
            trust: started.trust,
            witness: Witness::Here(started.handle.clone()),
            retired: started.retired,
            to: forward(started.handle),
            from: started.events,
        }
    }
}

impl From<Called> for Other {
    fn from(called: Called) -> Self {
        let Called { begin, to, from } = called;
        Self {
            keys: begin.keys,
            standing: begin.standing,
            trust: begin.trust,
            witness: Witness::There(begin.expected),
            retired: begin.retired,
            to,
            from,
        }
    }
}

/// Lets the host in if need be, and keeps the link until there is nothing left to do.
pub(super) async fn half(
    config: &Config,
    task: Task,
    store: &IdentityStore,
    other: Other,
    shutdown: watch::Receiver<bool>,
) -> Result<End, RunError> {
    let Other {
        keys,
        standing,
        trust,
        witness,
        retired,
        to,
        from,
    } = other;
    if retired {
        store.forget()?;
        match &witness {
            // Whoever holds the machine has not spoken, and cannot by us.
            Witness::There(_) => return ended(LinkEnd::Retired, store),
            Witness::Here(executor) => {
                if let Err(why) = executor.expected() {
                    tracing::warn!("no trust is believed: {why}");
                }
            }
        }
    }
    let mut side = ExecutorSide::new(to, from, standing, shutdown);
    let entrance = Entrance {
        config,
        task,
        store,
        keys,
        pinned: trust.as_ref(),
        witness: &witness,
    };
    let admitted = entrance.identity(&mut side).await;
    let identity = match admitted {
        Ok(identity) => identity,
        Err(Stop::Link(end)) => return ended(end, store),
        Err(Stop::Failed(error)) if retired && has_nothing_new(&error) => {
            return ended(LinkEnd::Retired, store);
        }
        Err(Stop::Failed(error)) if trust.is_some() && task != Task::Enroll => {
            // The executor knows what this host shall be: that goes on without us.
            tracing::error!(%error, "no identity, so no coordinator; the last good state is kept");
            let alone = side.during(std::future::pending::<()>()).await;
            return alone.map_or_else(|end| ended(end, store), |()| Ok(End::Done));
        }
        Err(Stop::Failed(error)) => return Err(error),
    };
    same_host(trust.as_ref(), &identity.trust)?;
    if trust.is_none() {
        let admitted = ToExecutor::Admitted(Box::new(identity.trust.clone()));
        if let Err(end) = side.tell(admitted).await {
            return ended(end, store);
        }
    }
    tracing::info!(host = %identity.host(), cluster = %identity.cluster(), "enrolled");
    if task == Task::Enroll {
        return Ok(End::Done);
    }
    let settings = LinkSettings {
        mode: mode(config),
        reconnect_max: config.reconnect_max(),
        silence: SILENCE,
        software: VERSION.to_owned(),
        acme_ca_file: config.acme_ca_file.clone(),
    };
    let link = Link::new(settings, store.clone(), identity, side)?;
    ended(Box::pin(link.run()).await, store)
}

fn ended(end: LinkEnd, store: &IdentityStore) -> Result<End, RunError> {
    match end {
        LinkEnd::Shutdown => Ok(End::Done),
        LinkEnd::ExecutorGone => Err(RunError::ExecutorGone),
        LinkEnd::Revoked => Ok(End::Revoked),
        LinkEnd::Retired => {
            store.forget()?;
            tracing::info!("this host was retired; its identity is forgotten");
            Ok(End::Retired)
        }
    }
}

/// Carries messages to the executor's thread.
fn forward(handle: ExecutorHandle) -> mpsc::Sender<ToExecutor> {
    let (to, mut messages) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if handle.send(message).await.is_err() {
                return;
            }
        }
    });
    to
}

/// Becomes true at SIGTERM or SIGINT.
pub(super) fn stop_signals() -> io::Result<watch::Receiver<bool>> {
    let (stop, shutdown) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.send_replace(true);
        // Kept open: a closed channel would be the same wish again, and a second signal no other.
        stop.closed().await;
    });
    Ok(shutdown)
}
