//! A receiver that writes down who came from where and said what, and answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) client: IpAddr,
    pub(crate) helo: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

type Rule = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    /// What to answer to a command instead of consent.
    rule: Mutex<Option<Rule>>,
    greetings: Mutex<usize>,
    open: Mutex<Open>,
}

/// Conversations now, and the most at once.
#[derive(Default)]
struct Open {
    now: usize,
    most: usize,
}

impl Shared {
    fn enters(&self) {
        let mut open = self.open.lock().unwrap();
        open.now += 1;
        open.most = open.most.max(open.now);
    }
}

/// The receiver.
#[derive(Clone)]
pub(crate) struct Sink {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

impl Sink {
    pub(crate) fn new(address: &str) -> Self {
        Self::at(SocketAddr::new(address.parse().unwrap(), 0))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let sink = Self {
            shared: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let shared = Arc::clone(&sink.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle is part of some tests.
                thread::spawn(move || {
                    shared.enters();
                    drop(converse(&shared, &stream));
                    shared.open.lock().unwrap().now -= 1;
                });
            }
        });
        sink
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.greetings.lock().unwrap()
    }

    /// The most conversations at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.open.lock().unwrap().most
    }

    /// From now on commands are answered by this rule, where it has an answer.
    pub(crate) fn answer(&self, rule: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Some(Arc::new(rule));
    }

    pub(crate) fn consent(&self) {
        *self.shared.rule.lock().unwrap() = None;
    }
}

fn converse(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    *shared.greetings.lock().unwrap() += 1;
    let mut mail = Mail {
        client: stream.peer_addr()?.ip(),
        helo: String::new(),
        from: String::new(),
        to: Vec::new(),
        text: String::new(),
    };
    writer.write_all(b"220 sink ready\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        // Asked outside of the lock: a rule may take its time.
        let rule = shared.rule.lock().unwrap().clone();
        let ruled = rule.and_then(|rule| rule(line));
        if let Some(answer) = ruled {
            writer.write_all(format!("{answer}\r\n").as_bytes())?;
            continue;
        }
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        let address = || rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match verb.to_uppercase().as_str() {
            "EHLO" => {
                mail.helo = rest.to_owned();
                writer.write_all(b"250-sink\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")?;
            }
            "MAIL" => {
                mail.from = address();
                mail.to.clear();
                writer.write_all(b"250 2.1.0 ok\r\n")?;
            }
            "RCPT" => {
                mail.to.push(address());
                writer.write_all(b"250 2.1.5 ok\r\n")?;
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                mail.text = content(&mut reader)?;
                shared.mails.lock().unwrap().push(mail.clone());
                writer.write_all(b"250 2.6.0 stored\r\n")?;
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n"),
            _ => writer.write_all(b"250 ok\r\n")?,
        }
    }
}

fn content(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
