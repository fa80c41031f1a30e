//! `dns zones`, `dns plan` and `dns apply`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use email_engine_protocol::api::{ZoneApplyRequest, ZoneMode, ZonePlanView, ZoneRequest, ZoneView};
use email_engine_protocol::mail::DomainName;

use super::check;
use crate::commands::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, or_dash, row, text};
use crate::private_file;

/// Arguments of `dns zones`.
#[derive(Args, Debug)]
pub(crate) struct Zones {
    #[command(subcommand)]
    command: ZonesCommand,
}

#[derive(Debug, Subcommand)]
enum ZonesCommand {
    /// List zones whose primary server is known, and what is stuck in them
    List,
    /// Say where a zone is changed (RFC 2136), by which TSIG key, and whether it is
    #[command(after_help = "\
The key is read from a private file (mode 0600) that holds it alone, in base64; without one, a zone that is
changed keeps the key that it has under that name.

Examples:
  email-engine dns zones set example.com --server 192.0.2.53:53 --key-name ee --key-file ee.key
  email-engine dns plan example.com
  email-engine dns zones set example.com --server 192.0.2.53:53 --key-name ee --mode manage")]
    Set {
        /// The zone, such as example.com or 100.51.198.in-addr.arpa
        zone: DomainName,
        /// Its primary server
        #[arg(long, value_name = "ADDRESS:PORT")]
        server: SocketAddr,
        /// Name of the key (hmac-sha256)
        #[arg(long, value_name = "NAME")]
        key_name: String,
        /// Where the key is read from
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Whether the fleet changes it
        #[arg(long, value_enum, default_value_t = Mode::Advise)]
        mode: Mode,
    },
    /// Forget a zone; its records stay as they are
    Remove {
        /// The zone
        zone: DomainName,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Nothing is changed: `dns plan` says what would be
    Advise,
    /// The fleet keeps its own records right by itself
    Manage,
}

/// Arguments of `dns plan`.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// The zone
    zone: DomainName,
    /// As if records of others that are as they must be became the fleet's
    #[arg(long)]
    adopt: bool,
}

/// Arguments of `dns apply`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// The zone
    zone: DomainName,
    /// The plan that was looked at: `dns plan` shows its hash
    #[arg(long, value_name = "HASH")]
    plan: String,
    /// Records of others that are as they must be become the fleet's, as in that plan
    #[arg(long)]
    adopt: bool,
    /// Also where the guard holds it
    #[arg(long)]
    force: bool,
    /// Seconds to wait until every authoritative server was asked whether it shows it; 0: not at all
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(..=3600))]
    wait: u64,
}

pub(super) async fn zones(desk: &Desk, zones: Zones) -> Result<Exit, Failure> {
    match zones.command {
        ZonesCommand::List => {
            let views = desk.client.dns_zones().await?;
            desk.output.show(&views, |output| table(output, &views))?;
        }
        ZonesCommand::Set {
            zone,
            server,
            key_name,
            key_file,
            mode,
        } => {
            let key = key_file.map(|file| private_file::read(&file)).transpose()?;
            let request = ZoneRequest {
                mode: match mode {
                    Mode::Advise => ZoneMode::Advise,
                    Mode::Manage => ZoneMode::Manage,
                },
                server,
                key_name,
                key: key.map(|key| key.trim().to_owned()),
            };
            let view = desk.client.set_dns_zone(&zone, &request).await?;
            desk.output.show(&view, |_| {
                let what = match view.mode {
                    ZoneMode::Advise => {
                        "is advised about: `email-engine dns plan` says what to change"
                    }
                    ZoneMode::Manage => "is managed: the fleet keeps its own records in it right",
                };
                format!("Zone {zone} {what}.")
            })?;
        }
        ZonesCommand::Remove { zone } => {
            desk.client.remove_dns_zone(&zone).await?;
            desk.output.show(&(), |_| {
                format!("Zone {zone} is forgotten; its records stay as they are.")
            })?;
        }
    }
    Ok(Exit::Success)
}

pub(super) async fn plan(desk: &Desk, plan: &Plan) -> Result<Exit, Failure> {
    let view = desk.client.dns_plan(&plan.zone, plan.adopt).await?;
    desk.output.show(&view, |_| shown(&view))?;
    Ok(match view.add.is_empty() && view.remove.is_empty() {
        true => Exit::Success,
        false => Exit::Found,
    })
}

pub(super) async fn apply(desk: &Desk, apply: &Apply) -> Result<Exit, Failure> {
    let request = ZoneApplyRequest {
        hash: apply.plan.clone(),
        adopt: apply.adopt,
        force: apply.force,
    };
    let done = desk.client.dns_apply(&apply.zone, &request).await?;
    let count = done.plan.add.len() + done.plan.remove.len();
    let words = format!("{count} changes of zone {} are made.", apply.zone);
    if apply.wait == 0 || done.check.domains.is_empty() {
        desk.output.show(&done, |_| words)?;
        return Ok(Exit::Success);
    }
    desk.output.note(&words);
    let mut views = check::seen(desk, None, &done.check, apply.wait).await?;
    views.retain(|view| done.check.domains.contains(&view.domain));
    check::told(desk, &views)
}

fn table(output: &Output, views: &[ZoneView]) -> String {
    let mut table = output.table(&[
        "ZONE", "MODE", "SERVER", "KEY", "MADE", "SEEN TO", "SERIAL", "STUCK",
    ]);
    for view in views {
        table.add_row(row([
            view.zone.to_string(),
            view.mode.as_str().to_owned(),
            view.server.to_string(),
            view.key_name.clone(),
            view.made.to_string(),
            or_dash(view.seen_to_at.as_ref()),
            or_dash(view.serial.as_ref()),
            or_dash(view.stuck.as_ref()),
        ]));
    }
    text(&table)
}

fn shown(view: &ZonePlanView) -> String {
    let mut lines = vec![format!(
        "; plan {} of zone {} at serial {}: {} records are right, {} of them somebody else's",
        view.hash, view.zone, view.serial, view.right, view.not_ours
    )];
    lines.extend(view.add.iter().map(|line| format!("+ {line}")));
    lines.extend(view.remove.iter().map(|line| format!("- {line}")));
    for one in &view.waits {
        lines.push(format!("; waits: {}\n;   {}", one.record, one.why));
    }
    for one in &view.blocked {
        lines.push(format!("! left out: {}\n!   {}", one.record, one.why));
    }
    if let Some(guard) = &view.guard {
        lines.push(format!("! not without --force: {guard}"));
    }
    if view.later > 0 {
        let later = view.later;
        lines.push(format!("; {later} further changes come with the next plan"));
    }
    lines.join("\n")
}
