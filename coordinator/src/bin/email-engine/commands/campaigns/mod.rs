//! `campaigns`: mail to a list, which a tenant's own MailWizz sends.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use email_engine_protocol::api::{
    CampaignRequest, CampaignState, CampaignStatus, CampaignView, Purpose,
};
use email_engine_protocol::id::TenantId;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, row, text};

/// Longest text of a campaign.
const CONTENT_BYTES: u64 = 1024 * 1024;

/// Arguments of `campaigns`.
#[derive(Args, Debug)]
pub(crate) struct Campaigns {
    #[command(subcommand)]
    command: CampaignsCommand,
}

#[derive(Debug, Subcommand)]
enum CampaignsCommand {
    /// List campaigns that were asked for here, the newest first
    List {
        /// The tenant's slug
        tenant: TenantId,
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Have one made; it is a draft unless --status says otherwise
    #[command(after_help = "\
Who it is from, where answers go and by which delivery servers it is sent follows from the identities, which
are chosen by purpose and volume unless they are named. The tenant needs `mailwizz_url` in the fleet file and
the secret mailwizz-api-key.

Example:
  email-engine campaigns create client-1 --name 'Autumn' --subject 'It is autumn' --list ab123cd456e \\
      --content autumn.html --send-at '2026-12-01 09:00:00' --volume 4000")]
    Create(Box<Create>),
}

#[derive(Args, Debug)]
struct Create {
    /// The tenant's slug
    tenant: TenantId,
    /// Its name, for people
    #[arg(long)]
    name: String,
    /// Its subject
    #[arg(long)]
    subject: String,
    /// list_uid of the recipients in MailWizz
    #[arg(long)]
    list: String,
    /// segment_uid, when only a part of the list gets it
    #[arg(long)]
    segment: Option<String>,
    /// What it is, by which identities are chosen
    #[arg(long, value_parser = purpose, default_value = "marketing")]
    purpose: Purpose,
    /// An identity that sends it, the one that it is from first; may be repeated
    #[arg(long = "ip", value_name = "ADDRESS")]
    ips: Vec<IpAddr>,
    /// Mails that it comes to in a day
    #[arg(long)]
    volume: Option<u64>,
    /// File with its text, HTML
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "template",
        conflicts_with = "template"
    )]
    content: Option<PathBuf>,
    /// template_uid in MailWizz
    #[arg(long)]
    template: Option<String>,
    /// When it begins, 'YYYY-MM-DD HH:MM:SS' in the time zone that the customer chose in MailWizz
    #[arg(long)]
    send_at: String,
    /// How it stands once it is made: draft, paused or pending-sending
    #[arg(long, value_parser = status, default_value = "draft")]
    status: CampaignStatus,
    /// An option of MailWizz's own, such as url_tracking=yes; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    serde_json::from_value(text.into()).map_err(|_| {
        "accepted are transactional, marketing, newsletter, autoresponder and notification"
            .to_owned()
    })
}

fn status(text: &str) -> Result<CampaignStatus, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "accepted are draft, paused and pending-sending".to_owned())
}

fn option(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "accepted is NAME=VALUE".to_owned())
}

pub(crate) async fn run(desk: &Desk, arguments: Campaigns) -> Result<Exit, Failure> {
    match arguments.command {
        CampaignsCommand::List { tenant, limit } => {
            let campaigns = desk.client.campaigns(&tenant, limit).await?;
            desk.output
                .show(&campaigns, |output| table(output, &campaigns))?;
        }
        CampaignsCommand::Create(create) => {
            let tenant = create.tenant.clone();
            let request = request(*create)?;
            let made = desk.client.create_campaign(&tenant, &request).await?;
            desk.output.show(&made, |_| told(&made))?;
        }
    }
    Ok(Exit::Success)
}

fn request(create: Create) -> Result<CampaignRequest, Failure> {
    let content = match &create.content {
        Some(file) => Some(read(file)?),
        None => None,
    };
    Ok(CampaignRequest {
        name: create.name,
        subject: create.subject,
        list: create.list,
        segment: create.segment,
        purpose: Some(create.purpose),
        ips: create.ips,
        volume: create.volume,
        content,
        template: create.template,
        send_at: create.send_at,
        status: create.status,
        options: create.options.into_iter().collect(),
    })
}

/// The text of a campaign: larger ones are refused before all of it is in memory.
fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Failure,
            format!("cannot read {}: {why}", file.display()),
        )
    };
    let opened = File::open(file).map_err(|error| cannot(&error))?;
    let mut text = String::new();
    let length = opened
        .take(CONTENT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| cannot(&error))?;
    if length as u64 > CONTENT_BYTES {
        return Err(cannot(
            &"it is larger than 1 MiB, which is the most of a campaign",
        ));
    }
    Ok(text)
}

fn told(made: &CampaignView) -> String {
    let ips: Vec<_> = made.ips.iter().map(ToString::to_string).collect();
    format!(
        "Campaign {:?} {}: from {}.",
        made.name,
        became(&made.state),
        ips.join(", ")
    )
}

fn became(state: &CampaignState) -> String {
    match state {
        CampaignState::Asked => "was asked for; whether MailWizz has it is not known".to_owned(),
        CampaignState::Created { uid } => format!("is {uid} in MailWizz"),
        CampaignState::Refused { reason } => format!("was not made: {reason}"),
    }
}

fn table(output: &Output, campaigns: &[CampaignView]) -> String {
    let mut table = output.table(&["ASKED FOR", "NAME", "IDENTITIES", "WHAT BECAME OF IT"]);
    for campaign in campaigns {
        table.add_row(row([
            campaign.begun_at.to_string(),
            campaign.name.clone(),
            campaign.ips.len().to_string(),
            became(&campaign.state),
        ]));
    }
    text(&table)
}
