//! What is known of certificates across restarts, in the executor's own folder: readable to nobody else,
//! each written whole or not at all.
//!
//! One file per thing and writer: the reconciler writes placeholders, whoever asks ACME servers writes
//! the rest. Keys are written before they are used.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::pair::Pair;
use crate::host::{Cabinet, RecordError};
use crate::identity::Validity;

const FOLDER: &str = "certificates";

/// What an authority issued, and when by our clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issued {
    pub(crate) pair: Pair,
    /// The names that it is for.
    pub(crate) domains: Vec<String>,
    /// Who issued it: address of the directory.
    pub(crate) directory: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// By the machine's clock, whatever that showed.
    pub(crate) issued_at: Timestamp,
}

impl Issued {
    pub(crate) const fn validity(&self) -> Validity {
        Validity {
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

/// How asking went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Failures since the last success.
    pub(crate) failures: u32,
    /// When the last one began, by the machine's clock.
    pub(crate) begun_at: Option<Timestamp>,
    /// How long to wait after that, in milliseconds.
    pub(crate) pause: u64,
    /// What went wrong; empty when nothing did.
    pub(crate) reason: String,
    /// What of it is under way: the order and the key that its request was signed with.
    pub(crate) order: Option<Ordered>,
    /// Which order files of a challenge were put down for, to be swept after a crash.
    pub(crate) tokens: Vec<String>,
}

/// An order that may go on after a restart.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Ordered {
    /// Its address; empty before there is one.
    pub(crate) url: String,
    /// What it was for: directory and names.
    pub(crate) wanted: Vec<String>,
    /// The key of the certificate to come, in PEM.
    pub(crate) key: String,
}

impl std::fmt::Debug for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ordered({}, key redacted)", self.url)
    }
}

/// An account at an ACME server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Account {
    /// Its key, in PKCS#8.
    pub(crate) key: Vec<u8>,
    /// Its address, once the server has said it.
    pub(crate) id: String,
    /// Whom the server was told to write to.
    pub(crate) contact: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({}, key redacted)", self.id)
    }
}

/// The records of one certificate, by the folder that it lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(String);

impl Place {
    pub(crate) fn of(path: &HostPath) -> Self {
        let hash = ContentHash::of(path.as_str().as_bytes()).to_string();
        Self(format!("{FOLDER}/{}", &hash[..24]))
    }

    pub(crate) fn placeholder(&self, cabinet: &Cabinet) -> Result<Option<Pair>, RecordError> {
        cabinet.read(&format!("{}.placeholder", self.0))
    }

    pub(crate) fn keep_placeholder(
        &self,
        cabinet: &Cabinet,
        pair: &Pair,
    ) -> Result<(), RecordError> {
        cabinet.write(&format!("{}.placeholder", self.0), pair)
    }

    pub(crate) fn issued(&self, cabinet: &Cabinet) -> Result<Option<Issued>, RecordError> {
        cabinet.read(&format!("{}.issued", self.0))
    }

    pub(crate) fn keep_issued(
        &self,
        cabinet: &Cabinet,
        issued: &Issued,
    ) -> Result<(), RecordError> {
        cabinet.write(&format!("{}.issued", self.0), issued)
    }

    /// Attempts that cannot be read were none: asking once too often is bounded by the pause that begins
    /// then.
    pub(crate) fn attempts(&self, cabinet: &Cabinet) -> Attempts {
        let read = cabinet.read(&format!("{}.attempts", self.0));
        let read = read.unwrap_or_else(|error| {
            tracing::error!(%error, "how asking for a certificate went is lost");
            None
        });
        read.unwrap_or_default()
    }

    pub(crate) fn keep_attempts(
        &self,
        cabinet: &Cabinet,
        attempts: &Attempts,
    ) -> Result<(), RecordError> {
        cabinet.write(&format!("{}.attempts", self.0), attempts)
    }

    /// Forgets all of it.
    pub(crate) fn forget(&self, cabinet: &Cabinet) -> Result<(), RecordError> {
        for kind in ["placeholder", "issued", "attempts"] {
            cabinet.wipe(&format!("{}.{kind}", self.0))?;
        }
        Ok(())
    }
}

fn account_of(directory: &str) -> String {
    let hash = ContentHash::of(directory.as_bytes()).to_string();
    format!("{FOLDER}/account-{}", &hash[..24])
}

/// The account at a server.
pub(crate) fn account(cabinet: &Cabinet, directory: &str) -> Result<Option<Account>, RecordError> {
    cabinet.read(&account_of(directory))
}

/// Keeps it.
pub(crate) fn keep_account(
    cabinet: &Cabinet,
    directory: &str,
    account: &Account,
) -> Result<(), RecordError> {
    cabinet.write(&account_of(directory), account)
}

/// Forgets every certificate and account: the host was retired.
pub(crate) fn forget_all(cabinet: &Cabinet) -> Result<(), RecordError> {
    for name in cabinet.list(FOLDER)? {
        cabinet.wipe(&format!("{FOLDER}/{name}"))?;
    }
    Ok(())
}
