//! Who may speak on the Raft end point: nodes of this cluster, each under the number that its
//! certificate carries.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::wire::ALPN_RAFT;

use crate::pki::{NodeIdentity, Peer, parse_uri};

/// Streams of one connection that may be open at a time: each is one request.
const STREAMS: u32 = 1024;
/// Bytes on their way: replication and snapshots shall fill a long, wide line.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
const WINDOW: u32 = 32 * 1024 * 1024;

/// Why the identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The certificate or key is not usable.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// The root is not usable.
    #[error("{0}")]
    Root(#[from] VerifierBuilderError),
    /// TLS 1.3's first cipher suite is missing.
    #[error("{0}")]
    Suite(#[from] NoInitialCipherSuite),
}

/// Why a peer is turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// It showed no certificate.
    #[error("peer showed no certificate")]
    None,
    /// Its certificate does not parse.
    #[error("peer's certificate does not parse")]
    Parse,
    /// Its certificate is not a node's of this cluster.
    #[error("peer's certificate names no node of this cluster")]
    NotANode,
}

/// A peer as its certificate names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerNode {
    pub(super) node: NodeId,
    pub(super) serial: Option<CertificateSerial>,
}

fn roots(identity: &NodeIdentity) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.root.clone())?;
    Ok(Arc::new(roots))
}

fn transport() -> Arc<quinn::TransportConfig> {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .max_idle_timeout(Some(quinn::IdleTimeout::from(quinn::VarInt::from_u32(
            4_000,
        ))));
    Arc::new(transport)
}

/// What this node accepts with.
pub(super) fn server(identity: &NodeIdentity) -> Result<quinn::ServerConfig, TlsError> {
    let tls = accepting(identity)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

fn accepting(identity: &NodeIdentity) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(identity)?, Arc::clone(&provider))
            .build()?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    tls.alpn_protocols = vec![ALPN_RAFT.to_vec()];
    // A resumed session would not show its certificate again.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

/// What this node dials with.
pub(super) fn client(identity: &NodeIdentity) -> Result<quinn::ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?;
    tls.alpn_protocols = vec![ALPN_RAFT.to_vec()];
    tls.resumption = Resumption::disabled();
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

/// Reads who the other side of a connection is.
pub(super) fn peer_of(
    cluster: ClusterId,
    connection: &quinn::Connection,
) -> Result<PeerNode, PeerError> {
    let shown = connection.peer_identity().ok_or(PeerError::None)?;
    let chain = shown
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| PeerError::None)?;
    let leaf = chain.first().ok_or(PeerError::None)?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| PeerError::Parse)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| PeerError::Parse)?
        .ok_or(PeerError::NotANode)?;
    let mut nodes = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => match parse_uri(cluster, uri) {
                Ok(Peer::Node(node)) => Some(node),
                _ => None,
            },
            _ => None,
        });
    let node = nodes.next().ok_or(PeerError::NotANode)?;
    let serial = serial_of(&certificate);
    Ok(PeerNode { node, serial })
}

/// Serials are numbers: leading zeros are gone or one was added.
fn serial_of(certificate: &X509Certificate<'_>) -> Option<CertificateSerial> {
    let digits = certificate.serial.to_bytes_be();
    let mut serial = [0; 16];
    let start = serial.len().checked_sub(digits.len())?;
    serial[start..].copy_from_slice(&digits);
    Some(CertificateSerial(serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testbed::TestPki;

    #[test]
    fn no_session_is_resumed_and_nothing_is_said_early() {
        let node = TestPki::new().node(NodeId(1), &["192.0.2.1:7444"]);
        let accepting = accepting(&node).unwrap();
        assert_eq!(accepting.send_tls13_tickets, 0);
        assert_eq!(accepting.max_early_data_size, 0);
        assert!(!accepting.session_storage.can_cache());
        assert!(!accepting.ticketer.enabled());
    }
}
