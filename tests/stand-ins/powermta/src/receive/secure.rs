//! The certificate that STARTTLS offers to clients.

use std::fs;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

/// From `smtp-server-tls-certificate`: certificates and key in one PEM file.
pub(super) fn server(config: &Config) -> io::Result<Option<Arc<ServerConfig>>> {
    let Some(written) = config.settings.written("smtp-server-tls-certificate") else {
        return Ok(None);
    };
    let file = written.split_whitespace().next().unwrap_or_default();
    let pem = fs::read(file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(|server| Some(Arc::new(server)))
        .map_err(io::Error::other)
}
