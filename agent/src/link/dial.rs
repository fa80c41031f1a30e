//! From an end point to a connection whose other side is a node of our cluster, and from there to
//! a Welcome. A connection alone means nothing: TLS 1.3 lets a client believe that it is in before
//! the server has judged its certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::wire::frame::{self, FrameError};
use email_engine_protocol::wire::v1::{AgentMessage, CoordinatorMessage};
use email_engine_protocol::wire::{Hello, Refusal, SUPPORTED, Welcome};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream,
    TransportErrorCode, VarInt,
};
use tokio::time::timeout;

use super::frames::{FrameReadError, FrameReader};
use super::tls::OwnCertificateError;
use super::verify::{NodeVerifier, ServerRefusal};

/// One name.
const RESOLVE: Duration = Duration::from_secs(5);
/// One address: handshake included.
const CONNECT: Duration = Duration::from_secs(5);
/// From Hello to Welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// How long a closing connection may take to say so.
const CLOSING: Duration = Duration::from_millis(500);
/// TLS alert `certificate_expired` (RFC 8446 section 6): what a server sends that finds our
/// certificate past its end, and what our side sends for one of theirs.
const ALERT_EXPIRED: u8 = 45;

/// Codes of our side when it closes a connection.
pub(super) mod close {
    use super::VarInt;

    pub(in super::super) const DONE: VarInt = VarInt::from_u32(0);
    pub(in super::super) const PROTOCOL: VarInt = VarInt::from_u32(1);
    pub(in super::super) const SILENT: VarInt = VarInt::from_u32(2);
}

/// Why an end point did not let us in.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// Its name has no address.
    #[error("name does not resolve: {0}")]
    Resolve(std::io::Error),
    /// No socket.
    #[error("no UDP socket: {0}")]
    Socket(std::io::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It is not a coordinator of our cluster.
    #[error("not our coordinator: {0}")]
    Server(#[from] ServerRefusal),
    /// It finds our certificate past its end, or we find that of its.
    #[error("a certificate is past its end, or a clock is wrong")]
    Expired,
    /// It says no.
    #[error("refused ({:?}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    /// It breaks the protocol.
    #[error("protocol broken: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("connection failed: {0}")]
    Connection(String),
    /// Our own key and chain cannot be used.
    #[error(transparent)]
    OwnCertificate(#[from] OwnCertificateError),
    /// Our own message does not fit a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl DialError {
    /// What a broken connection means.
    pub(super) fn of(error: &ConnectionError) -> Self {
        let expired = TransportErrorCode::crypto(ALERT_EXPIRED);
        match error {
            ConnectionError::TransportError(error) if error.code == expired => Self::Expired,
            ConnectionError::ConnectionClosed(close) if close.error_code == expired => {
                Self::Expired
            }
            other => Self::Connection(other.to_string()),
        }
    }

    pub(super) fn of_read(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Read(quinn::ReadError::ConnectionLost(error)) => Self::of(&error),
            FrameReadError::Frame(error) => Self::Protocol(error.to_string()),
            other => Self::Connection(other.to_string()),
        }
    }

    pub(super) fn of_write(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => Self::of(&error),
            other => Self::Connection(other.to_string()),
        }
    }
}

/// A connection with the socket that it lives on.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) connection: Connection,
    socket: Endpoint,
}

impl Call {
    /// Says good-bye and gives that word a moment to leave.
    pub(super) async fn close(self, code: VarInt, reason: &str) {
        self.connection.close(code, reason.as_bytes());
        drop(self.connection);
        let _ = timeout(CLOSING, self.socket.wait_idle()).await;
    }
}

