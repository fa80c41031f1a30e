//! One SMTP session of a client.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::request::receiver::{DataReceiver, RequestReceiver};
use smtp_proto::{
    AUTH_LOGIN, AUTH_PLAIN, EXT_8BIT_MIME, EXT_AUTH, EXT_DSN, EXT_ENHANCED_STATUS_CODES,
    EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse, Error, RCPT_NOTIFY_NEVER,
    Request,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::auth;
use crate::config::{Certificate, Config, Layered, Listener};
use crate::engine::Engine;
use crate::spool::{Recipient, domain_of};
use crate::stream::Stream;

/// Bytes that a client may say without a complete line.
const LONGEST_BUFFER: usize = 1 << 20;

/// Beyond any `max-message-size`; what is taken is in memory.
const LARGEST_MESSAGE: usize = 256 << 20;

/// A conversation and what was said in it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) client: IpAddr,
    pub(super) own: IpAddr,
    listener_source: Option<String>,
    immediate_tls: bool,
    /// What STARTTLS shows, as it was when the client came.
    certificate: Option<Certificate>,
    pub(super) user: Option<(String, String)>,
    pub(super) helo: String,
    pub(super) sender: Option<String>,
    pub(super) env_id: String,
    pub(super) recipients: Vec<Recipient>,
}

/// Whether the session goes on after an answer.
enum Step {
    Answer(String),
    Data,
    StartTls,
    Auth(u64, String),
    Quit,
}

fn answer(text: &str) -> Step {
    Step::Answer(format!("{text}\r\n"))
}

impl Session {
    pub(super) fn new(
        engine: Arc<Engine>,
        listener: &Listener,
        client: IpAddr,
        own: IpAddr,
    ) -> Self {
        let everywhere = || engine.config().certificate.clone();
        let certificate = listener.certificate.clone().or_else(everywhere);
        Self {
            engine,
            client,
            own,
            listener_source: listener.source.clone(),
            immediate_tls: listener.immediate_tls,
            certificate,
            user: None,
            helo: String::new(),
            sender: None,
            env_id: String::new(),
            recipients: Vec::new(),
        }
    }

