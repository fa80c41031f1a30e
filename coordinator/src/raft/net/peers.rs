//! Dialling peers and keeping the connections. A connection counts only when the certificate at the
//! other end carries the number that was dialled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::id::{ClusterId, NodeId};

use super::frame::{self, FrameError, FrameReader};
use super::message::{Request, Response};
use super::tls::{self, PeerError, PeerNode, TlsError};
use crate::pki::{NodeIdentity, node_dns_name};

/// Traffic that must not wait for other traffic has a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Heartbeats, votes, questions.
    Control,
    /// Log entries.
    Log,
    /// Snapshots.
    Snapshot,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The end point has no address.
    #[error("end point {endpoint:?} has no address: {reason}")]
    Address {
        /// Which.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// Our own identity is not usable.
    #[error("own identity: {0}")]
    Identity(#[from] TlsError),
    /// The end point cannot be dialled.
    #[error("dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// The connection failed.
    #[error("connection: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// Somebody else answered.
    #[error("dialled node {dialled}, node {found} answered")]
    WrongNode {
        /// Who was dialled.
        dialled: NodeId,
        /// Who answered.
        found: NodeId,
    },
    /// The other side's certificate is not a node's.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The stream failed.
    #[error("stream: {0}")]
    Frame(#[from] FrameError),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// What was to be sent is not good.
    #[error("not sent: {0}")]
    Unfit(String),
    /// Its certificate was revoked.
    #[error("the certificate of node {0} was revoked")]
    Revoked(NodeId),
    /// The peer could not answer.
    #[error("peer: {0}")]
    Failed(String),
    /// The peer answered something else.
    #[error("peer answered another question")]
    Mixed,
}

impl CallError {
    /// Trying again at once is no use.
    pub(super) const fn is_unreachable(&self) -> bool {
        !matches!(self, Self::Frame(_) | Self::Timeout(_) | Self::Mixed)
    }
}

/// Looks up where a node is now, when that is known better than from the membership.
pub(crate) type Whereabouts = Arc<dyn Fn(NodeId) -> Option<String> + Send + Sync>;

/// Says whether a certificate was revoked, as far as this node knows.
pub(crate) type IsRevoked = Arc<dyn Fn(&CertificateSerial) -> bool + Send + Sync>;

/// Connections to peers. A cheap clone.
#[derive(Clone)]
pub(crate) struct Peers {
    cluster: ClusterId,
    endpoint: quinn::Endpoint,
    identity: watch::Receiver<Arc<NodeIdentity>>,
    whereabouts: Whereabouts,
    is_revoked: IsRevoked,
    open: Arc<Mutex<BTreeMap<(NodeId, Lane), Slot>>>,
}

/// A connection of one lane to one node; locked while it is being dialled.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    connection: quinn::Connection,
    /// Serial of the peer's certificate.
    serial: Option<CertificateSerial>,
    /// When the peer answered on it last.
    answered: Instant,
}

/// Longest handshake.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// Silence after which an unanswered question gives a connection up.
const SILENCE: Duration = Duration::from_secs(1);

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// Dials from this end point.
    pub(crate) fn new(
        cluster: ClusterId,
        endpoint: quinn::Endpoint,
        identity: watch::Receiver<Arc<NodeIdentity>>,
        whereabouts: Whereabouts,
        is_revoked: IsRevoked,
    ) -> Self {
        Self {
            cluster,
            endpoint,
            identity,
            whereabouts,
            is_revoked,
            open: Arc::default(),
        }
    }

    /// Asks a question.
    pub(crate) async fn call(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
        request: &Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let asked = tokio::time::timeout(within, self.ask(node, address, lane, request)).await;
        if let Ok(answer) = asked {
            if answer.is_ok() {
                self.answered(node, lane);
            }
            return answer;
        }
        self.suspect(node, lane);
        Err(CallError::Timeout(within))
    }

    async fn ask(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
        request: &Request,
    ) -> Result<Response, CallError> {
        let (mut to, mut from) = self.stream(node, address, lane).await?;
        frame::write(&mut to, request).await?;
        // A peer that answered early may have stopped reading; its answer is what counts.
        let _ = to.finish();
        answer(&mut from).await
    }

    /// Opens a stream to a node.
    pub(super) async fn stream(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
    ) -> Result<(quinn::SendStream, FrameReader), CallError> {
        let connection = self.connection(node, address, lane).await?;
        let (to, from) = connection.open_bi().await?;
        Ok((to, FrameReader::new(from)))
    }

    /// The kept connection, or a new one. Dialling goes on when the asker gives up, so that short
    /// deadlines do not make it begin anew for ever.
    async fn connection(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
    ) -> Result<quinn::Connection, CallError> {
        let slot = Arc::clone(self.lock().entry((node, lane)).or_default());
        let (peers, address) = (self.clone(), address.to_owned());
        let dialling = tokio::spawn(async move {
            let mut kept = slot.lock().await;
            if let Some(kept) = kept.as_ref()
                && kept.connection.close_reason().is_none()
            {
                return Ok(kept.connection.clone());
            }
            let dialled = tokio::time::timeout(DIAL_WITHIN, peers.dial(node, &address));
            let (connection, serial) = dialled
                .await
                .unwrap_or(Err(CallError::Timeout(DIAL_WITHIN)))?;
            *kept = Some(Kept {
                connection: connection.clone(),
                serial,
                answered: Instant::now(),
            });
            Ok(connection)
        });
        dialling
            .await
            .unwrap_or_else(|error| Err(CallError::Failed(error.to_string())))
    }

    /// Keeps anything from being sent to a node on a lane that is not in use yet.
    #[cfg(test)]
    pub(crate) async fn hold(&self, node: NodeId, lane: Lane) -> impl Drop + use<> {
        let slot = Arc::clone(self.lock().entry((node, lane)).or_default());
        slot.lock_owned().await
    }

    /// Notes that the peer answered on this lane.
    pub(super) fn answered(&self, node: NodeId, lane: Lane) {
        let slot = self.lock().get(&(node, lane)).cloned();
        if let Some(slot) = slot
            && let Ok(mut kept) = slot.try_lock()
            && let Some(kept) = kept.as_mut()
        {
            kept.answered = Instant::now();
        }
    }

    /// Gives up a connection on which no answer came for a while: a peer that was restarted knows
    /// nothing of it, and QUIC alone would notice that much later.
    pub(super) fn suspect(&self, node: NodeId, lane: Lane) {
        let slot = self.lock().get(&(node, lane)).cloned();
        if let Some(slot) = slot
            && let Ok(mut kept) = slot.try_lock()
            && let Some(silent) = kept.take_if(|kept| kept.answered.elapsed() > SILENCE)
        {
            silent.connection.close(4_u32.into(), b"no answer");
        }
    }

    /// Ends connections to peers whose certificate was revoked, streams of log entries included;
    /// false when one of them is just being used, and is to be looked at again.
    pub(crate) fn end_revoked(&self) -> bool {
        let slots: Vec<Slot> = self.lock().values().cloned().collect();
        let mut all = true;
        for slot in slots {
            let Ok(mut kept) = slot.try_lock() else {
                all = false;
                continue;
            };
            let is_revoked = |kept: &mut Kept| kept.serial.is_some_and(|s| (self.is_revoked)(&s));
            if let Some(revoked) = kept.take_if(is_revoked) {
                revoked
                    .connection
                    .close(3_u32.into(), b"no longer a member");
            }
        }
        all
    }

    async fn dial(
        &self,
        node: NodeId,
        address: &str,
    ) -> Result<(quinn::Connection, Option<CertificateSerial>), CallError> {
        let known = (self.whereabouts)(node);
        let address = resolve(known.as_deref().unwrap_or(address)).await?;
        let config = tls::client(&self.identity.borrow().clone())?;
        let name = node_dns_name(self.cluster, node);
        let connection = self.endpoint.connect_with(config, address, &name)?.await?;
        let PeerNode {
            node: found,
            serial,
        } = tls::peer_of(self.cluster, &connection)?;
        if found == node {
            if serial.is_some_and(|serial| (self.is_revoked)(&serial)) {
                connection.close(3_u32.into(), b"no longer a member");
                return Err(CallError::Revoked(node));
            }
            Ok((connection, serial))
        } else {
            connection.close(1_u32.into(), b"another node was dialled");
            Err(CallError::WrongNode {
                dialled: node,
                found,
            })
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(NodeId, Lane), Slot>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the one answer of a stream.
pub(super) async fn answer(from: &mut FrameReader) -> Result<Response, CallError> {
    match from.next().await? {
        Some(Response::Failed(reason)) => Err(CallError::Failed(reason)),
        Some(response) => Ok(response),
        None => Err(CallError::Frame(FrameError::Cut)),
    }
}

async fn resolve(endpoint: &str) -> Result<SocketAddr, CallError> {
    let wrong = |reason: String| CallError::Address {
        endpoint: endpoint.to_owned(),
        reason,
    };
    tokio::net::lookup_host(endpoint)
        .await
        .map_err(|error| wrong(error.to_string()))?
        .next()
        .ok_or_else(|| wrong("the name has no address".into()))
}
