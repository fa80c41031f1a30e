//! The leader's clockwork: each task looks at nothing but the state, is woken by a signal (the state
//! changed, the leader changed) and by a timer, and may be run twice or stopped at any moment.
//!
//! - [`plan`] turns the state into targets. [`stock`] keeps DKIM keys made ahead of need.
//! - [`certify`] keeps certificates on the hosts at which the fleet submits.
//! - `password` makes passwords of databases and other secrets that hosts' roles want.
//! - [`expire`] cuts off hosts whose time for confirming their retirement is over.
//! - `restart` gives the word for restarts that may be made at certain times.
//! - `failover` does what follows from confirmed listings.
//! - `idle` says when identities sent last, and lays to rest those that had no mail for 30 days.
//! - `opens` reads what tenants' MailWizz counts of campaigns.
//! - `rotate` carries rotations of DKIM keys on, and begins those that are due.
//! - `alerts` tells people what they have to know, and looks for what no command says.
//! - `dns` looks at identities' records in DNS, and publishes them where the fleet may.
//! - `dnsbl` (on every node) looks everybody up on lists of bad senders.
//! - `warmup` judges each day how identities warm up, and on every report whether one must stop.
//! - [`renew`] (on every node) keeps the node's own certificate fresh.
//!
//! Join tokens and certificates need no task: that they ended is seen by whoever reads them.

mod alerts;
pub mod certify;
mod dns;
pub(crate) mod dnsbl;
pub mod expire;
mod failover;
mod idle;
mod opens;
mod password;
pub mod plan;
mod refused;
pub mod renew;
mod restart;
mod rotate;
pub mod stock;
#[cfg(test)]
mod tests;
mod warmup;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use alerts::{AlertsConfig, SessionsFn};
pub use plan::{AffectedFn, Plan, PlanFn};
pub use stock::{Stock, StockError};

use crate::command::Command;
use crate::dns::ask::AskConfig;
use crate::dnsbl::desk::Desk;
use crate::fleet::warmup::Evidence;
use crate::mailwizz::Applications;
use crate::pki::store::IdentityStore;
use crate::pki::{Life, NodeIdentity};
use crate::planner;
use crate::push::{Fleet, Registry, proposal};
use crate::raft::Leadership;
use crate::raft::Planned;
use crate::seal::Vault;
use crate::state::FleetState;

/// What the tasks need.
pub struct TasksConfig<F> {
    /// The door to Raft.
    pub fleet: F,
    /// Seals keys and opens the intermediate's.
    pub vault: Arc<Vault>,
    /// Knows which hosts must not be planned for.
    pub registry: Registry,
    /// The planner.
    pub plan: PlanFn,
    /// DKIM keys to keep ahead of need.
    pub keys_ahead: usize,
    /// Where this node's identity lies.
    pub store: IdentityStore,
    /// Told of a renewed certificate.
    pub identity: watch::Sender<Arc<NodeIdentity>>,
    /// How long the node's certificates live.
    pub certificate_life: Life,
    /// How long certificates of hosts at which the fleet submits live.
    pub submission_life: Life,
    /// What is counted of the fleet's mail.
    pub evidence: Arc<dyn Evidence>,
    /// The tenants' MailWizz.
    pub applications: Applications,
    /// Whom to ask about DNS.
    pub dns: AskConfig,
    /// Asks lists of bad senders.
    pub desk: Desk,
    /// How people are told.
    pub alerts: AlertsConfig,
}

impl<F> std::fmt::Debug for TasksConfig<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TasksConfig")
            .field("keys_ahead", &self.keys_ahead)
            .finish_non_exhaustive()
    }
}

