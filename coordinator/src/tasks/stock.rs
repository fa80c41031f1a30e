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
        let _asked = Asked::new(&self.asked, keys);
        self.fill(keys).await
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
            self.fill(held + 1).await?;
        }
    }

    async fn fill(&self, wanted: usize) -> Result<(), StockError> {
        loop {
            if self.missing(wanted) == 0 {
                return Ok(());
            }
            let turn = Arc::clone(&self.filling).lock_owned().await;
            let stock = self.clone();
            // A lot under way is finished whoever gives up waiting: who asks again finds it.
            let lot = tokio::spawn(async move {
                let _turn = turn;
                stock.lot(wanted).await
            });
            lot.await
                .map_err(|error| StockError::Make(error.to_string()))??;
        }
    }

    /// How many keys are to be made before so many are there.
    fn missing(&self, wanted: usize) -> usize {
        self.fleet.view(|state| match state.cluster {
            Some(_) => wanted.saturating_sub(state.prepared_keys.len()),
            None => 0,
        })
    }

    /// Makes and stores some of the keys that are missing: one while nobody waits for it, else as many
    /// as there are processors.
    async fn lot(&self, wanted: usize) -> Result<(), StockError> {
        let asked = self.asked.load(Ordering::Relaxed);
        let at_once = match asked {
            0 => 1,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let missing = self.missing(wanted.max(asked.min(limits::PREPARED_KEYS)));
        if missing == 0 || self.missing(wanted) == 0 {
            // Others made them while the turn was waited for.
            return Ok(());
        }
        let keys = self.make(missing.min(at_once).min(PER_COMMAND)).await?;
        let actor = format!("node {}", self.fleet.node());
        let command = Command::StockKeys(StockKeys { keys });
        let proposal = proposal(&self.fleet, actor, "keys ahead of need", command);
        self.fleet
            .propose(proposal)
            .await?
            .map_err(StockError::Rejected)?;
        Ok(())
    }

    /// Makes so many, each on a thread of its own.
    async fn make(&self, count: usize) -> Result<Vec<PreparedKey>, StockError> {
        let mut making = JoinSet::new();
        for _ in 0..count {
            let vault = self.vault.clone();
            making.spawn_blocking(move || prepare(&vault));
        }
        let mut keys = Vec::with_capacity(count);
        while let Some(made) = making.join_next().await {
            keys.push(made.map_err(|error| StockError::Make(error.to_string()))??);
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
