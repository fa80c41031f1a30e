//! Renewal: a new certificate for a new key, at half life on the live session, or past the end on
//! the enrol ALPN. The old identity stays the one on disk until the new one is checked and whole.

use email_engine_protocol::enroll::{EnrollRefusal, EnrollReply};
use tokio::time::{Duration, Instant};

use super::dial::DialError;
use super::enroll::renew_expired;
use super::tls::{self, ChainError};
use super::{Link, LinkEnd, route};
use crate::identity::{Identity, IdentityError, KeyError};

/// Between two requests on one session, when the first was refused or not answered; less when the end
/// is near.
const AGAIN: Duration = Duration::from_secs(300);
/// But never less than this.
const SOON: Duration = Duration::from_secs(1);
/// Longest sleep until a renewal: a machine that was suspended notices by then.
const NAP: Duration = Duration::from_secs(3600);

/// A certificate of this age is not what is wrong with a connection.
const LATELY: Duration = Duration::from_secs(3600);

/// Why a renewal came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    #[error("the new certificate is not ours: {0}")]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] IdentityError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// When a session asks for its next certificate.
#[derive(Debug)]
pub(super) struct Renewal {
    jitter: u64,
    /// Not before this, whatever the certificate says.
    earliest: Instant,
}

impl Renewal {
    pub(super) fn new() -> Self {
        Self {
            jitter: u64::from(route::permille()),
            earliest: Instant::now(),
        }
    }

    /// When to look at [`Renewal::is_due`] again.
    pub(super) fn wake(&self, link: &Link) -> Instant {
        let left = link.identity.renew_at(self.jitter).since(link.clock.now());
        let due = Instant::now() + Duration::from_millis(left).min(NAP);
        due.max(self.earliest)
    }

    pub(super) fn is_due(&self, link: &Link) -> bool {
        link.clock.now() >= link.identity.renew_at(self.jitter) && Instant::now() >= self.earliest
    }

    /// A request was sent: no second one for a while.
    pub(super) fn asked(&mut self, link: &Link) {
        let left = link.identity.validity.not_after.since(link.clock.now());
        let pause = (Duration::from_millis(left) / 4).clamp(SOON, AGAIN);
        self.earliest = Instant::now() + pause;
    }

    /// A certificate came.
    pub(super) fn done(&mut self) {
        *self = Self::new();
    }
}

impl Link {
    /// The request for the next certificate; its key is on disk when this returns.
    pub(super) fn renewal_request(&self) -> Result<Vec<u8>, RenewError> {
        let key = self.store.staged_key(Some(&self.identity.key))?;
        Ok(key.certificate_request()?)
    }

    /// Takes a chain that was issued for the staged key, if it is one. The session goes on under
    /// the old certificate; the next one is opened with the new.
    pub(super) fn adopt(&mut self, chain: &[Vec<u8>]) -> Result<(), RenewError> {
        let key = self.store.staged_key(Some(&self.identity.key))?;
        let (cluster, host) = (self.identity.cluster(), self.identity.host());
        let (chain, validity) = tls::check_issued(chain, &self.identity.root, &key, cluster, host)?;
        self.clock.issued_now(validity);
        let renewed = Identity {
            trust: self.identity.trust.clone(),
            executor: self.identity.executor,
            key,
            chain,
            root: self.identity.root.clone(),
            obtained_at: self.clock.now(),
            endpoints: self.identity.endpoints.clone(),
            validity,
        };
        self.store.save(&renewed)?;
        // It may be lower now: a signature of a clock that ran ahead had lifted it.
        if let Err(error) = self.store.save_clock_floor(self.clock.floor()) {
            tracing::warn!(%error, "the time of the renewal is not remembered");
        }
        self.identity = renewed;
        self.renewed_at = Some(Instant::now());
        tracing::info!(not_after = %validity.not_after, "certificate renewed");
        Ok(())
    }

    pub(super) fn was_renewed_lately(&self) -> bool {
        let life = self
            .identity
            .validity
            .not_after
            .since(self.identity.obtained_at);
        let lately = LATELY.min(Duration::from_millis(life) / 2);
        self.renewed_at.is_some_and(|at| at.elapsed() < lately)
    }

    /// Asks every coordinator once, on the enrol ALPN. Returns whether a new certificate is held.
    pub(super) async fn renew_past_end(&mut self) -> Result<bool, LinkEnd> {
        tracing::warn!(
            not_after = %self.identity.validity.not_after,
            "the certificate cannot be used any more; renewing it by its key"
        );
        for endpoint in self.candidates.order() {
            match self.renew_at(&endpoint).await? {
                Ok(EnrollReply::Host(admission)) => match self.adopt(&admission.chain) {
                    Ok(()) => {
                        self.learn_coordinators(&endpoint, &admission.coordinators);
                        return Ok(true);
                    }
                    Err(error) => tracing::error!(%endpoint, %error, "renewal failed"),
                },
                Ok(EnrollReply::Refused {
                    code: EnrollRefusal::Revoked,
                    reason,
                }) => return Err(self.revoked(&reason).await),
                Ok(EnrollReply::Refused { code, reason }) => {
                    tracing::warn!(%endpoint, ?code, reason, "renewal refused");
                }
                Ok(EnrollReply::Node(_)) => {
                    tracing::error!(%endpoint, "renewal was answered as to a node");
                }
                Err(error) => tracing::warn!(%endpoint, %error, "renewal failed"),
            }
        }
        Ok(false)
    }

    async fn renew_at(
        &mut self,
        endpoint: &str,
    ) -> Result<Result<EnrollReply, DialError>, LinkEnd> {
        let key = match self.store.staged_key(Some(&self.identity.key)) {
            Ok(key) => key,
            Err(error) => {
                let error = tls::OwnCertificateError(error.to_string());
                return Ok(Err(DialError::OwnCertificate(error)));
            }
        };
        let asked = renew_expired(endpoint, &self.identity, &key);
        self.relay.during(asked).await
    }
}
