//! The other side of [`super`]: a new coordinator node calls the cluster that its token names.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection};
use ring::rand::SystemRandom;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use email_engine_protocol::crypto::{Entropy, Sealed, SealingKey};
use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, EnrollRequest, NodeAdmission, NodeEnrollment, TokenSecret,
};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::join::{Admission, Endpoint, JoinToken};
use email_engine_protocol::limits;
use email_engine_protocol::wire::frame;

use super::enroll::KEK_INFO;
use super::frames::FrameReader;
use super::now;
use crate::pki::pin::{pin_of, pinned_client};
use crate::pki::verify::TlsError;
use crate::pki::{Credential, NodeIdentity, NodeKey, Peer};
use crate::seal::Vault;

/// A call takes no longer.
const CALL: Duration = Duration::from_secs(20);
/// Between two rounds over all end points.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a node will be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoints {
    /// By its peers.
    pub raft: Endpoint,
    /// By agents (UDP).
    pub agent: Endpoint,
    /// By operators (TCP).
    pub api: Endpoint,
}

/// What a node was given.
#[derive(Debug)]
pub struct Joined {
    /// Its number, certificate and key.
    pub identity: NodeIdentity,
    /// The cluster's key-encryption key.
    pub vault: Vault,
    /// Raft end points of the members.
    pub peers: Vec<(NodeId, Endpoint)>,
}

