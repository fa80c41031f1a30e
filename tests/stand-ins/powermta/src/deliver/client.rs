//! One SMTP conversation with a receiver.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls_pki_types::ServerName;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Error, Response};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::stream::Stream;

/// Longest time for an ordinary answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// An open conversation.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    unread: Vec<u8>,
    pub(super) capabilities: u32,
}

/// Times of the queue's settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) greeting: Duration,
    pub(super) data: Duration,
    pub(super) data_end: Duration,
}

/// Connects from an address of one's own.
pub(super) async fn connect(
    source: Option<IpAddr>,
    to: SocketAddr,
    within: Duration,
) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    timeout(within, socket.connect(to))
        .await
        .map_err(io::Error::from)?
}

/// `550 5.1.1 text`, as it is written after `smtp;`.
pub(super) fn line(reply: &Response<String>) -> String {
    let text = reply
        .message
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let [class, subject, detail] = reply.esc;
    if class == 0 {
        return format!("{} {text}", reply.code);
    }
    format!("{} {class}.{subject}.{detail} {text}", reply.code)
}

impl Client {
    /// Takes over a connection that has said nothing yet.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream: Stream::Plain(stream),
            unread: Vec::new(),
            capabilities: 0,
        }
    }

    pub(super) fn tls(&self) -> Option<(String, String)> {
        self.stream.tls()
    }

    pub(super) async fn reply(&mut self, within: Duration) -> io::Result<Response<String>> {
        let mut receiver = ResponseReceiver::default();
        loop {
            let mut bytes = self.unread.iter();
            let parsed = receiver.parse(&mut bytes);
            let left = bytes.as_slice().to_vec();
            self.unread = left;
            match parsed {
                Ok(reply) => return Ok(reply),
                Err(Error::NeedsMoreData { .. }) => self.more(within).await?,
                Err(error) => return Err(odd(&error)),
            }
        }
    }

    async fn more(&mut self, within: Duration) -> io::Result<()> {
        let mut buffer = [0; 4_096];
        let count = self.stream.read(&mut buffer, within).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    pub(super) async fn say(&mut self, command: &str) -> io::Result<Response<String>> {
        self.stream
            .write(format!("{command}\r\n").as_bytes(), PATIENCE)
            .await?;
        self.reply(PATIENCE).await
    }

    /// EHLO; a receiver that does not know it hears HELO.
    pub(super) async fn hello(&mut self, name: &str) -> io::Result<Result<(), Response<String>>> {
        self.stream
            .write(format!("EHLO {name}\r\n").as_bytes(), PATIENCE)
            .await?;
        loop {
            let mut bytes = self.unread.iter();
            match EhloResponse::parse(&mut bytes) {
                Ok(found) => {
                    self.capabilities = found.capabilities;
                    self.unread = bytes.as_slice().to_vec();
                    return Ok(Ok(()));
                }
                Err(Error::NeedsMoreData { .. }) => self.more(PATIENCE).await?,
                Err(Error::InvalidResponse { .. }) => break,
                Err(error) => return Err(odd(&error)),
            }
        }
        let refused = self.reply(PATIENCE).await?;
        if refused.code < 500 {
            return Ok(Err(refused));
        }
        let reply = self.say(&format!("HELO {name}")).await?;
        Ok(if reply.code == 250 {
            Ok(())
        } else {
            Err(reply)
        })
    }

    /// STARTTLS has been answered with 220: the rest is under TLS.
    pub(super) async fn secure(self, host: &str) -> io::Result<Self> {
        let Stream::Plain(stream) = self.stream else {
            return Ok(self);
        };
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .or_else(|_| ServerName::try_from("receiver.invalid"))
            .map_err(io::Error::other)?;
        let connector = TlsConnector::from(tls::client().map_err(io::Error::other)?);
        let secured = timeout(PATIENCE, connector.connect(name, stream)).await??;
        Ok(Self {
            stream: secured.into(),
            unread: Vec::new(),
            capabilities: 0,
        })
    }

    /// The message after DATA was answered with 354.
    pub(super) async fn content(
        &mut self,
        message: &[u8],
        patience: Patience,
    ) -> io::Result<Response<String>> {
        let mut bytes = stuffed(message);
        bytes.extend_from_slice(b".\r\n");
        for chunk in bytes.chunks(16_384) {
            self.stream.write(chunk, patience.data).await?;
        }
        self.reply(patience.data_end).await
    }

    pub(super) async fn quit(mut self) {
        // The conversation is over whatever the answer.
        drop(self.say("QUIT").await);
    }
}

fn odd(error: &Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected answer: {error:?}"),
    )
}

/// A dot at the start of a line is doubled; the last line is ended.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 64);
    let mut at_start = true;
    for &byte in message {
        if at_start && byte == b'.' {
            bytes.push(b'.');
        }
        bytes.push(byte);
        at_start = byte == b'\n';
    }
    if !at_start {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Names of the extensions, as `dlvEsmtpAvailable` lists them.
pub(super) fn extensions(capabilities: u32) -> String {
    const KNOWN: [(u32, &str); 8] = [
        (smtp_proto::EXT_ENHANCED_STATUS_CODES, "ENHANCEDSTATUSCODES"),
        (smtp_proto::EXT_PIPELINING, "PIPELINING"),
        (smtp_proto::EXT_CHUNKING, "CHUNKING"),
        (smtp_proto::EXT_8BIT_MIME, "8BITMIME"),
        (smtp_proto::EXT_SIZE, "SIZE"),
        (smtp_proto::EXT_DSN, "DSN"),
        (smtp_proto::EXT_SMTP_UTF8, "SMTPUTF8"),
        (smtp_proto::EXT_START_TLS, "STARTTLS"),
    ];
    let names: Vec<_> = KNOWN
        .iter()
        .filter(|(bit, _)| capabilities & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_at_the_start_of_lines_only() {
        assert_eq!(stuffed(b".a.\r\n.b"), b"..a.\r\n..b\r\n");
    }

    #[test]
    fn a_reply_is_written_with_its_enhanced_code() {
        let reply = Response::new(550, 5, 1, 1, "no such user".to_owned());
        assert_eq!(line(&reply), "550 5.1.1 no such user");
        let bare = Response::new(250, 0, 0, 0, "DATA ok\n".to_owned());
        assert_eq!(line(&bare), "250 DATA ok");
    }
}
