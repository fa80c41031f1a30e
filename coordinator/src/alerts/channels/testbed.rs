//! Stand-ins of what stands at the other end: a web service (Telegram's API too) and a mail server. They
//! keep what they were sent, and can be told to misbehave.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use email_engine_protocol::api::{AlertKind, Occasion};
use email_engine_protocol::id::ChannelName;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Letter, Notice};

/// What a web service does with the next requests, in their order; then it takes everything.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// This status, this header line, this body.
    Says(u16, &'static str, &'static str),
    /// Answers more than anybody wants to read.
    Floods,
    /// Takes the request and says nothing.
    SaysNothing,
    /// Keeps it, and breaks off.
    Hangs,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A stand-in that runs.
#[derive(Clone, Debug)]
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    pub(crate) moods: Arc<Mutex<VecDeque<Mood>>>,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
}

impl StandIn {
    /// A web service, over TLS when it has a certificate.
    pub(crate) async fn web(tls: Option<&Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand_in = Self {
            address: listener.local_addr().unwrap(),
            moods: Arc::default(),
            heard: Arc::default(),
        };
        let acceptor = tls.map(Identity::acceptor);
        let own = stand_in.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, acceptor) = (own.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => own.answer(stream).await,
                        // Whoever does not believe it hangs up.
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => own.answer(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        stand_in
    }

    pub(crate) fn next(&self, moods: impl IntoIterator<Item = Mood>) {
        self.moods.lock().unwrap().extend(moods);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let heard = Heard {
            head,
            body: Vec::new(),
        };
        let length: usize = heard.header("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        self.heard.lock().unwrap().push(Heard { body, ..heard });
        let mood = self.moods.lock().unwrap().pop_front();
        let says = |status: u16, header: &str, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} X\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        };
        let text = match mood {
            None => says(200, "", r#"{"ok":true,"result":{"message_id":1}}"#),
            Some(Mood::Says(status, header, body)) => says(status, header, body),
            Some(Mood::Hangs) => return None,
            Some(Mood::SaysNothing) => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                return None;
            }
            Some(Mood::Floods) => {
                let head = "HTTP/1.1 200 X\r\nContent-Type: text/plain\r\n\r\n";
                stream.write_all(head.as_bytes()).await.ok()?;
                loop {
                    stream.write_all(&[b'x'; 4_096]).await.ok()?;
                }
            }
        };
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        stream.shutdown().await.ok()
    }
}

/// Who a stand-in says that it is: a certificate of its own.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// For the loopback address.
    pub(crate) fn new() -> Self {
        Self::of("127.0.0.1")
    }

    pub(crate) fn of(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A letter with one alert.
pub(crate) fn letter(title: &str) -> Letter {
    let notice = Notice {
        id: "c-1-7-raised".to_owned(),
        alert: "c-1-7".to_owned(),
        occasion: Occasion::Raised,
        kind: AlertKind::HostAway,
        severity: AlertKind::HostAway.severity(),
        subject: "host pmta1".to_owned(),
        tenant: None,
        title: title.to_owned(),
        text: vec!["It keeps what it has.".to_owned()],
        raised_at: Timestamp(1_795_240_800_000),
        last_at: Timestamp(1_795_240_800_000),
        count: 1,
        resolved_at: None,
    };
    Letter {
        channel: ChannelName::new("ops").unwrap(),
        cluster: "c".to_owned(),
        sent_at: Timestamp(1_795_240_900_000),
        notices: vec![notice],
    }
}

/// A mail server that takes one mail per connection.
#[derive(Clone, Debug)]
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    /// What was said to it after any TLS, and the mail.
    pub(crate) said: Arc<Mutex<Vec<String>>>,
    /// What was said before TLS.
    pub(crate) said_openly: Arc<Mutex<Vec<String>>>,
    /// Answers by the word that they are for, instead of the usual ones.
    pub(crate) answers: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl MailServer {
    /// With STARTTLS when it has a certificate, or with TLS from the first byte.
    pub(crate) async fn start(identity: Option<&Identity>, wrapped: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            said: Arc::default(),
            said_openly: Arc::default(),
            answers: Arc::default(),
        };
        let acceptor = identity.map(Identity::acceptor);
        let own = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, acceptor) = (own.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => own.talk(stream, &own.said, false, true).await.map(drop),
                        Some(acceptor) if wrapped => {
                            let stream = acceptor.accept(stream).await.ok()?;
                            own.talk(stream, &own.said, false, true).await.map(drop)
                        }
                        Some(acceptor) => {
                            let stream = own.talk(stream, &own.said_openly, true, true).await?;
                            let stream = acceptor.accept(stream).await.ok()?;
                            own.talk(stream, &own.said, false, false).await.map(drop)
                        }
                    }
                });
            }
        });
        server
    }

    /// Until the end, or until the client asks for TLS.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        said: &Mutex<Vec<String>>,
        offers: bool,
        greets: bool,
    ) -> Option<S> {
        let mut stream = BufReader::new(stream);
        if greets {
            let greeting = self.answer("greeting", "220 mx.example.com ESMTP\r\n");
            stream.write_all(greeting.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
        }
        let mut in_data = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            said.lock().unwrap().push(line.clone());
            if in_data && line != "." {
                continue;
            }
            let word = line.split([' ', ':']).next().unwrap_or_default();
            let usual = match word {
                "EHLO" if offers => "250-mx.example.com\r\n250 STARTTLS\r\n",
                "EHLO" => "250-mx.example.com\r\n250 AUTH PLAIN\r\n",
                "AUTH" => "235 2.7.0 welcome\r\n",
                "DATA" => "354 go ahead\r\n",
                "QUIT" => "221 bye\r\n",
                "STARTTLS" => "220 go ahead\r\n",
                _ => "250 2.0.0 fine\r\n",
            };
            in_data = word == "DATA";
            let answer = self.answer(word, usual);
            stream.write_all(answer.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            if word == "STARTTLS" {
                return Some(stream.into_inner());
            }
        }
    }

    fn answer(&self, word: &str, usual: &str) -> String {
        let answers = self.answers.lock().unwrap();
        let told = answers.iter().find(|(key, _)| *key == word);
        told.map_or_else(|| usual.to_owned(), |(_, answer)| answer.clone())
    }

    pub(crate) fn mail(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}
