//! Mail, through a server of one's own. The SMTP itself is lettre's.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::{Address, Envelope};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use email_engine_protocol::api::{SmtpSpec, SmtpTls};
use email_engine_protocol::mail::MailAddress;

use super::{Failure, Secret};
use crate::alerts::rules::Letter;

/// Sends mail. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Mailer {
    roots: Vec<Certificate>,
    within: Duration,
}

impl Mailer {
    pub(super) fn new(roots: Vec<CertificateDer<'static>>, within: Duration) -> Self {
        let root = |der: CertificateDer<'static>| Certificate::from_der(der.to_vec()).ok();
        let roots = roots.into_iter().filter_map(root).collect();
        Self { roots, within }
    }

    pub(super) async fn send(
        &self,
        spec: &SmtpSpec,
        password: Option<&Secret>,
        letter: &Letter,
    ) -> Result<(), Failure> {
        let message = message(spec, letter)?;
        let transport = self.transport(spec, password)?;
        let envelope = envelope(spec)?;
        let bytes = message.formatted();
        let sent = transport.send_raw(&envelope, &bytes);
        match timeout(self.within, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error, spec, password)),
            Err(_) => Err(Failure::later("no answer in time")),
        }
    }

    fn transport(
        &self,
        spec: &SmtpSpec,
        password: Option<&Secret>,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        let parameters = || {
            let mut builder = TlsParameters::builder(spec.server.clone())
                .certificate_store(CertificateStore::None);
            for root in &self.roots {
                builder = builder.add_root_certificate(root.clone());
            }
            let built = builder.build();
            built.map_err(|error| Failure::later(format!("TLS cannot be set up: {error}")))
        };
        let tls = match spec.tls {
            SmtpTls::Plain => Tls::None,
            // Nothing is said to a server that does not offer it.
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*spec.server)
            .port(spec.port)
            .tls(tls)
            .hello_name(ClientId::Domain(spec.from.domain.to_string()))
            .timeout(Some(self.within));
        if let (Some(name), Some(password)) = (&spec.username, password) {
            let password = String::from_utf8_lossy(password).into_owned();
            builder = builder.credentials(Credentials::new(name.clone(), password));
        }
        Ok(builder.build())
    }
}

fn address(address: &MailAddress) -> Result<Address, Failure> {
    let text = address.to_string();
    let parsed: Result<Address, _> = text.parse();
    parsed.map_err(|error| Failure::later(format!("{text}: {error}")))
}

fn envelope(spec: &SmtpSpec) -> Result<Envelope, Failure> {
    let to = spec.to.iter().map(address).collect::<Result<_, _>>()?;
    let envelope = Envelope::new(Some(address(&spec.from)?), to);
    envelope.map_err(|error| Failure::later(error.to_string()))
}

/// The mail. The same letter once more has the same `Message-ID`, whichever leader sends it: what it tells
/// is in its name.
fn message(spec: &SmtpSpec, letter: &Letter) -> Result<Message, Failure> {
    let mut builder = Message::builder()
        .from(Mailbox::new(
            Some("Email-Engine".to_owned()),
            address(&spec.from)?,
        ))
        .subject(letter.title())
        .message_id(Some(message_id(spec, letter)))
        .date(UNIX_EPOCH + Duration::from_millis(letter.sent_at.0));
    for to in &spec.to {
        builder = builder.to(Mailbox::new(None, address(to)?));
    }
    for (name, value) in [
        // No machine answers it (RFC 3834).
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
    ] {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    let built = builder
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(letter.plain());
    built.map_err(|error| Failure::refused(error.to_string()))
}

fn message_id(spec: &SmtpSpec, letter: &Letter) -> String {
    let first = letter.notices.first().map_or("none", |notice| &*notice.id);
    let more = match letter.notices.len() {
        0 | 1 => String::new(),
        count => {
            let last = letter.notices.last().map_or("none", |notice| &*notice.id);
            let last = last.rsplit_once('-').map_or(last, |(number, _)| number);
            let last = last.rsplit_once('-').map_or(last, |(_, number)| number);
            format!(".{count}-{last}")
        }
    };
    format!("<{first}{more}.{}@{}>", letter.channel, spec.from.domain)
}

/// A refusal for good of what was said, after a door that opened, is the letter's; all else may pass.
fn judge(
    error: &lettre::transport::smtp::Error,
    spec: &SmtpSpec,
    password: Option<&Secret>,
) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    // Servers say back what they were told.
    let told = password.and_then(|password| std::str::from_utf8(password).ok());
    if let Some(password) = told.filter(|password| !password.is_empty()) {
        let name = spec.username.as_deref().unwrap_or_default();
        let plain = format!("\0{name}\0{password}");
        for said in [plain.as_str(), password] {
            let encoded = data_encoding::BASE64.encode(said.as_bytes());
            text = text.replace(&encoded, "(password)");
        }
        text = text.replace(password, "(password)");
    }
    let text: String = text.chars().take(300).collect();
    let code = error.status().map(u16::from);
    match code {
        // Of content and size; what else is refused for good is of addresses and of who may.
        Some(552 | 554) => Failure::refused(text),
        _ => Failure::later(text),
    }
}
