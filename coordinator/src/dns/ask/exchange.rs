//! One message to one server, and its answer.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::TSigner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Attempts over UDP, where packets are lost.
const ATTEMPTS: u32 = 2;
/// Largest datagram that is taken.
const DATAGRAM: usize = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The message cannot be written.
    #[error("the message cannot be written: {0}")]
    Write(String),
    /// It does not answer.
    #[error("does not answer within {seconds} s")]
    Silent {
        /// How long was waited, all attempts together.
        seconds: u64,
    },
    /// The network refused.
    #[error("cannot be reached: {0}")]
    Network(#[from] io::Error),
    /// What came is no answer.
    #[error("answers with what is none: {0}")]
    Answer(String),
}

/// Sends a message over UDP, and again over TCP when the answer does not fit.
///
/// # Errors
/// When no answer comes, or none that can be read.
pub async fn exchange(
    server: SocketAddr,
    message: &Message,
    patience: Duration,
) -> Result<Message, ExchangeError> {
    let bytes = written(message)?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match timeout(patience, by_udp(server, &bytes, message)).await {
            Ok(Ok(answer)) if answer.metadata.truncation => {
                return by_tcp_within(server, &bytes, message, patience).await;
            }
            Ok(Ok(answer)) => return Ok(answer),
            // A port that is closed by now may be open at once: a server that restarts.
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
    }
    let seconds = patience.as_secs() * u64::from(ATTEMPTS);
    Err(last.unwrap_or(ExchangeError::Silent { seconds }))
}

/// Sends a message over TCP.
///
/// # Errors
/// When no answer comes, or none that can be read.
async fn by_tcp_within(
    server: SocketAddr,
    bytes: &[u8],
    asked: &Message,
    patience: Duration,
) -> Result<Message, ExchangeError> {
    let seconds = patience.as_secs();
    let answered = timeout(patience, by_tcp(server, bytes)).await;
    let answer = answered.map_err(|_| ExchangeError::Silent { seconds })??;
    let message =
        Message::from_vec(&answer).map_err(|error| ExchangeError::Answer(error.to_string()))?;
    match answers(&message, asked) {
        true => Ok(message),
        false => Err(ExchangeError::Answer("to another question".to_owned())),
    }
}

/// Sends a signed message over TCP (RFC 8945). Only an answer that is signed with the same key counts. `now` is
/// the time in seconds.
///
/// # Errors
/// When no such answer comes. Whether the message was acted upon is not known then.
pub async fn exchange_signed(
    server: SocketAddr,
    mut message: Message,
    signer: &TSigner,
    now: u64,
    patience: Duration,
) -> Result<Message, ExchangeError> {
    let unwritten = |error: hickory_proto::ProtoError| ExchangeError::Write(error.to_string());
    let verifier = message.finalize(signer, now).map_err(unwritten)?;
    let bytes = written(&message)?;
    let seconds = patience.as_secs();
    let answered = timeout(patience, by_tcp(server, &bytes)).await;
    let answer = answered.map_err(|_| ExchangeError::Silent { seconds })??;
    let unreadable = ExchangeError::Answer;
    let told = Message::from_vec(&answer).map_err(|error| unreadable(error.to_string()))?;
    let meta = &told.metadata;
    if meta.id != message.metadata.id || meta.message_type != MessageType::Response {
        return Err(unreadable("to another question".to_owned()));
    }
    // A server that does not know the key says so without a signature.
    let Some(mut verifier) = verifier.filter(|_| is_signed(&told)) else {
        let code = meta.response_code;
        return Err(unreadable(format!(
            "{code}, without a signature, as one does that does not know the TSIG key or has another"
        )));
    };
    verifier
        .verify(&answer)
        .map_err(|error| unreadable(format!("a wrong signature: {error}")))?;
    Ok(told)
}

/// Whether there is a signature at all: errors about keys come with an empty one.
fn is_signed(message: &Message) -> bool {
    let signature = message.signature();
    signature.is_some_and(|record| !record.data.mac.is_empty())
}

fn written(message: &Message) -> Result<Vec<u8>, ExchangeError> {
    let bytes = message.to_vec();
    bytes.map_err(|error| ExchangeError::Write(error.to_string()))
}

/// A socket of its own for each question: its port and the id of the message together are what a forger would
/// have to guess. Of what else comes in on it nothing counts.
async fn by_udp(
    server: SocketAddr,
    bytes: &[u8],
    asked: &Message,
) -> Result<Message, ExchangeError> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(message) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        if answers(&message, asked) {
            return Ok(message);
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len())
        .map_err(|_| ExchangeError::Write("it is longer than 65535 bytes".to_owned()))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(bytes).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn answers(message: &Message, asked: &Message) -> bool {
    let same_question = match (message.queries.first(), asked.queries.first()) {
        (Some(told), Some(asked)) => {
            told.name() == asked.name() && told.query_type() == asked.query_type()
        }
        // A refusal may come without the question that it refuses.
        (None, _) => message.answers.is_empty(),
        (Some(_), None) => false,
    };
    message.metadata.message_type == MessageType::Response
        && message.metadata.id == asked.metadata.id
        && same_question
}
