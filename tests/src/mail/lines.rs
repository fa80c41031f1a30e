//! SMTP's lines, in clear or under TLS, on either side.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection, line by line.
pub(super) struct Lines {
    stream: BufReader<Box<dyn Duplex>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    pub(super) fn new(stream: impl Duplex + 'static) -> Self {
        Self {
            stream: BufReader::new(Box::new(stream)),
        }
    }

    /// The connection itself, for TLS.
    pub(super) fn into_stream(self) -> Box<dyn Duplex> {
        self.stream.into_inner()
    }

    /// A line without its end.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        stream.flush().await
    }

    /// The lines of a message up to its final dot.
    pub(super) async fn message(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                return Ok(text);
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push_str("\r\n");
        }
    }

    /// A message and its final dot.
    pub(super) async fn say_message(&mut self, text: &str) -> io::Result<()> {
        let mut out = String::with_capacity(text.len() + 64);
        for line in text.split_terminator("\r\n") {
            if line.starts_with('.') {
                out.push('.');
            }
            out.push_str(line);
            out.push_str("\r\n");
        }
        out.push('.');
        self.say(&out).await
    }
}
