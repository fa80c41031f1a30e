//! What a node needs to ask lists: its resolvers, what it is registered with, and keys out of the fleet's
//! state.

use std::net::SocketAddr;
use std::sync::Arc;

use email_engine_protocol::id::NodeId;

use super::query::{Door, NotConfigured, QueryKey, Subject};
use super::registry::{Registry, Zone};
use super::sweep::{DriveError, Errand, Findings, Manner, drive};
use crate::config::DnsblConfig;
use crate::seal::Vault;
use crate::state::{FleetState, Observer, SecretOf};

/// See above. A cheap clone.
#[derive(Clone)]
pub struct Desk {
    node: NodeId,
    config: Arc<DnsblConfig>,
    vault: Arc<Vault>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// A node's desk.
    #[must_use]
    pub fn new(node: NodeId, config: DnsblConfig, vault: Arc<Vault>) -> Self {
        let config = Arc::new(config);
        Self {
            node,
            config,
            vault,
        }
    }

    /// How this node asks.
    #[must_use]
    pub fn config(&self) -> &DnsblConfig {
        &self.config
    }

    /// The way to a list as things are.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn door(
        &self,
        state: &FleetState,
        zone: &'static Zone,
    ) -> Result<Door<'static>, NotConfigured> {
        let secret = state.secrets.get(&SecretOf::List(zone.id.clone()).id());
        let key = secret.and_then(|secret| {
            let opened = self.vault.open_secret(&secret.sealed).ok()?;
            QueryKey::new(std::str::from_utf8(&opened.bytes).ok()?).ok()
        });
        Door::open(zone, key, self.config.registered.contains(&zone.id))
    }

    /// Lists that can be asked.
    #[must_use]
    pub fn doors(&self, state: &FleetState) -> Vec<Door<'static>> {
        let zones = Registry::built_in().zones();
        zones
            .filter_map(|zone| self.door(state, zone).ok())
            .collect()
    }

    /// Whose eyes these are, through its own resolver.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer_by(self.config.resolver)
    }

    /// Whose eyes they are when something is to be confirmed, with the resolver: in a cluster of one node
    /// those of the second resolver, if there is one.
    #[must_use]
    pub fn second_look(&self, is_alone: bool) -> Option<(Observer, SocketAddr)> {
        let resolver = if is_alone {
            self.config.second_resolver?
        } else {
            self.config.resolver
        };
        Some((self.observer_by(resolver), resolver))
    }

    fn observer_by(&self, resolver: SocketAddr) -> Observer {
        Observer {
            node: self.node,
            resolver: resolver.to_string(),
        }
    }

    /// Asks lists about subjects through this node's resolver, or another.
    ///
    /// # Errors
    /// When the resolver cannot even be asked.
    pub async fn ask(
        &self,
        doors: Vec<Door<'static>>,
        subjects: &[Subject],
        resolver: Option<SocketAddr>,
    ) -> Result<Vec<Findings>, DriveError> {
        let errands = doors
            .into_iter()
            .map(|door| Errand::new(door, subjects.iter().cloned()));
        let resolver = resolver.unwrap_or(self.config.resolver);
        drive(
            Registry::built_in(),
            errands.collect(),
            resolver,
            Manner::default(),
        )
        .await
    }
}
