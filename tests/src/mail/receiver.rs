//! A receiver that writes down who came from where and said what, and answers as it is told.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::lines::Lines;
use super::tls::Identity;
use crate::wait_for;

/// A message as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Where it came from.
    pub client: Option<IpAddr>,
    /// The name in EHLO.
    pub helo: String,
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Headers and body.
    pub text: String,
    /// Whether it came under TLS.
    pub secured: bool,
    /// When its text had come.
    pub at: Option<Instant>,
}

impl Mail {
    /// The value of a header; nothing when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = unfolded
            .split("\r\n")
            .filter_map(|line| line.split_once(':'));
        let found = lines.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    }
}

#[derive(Debug)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    acceptor: Acceptor,
    /// While it is closed, no message is answered.
    gate: watch::Sender<bool>,
    /// Messages that wait at the gate.
    waiting: watch::Sender<usize>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// The receiver, on port 25 of its address.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// On port 25 of an address.
    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 25)).await.unwrap();
        let identity = Identity::of(address);
        let shared = Arc::new(Shared {
            mails: Mutex::default(),
            acceptor: Acceptor(TlsAcceptor::from(identity.server())),
            gate: watch::Sender::new(true),
            waiting: watch::Sender::new(0),
        });
        let server = tokio::spawn(accept(Arc::clone(&shared), listener));
        Self { shared, server }
    }

    /// What has arrived.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        locked(&self.shared.mails).clone()
    }

    /// Waits until so many messages have arrived.
    pub async fn mails_when(&self, count: usize) -> Vec<Mail> {
        let why = format!("{count} messages arrive");
        wait_for(&why, async || {
            let mails = self.mails();
            if mails.len() >= count {
                Ok(mails)
            } else {
                Err(mails.len())
            }
        })
        .await
    }

    /// Takes messages from now on, but answers none of them before [`Self::open`].
    pub fn close(&self) {
        self.shared.gate.send_replace(false);
    }

    /// Answers what waits, and whatever comes.
    pub fn open(&self) {
        self.shared.gate.send_replace(true);
    }

    /// Waits until at least one message waits for its answer.
    pub async fn somebody_waits(&self) {
        let mut waiting = self.shared.waiting.subscribe();
        let some = waiting.wait_for(|count| *count > 0);
        let found = tokio::time::timeout(crate::DEADLINE, some).await;
        found.expect("no message waits at the gate").unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        // A sender that goes away in the middle is part of some scenarios.
        tokio::spawn(async move { drop(converse(&shared, stream).await) });
    }
}

async fn converse(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut mail = Mail {
        client: Some(stream.peer_addr()?.ip()),
        ..Mail::default()
    };
    let mut lines = Lines::new(stream);
    lines.say("220 receiver ready").await?;
    loop {
        let line = lines.line().await?;
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        let address = || rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                rest.clone_into(&mut mail.helo);
                "250-receiver\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES"
            }
            "STARTTLS" => {
                lines.say("220 2.0.0 go on").await?;
                let acceptor = shared.acceptor.0.clone();
                lines = Lines::new(acceptor.accept(lines.into_stream()).await?);
                mail.secured = true;
                continue;
            }
            "MAIL" => {
                mail.from = address();
                mail.to.clear();
                "250 2.1.0 ok"
            }
            "RCPT" => {
                mail.to.push(address());
                "250 2.1.5 ok"
            }
            "DATA" => {
                lines.say("354 go on").await?;
                mail.text = lines.message().await?;
                mail.at = Some(Instant::now());
                pass(shared).await;
                locked(&shared.mails).push(mail.clone());
                "250 2.6.0 stored"
            }
            "QUIT" => return lines.say("221 bye").await,
            _ => "250 ok",
        };
        lines.say(answer).await?;
    }
}

async fn pass(shared: &Shared) {
    let mut gate = shared.gate.subscribe();
    shared.waiting.send_modify(|count| *count += 1);
    // The gate lives as long as the receiver.
    let _ = gate.wait_for(|open| *open).await;
    shared.waiting.send_modify(|count| *count -= 1);
}