    /// A user's source wins over the listener's, and that over networks.
    pub(super) fn settings<'a>(&self, config: &'a Config) -> Layered<'a> {
        let user = self.user.as_ref().map(|(_, source)| source.as_str());
        let named: Vec<&str> = user
            .into_iter()
            .chain(self.listener_source.as_deref())
            .collect();
        config.source_settings(self.client, &named)
    }

    pub(super) async fn run(mut self, stream: TcpStream) {
        let engine = Arc::clone(&self.engine);
        {
            let mut stats = engine.stats();
            stats.connections_in += 1;
            stats.top_in = stats.top_in.max(stats.connections_in);
        }
        if let Err(error) = self.converse(stream).await {
            engine.log(&format!("session with {}: {error}", self.client));
        }
        engine.stats().connections_in -= 1;
    }

    async fn converse(&mut self, stream: TcpStream) -> io::Result<()> {
        let config = self.engine.config();
        let settings = self.settings(&config);
        let patience = settings
            .time("smtp-command-timeout")
            .unwrap_or(Duration::from_secs(600));
        let most = config
            .settings
            .count("total-max-smtp-in")
            .flatten()
            .unwrap_or(100);
        let refusal = if !settings.flag("smtp-service") {
            Some("554 5.7.1 no SMTP service here\r\n")
        } else if self.engine.stats().connections_in > most {
            Some("421 4.3.2 too many connections\r\n")
        } else {
            None
        };
        let mut stream = Stream::Plain(stream);
        if self.immediate_tls {
            stream = self.secured(stream).await?;
        }
        if let Some(refusal) = refusal {
            return stream.write(refusal.as_bytes(), patience).await;
        }
        let greeting = format!(
            "220 {} (PowerMTA(TM) v5.0r1) ESMTP service ready\r\n",
            host(&config)
        );
        stream.write(greeting.as_bytes(), patience).await?;
        self.commands(stream, patience).await
    }

    async fn commands(&mut self, mut stream: Stream, patience: Duration) -> io::Result<()> {
        let mut receiver = RequestReceiver::default();
        let mut unread: Vec<u8> = Vec::new();
        loop {
            let mut bytes = unread.iter();
            let step = match receiver.ingest(&mut bytes) {
                Ok(request) => self.step(request.into_owned(), &stream),
                Err(Error::NeedsMoreData { .. }) => {
                    unread.clear();
                    if !more(&mut stream, &mut unread, patience).await? {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => answer(fault(&error)),
            };
            unread = bytes.as_slice().to_vec();
            match step {
                Step::Answer(text) => stream.write(text.as_bytes(), patience).await?,
                Step::Quit => {
                    return stream
                        .write(b"221 2.0.0 closing connection\r\n", patience)
                        .await;
                }
                Step::StartTls => {
                    stream
                        .write(b"220 2.0.0 ready to start TLS\r\n", patience)
                        .await?;
                    stream = self.secured(stream).await?;
                    // What was said in clear does not count.
                    unread.clear();
                    receiver = RequestReceiver::default();
                    self.reset();
                    self.helo.clear();
                }
                Step::Auth(mechanism, first) => {
                    let text = self
                        .log_in(&mut stream, &mut unread, mechanism, first)
                        .await?;
                    stream.write(text.as_bytes(), patience).await?;
                }
                Step::Data => {
                    stream.write(b"354 send message\r\n", patience).await?;
                    let Some(message) = content(&mut stream, &mut unread, patience).await? else {
                        return Ok(());
                    };
                    let text = self.accept(message).await;
                    self.reset();
                    stream.write(text.as_bytes(), patience).await?;
                }
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.sender = None;
        self.env_id.clear();
        self.recipients.clear();
    }

    async fn secured(&self, stream: Stream) -> io::Result<Stream> {
        let Stream::Plain(stream) = stream else {
            return Ok(stream);
        };
        let certificate = self.certificate.as_ref();
        let server = certificate.map(|certificate| Arc::clone(&certificate.server));
        let server = server.ok_or_else(|| io::Error::other("there is no certificate"))?;
        Ok(TlsAcceptor::from(server).accept(stream).await?.into())
    }

    fn offers_tls(&self, settings: &Layered<'_>, stream: &Stream) -> bool {
        let in_clear = matches!(stream, Stream::Plain(_));
        in_clear && settings.flag("allow-starttls") && self.certificate.is_some()
    }

    fn step(&mut self, request: Request<String>, stream: &Stream) -> Step {
        let config = self.engine.config();
        let settings = self.settings(&config);
        match request {
            Request::Ehlo { host: name } => {
                self.reset();
                self.helo = name;
                let tls = self.offers_tls(&settings, stream);
                Step::Answer(ehlo(&config, &settings, (stream, tls)))
            }
            Request::Helo { host: name } => {
                self.reset();
                self.helo = name;
                answer(&format!("250 {}", host(&config)))
            }
            Request::Mail { from } => {
                if self.helo.is_empty() {
                    return answer("503 5.5.1 EHLO first");
                }
                if settings.flag("require-auth") && self.user.is_none() {
                    return answer("530 5.7.0 authentication required");
                }
                self.reset();
                self.env_id = from.env_id.unwrap_or_default();
                self.sender = Some(from.address);
                answer("250 2.1.0 MAIL ok")
            }
            Request::Rcpt { to } => {
                let never = to.flags & RCPT_NOTIFY_NEVER != 0;
                answer(&self.recipient(&config, &settings, &to.address, to.orcpt, never))
            }
            Request::Data if self.sender.is_none() => answer("503 5.5.1 MAIL first"),
            Request::Data if self.recipients.is_empty() => answer("503 5.5.1 RCPT first"),
            Request::Data => Step::Data,
            Request::StartTls if self.offers_tls(&settings, stream) => Step::StartTls,
            Request::Auth {
                mechanism,
                initial_response,
            } if offers_auth(&config, &settings, stream) => Step::Auth(mechanism, initial_response),
            Request::Rset => {
                self.reset();
                answer("250 2.0.0 reset")
            }
            Request::Noop { .. } => answer("250 2.0.0 ok"),
            Request::Vrfy { .. } => answer("252 2.5.2 cannot verify"),
            Request::Quit => Step::Quit,
            _ => answer("502 5.5.1 command not implemented"),
        }
    }

    fn recipient(
        &mut self,
        config: &Config,
        settings: &Layered<'_>,
        address: &str,
        orcpt: Option<String>,
        never_notify: bool,
    ) -> String {
        if self.sender.is_none() {
            return "503 5.5.1 MAIL first".to_owned();
        }
        let most = settings
            .count("max-rcpt-per-message")
            .filter(|&most| most > 0);
        if most.is_some_and(|most| self.recipients.len() as u64 >= most) {
            return "452 4.5.3 too many recipients".to_owned();
        }
        if !may_relay(config, settings, address) {
            let code = if config.settings.flag("relay-debug").unwrap_or(false) {
                "450 4.7.1"
            } else {
                "550 5.7.1"
            };
            return format!("{code} relaying denied for <{address}>");
        }
        let lists = settings.list("suppression-lists");
        let suppressed = lists.iter().find(|name| {
            let list = config.address_lists.get(&name.to_lowercase());
            list.is_some_and(|list| list.iter().any(|own| own.matches(address)))
        });
        if let Some(list) = suppressed.filter(|_| !settings.flag("accept-invalid-recipients")) {
            return format!("550 5.7.1 <{address}> is on suppression list {list}");
        }
        let mut recipient = Recipient::new(address);
        recipient.orcpt = orcpt.unwrap_or_default();
        recipient.never_notify = never_notify;
        self.recipients.push(recipient);
        format!("250 2.1.5 <{address}> ok")
    }

    async fn log_in(
        &mut self,
        stream: &mut Stream,
        unread: &mut Vec<u8>,
        mechanism: u64,
        first: String,
    ) -> io::Result<String> {
        let config = self.engine.config();
        let user = match mechanism {
            AUTH_PLAIN => {
                let response = if first.is_empty() {
                    ask(stream, unread, "").await?
                } else {
                    first
                };
                auth::plain(&config, &response)
            }
            AUTH_LOGIN => {
                let name = if first.is_empty() {
                    ask(stream, unread, "VXNlcm5hbWU6").await?
                } else {
                    first
                };
                let password = ask(stream, unread, "UGFzc3dvcmQ6").await?;
                match (auth::decoded(&name), auth::decoded(&password)) {
                    (Some(name), Some(password)) => auth::check(&config, &name, &password),
                    _ => None,
                }
            }
            _ => return Ok("504 5.5.4 mechanism not supported\r\n".to_owned()),
        };
        let Some(user) = user else {
            return Ok("535 5.7.8 authentication failed\r\n".to_owned());
        };
        let source = user.source.clone().unwrap_or_else(|| "{auth}".to_owned());
        self.user = Some((user.name.clone(), source));
        Ok("235 2.7.0 authentication succeeded\r\n".to_owned())
    }
}

fn host(config: &Config) -> &str {
    config
        .host_names
        .first()
        .map_or("localhost", String::as_str)
}

/// Relaying is for sources that may; mail for own and relay domains is taken from anyone.
fn may_relay(config: &Config, settings: &Layered<'_>, address: &str) -> bool {
    let domain = domain_of(address);
    settings.flag("always-allow-relaying")
        || config
            .host_names
            .iter()
            .any(|own| own.eq_ignore_ascii_case(&domain))
        || config
            .relay_domains
            .iter()
            .any(|pattern| pattern.matches(&domain))
        || config
            .relay_addresses
            .iter()
            .any(|own| own.matches(address))
}

fn offers_auth(config: &Config, settings: &Layered<'_>, stream: &Stream) -> bool {
    let in_clear = matches!(stream, Stream::Plain(_));
    let needs_tls = settings.flag("require-starttls-before-auth")
        || !settings.flag("allow-unencrypted-plain-auth");
    !config.users.is_empty() && settings.flag("allow-auth") && !(in_clear && needs_tls)
}

fn ehlo(config: &Config, settings: &Layered<'_>, (stream, tls): (&Stream, bool)) -> String {
    let mut response = EhloResponse::new(host(config).to_owned());
    response.capabilities = EXT_8BIT_MIME | EXT_DSN | EXT_ENHANCED_STATUS_CODES | EXT_PIPELINING;
    response.capabilities |= EXT_SIZE;
    if settings.flag("allow-smtputf8") {
        response.capabilities |= EXT_SMTP_UTF8;
    }
    response.size = settings
        .count("max-message-size")
        .map_or(0, |size| usize::try_from(size).unwrap_or(0));
    if tls {
        response.capabilities |= EXT_START_TLS;
    }
    if offers_auth(config, settings, stream) {
        response.capabilities |= EXT_AUTH;
        response.auth_mechanisms = AUTH_PLAIN | AUTH_LOGIN;
    }
    let mut bytes = Vec::new();
    // A vector takes whatever is written.
    drop(response.write(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn fault(error: &Error) -> &'static str {
    match error {
        Error::InvalidSenderAddress => "501 5.1.7 bad sender address",
        Error::InvalidRecipientAddress => "501 5.1.3 bad recipient address",
        Error::UnsupportedParameter { .. } | Error::InvalidParameter { .. } => {
            "555 5.5.4 parameter not supported"
        }
        Error::ResponseTooLong => "500 5.5.2 line too long",
        Error::UnknownCommand => "500 5.5.1 unknown command",
        _ => "501 5.5.4 syntax error",
    }
}

async fn more(stream: &mut Stream, unread: &mut Vec<u8>, patience: Duration) -> io::Result<bool> {
    let mut buffer = vec![0; 16_384];
    let count = stream.read(&mut buffer, patience).await?;
    unread.extend_from_slice(&buffer[..count]);
    Ok(count > 0)
}

/// The message up to its final dot; nothing when the client went away.
async fn content(
    stream: &mut Stream,
    unread: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<Option<Vec<u8>>> {
    let mut receiver = DataReceiver::new();
    let mut message = Vec::new();
    loop {
        let mut bytes = unread.iter();
        let complete = receiver.ingest(&mut bytes, &mut message);
        *unread = bytes.as_slice().to_vec();
        if complete {
            return Ok(Some(message));
        }
        if message.len() > LARGEST_MESSAGE {
            return Err(io::Error::other("the message is larger than anything here"));
        }
        unread.clear();
        if !more(stream, unread, patience).await? {
            return Ok(None);
        }
    }
}

/// Asks with 334, and waits for one line.
async fn ask(stream: &mut Stream, unread: &mut Vec<u8>, challenge: &str) -> io::Result<String> {
    let patience = Duration::from_secs(60);
    stream
        .write(format!("334 {challenge}\r\n").as_bytes(), patience)
        .await?;
    loop {
        if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            return Ok(String::from_utf8_lossy(&line).trim().to_owned());
        }
        if unread.len() > LONGEST_BUFFER || !more(stream, unread, patience).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
