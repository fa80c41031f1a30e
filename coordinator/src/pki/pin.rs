//! Is the other side a node of the cluster that a join token names? The caller has no root yet, only
//! the pin of its key: the root is whichever certificate of the shown chain has that key.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use email_engine_protocol::bytes::{CaPin, ContentHash};
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::wire::ALPN_ENROLL;

use super::verify::{TlsError, provider, server_verifier};
use super::{Credential, Peer, node_dns_name};

/// Longest chain that is looked at.
const CHAIN: usize = 5;

/// Why the other side is not believed, whoever is asked how often. Kept apart from the handshake's error,
/// which the transport only hands on as a text.
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// What the last handshake was refused for, if it was; forgets it.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

/// A verifier by pin.
#[derive(Debug)]
struct PinnedNode {
    cluster: ClusterId,
    pin: CaPin,
    refusal: Refusal,
}

/// The pin of a root certificate: SHA-256 of its key.
#[must_use]
pub fn pin_of(root: &[u8]) -> Option<CaPin> {
    let (_, root) = X509Certificate::from_der(root).ok()?;
    Some(CaPin(ContentHash::of(root.public_key().raw).0))
}

/// For a machine that calls its cluster for the first time. Beside it, where a refusal is told.
///
/// # Errors
/// Never with ring, which has the cipher suites of TLS 1.3.
pub fn pinned_client(cluster: ClusterId, pin: CaPin) -> Result<(ClientConfig, Refusal), TlsError> {
    let refusal = Refusal::default();
    let verifier = PinnedNode {
        cluster,
        pin,
        refusal: refusal.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Own)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![ALPN_ENROLL.to_vec()];
    Ok((config, refusal))
}

impl PinnedNode {
    /// Root and number of a node of the cluster; else, why it is none. Dates are not judged here: they
    /// may be right when it is asked again.
    fn judge<'a>(
        &self,
        leaf: &CertificateDer<'_>,
        above: &'a [CertificateDer<'a>],
    ) -> Result<(&'a CertificateDer<'a>, NodeId), String> {
        let mut shown = above.iter().take(CHAIN);
        let root = shown
            .rfind(|certificate| pin_of(certificate) == Some(self.pin))
            .ok_or_else(|| {
                let found = above.last().and_then(|last| pin_of(last));
                format!(
                    "its CA is not the one that the token pins: expected {}, found {}",
                    self.pin,
                    found.map_or_else(|| "none".to_owned(), |found| found.to_string()),
                )
            })?;
        let credential = Credential::read(self.cluster, leaf).map_err(|error| error.to_string())?;
        match credential.peer {
            Peer::Node(node) => Ok((root, node)),
            Peer::Host(_) => Err("it is not a coordinator node".to_owned()),
        }
    }
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
        let (root, node) = self.judge(leaf, above).map_err(|reason| {
            self.refusal.note(&reason);
            Error::General(reason)
        })?;
        let refuse = |error: &dyn std::fmt::Display| Error::General(error.to_string());
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
