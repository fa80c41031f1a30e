//! Posts over HTTP: bounded in time and in what is read, and led nowhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::SetUpError;

/// Longest answer that is read, in bytes: a word of success, or why not.
const ANSWER_BYTES: usize = 16 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(8);

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Seconds that it asks to wait, by its header.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// Posts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        within: Duration,
    ) -> Result<Self, SetUpError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("email-engine/", env!("CARGO_PKG_VERSION")))
            // What is sent goes to the channel and to nobody in between or behind it.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN.min(within))
            .timeout(within)
            .build()?;
        Ok(Self { http })
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url)
    }
}

/// Sends, and reads what is answered. An error says nothing of the address: it may hold a secret.
pub(super) async fn ask(request: RequestBuilder) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(told)?;
    let status = response.status();
    let header = response.headers().get(reqwest::header::RETRY_AFTER);
    let retry_after = header.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(format!("its answer is longer than {ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        retry_after,
        body,
    })
}

/// The chain of causes; what reqwest itself says names the address.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut parts = Vec::new();
    if error.is_timeout() {
        parts.push("no answer in time".to_owned());
    }
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    if parts.is_empty() {
        return "the connection failed".to_owned();
    }
    parts.dedup();
    parts.join(": ")
}
