//! The certificate that STARTTLS shows: certificates and key in one PEM file.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::error::{At, ConfigError};
use super::super::model::{Certificate, Config};

/// Reads what a line names. A file that cannot be used refuses the configuration: it would show only
/// to the first client.
pub(super) fn read(written: &str, at: &At) -> Result<Certificate, ConfigError> {
    let file = written.split_whitespace().next().unwrap_or_default();
    let server = server(Path::new(file));
    let server = server.map_err(|why| at.value(format!("certificate {file}: {why}")))?;
    let written = written.to_owned();
    Ok(Certificate { written, server })
}

fn server(file: &Path) -> Result<Arc<ServerConfig>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("has no private key: {error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(|error| format!("does not fit its key: {error}"))
}

impl Config {
    /// Whether a reload looks again into files that are named as before is documented nowhere. Here it
    /// does not: who wants another certificate names another file.
    pub(crate) fn keep_certificates_of(&mut self, before: &Self) {
        let known: Vec<&Certificate> = before
            .listeners
            .iter()
            .filter_map(|listener| listener.certificate.as_ref())
            .chain(&before.certificate)
            .collect();
        let own = self.listeners.iter_mut();
        let own = own.filter_map(|listener| listener.certificate.as_mut());
        for certificate in own.chain(&mut self.certificate) {
            if let Some(same) = known.iter().find(|known| ***known == *certificate) {
                *certificate = (*same).clone();
            }
        }
    }
}
