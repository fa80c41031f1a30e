//! TLS and transport settings of the agent's connections: TLS 1.3 only, no resumption (it would
//! skip the client certificate), one ALPN per connection.

use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, version};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::verify::{NodeVerifier, unix, uris};
use crate::identity::{Identity, LinkKey, Validity};

/// A connection on which nothing at all was heard for so long is dead: how long a host stays with a
/// coordinator that was killed.
const IDLE_MILLIS: u32 = 12_000;
/// Three chances within that time; also below what stateful firewalls remember of a UDP flow.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// What one body stream may have on its way: 50 Mbit/s at 80 ms.
const STREAM_WINDOW: u32 = 512 * 1024;
/// What all streams may have on their way, which bounds the memory of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The provider of every TLS configuration of this process, named so that none is guessed.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Why no connection can be configured: our own key and chain do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("own certificate cannot be used: {0}")]
pub struct OwnCertificateError(pub(super) String);

/// Settings of one connection; with an identity, its certificate is shown.
pub(super) fn client_config(
    alpn: &[u8],
    verifier: Arc<NodeVerifier>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, OwnCertificateError> {
    let unusable = |error: rustls::Error| OwnCertificateError(error.to_string());
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut tls = match identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.for_tls())
            .map_err(unusable)?,
        None => builder.with_no_client_auth(),
    };
    tls.resumption = Resumption::disabled();
    tls.alpn_protocols = vec![alpn.to_vec()];
    // The name of the node is not known yet, and an observer need not learn the cluster's.
    tls.enable_sni = false;
    let crypto =
        QuicClientConfig::try_from(tls).map_err(|error| OwnCertificateError(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // Coordinators open no streams towards an agent.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(256 * 1024)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .crypto_buffer_size(16 * 1024);
    transport
}

/// Why an issued chain is not taken for ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Empty, too large, or no certificate.
    #[error("it does not parse")]
    Form,
    /// It is for another key than the one that was shown.
    #[error("it is for another key")]
    Key,
    /// It does not name this host of this cluster.
    #[error("it does not name {expected:?} but {found:?}")]
    Name {
        /// Our name.
        expected: String,
        /// The names in it.
        found: Vec<String>,
    },
    /// It does not lead to the root.
    #[error("it does not lead to the root of the cluster: {0}")]
    Root(String),
}

/// Checks a chain that a coordinator issued: for this key and name, up to this root. Its dates are
/// taken as they are, since it was issued just now and our own clock may be wrong.
pub(super) fn check_issued(
    chain: &[Vec<u8>],
    root: &CertificateDer<'_>,
    key: &LinkKey,
    cluster: ClusterId,
    host: &HostId,
) -> Result<(Vec<CertificateDer<'static>>, Validity), ChainError> {
    if chain.len() > 4
        || chain
            .iter()
            .any(|der| der.len() > limits::CERTIFICATE_BYTES)
    {
        return Err(ChainError::Form);
    }
    let ders: Vec<CertificateDer<'static>> =
        chain.iter().cloned().map(CertificateDer::from).collect();
    let (leaf, above) = ders.split_first().ok_or(ChainError::Form)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| ChainError::Form)?;
    if parsed.public_key().raw != key.public() {
        return Err(ChainError::Key);
    }
    let expected = format!("email-engine://{cluster}/host/{host}");
    let found = uris(&parsed);
    if found != [expected.as_str()] {
        return Err(ChainError::Name { expected, found });
    }
    let validity = Validity::of(leaf).map_err(|_| ChainError::Form)?;
    let middle = validity
        .not_before
        .plus(validity.not_after.since(validity.not_before) / 2);
    let mut roots = RootCertStore::empty();
    let refused = |error: rustls::Error| ChainError::Root(error.to_string());
    roots.add(root.clone().into_owned()).map_err(refused)?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| ChainError::Root(error.to_string()))?
        .verify_client_cert(leaf, above, unix(middle))
        .map_err(refused)?;
    Ok((ders, validity))
}
