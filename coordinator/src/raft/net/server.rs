//! Raft's end point: lets nodes of this cluster in and nobody else.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use email_engine_protocol::id::ClusterId;

use super::serve::{self, Door, Serving};
use super::tls::{self, PeerNode, TlsError};
use crate::pki::NodeIdentity;

/// Handshakes that may be under way at a time.
const HANDSHAKES: usize = 64;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// The open end point.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    endpoint: quinn::Endpoint,
}

/// Why the end point cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The identity is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket is not usable.
    #[error("{0}")]
    Socket(#[from] std::io::Error),
}

impl Server {
    /// Opens the end point. Nothing is answered before [`Server::run`].
    pub(crate) fn open(socket: UdpSocket, identity: &NodeIdentity) -> Result<Self, ListenError> {
        let config = tls::server(identity)?;
        let endpoint = quinn::Endpoint::new(
            quinn::EndpointConfig::default(),
            Some(config),
            socket,
            Arc::new(quinn::TokioRuntime),
        )?;
        Ok(Self { endpoint })
    }

    /// The end point, for dialling from.
    pub(crate) fn endpoint(&self) -> quinn::Endpoint {
        self.endpoint.clone()
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Answers until it is closed.
    pub(crate) async fn run(self, cluster: ClusterId, serving: Serving) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let serving = serving.clone();
            tokio::spawn(async move {
                let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, incoming).await;
                drop(permit);
                match shaken {
                    Ok(Ok(connection)) => serve_connection(cluster, &connection, serving).await,
                    Ok(Err(error)) => tracing::debug!(%error, "Raft handshake failed"),
                    Err(_) => tracing::debug!("Raft handshake took too long"),
                }
            });
        }
    }

    /// Shows renewed certificates to new connections.
    pub(crate) async fn follow_identity(self, mut identity: watch::Receiver<Arc<NodeIdentity>>) {
        while identity.changed().await.is_ok() {
            let now = Arc::clone(&identity.borrow_and_update());
            match tls::server(&now) {
                Ok(config) => self.endpoint.set_server_config(Some(config)),
                Err(error) => tracing::error!(%error, "renewed node certificate is not usable"),
            }
        }
    }

    /// Closes it.
    pub(crate) async fn close(&self) {
        self.endpoint.close(0_u32.into(), b"stopping");
        // Peers learn it at once; those that do not answer are not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
    }
}

async fn serve_connection(cluster: ClusterId, connection: &quinn::Connection, serving: Serving) {
    let from = connection.remote_address();
    let peer = match tls::peer_of(cluster, connection) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(%from, %error, "Raft peer turned away");
            connection.close(2_u32.into(), b"not a node of this cluster");
            return;
        }
    };
    // Every entry may be the one that removes it: it is asked again after each, so that the streams of
    // a removed node end, too, and one that says nothing is let go.
    let mut applied = serving.door.applied();
    while admits(&*serving.door, peer) {
        let stream = tokio::select! {
            stream = connection.accept_bi() => stream,
            changed = applied.changed() => match changed {
                Ok(()) => continue,
                // The state is gone, and this node with it.
                Err(_) => return,
            },
        };
        match stream {
            Ok((to, from)) => {
                // It may have been removed while nothing came.
                if !admits(&*serving.door, peer) {
                    break;
                }
                let serving = serving.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve::stream(&serving, to, from).await {
                        tracing::debug!(peer = %peer.node, %error, "Raft stream ended");
                    }
                });
            }
            Err(error) => {
                tracing::debug!(peer = %peer.node, %error, "Raft connection ended");
                return;
            }
        }
    }
    tracing::warn!(%from, peer = %peer.node, "removed or revoked node turned away");
    connection.close(3_u32.into(), b"no longer a member");
}

fn admits(door: &dyn Door, peer: PeerNode) -> bool {
    door.admits(peer.node, peer.serial.as_ref())
}
