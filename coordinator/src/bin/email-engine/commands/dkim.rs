//! `dkim`: which keys identities sign with, and the change of them.

use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    DkimView, DomainRecord, RotateRequest, RotationStage, TenantRotation,
};
use email_engine_protocol::id::TenantId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text, word};

/// Arguments of `dkim`.
#[derive(Args, Debug)]
#[command(after_help = "\
A key is changed in steps: its new record is published and seen (by the fleet, or by your word: `ips state-dns A
--valid next_dkim`), the host gets the key and then signs with it, the old record stays for 19 days, then says
for 30 that its key is not good any more. Nothing is signed with a key whose record was not seen.

Examples:
  email-engine dkim rotate 192.0.2.7
  email-engine dkim rotate --tenant client-1
  email-engine dkim rotate 192.0.2.7 --emergency      others know the key
  email-engine dkim status --tenant client-1 --watch
  email-engine dkim status 192.0.2.7                  with the records to publish and to withdraw")]
pub(crate) struct Dkim {
    #[command(subcommand)]
    command: Option<DkimCommand>,
}

#[derive(Debug, Subcommand)]
enum DkimCommand {
    /// Begin to change the key of an identity, or the keys of a tenant
    Rotate {
        #[command(flatten)]
        whose: Whose,
        /// The key is known to others: its record says so as soon as the new one signs
        #[arg(long)]
        emergency: bool,
    },
    /// Show how far it is (the default)
    Status {
        /// One identity, with its records
        address: Option<IpAddr>,
        /// Only this tenant's
        #[arg(long, conflicts_with = "address")]
        tenant: Option<TenantId>,
        /// Show it again and again, until Ctrl-C
        #[arg(long, short)]
        watch: bool,
        /// Seconds between two looks
        #[arg(long, default_value_t = 2, value_name = "SECONDS", requires = "watch",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        interval: u64,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whose {
    /// An identity's address
    address: Option<IpAddr>,
    /// All identities of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
}

pub(crate) async fn run(desk: &Desk, arguments: Dkim) -> Result<Exit, Failure> {
    let command = arguments.command.unwrap_or(DkimCommand::Status {
        address: None,
        tenant: None,
        watch: false,
        interval: 2,
    });
    match command {
        DkimCommand::Rotate { whose, emergency } => {
            let request = RotateRequest { emergency };
            match (whose.address, whose.tenant) {
                (Some(address), _) => {
                    let view = desk.client.rotate(address, request).await?;
                    warn(desk, &view);
                    desk.output.show(&view, |output| details(output, &view))?;
                }
                (None, Some(tenant)) => rotate_all(desk, &tenant, request).await?,
                (None, None) => {}
            }
            Ok(Exit::Success)
        }
        DkimCommand::Status {
            address,
            tenant,
            watch: false,
            ..
        } => {
            let shown = look(desk, address, tenant.as_ref()).await?;
            desk.output.print(&shown)?;
            Ok(Exit::Success)
        }
        DkimCommand::Status {
            address,
            tenant,
            interval,
            ..
        } => {
            let watching = watch(desk, address, tenant.as_ref(), interval);
            tokio::select! {
                ended = watching => ended,
                _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
            }
        }
    }
}

/// One call after the other, until none is left: a call takes as many as keys are made for in a while.
async fn rotate_all(desk: &Desk, tenant: &TenantId, request: RotateRequest) -> Result<(), Failure> {
    let mut whole = TenantRotation::default();
    loop {
        let part = desk.client.rotate_tenant(tenant, request).await?;
        part.identities.iter().for_each(|view| warn(desk, view));
        let is_last = part.remaining == 0 || part.begun == 0;
        // What began by an earlier call is under way by then.
        whole.under_way = part.under_way.saturating_sub(whole.begun);
        whole.begun += part.begun;
        whole.remaining = part.remaining;
        whole.identities.extend(part.identities);
        if is_last {
            break;
        }
        desk.output
            .note(&format!("{} begun, {} to go", whole.begun, whole.remaining));
    }
    desk.output.show(&whole, |output| {
        format!(
            "{}\n\n{} begun, {} under way before; the records to publish: `email-engine dkim status ADDRESS`",
            table(output, &whole.identities),
            whole.begun,
            whole.under_way
        )
    })?;
    Ok(())
}

fn warn(desk: &Desk, view: &DkimView) {
    for warning in &view.warnings {
        desk.output.note(&format!("warning: {warning}"));
    }
}

async fn look(
    desk: &Desk,
    address: Option<IpAddr>,
    tenant: Option<&TenantId>,
) -> Result<String, Failure> {
    if let Some(address) = address {
        let view = desk.client.dkim(address).await?;
        let details = |output: &Output| details(output, &view);
        return Ok(desk.output.render(&view, details)?);
    }
    let views = match tenant {
        Some(tenant) => desk.client.dkim_of_tenant(tenant).await?,
        None => desk.client.dkims().await?,
    };
    let table = |output: &Output| table(output, &views);
    Ok(desk.output.render(&views, table)?)
}

async fn watch(
    desk: &Desk,
    address: Option<IpAddr>,
    tenant: Option<&TenantId>,
    interval: u64,
) -> Result<Exit, Failure> {
    loop {
        let shown = look(desk, address, tenant).await?;
        if std::io::stdout().is_terminal() {
            // From the top of a cleared screen, so that only what changed seems to move.
            let _ = write!(std::io::stdout().lock(), "\u{1b}[H\u{1b}[2J");
        }
        desk.output.print(&desk.output.one_of_many(shown))?;
        tokio::time::sleep(Duration::from_secs(interval)).await;
    }
}

fn table(output: &Output, views: &[DkimView]) -> String {
    let mut table = output.table(&[
        "ADDRESS",
        "DOMAIN",
        "SIGNS WITH",
        "SINCE",
        "CHANGES TO",
        "STAGE",
        "DEADLINE",
        "WAITS FOR",
    ]);
    for view in views {
        let rotation = view.rotation.as_ref();
        let (mood, waits) = match rotation {
            Some(one) => match &one.stuck {
                Some(stuck) => (Mood::Bad, format!("stuck: {stuck}")),
                None => (mood(one.stage), one.waits_for.clone()),
            },
            None => (
                Mood::Plain,
                format!("by itself by {}", day(&view.due.to_string())),
            ),
        };
        let changes = rotation.map(|one| one.new_selector.as_str());
        let changes = changes.filter(|new| *new != view.selector);
        let deadline = rotation.and_then(|one| one.deadline);
        table.add_row(vec![
            output.mood(&view.address, Mood::Plain),
            output.mood(&view.domain, Mood::Plain),
            output.mood(&view.selector, Mood::Plain),
            output.mood(day(&view.since.to_string()), Mood::Plain),
            output.mood(changes.unwrap_or("-"), Mood::Plain),
            output.mood(
                &rotation.map_or_else(|| "-".to_owned(), |one| word(&one.stage)),
                mood,
            ),
            output.mood(
                &deadline.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                Mood::Plain,
            ),
            output.mood(&waits, mood),
        ]);
    }
    text(&table)
}

const fn mood(stage: RotationStage) -> Mood {
    match stage {
        RotationStage::Publish | RotationStage::Verified | RotationStage::Switching => {
            Mood::Underway
        }
        RotationStage::Switched | RotationStage::Retired => Mood::Good,
    }
}

fn day(at: &str) -> &str {
    at.split('T').next().unwrap_or_default()
}

fn details(output: &Output, view: &DkimView) -> String {
    let mut told = table(output, std::slice::from_ref(view));
    let mut say = |title: &str, records: &[DomainRecord]| {
        if records.is_empty() {
            return;
        }
        told.push_str(&format!("\n\n{title}"));
        for record in records {
            let DomainRecord {
                name, kind, value, ..
            } = record;
            told.push_str(&format!("\n{name}. {kind} {value}"));
            if let Some(until) = record.until {
                told.push_str(&format!(" ; until {until}"));
            }
        }
    };
    say("To be published:", &view.publish);
    say("Withdrawn, with an empty key:", &view.withdraw);
    told
}
