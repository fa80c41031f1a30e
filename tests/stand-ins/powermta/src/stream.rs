//! A connection, in clear or under TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsStream, client, server};

/// Either kind of connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl From<server::TlsStream<TcpStream>> for Stream {
    fn from(stream: server::TlsStream<TcpStream>) -> Self {
        Self::Secured(Box::new(stream.into()))
    }
}

impl From<client::TlsStream<TcpStream>> for Stream {
    fn from(stream: client::TlsStream<TcpStream>) -> Self {
        Self::Secured(Box::new(stream.into()))
    }
}

impl Stream {
    /// Some bytes, or none at the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        let read = async {
            match self {
                Self::Plain(stream) => stream.read(buffer).await,
                Self::Secured(stream) => stream.read(buffer).await,
            }
        };
        timeout(within, read).await.map_err(io::Error::from)?
    }

    pub(crate) async fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<()> {
        let write = async {
            match self {
                Self::Plain(stream) => stream.write_all(bytes).await,
                Self::Secured(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        };
        timeout(within, write).await.map_err(io::Error::from)?
    }

    /// `TLSv1.3` and the cipher's name, as accounting files have them.
    pub(crate) fn tls(&self) -> Option<(String, String)> {
        let Self::Secured(stream) = self else {
            return None;
        };
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let suite = connection.negotiated_cipher_suite()?.suite();
        Some((
            version.to_owned(),
            suite.as_str().unwrap_or_default().to_owned(),
        ))
    }
}
