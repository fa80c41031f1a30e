//! What `MailWizz` does with the records that the agent puts on its host: it submits under them, with
//! STARTTLS where they say so, and then only to whom the host trusts for the address that it called.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::client::Client;
use super::tls::trusting;

/// Where its records lie.
const RECORDS: &str = "etc/email-engine/mailwizz/delivery-servers";
/// What the fleet adds to those whom its host trusts; all of them, here.
const TRUSTED: &str = "usr/local/share/ca-certificates/email-engine-submission.crt";
/// Names the envelope sender, and goes no further.
const RETURN_PATH: &str = "X-Force-Return-Path";

/// One record, as far as sending needs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct DeliveryServer {
    hostname: IpAddr,
    port: u16,
    /// `tls` is STARTTLS.
    protocol: String,
    /// The visible sender.
    pub from_email: String,
    from_name: String,
    additional_headers: Vec<Header>,
    /// `active` or not.
    pub status: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Header {
    name: String,
    value: String,
}

impl DeliveryServer {
    /// The envelope sender.
    #[must_use]
    pub fn return_path(&self) -> &str {
        let path = self.additional_headers.iter();
        let path = path.clone().find(|header| header.name == RETURN_PATH);
        &path.unwrap().value
    }

    /// The same record with another envelope sender.
    #[must_use]
    pub fn with_return_path(mut self, address: &str) -> Self {
        let headers = self.additional_headers.iter_mut();
        for header in headers.filter(|header| header.name == RETURN_PATH) {
            address.clone_into(&mut header.value);
        }
        self
    }

    /// The same record with another header, in place of its own of that name.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self = self.without_header(name);
        self.additional_headers.push(Header {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// The same record without a header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.additional_headers.retain(|header| header.name != name);
        self
    }

    /// A message of a campaign, with the headers that bulk mail has.
    #[must_use]
    pub fn message(&self, letter: &Letter<'_>) -> String {
        let Self {
            from_email,
            from_name,
            ..
        } = self;
        let Letter { to, id } = letter;
        let domain = from_email.rsplit('@').next().unwrap();
        let mut text = format!(
            "Message-ID: <{id}@{domain}>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\n\
             Subject: News of the week\r\nFrom: {from_name} <{from_email}>\r\n\
             Reply-To: {from_email}\r\nTo: <{to}>\r\n\
             List-Unsubscribe: <https://{domain}/unsubscribe/{id}>\r\n\
             List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
             Feedback-ID: {id}:news:client:mw\r\nX-Job: campaign-{domain}\r\n"
        );
        for Header { name, value } in &self.additional_headers {
            if name != RETURN_PATH {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             Good day,\r\n.this line begins with a dot.\r\n",
        );
        text
    }
}

/// What one recipient gets.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The recipient.
    pub to: &'a str,
    /// In `Message-ID`, before the `@`.
    pub id: &'a str,
}

/// The application on one host.
#[derive(Clone, Debug)]
pub struct MailWizz {
    address: String,
    root: PathBuf,
}

impl MailWizz {
    /// On the host with this address and root.
    #[must_use]
    pub const fn new(address: String, root: PathBuf) -> Self {
        Self { address, root }
    }

    /// What submits in the same way from another address.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self::new(address.to_owned(), self.root.clone())
    }

    /// Its records by virtual MTA.
    #[must_use]
    pub fn servers(&self) -> BTreeMap<String, DeliveryServer> {
        let folder = fs::read_dir(self.root.join(RECORDS)).unwrap();
        let read = |path: PathBuf| {
            let vmta = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            (vmta, record)
        };
        folder.map(|entry| read(entry.unwrap().path())).collect()
    }

    /// The record of one virtual MTA.
    #[must_use]
    pub fn server(&self, vmta: &str) -> DeliveryServer {
        self.servers().remove(vmta).unwrap()
    }

    /// Connects as this host does and goes on under TLS.
    pub async fn connect(&self, server: &DeliveryServer) -> Client {
        self.try_connect(server).await.unwrap()
    }

    /// Connects as this host does and goes on under TLS.
    ///
    /// # Errors
    /// When the host does not trust who answers.
    pub async fn try_connect(&self, server: &DeliveryServer) -> io::Result<Client> {
        assert_eq!(server.protocol, "tls", "{server:?}");
        let to = SocketAddr::new(server.hostname, server.port);
        let mut client = Client::connect(&self.address, to).await;
        let offers = client.say("EHLO mailwizz1").await;
        assert!(offers.contains("STARTTLS"), "{offers}");
        let trusted = trusting(&fs::read(self.root.join(TRUSTED))?);
        client.secure(trusted).await?;
        client.say("EHLO mailwizz1").await;
        Ok(client)
    }

    /// Submits a message on an open connection; the answer to it.
    pub async fn submit(
        client: &mut Client,
        server: &DeliveryServer,
        letter: &Letter<'_>,
    ) -> String {
        let text = server.message(letter);
        client
            .transfer(server.return_path(), letter.to, &text)
            .await
    }

    /// Submits a message; the answer to it.
    pub async fn send(&self, server: &DeliveryServer, letter: &Letter<'_>) -> String {
        let mut client = self.connect(server).await;
        let answer = Self::submit(&mut client, server, letter).await;
        client.say("QUIT").await;
        answer
    }
}
