//! Asks web servers of this machine, and of no other.
//!
//! A room of its own, because the rooms of the executor have no TLS: what is asked here are pages of
//! servers at the machine's own addresses, nobody is sent on to another, and nothing of the agent's is
//! sent along.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::desired::HttpQuestion;
use email_engine_protocol::limits;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};

/// What says that nobody is there.
const SILENCE: [ErrorKind; 4] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::TimedOut,
];

/// What a web server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Whether the page has in it what it shall; of a page that need not have anything, it has.
    pub contains: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// The address is not this machine's.
    #[error("{0}")]
    Stranger(String),
    /// Nobody answers there, or not in time.
    #[error("{0}")]
    Silent(String),
    /// Somebody does, and it is no answer to a browser.
    #[error("{0}")]
    Unreadable(String),
}

/// Makes sure that an address is one of this machine's. Only those can be listened at; a state must not
/// make us connect elsewhere.
///
/// # Errors
/// Why it is not.
pub fn check_own(address: SocketAddr) -> Result<(), String> {
    let bound = TcpListener::bind((address.ip(), 0));
    bound.map(drop).map_err(|error| error.to_string())
}

/// Asks for a page and reads no more of it than is looked at.
///
/// # Errors
/// Why there is none.
pub fn visit(question: &HttpQuestion, timeout: Duration) -> Result<Page, VisitError> {
    check_own(question.address).map_err(VisitError::Stranger)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| VisitError::Silent(error.to_string()))?;
    runtime.block_on(async {
        tokio::time::timeout(timeout, ask(question))
            .await
            .unwrap_or_else(|_| {
                let reason = format!("nothing came within {} s", timeout.as_secs_f32());
                Err(VisitError::Silent(reason))
            })
    })
}

/// The place of the page, by the name that the server is asked by.
fn url(question: &HttpQuestion) -> String {
    let scheme = if question.tls { "https" } else { "http" };
    let (address, path) = (question.address, &question.path);
    match &question.host {
        Some(host) => format!("{scheme}://{host}:{}{path}", address.port()),
        None => format!("{scheme}://{address}{path}"),
    }
}

async fn ask(question: &HttpQuestion) -> Result<Page, VisitError> {
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls().map_err(|error| VisitError::Silent(error.to_string()))?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("email-engine-agent/", env!("CARGO_PKG_VERSION")));
    if let Some(host) = &question.host {
        client = client.resolve(host, question.address);
    }
    let client = client.build().map_err(|error| unanswered(&error))?;
    let sent = client.get(url(question)).send().await;
    let mut answer = sent.map_err(|error| unanswered(&error))?;
    let status = answer.status().as_u16();
    let Some(wanted) = &question.contains else {
        return Ok(Page {
            status,
            contains: true,
        });
    };
    let mut page = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
        page.extend_from_slice(&chunk);
        if page.len() >= limits::PAGE_BYTES {
            page.truncate(limits::PAGE_BYTES);
            break;
        }
    }
    let mut places = page.windows(wanted.len().max(1));
    Ok(Page {
        status,
        contains: places.any(|place| place == wanted.as_bytes()),
    })
}

/// Whether nobody listens, or somebody answers something else.
fn unanswered(error: &reqwest::Error) -> VisitError {
    let mut causes = successors(error.source(), |&cause| cause.source());
    let is_silence = causes.any(|cause| {
        let failed = cause.downcast_ref::<io::Error>();
        failed.is_some_and(|failed| SILENCE.contains(&failed.kind()))
    });
    let reason = with_causes(error);
    if is_silence || error.is_timeout() {
        VisitError::Silent(reason)
    } else {
        VisitError::Unreadable(reason)
    }
}

/// The chain of causes says whether nobody listens, or somebody answers something else.
fn with_causes(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = String::new();
    while let Some(deeper) = cause {
        text = deeper.to_string();
        cause = deeper.source();
    }
    if text.is_empty() {
        error.to_string()
    } else {
        text
    }
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Holder(Arc::clone(&provider)));
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Believes whoever holds the key of the certificate that it shows: it is this machine that is asked, by
/// its address, and not somebody of that name.
#[derive(Debug)]
struct Holder(Arc<CryptoProvider>);

impl ServerCertVerifier for Holder {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
