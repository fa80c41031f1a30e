//! Believes one CA: the cluster's.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use email_engine_protocol::id::ClusterId;

use super::BuildError;

/// A certificate that our CA did not sign, and whose it says to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForeignCertificate {
    /// It names another cluster.
    #[error("it shows a certificate of another cluster ({theirs}); this context is for {ours}")]
    Cluster {
        /// Of the context.
        ours: ClusterId,
        /// Of the certificate.
        theirs: ClusterId,
    },
    /// It names our cluster, or none.
    #[error(
        "its certificate is not signed by the CA of cluster {ours}: something else answers there, \
         or the context's ca_pem is of an older cluster"
    )]
    Unknown {
        /// Of the context.
        ours: ClusterId,
    },
}

/// TLS 1.3 with ring, the cluster's CA as only root.
pub(super) fn config(cluster: ClusterId, ca_pem: &str) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| BuildError::Ca(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| BuildError::Ca(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(BuildError::Ca("no CERTIFICATE block found".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| BuildError::Ca(error.to_string()))?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| BuildError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Naming { cluster, inner }))
        .with_no_client_auth())
}

/// The stock verifier, which also says whose certificate it refused.
struct Naming {
    cluster: ClusterId,
    inner: Arc<WebPkiServerVerifier>,
}

impl fmt::Debug for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Naming({})", self.cluster)
    }
}

impl ServerCertVerifier for Naming {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(leaf, intermediates, name, ocsp, now)
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                ) => {
                    let ours = self.cluster;
                    let foreign = match cluster_of(leaf) {
                        Some(theirs) if theirs != ours => {
                            ForeignCertificate::Cluster { ours, theirs }
                        }
                        _ => ForeignCertificate::Unknown { ours },
                    };
                    CertificateError::Other(OtherError(Arc::new(foreign))).into()
                }
                other => other,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The cluster that a certificate says to be of; nothing here is believed, it is only shown.
fn cluster_of(leaf: &CertificateDer<'_>) -> Option<ClusterId> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri
                .strip_prefix("email-engine://")?
                .split('/')
                .next()?
                .parse()
                .ok(),
            _ => None,
        })
}
