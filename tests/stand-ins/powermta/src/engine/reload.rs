//! How the daemon starts, and how it takes a new configuration or keeps the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use thiserror::Error;
use tokio::sync::Notify;

use super::state::{Engine, Overrides, Stats, locked};
use crate::accounting::Accounting;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::deliver::{Resolver, ResolverError, Seats};
use crate::queue::Queues;
use crate::spool::{SpoolError, Store};

/// Why the daemon does not start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// What the guide has a restart for, as it is written.
fn until_restart(config: &Config) -> BTreeMap<&'static str, String> {
    [("http-mgmt-port", "8080"), ("run-as-root", "yes")]
        .into_iter()
        .map(|(name, otherwise)| {
            let written = config.settings.written(name).unwrap_or(otherwise);
            (name, written.to_owned())
        })
        .collect()
}

impl Engine {
    /// Reads configuration and spool; what was accepted before is queued again.
    pub(crate) fn start(file: &Path, overrides: Overrides) -> Result<Arc<Self>, StartError> {
        let config = Arc::new(Config::read(file)?);
        let spool = config.spools.first().cloned().unwrap_or_default();
        let store = Store::open(&spool)?;
        let resolver = Resolver::new(&config, &overrides)?;
        let now = clock::now();
        let (accounting, faults) = Accounting::new(&config, Accounting::default(), now);
        let engine = Arc::new_cyclic(|own| Self {
            own: own.clone(),
            processors: (
                config.bounce_processor.is_some(),
                config.feedback_processor.is_some(),
            ),
            resolver: RwLock::new(Arc::new(resolver)),
            config: RwLock::new(Arc::clone(&config)),
            overrides,
            queues: Mutex::new(Queues::default()),
            accounting: Mutex::new(accounting),
            store,
            seats: Seats::default(),
            work: Notify::new(),
            reloaded: Notify::new(),
            stats: Mutex::new(Stats::default()),
            started: now,
            until_restart: until_restart(&config),
            paused_jobs: Mutex::new(BTreeSet::new()),
            open: Mutex::new(BTreeMap::new()),
            pool_cursors: Mutex::new(BTreeMap::new()),
            last_id: AtomicU64::new(0),
        });
        for fault in faults {
            engine.log(&fault);
        }
        engine.log_idle();
        let found = engine.store.load()?;
        engine.log(&format!(
            "starting; {} message(s) in the spool",
            found.len()
        ));
        for envelope in found {
            engine.queues().enqueue(&config, &Arc::new(envelope), now);
        }
        Ok(engine)
    }

    /// Takes the file's present content; on a fault everything stays as it was.
    pub(crate) fn reload(&self) -> Result<(), StartError> {
        let mut config = Config::read(&self.config().file)?;
        config.keep_certificates_of(&self.config());
        let resolver = Resolver::new(&config, &self.overrides)?;
        let config = Arc::new(config);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&config);
        *self
            .resolver
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(resolver);
        let faults = {
            let mut running = locked(&self.accounting);
            let before = std::mem::take(&mut *running);
            let (renewed, faults) = Accounting::new(&config, before, clock::now());
            *running = renewed;
            faults
        };
        for fault in faults {
            self.log(&fault);
        }
        self.log("configuration reloaded");
        self.log_idle();
        for (name, value) in until_restart(&config) {
            if self.until_restart.get(name) != Some(&value) {
                self.log(&format!("{name} {value} waits for a restart"));
            }
        }
        self.reloaded.notify_waiters();
        self.work.notify_one();
        Ok(())
    }
}
