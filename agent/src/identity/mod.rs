//! Who the network half is: its key, its certificate, the root it believes and whom it may call.
//!
//! Kept in `identity/` of the data folder, mode 0700, files 0600, each replaced by a rename:
//!
//! - `identity` — key and certificate in *one* file, so that no crash can leave a key without its
//!   certificate.
//! - `staged-key` — a key that was made and may have been shown to a coordinator, but for which no
//!   certificate is held yet. It is made before the cluster is asked and kept until the answer is
//!   on disk: whoever loses an answer asks again with the same key.
//! - `coordinators` — end points learnt since, the one that worked last first.
//! - `clock` — the newest time that a valid signature of the cluster vouched for.

mod clock;
mod key;
mod store;

use email_engine_protocol::crypto::RecoveryPublic;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::time::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::FromDer;

pub use clock::Clock;
pub use key::{KeyError, LinkKey};
pub use store::{IdentityError, IdentityStore};

use crate::halves::{ExecutorKeys, Trust};

/// The identity of an enrolled host.
#[derive(Debug)]
pub struct Identity {
    /// What the executor is to pin; kept so that a crash before it heard of it costs nothing.
    pub trust: Trust,
    /// The keys of the executor that it was given for.
    pub executor: ExecutorKeys,
    /// The key of the certificate.
    pub key: LinkKey,
    /// The certificate and the intermediates below the root, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The root of the cluster.
    pub root: CertificateDer<'static>,
    /// When the chain was received, by our clock.
    pub obtained_at: Timestamp,
    /// Coordinators that the admission named: called when all that were learnt later fail.
    pub endpoints: Vec<Endpoint>,
    /// Life of the certificate.
    pub validity: Validity,
}

/// Life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Begins.
    pub not_before: Timestamp,
    /// Ends.
    pub not_after: Timestamp,
}

/// Bytes that are not an X.509 certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a DER certificate")]
pub struct NotACertificate;

impl Validity {
    /// Reads it from a certificate.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn of(certificate: &[u8]) -> Result<Self, NotACertificate> {
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
            .map_err(|_| NotACertificate)?;
        let millis = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0) * 1000);
        Ok(Self {
            not_before: millis(parsed.validity().not_before.timestamp()),
            not_after: millis(parsed.validity().not_after.timestamp()),
        })
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.not_before <= at && at < self.not_after
    }
}

impl Identity {
    /// The cluster that the host belongs to.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.trust.cluster
    }

    /// The host's name.
    #[must_use]
    pub const fn host(&self) -> &HostId {
        &self.trust.host
    }

    /// The public halves that verify grants.
    #[must_use]
    pub const fn recovery(&self) -> &RecoveryPublic {
        &self.trust.recovery
    }

    /// When to renew: half of the life that was left when the certificate came, give or take a
    /// tenth, so that hosts that were enrolled together do not come back together. `jitter` is
    /// 0 to 1000.
    #[must_use]
    pub fn renew_at(&self, jitter: u64) -> Timestamp {
        let left = self.validity.not_after.since(self.obtained_at);
        let permille = 400 + jitter.min(1000) / 5;
        self.obtained_at.plus(left / 1000 * permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testbed::TestCluster;

    #[test]
    fn renewal_is_due_around_half_of_the_life_that_was_left() {
        let mut identity = TestCluster::new(1).identity("pmta1");
        identity.obtained_at = Timestamp(1_000_000);
        identity.validity.not_after = Timestamp(2_000_000);
        assert_eq!(identity.renew_at(500), Timestamp(1_500_000));
        assert_eq!(identity.renew_at(0), Timestamp(1_400_000));
        assert_eq!(identity.renew_at(9999), Timestamp(1_600_000));
    }
}
