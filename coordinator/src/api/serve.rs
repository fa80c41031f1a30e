//! HTTPS: TLS 1.3 with the node's own certificate, renewed without a restart.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustix::process::{Resource, getrlimit};
use tokio::sync::watch;

use super::connections::{Bounds, Places};
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
/// The head of a request comes within so long, and so does the next request of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// A connection may be silent for so long: longer than any request takes to be answered.
const IDLE: Duration = Duration::from_secs(120);
/// Connections at once, where the process may have many more files open.
const CONNECTIONS: usize = 4_096;

/// A quarter of what this process may have open at most: its store and its peers need theirs.
fn bounds() -> Bounds {
    let limit = getrlimit(Resource::Nofile).current;
    let share = limit.map_or(CONNECTIONS, |limit| {
        usize::try_from(limit / 4).unwrap_or(CONNECTIONS)
    });
    Bounds {
        connections: share.clamp(16, CONNECTIONS),
        idle: IDLE,
    }
}

/// Serves until `stop` turns true, then lets open requests finish.
///
/// # Errors
/// When the certificate cannot be used or the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    identity: watch::Receiver<Arc<NodeIdentity>>,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    serve_within(listener, router, identity, stop, bounds()).await
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    identity: watch::Receiver<Arc<NodeIdentity>>,
    mut stop: watch::Receiver<bool>,
    bounds: Bounds,
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
    let places = RustlsAcceptor::new(tls).acceptor(Places::new(bounds));
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(places)
        .handle(handle);
    // Without a timer hyper waits for the head of a request for ever.
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let served = server
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpStream;

    use axum::routing::get;
    use email_engine_protocol::id::NodeId;

    use super::*;
    use crate::pki::node_dns_name;
    use crate::pki::testbed::TestPki;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn trusting(node: &NodeIdentity) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(node.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A connection that could ask, and does not.
    fn handshake(address: SocketAddr, name: &str, tls: &Arc<rustls::ClientConfig>) -> TcpStream {
        let name = name.to_owned().try_into().unwrap();
        let mut tls = rustls::ClientConnection::new(Arc::clone(tls), name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        stream
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_connections_that_say_nothing_keep_nobody_out() {
        let pki = TestPki::new();
        let node = pki.node(NodeId(1), &["127.0.0.1:1"]);
        let name = node_dns_name(pki.record.id, NodeId(1));
        let tls = trusting(&node);
        let (_renewed, identity) = watch::channel(Arc::new(node));
        let (stop, stopping) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "served"));
        let bounds = Bounds {
            connections: 20,
            idle: PATIENCE * 10,
        };
        let serving = tokio::spawn(serve_within(listener, router, identity, stopping, bounds));

        let (shaken, shaken_name) = (Arc::new(tls.clone()), name.clone());
        let idle = tokio::task::spawn_blocking(move || {
            let mut idle: Vec<_> = (0..60)
                .map(|_| handshake(address, &shaken_name, &shaken))
                .collect();
            // Nobody lets go: the first of them are closed for those that came after.
            assert!(idle[0].read(&mut [0]).is_ok_and(|read| read == 0));
            idle
        });
        let idle = idle.await.unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(PATIENCE)
            .resolve(&name, address)
            .build()
            .unwrap();
        let url = format!("https://{name}:{}/", address.port());
        let answered = client.get(url).send().await.unwrap();
        assert_eq!(answered.text().await.unwrap(), "served");
        stop.send(true).unwrap();
        drop(idle);
        serving.await.unwrap().unwrap();
    }
}
