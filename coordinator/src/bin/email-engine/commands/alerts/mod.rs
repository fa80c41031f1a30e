//! `alerts`: what people are told, through which channels, and what is kept quiet.

mod channels;
mod routes;
mod silences;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{AlertKind, AlertView, DeliveryView, Severity, TestRequest};
use email_engine_protocol::id::ChannelName;

use super::Desk;
use crate::client::AlertFilter;
use crate::exit::{Exit, Failure};
use crate::output::{Output, or_dash, row, text};

/// Arguments of `alerts`.
#[derive(Args, Debug)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// List alerts, newest first
    List(List),
    /// Show one, and how far it is delivered
    Show {
        /// Its number
        id: u64,
    },
    /// List the kinds of alerts: their codes, how grave they are, whether they end
    Kinds,
    /// Send one, to see whether alerts arrive
    Test {
        /// To this channel alone, whatever routes say
        #[arg(long, value_name = "NAME")]
        channel: Option<ChannelName>,
    },
    /// Keep alerts quiet for a while: list, add, end
    Silence {
        #[command(subcommand)]
        command: silences::SilenceCommand,
    },
    /// Ways to people: list, set, remove
    Channels {
        #[command(subcommand)]
        command: channels::ChannelsCommand,
    },
    /// Who is told what: list, set, remove
    Routes {
        #[command(subcommand)]
        command: routes::RoutesCommand,
    },
}

#[derive(Args, Debug)]
struct List {
    /// Only what goes on
    #[arg(long)]
    open: bool,
    /// Only this kind, such as `host-away`
    #[arg(long)]
    kind: Option<AlertKind>,
    /// Only these and graver ones: info, warning, critical
    #[arg(long)]
    severity: Option<Severity>,
    /// Newest to show
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(desk: &Desk, arguments: Alerts) -> Result<Exit, Failure> {
    match arguments.command {
        AlertsCommand::List(List {
            open,
            kind,
            severity,
            limit,
        }) => {
            let filter = AlertFilter {
                limit,
                open,
                kind,
                severity,
            };
            let alerts = desk.client.alerts(filter).await?;
            desk.output.show(&alerts, |output| table(output, &alerts))?;
        }
        AlertsCommand::Show { id } => {
            let alert = desk.client.alert(id).await?;
            desk.output.show(&alert, |output| details(output, &alert))?;
        }
        AlertsCommand::Kinds => {
            let kinds: Vec<_> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
            desk.output.show(&kinds, kinds_table)?;
        }
        AlertsCommand::Test { channel } => {
            let test = desk.client.test_alerts(&TestRequest { channel }).await?;
            desk.output.show(&test, |_| {
                let names: Vec<_> = test.channels.iter().map(ToString::to_string).collect();
                let id = test.id;
                match names.is_empty() {
                    true => format!(
                        "Alert {id} goes nowhere: no route leads to a channel for kind test, which is info."
                    ),
                    false => format!(
                        "Alert {id} goes to {}. `email-engine alerts show {id}` says how far it is.",
                        names.join(", ")
                    ),
                }
            })?;
        }
        AlertsCommand::Silence { command } => silences::run(desk, command).await?,
        AlertsCommand::Channels { command } => channels::run(desk, command).await?,
        AlertsCommand::Routes { command } => routes::run(desk, command).await?,
    }
    Ok(Exit::Success)
}

fn kinds_table(output: &Output) -> String {
    let mut table = output.table(&["KIND", "SEVERITY", "ENDS"]);
    for kind in AlertKind::ALL {
        let ends = if kind.resolves() { "yes" } else { "-" };
        table.add_row(row([
            kind.to_string(),
            kind.severity().to_string(),
            ends.to_owned(),
        ]));
    }
    text(&table)
}

fn table(output: &Output, alerts: &[AlertView]) -> String {
    let mut table = output.table(&[
        "ID", "AT", "SEVERITY", "KIND", "WHAT", "TIMES", "OVER", "TOLD",
    ]);
    for alert in alerts {
        table.add_row(row([
            alert.id.to_string(),
            alert.raised_at.to_string(),
            alert.severity.to_string(),
            alert.kind.to_string(),
            alert.title.clone(),
            alert.count.to_string(),
            over(alert),
            told(alert),
        ]));
    }
    text(&table)
}

fn over(alert: &AlertView) -> String {
    match (alert.kind.resolves(), alert.resolved_at) {
        (_, Some(at)) => at.to_string(),
        (true, None) => "goes on".to_owned(),
        (false, None) => "-".to_owned(),
    }
}

/// How many channels took it, of how many.
fn told(alert: &AlertView) -> String {
    if let Some(silence) = alert.silenced_by {
        return format!("silence {silence}");
    }
    if alert.deliveries.is_empty() {
        return "nobody".to_owned();
    }
    let delivered = |one: &&DeliveryView| one.state.as_str() == "delivered";
    let done = alert.deliveries.iter().filter(delivered).count();
    format!("{done} of {}", alert.deliveries.len())
}

fn details(output: &Output, alert: &AlertView) -> String {
    let mut lines = vec![
        format!("[{}] {}", alert.severity, alert.title),
        String::new(),
    ];
    lines.extend(alert.text.iter().cloned());
    lines.push(String::new());
    for (name, value) in [
        ("Alert", format!("{} ({})", alert.id, alert.key)),
        ("Kind", alert.kind.to_string()),
        ("About", alert.subject.clone()),
        ("Tenant", or_dash(alert.tenant.as_ref())),
        ("Raised", alert.raised_at.to_string()),
        ("Seen last", alert.last_at.to_string()),
        ("Times", alert.count.to_string()),
        ("Over", over(alert)),
        ("Silence", or_dash(alert.silenced_by.as_ref())),
    ] {
        lines.push(format!("{name:<14} {value}"));
    }
    if alert.deliveries.is_empty() {
        return lines.join("\n");
    }
    let mut table = output.table(&["CHANNEL", "WHAT", "STATE", "FAILED", "AT", "WHY"]);
    for delivery in &alert.deliveries {
        table.add_row(row([
            delivery.channel.to_string(),
            delivery.occasion.as_str().to_owned(),
            delivery.state.as_str().to_owned(),
            delivery.attempts.to_string(),
            delivery.at.to_string(),
            or_dash(delivery.error.as_ref()),
        ]));
    }
    lines.push(String::new());
    lines.push(text(&table));
    lines.join("\n")
}
