//! The applications of all tenants, whose keys are opened for the time of one call.

use std::sync::Arc;

use email_engine_protocol::url::ServiceUrl;

use super::client::{CallError, Client, Door};
use super::draft::Draft;
use super::reply::DeliveryServer;
use crate::seal::Vault;
use crate::state::{Figures, SealedAtRest};

/// Asks whichever tenant's application is meant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Applications {
    client: Client,
    vault: Arc<Vault>,
}

impl Applications {
    /// With the key that opens the keys of customers.
    #[must_use]
    pub const fn new(client: Client, vault: Arc<Vault>) -> Self {
        Self { client, vault }
    }

    /// See [`Client::servers`].
    ///
    /// # Errors
    /// As there, and when the customer's key does not open.
    pub async fn servers(&self, door: &SealedDoor) -> Result<Vec<DeliveryServer>, CallError> {
        self.client.servers(&self.open(door)?).await
    }

    /// See [`Client::named`].
    ///
    /// # Errors
    /// As there, and when the customer's key does not open.
    pub async fn named(&self, door: &SealedDoor, name: &str) -> Result<Vec<String>, CallError> {
        self.client.named(&self.open(door)?, name).await
    }

    /// See [`Client::figures`].
    ///
    /// # Errors
    /// As there, and when the customer's key does not open.
    pub async fn figures(&self, door: &SealedDoor, uid: &str) -> Result<Figures, CallError> {
        self.client.figures(&self.open(door)?, uid).await
    }

    /// See [`Client::create`].
    ///
    /// # Errors
    /// As there, and when the customer's key does not open.
    pub async fn create(&self, door: &SealedDoor, draft: &Draft) -> Result<String, CallError> {
        self.client.create(&self.open(door)?, draft).await
    }

    fn open(&self, door: &SealedDoor) -> Result<Door, CallError> {
        let url = door.url.clone();
        let unusable = |error| CallError::Unreachable {
            url: url.to_string(),
            what: format!("the key of its customer: {error}"),
        };
        let mut secret = self.vault.open_secret(&door.key).map_err(unusable)?;
        let key = std::mem::take(&mut secret.bytes).into();
        Ok(Door { url, key })
    }
}

/// Where a tenant's application answers, and the sealed key of a customer there.
#[derive(Clone, Debug)]
pub struct SealedDoor {
    /// Below it lies `/api`.
    pub url: ServiceUrl,
    /// Value of `X-API-KEY`, sealed.
    pub key: SealedAtRest,
}