/// The running tasks.
#[derive(Debug)]
pub struct TasksHandle<F> {
    stock: Stock<F>,
    planned: watch::Receiver<Planned>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts all tasks.
pub fn start<F: Fleet>(config: TasksConfig<F>) -> TasksHandle<F> {
    let TasksConfig {
        fleet,
        vault,
        registry,
        plan,
        keys_ahead,
        store,
        identity,
        certificate_life,
        submission_life,
        evidence,
        applications,
        dns,
        desk,
        alerts,
    } = config;
    let stock = Stock::new(fleet.clone(), vault.clone());
    let (planned, planned_seen) = watch::channel(Planned::default());
    let words = Arc::clone(&plan);
    let sessions = Arc::clone(&alerts.sessions);
    let failing = failover::run(fleet.clone(), desk.clone(), sessions);
    let complaints = failover::complaints::run(fleet.clone(), Arc::clone(&evidence));
    let told = alerts::run(fleet.clone(), Arc::clone(&vault), registry.clone(), alerts);
    let planning = plan::Planning {
        fleet: fleet.clone(),
        registry,
        plan,
        affected: planner::affected,
        planned,
    };
    let tasks = vec![
        tokio::spawn(told),
        tokio::spawn(failing),
        tokio::spawn(complaints),
        tokio::spawn(plan::run(planning)),
        tokio::spawn(restart::run(fleet.clone(), words)),
        tokio::spawn(stock.clone().run(keys_ahead)),
        tokio::spawn(expire::run(fleet.clone())),
        tokio::spawn(idle::run(fleet.clone(), Arc::clone(&evidence))),
        tokio::spawn(opens::run(fleet.clone(), applications)),
        tokio::spawn(rotate::run(fleet.clone(), Arc::clone(&evidence))),
        tokio::spawn(warmup::run(fleet.clone(), evidence)),
        tokio::spawn(dns::run(fleet.clone(), dns)),
        tokio::spawn(dns::publish(fleet.clone(), Arc::clone(&vault))),
        tokio::spawn(dnsbl::run(fleet.clone(), desk)),
        tokio::spawn(password::run(fleet.clone(), vault.clone())),
        tokio::spawn(certify::run(fleet.clone(), vault.clone(), submission_life)),
        tokio::spawn(renew::run(
            fleet,
            vault,
            store,
            (identity, certificate_life),
        )),
    ];
    TasksHandle {
        stock,
        planned: planned_seen,
        tasks,
    }
}

impl<F: Fleet> TasksHandle<F> {
    /// The stock of DKIM keys: to be filled before a big batch.
    #[must_use]
    pub fn stock(&self) -> Stock<F> {
        self.stock.clone()
    }

    /// How far this node has planned, and what it cannot plan. Nothing on a node that does not lead.
    #[must_use]
    pub fn planned(&self) -> watch::Receiver<Planned> {
        self.planned.clone()
    }

    /// Stops all tasks. Each may be stopped at any moment.
    pub fn shutdown(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Says what a look found. What is not taken now is found again by the next look.
async fn say<F: Fleet>(fleet: &F, reason: &str, command: Command) {
    let actor = format!("node {}", fleet.node());
    let name = command.verb().map_or("", |verb| verb.name());
    let proposal = proposal(fleet, actor, reason, command);
    match fleet.propose(proposal).await {
        Ok(Ok(_)) => tracing::info!(command = name, reason, "said"),
        Ok(Err(rejection)) => tracing::info!(command = name, reason, %rejection, "not taken"),
        Err(error) => tracing::info!(command = name, reason, %error, "not said yet"),
    }
}

/// What a look through the whole fleet finds, in a copy of the state and beside all else, so that nobody waits for it;
/// and how long to rest before another that may find nothing: nine times what this one took, so that such looks take a
/// tenth of a processor at most, however many hosts there are and however often they change.
async fn look<F: Fleet, T: Send + 'static>(
    fleet: &F,
    find: impl FnOnce(&FleetState) -> T + Send + 'static,
) -> Option<(T, Duration)> {
    let state = fleet.view(FleetState::clone);
    let looked = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let found = find(&state);
        (found, began.elapsed().saturating_mul(9))
    });
    looked.await.ok()
}

/// Waits until this node leads; false when it never will again.
async fn leads(leadership: &mut watch::Receiver<Leadership>) -> bool {
    leadership
        .wait_for(|leadership| leadership.is_leader)
        .await
        .is_ok()
}
