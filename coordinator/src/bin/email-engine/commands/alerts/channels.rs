//! `alerts channels`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    ChannelRequest, ChannelSecret, ChannelSpec, ChannelView, SmtpSpec, SmtpTls, TelegramSpec,
    WebhookSpec,
};
use email_engine_protocol::id::{ChannelName, TenantId};
use email_engine_protocol::mail::MailAddress;
use email_engine_protocol::url::ServiceUrl;

use crate::commands::Desk;
use crate::exit::Failure;
use crate::output::{Output, or_dash, row, text, word};
use crate::private_file;

#[derive(Debug, Subcommand)]
pub(super) enum ChannelsCommand {
    /// List all; what is secret of them is shown to nobody
    List,
    /// Make one, or change it
    #[command(after_help = "\
A secret is read from a private file (mode 0600) that holds it alone; without one, a channel that is changed
keeps its secret as long as it leads to the same server.

Examples:
  email-engine alerts channels set ops telegram --chat -1001234567890 --secret-file token.txt
  email-engine alerts channels set pager webhook --url https://alerts.example.com/in --secret-file key.txt
  email-engine alerts channels set mail smtp --server mx.example.com --from a@example.com --to b@example.com
  email-engine alerts channels set journal log")]
    Set {
        /// Its name; here it cannot be that of a kind, which is read as the kind
        name: ChannelName,
        #[command(subcommand)]
        kind: Kind,
    },
    /// Remove one; what waits for it is given up
    Remove {
        /// Its name
        name: ChannelName,
    },
}

/// What every channel has.
#[derive(Args, Debug)]
pub(super) struct Shared {
    /// A tenant's channel: it gets that tenant's alerts alone
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Where its secret is read from
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Kind {
    /// A chat of Telegram; the secret is the bot's token
    Telegram {
        /// Number of the chat, or @name of a public channel
        #[arg(long, allow_hyphen_values = true)]
        chat: String,
        /// The topic in it
        #[arg(long)]
        topic: Option<i64>,
        /// Where the API of bots answers
        #[arg(long, default_value = "https://api.telegram.org")]
        api: ServiceUrl,
        #[command(flatten)]
        shared: Shared,
    },
    /// A web service of one's own; the secret is the key of the signatures
    Webhook {
        /// Where it answers
        #[arg(long)]
        url: ServiceUrl,
        #[command(flatten)]
        shared: Shared,
    },
    /// Mail; the secret is the password of --username
    Smtp(Smtp),
    /// The log of the node that leads
    Log {
        #[command(flatten)]
        shared: Shared,
    },
}

#[derive(Args, Debug)]
pub(super) struct Smtp {
    /// Name or address of the server
    #[arg(long)]
    server: String,
    /// Its port
    #[arg(long, default_value_t = 587)]
    port: u16,
    /// How the connection is protected: starttls, tls, or plain to a loopback address
    #[arg(long, default_value = "starttls", value_parser = tls)]
    tls: SmtpTls,
    /// Who is let in
    #[arg(long)]
    username: Option<String>,
    /// Sender
    #[arg(long)]
    from: MailAddress,
    /// Receiver; may be given several times
    #[arg(long, required = true)]
    to: Vec<MailAddress>,
    #[command(flatten)]
    shared: Shared,
}

fn tls(text: &str) -> Result<SmtpTls, String> {
    match text {
        "plain" => Ok(SmtpTls::Plain),
        "starttls" => Ok(SmtpTls::Starttls),
        "tls" => Ok(SmtpTls::Tls),
        _ => Err("accepted are starttls, tls and plain".to_owned()),
    }
}

pub(super) async fn run(desk: &Desk, command: ChannelsCommand) -> Result<(), Failure> {
    match command {
        ChannelsCommand::List => {
            let channels = desk.client.channels().await?;
            desk.output
                .show(&channels, |output| table(output, &channels))?;
        }
        ChannelsCommand::Set { name, kind } => {
            let request = request(kind)?;
            let view = desk.client.set_channel(&name, &request).await?;
            desk.output.show(&view, |_| {
                format!(
                    "Channel {name} is set. `email-engine alerts test --channel {name}` tries it; a route has to lead to it."
                )
            })?;
        }
        ChannelsCommand::Remove { name } => {
            desk.client.remove_channel(&name).await?;
            desk.output
                .show(&(), |_| format!("Channel {name} is removed."))?;
        }
    }
    Ok(())
}

fn request(kind: Kind) -> Result<ChannelRequest, Failure> {
    let (spec, shared) = match kind {
        Kind::Telegram {
            chat,
            topic,
            api,
            shared,
        } => (
            ChannelSpec::Telegram(TelegramSpec { chat, topic, api }),
            shared,
        ),
        Kind::Webhook { url, shared } => (ChannelSpec::Webhook(WebhookSpec { url }), shared),
        Kind::Log { shared } => (ChannelSpec::Log {}, shared),
        Kind::Smtp(Smtp {
            server,
            port,
            tls,
            username,
            from,
            to,
            shared,
        }) => {
            let spec = SmtpSpec {
                server,
                port,
                tls,
                username,
                from,
                to,
            };
            (ChannelSpec::Smtp(spec), shared)
        }
    };
    let secret = match &shared.secret_file {
        Some(file) => {
            let text = private_file::read(file)?;
            let value = text.trim_end_matches(['\r', '\n']).to_owned();
            Some(ChannelSecret(value))
        }
        None => None,
    };
    Ok(ChannelRequest {
        spec,
        tenant: shared.tenant,
        secret,
    })
}

fn table(output: &Output, channels: &[ChannelView]) -> String {
    let mut table = output.table(&[
        "CHANNEL",
        "KIND",
        "LEADS TO",
        "TENANT",
        "WAITING",
        "TOOK LAST",
        "FAILS SINCE",
        "WHY",
    ]);
    for channel in channels {
        let (kind, to) = door(&channel.spec);
        table.add_row(row([
            channel.name.to_string(),
            kind.to_owned(),
            to,
            or_dash(channel.tenant.as_ref()),
            channel.waiting.to_string(),
            or_dash(channel.delivered_at.as_ref()),
            or_dash(channel.failing_since.as_ref()),
            or_dash(channel.error.as_ref()),
        ]));
    }
    text(&table)
}

fn door(spec: &ChannelSpec) -> (&'static str, String) {
    match spec {
        ChannelSpec::Log {} => ("log", "the leading node's log".to_owned()),
        ChannelSpec::Telegram(spec) => ("telegram", format!("chat {}", spec.chat)),
        ChannelSpec::Webhook(spec) => ("webhook", spec.url.to_string()),
        ChannelSpec::Smtp(spec) => {
            let to: Vec<_> = spec.to.iter().map(ToString::to_string).collect();
            let (server, port, tls) = (&spec.server, spec.port, word(&spec.tls));
            (
                "smtp",
                format!("{} by {server}:{port} ({tls})", to.join(", ")),
            )
        }
    }
}
