//! Tells people what they have to know: [`deliver`] carries letters to channels, [`watch`] looks for what
//! begins and ends by itself. Both know nothing but the state and what is seen now, so that a new leader
//! goes on where the last one stood: what was sent and not written down is sent again under the same id.

mod deliver;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::alerts::channels::Channels;
use crate::push::{Fleet, Registry};
use crate::raft::Sessions;
use crate::seal::Vault;

/// Whom the nodes have, as the leader asks them.
pub type SessionsFn = Arc<dyn Fn() -> BoxFuture<'static, Sessions> + Send + Sync>;

/// What the two need beside the fleet.
#[derive(Clone)]
pub struct AlertsConfig {
    /// Ways to people.
    pub channels: Channels,
    /// Asks all nodes for their agents.
    pub sessions: SessionsFn,
}

impl std::fmt::Debug for AlertsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AlertsConfig")
    }
}

/// Runs both.
pub(super) async fn run<F: Fleet>(
    fleet: F,
    vault: Arc<Vault>,
    registry: Registry,
    config: AlertsConfig,
) {
    let delivering = deliver::run(fleet.clone(), vault, config.channels);
    let watching = watch::run(fleet, registry, config.sessions);
    tokio::join!(delivering, watching);
}