/// Connects to the first address of an end point that answers.
pub(super) async fn connect(
    endpoint: &str,
    config: ClientConfig,
    verifier: &Arc<NodeVerifier>,
) -> Result<Call, DialError> {
    let addresses: Vec<SocketAddr> = match endpoint.parse() {
        Ok(address) => vec![address],
        Err(_) => within(RESOLVE, tokio::net::lookup_host(endpoint))
            .await?
            .collect(),
    };
    let mut last = DialError::Resolve(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match connect_to(address, config.clone(), verifier).await {
            Ok(call) => return Ok(call),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The system's resolver waits for as long as it is configured to, and other nodes wait behind it.
async fn within<T>(
    limit: Duration,
    lookup: impl Future<Output = std::io::Result<T>>,
) -> Result<T, DialError> {
    match timeout(limit, lookup).await {
        Ok(found) => found.map_err(DialError::Resolve),
        Err(_) => Err(DialError::Resolve(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn connect_to(
    address: SocketAddr,
    config: ClientConfig,
    verifier: &Arc<NodeVerifier>,
) -> Result<Call, DialError> {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // A socket per call: a stale path through a NAT or firewall is left behind with the old one.
    let socket = Endpoint::client((any, 0).into()).map_err(DialError::Socket)?;
    let connecting = socket
        .connect_with(config, address, "coordinator.internal")
        .map_err(|error| DialError::Connection(error.to_string()))?;
    match timeout(CONNECT, connecting).await {
        Ok(Ok(connection)) => Ok(Call { connection, socket }),
        Ok(Err(error)) => Err(match verifier.refusal() {
            Some(ServerRefusal::Dates { now }) => {
                tracing::warn!(%address, %now, "its certificate is not valid by our clock");
                DialError::Expired
            }
            Some(refusal) => refusal.into(),
            None => DialError::of(&error),
        }),
        Err(_) => Err(DialError::Timeout(CONNECT)),
    }
}

/// A session that was let in.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) call: Call,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    pub(super) reader: FrameReader,
    pub(super) welcome: Box<Welcome>,
}

/// Opens the control stream and says Hello.
pub(super) async fn greet(call: Call, hello: Hello) -> Result<Opened, DialError> {
    match timeout(WELCOME, exchange(&call, hello)).await {
        Ok(Ok((send, recv, reader, welcome))) => Ok(Opened {
            call,
            send,
            recv,
            reader,
            welcome,
        }),
        Ok(Err(error)) => {
            let code = match error {
                DialError::Protocol(_) => close::PROTOCOL,
                _ => close::DONE,
            };
            call.close(code, "not let in").await;
            Err(error)
        }
        Err(_) => {
            call.close(close::SILENT, "no answer to Hello").await;
            Err(DialError::Timeout(WELCOME))
        }
    }
}

type Greeted = (SendStream, RecvStream, FrameReader, Box<Welcome>);

async fn exchange(call: &Call, hello: Hello) -> Result<Greeted, DialError> {
    let opened = call.connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| DialError::of(&error))?;
    let frame = frame::encode(&AgentMessage::Hello(Box::new(hello)))?;
    send.write_all(&frame).await.map_err(DialError::of_write)?;
    let mut reader = FrameReader::default();
    let answer = reader.next(&mut recv).await.map_err(DialError::of_read)?;
    match answer {
        CoordinatorMessage::Welcome(welcome) => {
            if (SUPPORTED.min..=SUPPORTED.max).contains(&welcome.version) {
                Ok((send, recv, reader, welcome))
            } else {
                let version = welcome.version;
                Err(DialError::Protocol(format!("it chose version {version}")))
            }
        }
        CoordinatorMessage::Refused(refusal) => Err(DialError::Refused(refusal)),
        other => Err(DialError::Protocol(format!(
            "not an answer to Hello: {other:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_never_answered_is_given_up() {
        let limit = Duration::from_millis(5);
        let looked_up = within(limit, std::future::pending::<std::io::Result<()>>()).await;
        let error = looked_up.unwrap_err().to_string();
        assert!(
            error.contains("name does not resolve: timed out"),
            "{error}"
        );
    }
}
