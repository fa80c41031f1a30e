//! Is the other side a node of the cluster that a join token names? The caller has no root yet, only
//! the pin of its key: the root is whichever certificate of the shown chain has that key.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::id::ClusterId;
use email_engine_protocol::wire::ALPN_ENROLL;

use super::verify::{TlsError, provider, server_verifier};
use super::{Credential, Peer, node_dns_name};

/// Longest chain that is looked at.
const CHAIN: usize = 5;

/// A verifier by pin.
#[derive(Debug)]
struct PinnedNode {
    cluster: ClusterId,
    pin: CaPin,
}

/// The pin of a root certificate: SHA-256 of its key.
#[must_use]
pub fn pin_of(root: &[u8]) -> Option<CaPin> {
    let (_, root) = X509Certificate::from_der(root).ok()?;
    Some(CaPin(ContentHash::of(root.public_key().raw).0))
}

/// For a machine that calls its cluster for the first time.
///
/// # Errors
/// Never with ring, which has the cipher suites of TLS 1.3.
pub fn pinned_client(cluster: ClusterId, pin: CaPin) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Own)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedNode { cluster, pin }))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![ALPN_ENROLL.to_vec()];
    Ok(config)
}

impl ServerCertVerifier for PinnedNode {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = above.iter().take(CHAIN);
        let root = shown
            .rfind(|certificate| pin_of(certificate) == Some(self.pin))
            .ok_or_else(|| {
                let found = above.last().and_then(|last| pin_of(last));
                Error::General(format!(
                    "its CA is not the one that the token pins: expected {}, found {}",
                    self.pin,
                    found.map_or_else(|| "none".to_owned(), |found| found.to_string()),
                ))
            })?;
        let refuse = |error: &dyn std::fmt::Display| Error::General(error.to_string());
        let credential = Credential::read(self.cluster, leaf).map_err(|error| refuse(&error))?;
        let Peer::Node(node) = credential.peer else {
            return Err(refuse(&"it is not a coordinator node"));
        };
        let name = ServerName::try_from(node_dns_name(self.cluster, node))
            .map_err(|error| refuse(&error))?;
        server_verifier(root)
            .map_err(|error| refuse(&error))?
            .verify_server_cert(leaf, above, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
