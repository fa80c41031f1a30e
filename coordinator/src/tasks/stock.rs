//! DKIM keys made ahead of need: an RSA-2048 key costs a fifth of a second of processor time, which
//! nobody who adds an identity should wait for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::limits;
use email_engine_protocol::secret::SecretBytes;

use super::leads;
use crate::command::{Command, Rejection, StockKeys};
use crate::push::{Fleet, proposal};
use crate::raft::ProposeError;
use crate::seal::Vault;
use crate::state::PreparedKey;

/// Size of a DKIM key (RFC 8301 asks for no less, and DNS takes no more in one string pair).
const BITS: usize = 2048;
/// Keys in one command.
const PER_COMMAND: usize = 16;
/// A look without a change.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Why no key is stocked.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// The generator failed.
    #[error("DKIM key cannot be made: {0}")]
    Make(String),
    /// Refused.
    #[error("DKIM keys are refused: {0}")]
    Rejected(Rejection),
    /// Not committed.
    #[error("DKIM keys are not stored: {0}")]
    Propose(#[from] ProposeError),
}

/// The stock. A cheap clone.
#[derive(Clone)]
pub struct Stock<F> {
    fleet: F,
    vault: Arc<Vault>,
    /// Held while filling, so that two who ask do not make twice as many.
    filling: Arc<Mutex<()>>,
    /// How many keys those need together who wait here.
    asked: Arc<AtomicUsize>,
}

impl<F> fmt::Debug for Stock<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stock")
    }
}

impl<F: Fleet> Stock<F> {
    /// The stock of this cluster.
    #[must_use]
    pub fn new(fleet: F, vault: Arc<Vault>) -> Self {
        Self {
            fleet,
            vault,
            filling: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// Makes sure that at least so many keys are prepared, with all processors: for whoever is about
    /// to add many identities. Any node may. Of many who ask at once for one each, the first has as many
    /// made as there are processors, and the others find theirs.
    ///
    /// # Errors
    /// When a key cannot be made or stored.
    pub async fn ensure(&self, keys: usize) -> Result<(), StockError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let _asked = Asked::new(&self.asked, keys);
        self.fill(keys, processors).await
    }

    /// Keeps so many keys while this node leads, made one at a time.
    pub(super) async fn run(self, keys: usize) {
        let mut applied = self.fleet.applied();
        let mut leadership = self.fleet.leadership();
        while leads(&mut leadership).await {
            applied.mark_unchanged();
            if let Err(error) = self.fill_up(keys).await {
                tracing::warn!(%error, "stock of DKIM keys not filled");
                sleep(AGAIN).await;
                continue;
            }
            if let Ok(Err(_)) = timeout(IDLE, applied.changed()).await {
                return;
            }
        }
    }

    /// Key by key: whoever needs one at once waits for no more than the one that is being made.
    async fn fill_up(&self, wanted: usize) -> Result<(), StockError> {
        loop {
            let (founded, held) = self
                .fleet
                .view(|state| (state.cluster.is_some(), state.prepared_keys.len()));
            if held >= wanted || !founded {
                return Ok(());
            }
            self.fill(held + 1, 1).await?;
        }
    }

    async fn fill(&self, wanted: usize, at_once: usize) -> Result<(), StockError> {
        let _alone = self.filling.lock().await;
        loop {
            let (founded, held) = self
                .fleet
                .view(|state| (state.cluster.is_some(), state.prepared_keys.len()));
            if held >= wanted || !founded {
                return Ok(());
            }
            let asked = self.asked.load(Ordering::Relaxed);
            let all = wanted.max(asked.min(limits::PREPARED_KEYS));
            // What is made is stored at once: whoever gives up waiting and asks again finds it.
            let missing = (all - held).min(at_once).min(PER_COMMAND);
            let keys = self.make(missing, at_once).await?;
            let actor = format!("node {}", self.fleet.node());
            let command = Command::StockKeys(StockKeys { keys });
            let proposal = proposal(&self.fleet, actor, "keys ahead of need", command);
            self.fleet
                .propose(proposal)
                .await?
                .map_err(StockError::Rejected)?;
        }
    }

    async fn make(&self, count: usize, at_once: usize) -> Result<Vec<PreparedKey>, StockError> {
        let mut keys = Vec::with_capacity(count);
        let mut making = JoinSet::new();
        while keys.len() < count {
            while making.len() < at_once && keys.len() + making.len() < count {
                let vault = self.vault.clone();
                making.spawn_blocking(move || prepare(&vault));
            }
            match making.join_next().await {
                Some(Ok(made)) => keys.push(made?),
                Some(Err(error)) => return Err(StockError::Make(error.to_string())),
                None => break,
            }
        }
        Ok(keys)
    }
}

/// Somebody who waits for keys.
struct Asked<'a> {
    all: &'a AtomicUsize,
    keys: usize,
}

impl<'a> Asked<'a> {
    fn new(all: &'a AtomicUsize, keys: usize) -> Self {
        all.fetch_add(keys, Ordering::Relaxed);
        Self { all, keys }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.keys, Ordering::Relaxed);
    }
}

/// Makes one key and seals it.
fn prepare(vault: &Vault) -> Result<PreparedKey, StockError> {
    let make = |error: &dyn fmt::Display| StockError::Make(error.to_string());
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS).map_err(|e| make(&e))?;
    let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| make(&e))?;
    let public = key
        .to_public_key()
        .to_public_key_der()
        .map_err(|e| make(&e))?;
    let random = SystemRandom::new();
    let entropy = Entropy(&random);
    let secret = SecretBytes {
        salt: entropy.bytes(),
        bytes: private.as_bytes().to_vec(),
    };
    Ok(PreparedKey {
        commitment: secret.commitment(),
        sealed: vault.seal_secret(&secret, &entropy),
        public: BASE64.encode(public.as_bytes()),
    })
}
