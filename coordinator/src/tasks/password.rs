//! Passwords of databases: made once for each that a host's role wants, and kept sealed. What they open is
//! on the host alone.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use tokio::time::{sleep, timeout};

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::HostId;
use email_engine_protocol::secret::SecretBytes;

use super::leads;
use crate::command::{Command, Rejection, SetDatabasePassword};
use crate::push::{Fleet, proposal};
use crate::raft::ProposeError;
use crate::seal::Vault;

/// A look without a change.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// Letters and digits: no server and no application takes them for anything else. Of 62 signs, 32 are
/// 190 bits.
const SIGNS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 32;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
enum PasswordError {
    #[error("refused: {0}")]
    Rejected(Rejection),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Makes them while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, vault: Arc<Vault>) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let next = fleet.view(|state| {
            let mut missing = state.passwords_missing();
            missing.next().map(|(host, name)| (host.clone(), name))
        });
        let Some((host, database)) = next else {
            if let Ok(Err(_)) = timeout(IDLE, applied.changed()).await {
                return;
            }
            continue;
        };
        if let Err(error) = make(&fleet, &vault, host, database).await {
            tracing::warn!(%error, "no password for a database");
            sleep(AGAIN).await;
        }
    }
}

async fn make<F: Fleet>(
    fleet: &F,
    vault: &Vault,
    host: HostId,
    database: String,
) -> Result<(), PasswordError> {
    let command = sealed(vault, host.clone(), database.clone());
    let command = Command::SetDatabasePassword(Box::new(command));
    let actor = format!("node {}", fleet.node());
    let why = "the host's role has a database with a password";
    let answer = fleet.propose(proposal(fleet, actor, why, command)).await?;
    answer.map_err(PasswordError::Rejected)?;
    tracing::info!(%host, database, "a database has a password");
    Ok(())
}

fn sealed(vault: &Vault, host: HostId, database: String) -> SetDatabasePassword {
    let random = SystemRandom::new();
    let entropy = Entropy(&random);
    let secret = SecretBytes {
        salt: entropy.bytes(),
        bytes: word(&entropy),
    };
    SetDatabasePassword {
        host,
        database,
        commitment: secret.commitment(),
        sealed: vault.seal_secret(&secret, &entropy),
    }
}

/// Each sign as likely as any other: what would favour the first ones is thrown away.
fn word(entropy: &Entropy<'_>) -> Vec<u8> {
    let mut word = Vec::with_capacity(LENGTH);
    while word.len() < LENGTH {
        for byte in zeroize::Zeroizing::new(entropy.bytes::<64>()).iter() {
            let fair = usize::from(*byte) < SIGNS.len() * 4;
            if fair && word.len() < LENGTH {
                word.push(SIGNS[usize::from(*byte) % SIGNS.len()]);
            }
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_word_that_is_never_the_same() {
        let random = SystemRandom::new();
        let (one, other) = (word(&Entropy(&random)), word(&Entropy(&random)));
        assert_eq!((one.len(), other.len()), (LENGTH, LENGTH));
        assert_ne!(one, other);
        assert!(one.iter().chain(&other).all(u8::is_ascii_alphanumeric));
    }
}