/// Why a node was not let in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A host's token.
    #[error("this join token admits a host, not a coordinator node: make one with `cluster add`")]
    NotForNodes,
    /// The cluster said no.
    #[error("the cluster refuses the join token: {reason} ({code:?})")]
    Refused {
        /// Stable code.
        code: EnrollRefusal,
        /// For a person.
        reason: String,
    },
    /// Whoever answers is not the cluster of the token.
    #[error("{endpoint} is not to be trusted: {reason}")]
    Server {
        /// Who answered.
        endpoint: Endpoint,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answered before the token ended.
    #[error("no coordinator could be asked before the join token ended; the last one said: {0}")]
    TimedOut(String),
    /// The answer is not for us.
    #[error("the answer of the cluster does not fit: {0}")]
    Mismatch(&'static str),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Joins with this token and key. The same key may try again after a lost answer: it gets the same
/// number. So the caller keeps the key on disk before it calls.
///
/// # Errors
/// When the cluster refuses, or nobody answers before the token ends.
pub async fn join(
    token: &JoinToken,
    key: NodeKey,
    endpoints: NodeEndpoints,
) -> Result<Joined, JoinError> {
    if token.admission != Admission::Node {
        return Err(JoinError::NotForNodes);
    }
    let random = SystemRandom::new();
    let seed = Zeroizing::new(Entropy(&random).bytes());
    let sealing = SealingKey::from_seed(&seed);
    let request = EnrollRequest::Node(NodeEnrollment {
        token: token.id.clone(),
        secret: TokenSecret(token.secret),
        request: key.request().to_vec(),
        sealing_key: sealing.public_key(),
        raft_endpoint: endpoints.raft,
        agent_endpoint: endpoints.agent,
        api_endpoint: endpoints.api,
    });
    let (tls, refusal) = pinned_client(token.cluster, token.ca_pin)?;
    let crypto =
        QuicClientConfig::try_from(tls).expect("ring has the cipher suite that QUIC begins with");
    let config = ClientConfig::new(Arc::new(crypto));
    let mut last = "the token names no coordinator".to_owned();
    loop {
        let mut untrusted = None;
        let mut impostors = 0;
        for endpoint in &token.endpoints {
            let asked = timeout(CALL, ask(endpoint, &config, &request)).await;
            match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(EnrollReply::Node(admission)) => return adopt(token, key, &sealing, *admission),
                Ok(EnrollReply::Refused { code, reason }) if code != EnrollRefusal::Unavailable => {
                    return Err(JoinError::Refused { code, reason });
                }
                Ok(EnrollReply::Refused { reason, .. }) => last = reason,
                Ok(EnrollReply::Host(_)) => return Err(JoinError::Mismatch("it is for a host")),
                Err(error) => {
                    if let Some(reason) = refusal.take() {
                        impostors += 1;
                        let endpoint = endpoint.clone();
                        untrusted = Some(JoinError::Server { endpoint, reason });
                    }
                    last = error;
                }
            }
            tracing::warn!(%endpoint, reason = last, "not joined yet");
        }
        // An impostor at one end point does not keep a node from the others, which may be starting just
        // now; a mistaken token, with impostors at all of them, is told at once and not when it ends.
        let has_ended = now() >= token.expires_at;
        match untrusted {
            Some(error) if has_ended || impostors == token.endpoints.len() => return Err(error),
            _ if has_ended => return Err(JoinError::TimedOut(last)),
            _ => {}
        }
        sleep(PAUSE).await;
    }
}

async fn ask(
    endpoint: &Endpoint,
    config: &ClientConfig,
    request: &EnrollRequest,
) -> Result<EnrollReply, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let addresses = tokio::net::lookup_host(endpoint.as_str())
        .await
        .map_err(|error| text(&error))?;
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match connect(address, config).await {
            Ok((socket, connection)) => {
                let reply = exchange(&connection, request).await;
                connection.close(super::transport::DONE, b"");
                socket.wait_idle().await;
                return reply;
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect(
    address: SocketAddr,
    config: &ClientConfig,
) -> Result<(quinn::Endpoint, Connection), String> {
    let any = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = quinn::Endpoint::client(any).map_err(|error| error.to_string())?;
    let connecting = socket
        .connect_with(config.clone(), address, "coordinator.internal")
        .map_err(|error| error.to_string())?;
    match connecting.await {
        Ok(connection) => Ok((socket, connection)),
        Err(error) => Err(error.to_string()),
    }
}

async fn exchange(connection: &Connection, request: &EnrollRequest) -> Result<EnrollReply, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let opened = connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| text(&error))?;
    let bytes = Zeroizing::new(frame::encode(request).map_err(|error| text(&error))?);
    send.write_all(&bytes).await.map_err(|error| text(&error))?;
    let _ = send.finish();
    FrameReader::new(limits::FRAME_BYTES)
        .next(&mut recv)
        .await
        .map_err(|error| text(&error))
}

fn adopt(
    token: &JoinToken,
    key: NodeKey,
    sealing: &SealingKey,
    admission: NodeAdmission,
) -> Result<Joined, JoinError> {
    if admission.cluster != token.cluster || pin_of(&admission.root) != Some(token.ca_pin) {
        return Err(JoinError::Mismatch("it is of another cluster"));
    }
    let leaf = admission
        .chain
        .first()
        .ok_or(JoinError::Mismatch("it has no certificate"))?;
    let credential = Credential::read(token.cluster, &leaf.as_slice().into())
        .map_err(|_| JoinError::Mismatch("its certificate is not of this cluster"))?;
    if credential.peer != Peer::Node(admission.node) || credential.spki != key.spki() {
        return Err(JoinError::Mismatch("its certificate is not ours"));
    }
    let vault = unwrap(sealing, &admission.key_encryption_key, admission.node)
        .ok_or(JoinError::Mismatch("its key-encryption key does not open"))?;
    Ok(Joined {
        identity: key.into_identity(
            admission.cluster,
            admission.node,
            &admission.chain,
            &admission.root,
        ),
        vault,
        peers: admission.peers,
    })
}

/// Version (4 bytes, big endian) and key.
fn unwrap(sealing: &SealingKey, sealed: &Sealed, node: NodeId) -> Option<Vault> {
    let opened = sealing.open(sealed, KEK_INFO, &node.0.to_be_bytes()).ok()?;
    let opened = Zeroizing::new(opened);
    let (version, key) = opened.split_first_chunk::<4>()?;
    let key: [u8; 32] = key.try_into().ok()?;
    let version = u32::from_be_bytes(*version);
    Some(Vault::new(version, Zeroizing::new(key)))
}
