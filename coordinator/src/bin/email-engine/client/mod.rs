//! The cluster's API as a client sees it: any node answers, so the end points are tried in turn.
//!
//! [`send`] holds the rules of fail-over, [`calls`] one method per call of the API, [`tls`] whom we
//! believe, [`error`] what went wrong in words for people.

mod alerts;
mod artifacts;
mod calls;
mod campaigns;
mod dkim;
mod dns;
mod error;
mod failover;
mod ips;
mod listings;
mod send;
mod tls;
mod warmup;

#[cfg(test)]
pub(crate) mod testbed;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use email_engine_protocol::id::ApiKeyId;

use crate::context::Context;
use crate::output::Output;

pub(crate) use alerts::AlertFilter;
pub(crate) use error::{BuildError, ClientError};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// A node that does not even complete a handshake in this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// One node's answer.
    pub(crate) request: Duration,
    /// A cluster that answers without being able to serve, as while it elects a leader.
    pub(crate) unavailable: Duration,
    /// DKIM keys that a change takes: two cores make ten thousand in some twenty minutes.
    pub(crate) keys: Duration,
}

impl Patience {
    /// A node gives up on a request after 30 seconds and says so: whoever hung up before would not hear
    /// it.
    pub(crate) const USUAL: Self = Self {
        request: Duration::from_secs(35),
        unavailable: Duration::from_secs(15),
        keys: Duration::from_mins(60),
    };

    /// The leader's word on how things stand is not waited for longer than this: a state that is a
    /// little old, and says so, helps more.
    pub(crate) const LEADER: Self = Self {
        request: Duration::from_secs(4),
        unavailable: Duration::from_secs(3),
        keys: Duration::ZERO,
    };

    /// Of a call as a whole, as `--request-timeout` gives it.
    pub(crate) const fn of(timeout: Duration) -> Self {
        Self {
            request: timeout,
            unavailable: timeout,
            keys: timeout,
        }
    }
}

/// A cluster's API, by one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    endpoints: Vec<reqwest::Url>,
    /// The end point that answered last: asked first next time.
    preferred: AtomicUsize,
    patience: Patience,
    /// Why changes are made, for the audit.
    reason: Option<HeaderValue>,
    /// Name of the key.
    key: String,
    /// The file that the key is from.
    key_file: Option<PathBuf>,
    /// Where is told what is waited for, on a terminal.
    voice: Option<Output>,
}

impl Client {
    /// A client for a context.
    pub(crate) fn new(context: &Context, patience: Patience) -> Result<Self, ClientError> {
        Self::build(context, patience).map_err(ClientError::Build)
    }

    fn build(context: &Context, patience: Patience) -> Result<Self, BuildError> {
        let ca_pem = context.ca_pem.as_deref().unwrap_or_default();
        let mut key = HeaderValue::from_str(&context.api_key).map_err(|_| BuildError::Key)?;
        key.set_sensitive(true);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(context.cluster, ca_pem)?)
            .user_agent(concat!("email-engine/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(API_KEY, key)]))
            .https_only(true)
            // The key goes to the cluster's nodes and to nobody in between.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        let mut endpoints = Vec::new();
        for endpoint in &context.endpoints {
            let bad = || BuildError::Url {
                url: endpoint.url.clone(),
            };
            let url = reqwest::Url::parse(&endpoint.url).map_err(|_| bad())?;
            let host = url.host_str().ok_or_else(bad)?;
            if url.scheme() != "https" || url.cannot_be_a_base() {
                return Err(bad());
            }
            if let Some(address) = endpoint.address {
                builder = builder.resolve(host, address);
            }
            endpoints.push(url);
        }
        Ok(Self {
            http: builder
                .build()
                .map_err(|error| BuildError::Tls(error.to_string()))?,
            endpoints,
            preferred: AtomicUsize::new(0),
            patience,
            reason: None,
            key: context.key_name().to_owned(),
            key_file: None,
            voice: None,
        })
    }

    /// Says which file the key is from, for errors.
    pub(crate) fn with_key_file(mut self, file: PathBuf) -> Self {
        self.key_file = Some(file);
        self
    }

    /// Tells what is waited for, when somebody is there to see it.
    pub(crate) fn with_voice(mut self, output: Output) -> Self {
        self.voice = std::io::stderr().is_terminal().then_some(output);
        self
    }

    /// Whether this is the key that calls are made with.
    pub(crate) fn uses(&self, key: &ApiKeyId) -> bool {
        self.key == key.as_str()
    }

    /// Gives every change of this client a reason in the audit.
    pub(crate) fn with_reason(mut self, reason: Option<&str>) -> Result<Self, ClientError> {
        self.reason = reason
            .map(|text| HeaderValue::from_bytes(text.as_bytes()))
            .transpose()
            .map_err(|_| ClientError::Build(BuildError::Reason))?;
        Ok(self)
    }
}
