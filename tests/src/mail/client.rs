//! Somebody who connects to a mail server, from an address of their own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::lines::Lines;

/// A conversation that has begun.
#[derive(Debug)]
pub struct Client {
    lines: Option<Lines>,
    to: IpAddr,
    shown: Option<Vec<u8>>,
}

impl Client {
    /// Connects, and hears the greeting.
    pub async fn connect(from: &str, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::new(from.parse().unwrap(), 0))
            .unwrap();
        let stream = socket.connect(to).await.unwrap();
        let mut client = Self {
            lines: Some(Lines::new(stream)),
            to: to.ip(),
            shown: None,
        };
        let greeting = client.answer().await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        client
    }

    /// Says a command; the answer's lines, joined by line feeds.
    pub async fn say(&mut self, command: &str) -> String {
        self.lines().say(command).await.unwrap();
        self.answer().await
    }

    /// Goes on under TLS, with whom the configuration trusts for the address that was called.
    ///
    /// # Errors
    /// When it does not trust who answers.
    pub(super) async fn secure(&mut self, trusted: Arc<ClientConfig>) -> io::Result<()> {
        let answer = self.say("STARTTLS").await;
        assert!(answer.starts_with("220 "), "{answer}");
        let stream = self.lines.take().unwrap().into_stream();
        let name = ServerName::IpAddress(self.to.into());
        let secured = TlsConnector::from(trusted).connect(name, stream).await?;
        let shown = secured.get_ref().1.peer_certificates();
        self.shown = shown
            .and_then(|chain| chain.first())
            .map(|leaf| leaf.to_vec());
        self.lines = Some(Lines::new(secured));
        Ok(())
    }

    /// The certificate (DER) that the server showed.
    #[must_use]
    pub fn shown(&self) -> Option<&[u8]> {
        self.shown.as_deref()
    }

    /// One message; the last answer, which is a refusal when it came earlier.
    pub async fn transfer(&mut self, from: &str, to: &str, text: &str) -> String {
        match self.begin(from, to).await {
            Ok(()) => self.finish(text).await,
            Err(refusal) => refusal,
        }
    }

    /// The envelope of a message, up to where its text is waited for.
    ///
    /// # Errors
    /// A refusal; the server has forgotten the message then.
    pub async fn begin(&mut self, from: &str, to: &str) -> Result<(), String> {
        for command in [
            format!("MAIL FROM:<{from}>"),
            format!("RCPT TO:<{to}>"),
            "DATA".to_owned(),
        ] {
            let answer = self.say(&command).await;
            if !answer.starts_with(['2', '3']) {
                self.say("RSET").await;
                return Err(answer);
            }
        }
        Ok(())
    }

    /// The text of a message that was begun; the answer to it.
    pub async fn finish(&mut self, text: &str) -> String {
        self.lines().say_message(text).await.unwrap();
        self.answer().await
    }

    fn lines(&mut self) -> &mut Lines {
        self.lines.as_mut().unwrap()
    }

    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let line = self.lines().line().await.unwrap();
            let last = line.as_bytes().get(3) != Some(&b'-');
            answer.push_str(&line);
            if last {
                return answer;
            }
            answer.push('\n');
        }
    }
}
