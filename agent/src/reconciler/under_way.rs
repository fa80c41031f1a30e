//! What is being done right now, and the wish to stop.
//!
//! An action that spawns a program can take long: a package half an hour, a command as long as its
//! limit. Whoever ends the process waits for it only so long, and then has to know what is left to
//! itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use email_engine_protocol::id::ResourceId;

/// Shared between whoever acts and whoever may stop it.
#[derive(Debug, Default)]
pub struct UnderWay {
    stop: AtomicBool,
    action: Mutex<Option<ResourceId>>,
}

impl UnderWay {
    /// Asks to begin nothing new.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether nothing new shall be begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does something that cannot be stopped.
    pub fn run<T>(&self, id: &ResourceId, action: impl FnOnce() -> T) -> T {
        *self.lock() = Some(id.clone());
        let done = action();
        *self.lock() = None;
        done
    }

    /// What is being done.
    #[must_use]
    pub fn action(&self) -> Option<ResourceId> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ResourceId>> {
        self.action.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
