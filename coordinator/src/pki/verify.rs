//! What TLS checks, on every side: TLS 1.3 only, ring only, no resumption (it would skip the client
//! certificate), no early data.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::{CertificateDer, UnixTime};

use email_engine_protocol::id::ClusterId;
use email_engine_protocol::wire::{ALPN_AGENT, ALPN_ENROLL};

use super::{Credential, CredentialError, NodeIdentity};

/// Why a TLS configuration cannot be made: the certificates or the key on disk are not usable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Own chain or key.
    #[error("own certificate cannot be used: {0}")]
    Own(rustls::Error),
    /// The root.
    #[error("the root certificate cannot be used: {0}")]
    Root(String),
}

/// Why a certificate that is past its end is not accepted for a renewal.
#[derive(Debug, thiserror::Error)]
pub enum PastEndError {
    /// Not one of ours.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Does not lead to our root.
    #[error("certificate does not lead to the root of the cluster: {0}")]
    Chain(String),
}

/// The provider of all cryptography in TLS.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For the agents' end point. A client may come without a certificate (to enrol); if it shows one,
/// it must lead to the root. The root is sent along, so that a new machine can check its pin.
///
/// # Errors
/// When the identity is not usable.
pub fn agent_endpoint(identity: &NodeIdentity) -> Result<ServerConfig, TlsError> {
    let clients = client_verifier(&identity.root, true)?;
    let mut chain = identity.chain.clone();
    chain.push(identity.root.clone());
    let mut config = builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, identity.key.clone_key())
        .map_err(TlsError::Own)?;
    refuse_resumption(&mut config);
    config.alpn_protocols = vec![ALPN_AGENT.to_vec(), ALPN_ENROLL.to_vec()];
    Ok(config)
}

/// For the HTTPS API. Operators show keys, not certificates.
///
/// # Errors
/// When the identity is not usable.
pub fn https_endpoint(identity: &NodeIdentity) -> Result<ServerConfig, TlsError> {
    let mut config = builder()
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(TlsError::Own)?;
    refuse_resumption(&mut config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For a node that calls another node and shows who it is. The caller gives the other's
/// [`node_dns_name`](super::node_dns_name) as server name, which the certificate must carry.
///
/// # Errors
/// When the identity is not usable.
pub fn node_client(identity: &NodeIdentity, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Own)?
        .with_webpki_verifier(server_verifier(&identity.root)?)
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(TlsError::Own)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// Checks servers against one root.
///
/// # Errors
/// When the root is not usable.
pub fn server_verifier(root: &CertificateDer<'_>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots(root)?), provider())
        .build()
        .map_err(|error| TlsError::Root(error.to_string()))
}

/// Checks clients against one root.
///
/// # Errors
/// When the root is not usable.
pub fn client_verifier(
    root: &CertificateDer<'_>,
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(root)?), provider());
    let verifier = if optional {
        verifier.allow_unauthenticated()
    } else {
        verifier
    };
    verifier
        .build()
        .map_err(|error| TlsError::Root(error.to_string()))
}

/// A certificate of ours whose dates do not count: the chain is judged at a moment within them.
///
/// # Errors
/// When it is not of this cluster or does not lead to its root.
pub fn past_end(
    cluster: ClusterId,
    root: &CertificateDer<'_>,
    intermediate: &CertificateDer<'_>,
    leaf: &CertificateDer<'_>,
) -> Result<Credential, PastEndError> {
    let credential = Credential::read(cluster, leaf)?;
    let middle = (credential.not_before.0 + credential.not_after.0) / 2;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(middle));
    let chain = |error: String| PastEndError::Chain(error);
    client_verifier(root, false)
        .map_err(|error| chain(error.to_string()))?
        .verify_client_cert(leaf, &[intermediate.clone().into_owned()], at)
        .map_err(|error| chain(error.to_string()))?;
    Ok(credential)
}

fn roots(root: &CertificateDer<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(root.clone().into_owned())
        .map_err(|error| TlsError::Root(error.to_string()))?;
    Ok(roots)
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring has the cipher suites of TLS 1.3")
}

fn refuse_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::NodeId;
    use email_engine_protocol::time::Timestamp;

    use super::super::testbed::{TestPki, now};
    use super::*;

    #[test]
    fn no_end_point_offers_resumption_or_early_data() {
        let pki = TestPki::new();
        let node = pki.node(NodeId(1), &["192.0.2.1:7443"]);
        for config in [
            agent_endpoint(&node).unwrap(),
            https_endpoint(&node).unwrap(),
        ] {
            assert_eq!(config.send_tls13_tickets, 0);
            assert_eq!(config.max_early_data_size, 0);
            assert!(!config.session_storage.can_cache());
            assert!(!config.ticketer.enabled());
        }
    }

    #[test]
    fn an_ended_certificate_is_still_ours_and_a_foreign_one_is_not() {
        let (ours, theirs) = (TestPki::new(), TestPki::new());
        let long_ago = Timestamp(now().0 - 30 * Timestamp::DAY);
        let judge = |chain: &[CertificateDer<'static>]| {
            past_end(
                ours.record.id,
                ours.issuer.root(),
                ours.issuer.intermediate(),
                &chain[0],
            )
        };
        let (chain, _) = ours.host_chain("pmta1", now());
        judge(&chain).unwrap();
        let (chain, _) = theirs.host_chain("pmta1", now());
        assert!(matches!(judge(&chain), Err(PastEndError::Credential(_))));
        // The intermediate did not live then: nothing could have been issued.
        let (chain, _) = ours.host_chain("pmta1", long_ago);
        assert!(matches!(judge(&chain), Err(PastEndError::Chain(_))));
    }
}
