//! The ways to people. A channel is opened for one letter: its secret is unsealed, used and wiped.
//!
//! Whatever stands at the other end is bounded: in time, in how much of its answer is read, and in where it
//! can send us, which is nowhere. What it says is told to operators with everything taken out that we sent
//! secretly: the token of a bot is part of the address that is asked, so no address is ever told.

mod failure;
mod http;
mod log;
mod smtp;
mod telegram;
#[cfg(test)]
pub(crate) mod testbed;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use email_engine_protocol::api::ChannelSpec;

use crate::alerts::rules::Letter;
use crate::seal::Vault;
use crate::state::SealedAtRest;

pub use failure::{Failure, SetUpError};
pub use webhook::{REPLAY_WINDOW_SECONDS, SIGNATURE, TIMESTAMP, signature};

/// One letter, from opening the channel to its last word.
pub const WITHIN: Duration = Duration::from_secs(30);

/// A channel's secret, in the open.
pub(crate) type Secret = Zeroizing<Vec<u8>>;

/// Sends letters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Channels {
    http: http::Client,
    smtp: smtp::Mailer,
}

impl Channels {
    /// Believes the certificate authorities of the machine (the package `ca-certificates`, or what
    /// `SSL_CERT_FILE` names). Without any, nobody is believed.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, SetUpError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority of the machine cannot be read");
        }
        Self::believing(found.certs, WITHIN)
    }

    /// Believes these authorities alone.
    pub(crate) fn believing(
        roots: Vec<CertificateDer<'static>>,
        within: Duration,
    ) -> Result<Self, SetUpError> {
        Ok(Self {
            http: http::Client::new(roots.clone(), within)?,
            smtp: smtp::Mailer::new(roots, within),
        })
    }

    /// Sends a letter through a channel whose secret is sealed.
    ///
    /// # Errors
    /// Says whether it may be tried again, and when.
    pub async fn send_sealed(
        &self,
        spec: &ChannelSpec,
        secret: Option<&SealedAtRest>,
        vault: &Arc<Vault>,
        letter: &Letter,
    ) -> Result<(), Failure> {
        let opened = secret.map(|sealed| {
            let secret = vault.open_secret(sealed);
            secret.map(|mut secret| Zeroizing::new(std::mem::take(&mut secret.bytes)))
        });
        let opened = opened.transpose();
        let opened = opened.map_err(|error| Failure::later(format!("its secret: {error}")))?;
        self.send(spec, opened.as_ref(), letter).await
    }

    /// Sends a letter.
    ///
    /// # Errors
    /// Says whether it may be tried again, and when.
    pub async fn send(
        &self,
        spec: &ChannelSpec,
        secret: Option<&Secret>,
        letter: &Letter,
    ) -> Result<(), Failure> {
        let none = || Failure::later("it has no secret; give it one");
        match spec {
            ChannelSpec::Log {} => {
                log::write(letter);
                Ok(())
            }
            ChannelSpec::Telegram(spec) => {
                let token = secret.ok_or_else(none)?;
                telegram::send(&self.http, spec, token, letter).await
            }
            ChannelSpec::Webhook(spec) => {
                let key = secret.ok_or_else(none)?;
                webhook::send(&self.http, spec, key, letter).await
            }
            ChannelSpec::Smtp(spec) => self.smtp.send(spec, secret, letter).await,
        }
    }
}
