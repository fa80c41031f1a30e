//! Passwords of databases, and other secrets that hosts' roles want: each made once, and kept sealed. What they
//! open is on the host alone, but for keys that read metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::rand::SystemRandom;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{ApiKeyId, HostId};
use email_engine_protocol::secret::SecretBytes;

use super::{leads, look};
use crate::api::ApiKeyText;
use crate::command::{Command, Rejection, SetDatabasePassword, SetSecret};
use crate::push::{Fleet, proposal};
use crate::raft::ProposeError;
use crate::seal::Vault;
use crate::state::{FleetState, HostSecret, SecretOf, metrics_key_prefix};

/// A look without a change.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// Made after one look, which goes through all hosts.
const AT_ONCE: usize = 100;
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

/// What is to be made.
#[derive(Debug)]
enum Missing {
    Password(HostId, String),
    Secret(SecretOf),
}

impl Missing {
    fn some(state: &FleetState) -> Vec<Self> {
        let passwords = state.passwords_missing();
        let passwords = passwords.map(|(host, name)| Self::Password(host.clone(), name));
        // A tenant's is missed by each host that serves it.
        let secrets: BTreeSet<_> = state.secrets_missing().collect();
        let secrets = secrets.into_iter().map(Self::Secret);
        passwords.chain(secrets).take(AT_ONCE).collect()
    }
}

/// Makes them while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, vault: Arc<Vault>) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let Some((missing, rest)) = look(&fleet, Missing::some).await else {
            sleep(AGAIN).await;
            continue;
        };
        sleep(rest).await;
        if missing.is_empty()
            && let Ok(Err(_)) = timeout(IDLE, applied.changed()).await
        {
            return;
        }
        let mut has_failed = false;
        for one in missing {
            if !leadership.borrow().is_leader {
                break;
            }
            let made = make(&fleet, &vault, one).await;
            // What one was refused is no word on the others.
            let goes_on = matches!(made, Ok(()) | Err(PasswordError::Rejected(_)));
            if let Err(error) = made {
                tracing::warn!(%error, "a secret of a host's role is not made");
                has_failed = true;
            }
            if !goes_on {
                break;
            }
        }
        if has_failed {
            sleep(AGAIN).await;
        }
    }
}

async fn make<F: Fleet>(fleet: &F, vault: &Vault, missing: Missing) -> Result<(), PasswordError> {
    let (command, what, why) = match missing {
        Missing::Password(host, database) => (
            Command::SetDatabasePassword(Box::new(sealed(vault, host.clone(), database.clone()))),
            format!("password of {database} of host {host}"),
            "the host's role has a database with a password",
        ),
        Missing::Secret(of) => (
            Command::SetSecret(Box::new(made(vault, of.clone()))),
            format!("secret of {of}"),
            "a host's role has a file for it",
        ),
    };
    let actor = format!("node {}", fleet.node());
    let answer = fleet.propose(proposal(fleet, actor, why, command)).await?;
    answer.map_err(PasswordError::Rejected)?;
    tracing::info!(what, "made");
    Ok(())
}

fn made(vault: &Vault, of: SecretOf) -> SetSecret {
    let random = SystemRandom::new();
    let entropy = Entropy(&random);
    let (bytes, key) = match &of {
        SecretOf::Host(host, HostSecret::MetricsKey) => {
            let (text, id) = metrics_key(host, &entropy);
            (
                text.to_text().as_bytes().to_vec(),
                Some((id, text.secret_hash())),
            )
        }
        SecretOf::Host(_, HostSecret::GrafanaAdmin) | SecretOf::List(_) | SecretOf::Tenant(..) => {
            (word(&entropy), None)
        }
    };
    let secret = SecretBytes {
        salt: entropy.bytes(),
        bytes,
    };
    SetSecret {
        of,
        made: true,
        commitment: secret.commitment(),
        sealed: vault.seal_secret(&secret, &entropy),
        key,
    }
}

/// Named after its host and not after any key before it, which the audit remembers.
fn metrics_key(host: &HostId, entropy: &Entropy<'_>) -> (ApiKeyText, ApiKeyId) {
    let own = HEXLOWER.encode(&entropy.bytes::<4>());
    let id = ApiKeyId::new(format!("{}{own}", metrics_key_prefix(host)))
        .expect("the beginning of a host's name between two words");
    let text = ApiKeyText {
        id: id.clone(),
        secret: Zeroizing::new(entropy.bytes()),
    };
    (text, id)
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
        for byte in Zeroizing::new(entropy.bytes::<64>()).iter() {
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
    use email_engine_protocol::id::Role;

    use super::*;
    use crate::command::fixture::{Fleet, submission};

    #[test]
    fn what_two_hosts_want_is_made_once() {
        let mut fleet = Fleet::with_identities(0);
        submission::with_secrets(&mut fleet.state);
        fleet.declare("api1", Role::Api, 2);
        fleet.declare("api2", Role::Api, 3);
        assert_eq!(fleet.state.secrets_missing().count(), 6);
        // The key of the tenant that both serve, and two of each host's own.
        assert_eq!(Missing::some(&fleet.state).len(), 5);
    }

    #[test]
    fn a_metrics_key_can_be_used_as_it_is_kept() {
        let random = SystemRandom::new();
        let long = HostId::new("a".repeat(63)).unwrap();
        for host in [HostId::new("api1").unwrap(), long] {
            let (key, id) = metrics_key(&host, &Entropy(&random));
            let read: ApiKeyText = key.to_text().parse().unwrap();
            assert_eq!((&read.id, read.secret_hash()), (&id, key.secret_hash()));
            assert!(id.as_str().starts_with(&metrics_key_prefix(&host)));
        }
    }

    #[test]
    fn a_password_is_a_word_that_is_never_the_same() {
        let random = SystemRandom::new();
        let (one, other) = (word(&Entropy(&random)), word(&Entropy(&random)));
        assert_eq!((one.len(), other.len()), (LENGTH, LENGTH));
        assert_ne!(one, other);
        assert!(one.iter().chain(&other).all(u8::is_ascii_alphanumeric));
    }
}
