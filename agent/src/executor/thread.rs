//! The executor's thread: wakes on messages, touches and time, and hands them to the core.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::core::Core;
use crate::drift::Watcher;
use crate::halves::ToExecutor;

/// Changes come in bursts (write, rename, chmod): one pass for all.
const SETTLE: Duration = Duration::from_millis(2);
/// When something waits to be said and the network half does not read.
const SAY_AGAIN: Duration = Duration::from_millis(50);

/// Why the thread wakes.
#[derive(Debug)]
pub(super) enum Wake {
    Message(Box<ToExecutor>, OwnedSemaphorePermit),
    Stop,
    Touched,
}

pub(super) type WakeSender = Sender<Wake>;

/// Whether the thread has ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    ended: Mutex<bool>,
    bell: Condvar,
}

impl Ended {
    pub(super) fn wait(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self
                .bell
                .wait(ended)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Rings when the thread ends, also by a panic.
struct Ring(Arc<Ended>);

impl Drop for Ring {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.bell.notify_all();
    }
}

pub(super) fn run(mut core: Core) -> std::io::Result<(WakeSender, Arc<Ended>)> {
    let (sender, inbox) = mpsc::channel();
    let ended = Arc::new(Ended::default());
    let ring = Ring(Arc::clone(&ended));
    let touch = sender.clone();
    std::thread::Builder::new()
        .name("executor".to_owned())
        .spawn(move || {
            let _ring = ring;
            // Fails only when the thread below is gone.
            let watcher = Watcher::start(move || drop(touch.send(Wake::Touched)));
            match watcher {
                Ok(watcher) => core.watcher = Some(watcher),
                Err(error) => tracing::warn!(%error, "drift is seen by audits only"),
            }
            core.resume();
            serve(&mut core, &inbox);
            tracing::info!("executor stopped");
        })?;
    Ok((sender, ended))
}

fn serve(core: &mut Core, inbox: &Receiver<Wake>) {
    let mut settled: Option<Instant> = None;
    while !core.is_stopping() {
        let now = Instant::now();
        if settled.is_some_and(|at| at <= now) {
            settled = None;
            core.repair();
        }
        if core.next_audit() <= now {
            core.audit();
        }
        let unsaid = (!core.flush()).then(|| Instant::now() + SAY_AGAIN);
        let due = [Some(core.next_audit()), settled, unsaid];
        let next = due.into_iter().flatten().min().unwrap_or(now);
        match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Wake::Message(message, permit)) => {
                core.hear(*message);
                drop(permit);
            }
            Ok(Wake::Touched) => settled = settled.or_else(|| Some(Instant::now() + SETTLE)),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
