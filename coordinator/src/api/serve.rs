//! HTTPS: TLS 1.3 with the node's own certificate, renewed without a restart.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::sync::watch;

use crate::pki::NodeIdentity;

/// Why the API does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The node's certificate cannot be used.
    #[error("HTTPS cannot use the node's certificate: {0}")]
    Tls(#[from] TlsError),
    /// The listener failed.
    #[error("the API stopped serving: {0}")]
    Io(#[from] io::Error),
}

/// A certificate that TLS does not take.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsError(#[from] rustls::Error);

/// TLS of the API: the same CA as everything else; callers show API keys, not certificates.
///
/// # Errors
/// When the identity's key does not fit its certificate.
pub fn tls_config(identity: &NodeIdentity) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// How long open requests may take when the node stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `stop` turns true, then lets open requests finish.
///
/// # Errors
/// When the certificate cannot be used or the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    identity: watch::Receiver<Arc<NodeIdentity>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    listener.set_nonblocking(true)?;
    let tls = RustlsConfig::from_config(tls_config(&identity.borrow())?);
    let handle: Handle<SocketAddr> = Handle::new();
    let renewals = tokio::spawn(follow(identity, tls.clone()));
    let stopping = {
        let handle = handle.clone();
        tokio::spawn(async move {
            // A sender that is gone means that the node stops, too.
            let _ = stop.wait_for(|stop| *stop).await;
            handle.graceful_shutdown(Some(GRACE));
        })
    };
    let served = axum_server::from_tcp_rustls(listener, tls)?
        .handle(handle)
        .serve(router.into_make_service_with_connect_info::<SocketAddr>())
        .await;
    renewals.abort();
    stopping.abort();
    Ok(served?)
}

/// New connections get the renewed certificate; open ones go on with the one they know.
async fn follow(mut identity: watch::Receiver<Arc<NodeIdentity>>, tls: RustlsConfig) {
    while identity.changed().await.is_ok() {
        let renewed = tls_config(&identity.borrow_and_update());
        match renewed {
            Ok(config) => tls.reload_from_config(config),
            Err(error) => {
                tracing::error!(%error, "the renewed certificate is not usable for HTTPS")
            }
        }
    }
}
