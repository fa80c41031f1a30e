//! `select`: which identity sends next, and which ones a whole campaign.

use clap::{Args, ValueEnum};

use email_engine_protocol::api::{CoverView, Purpose, Rotation, SelectRequest, SelectionView};
use email_engine_protocol::id::TenantId;

use crate::commands::Desk;
use crate::commands::ips::add::PurposeArgument;
use crate::exit::{Exit, Failure};
use crate::output::{Output, row, text};

/// Arguments of `select`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --volume who is shown is chosen: each answer counts as one mail of it towards its quota of today, by
which the next choice goes, on the node that was asked. With --volume nothing is counted.

Examples:
  email-engine select --tenant client-1 --purpose transactional
  email-engine select --tenant client-1 --purpose marketing --mode least_used
  email-engine select --tenant client-1 --purpose marketing --volume 30000     who sends how much of it")]
pub(crate) struct Select {
    /// Whose identities
    #[arg(long)]
    tenant: TenantId,
    /// What is to be sent
    #[arg(long, value_enum)]
    purpose: PurposeArgument,
    /// How it is chosen; as the tenant says when absent
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Mails of a whole campaign
    #[arg(long, value_name = "MAILS")]
    volume: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// The one that sent least in the last hour
    #[value(name = "least_used")]
    LeastUsed,
    /// One after the other
    #[value(name = "round_robin")]
    RoundRobin,
    /// By weight, evenly mixed
    #[value(name = "weighted_random")]
    WeightedRandom,
}

impl From<Mode> for Rotation {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::LeastUsed => Self::LeastUsed,
            Mode::RoundRobin => Self::RoundRobin,
            Mode::WeightedRandom => Self::WeightedRandom,
        }
    }
}

pub(crate) async fn run(desk: &Desk, select: Select) -> Result<Exit, Failure> {
    let request = SelectRequest {
        purpose: Purpose::from(select.purpose),
        mode: select.mode.map(Into::into),
        volume: select.volume,
    };
    if select.volume.is_none() {
        let chosen = desk.client.select(&select.tenant, &request).await?;
        desk.output.show(&chosen, |_| details(&chosen))?;
        return Ok(Exit::Success);
    }
    let covered = desk.client.cover(&select.tenant, &request).await?;
    desk.output
        .show(&covered, |output| table(output, &covered))?;
    Ok(Exit::Success)
}

fn details(chosen: &SelectionView) -> String {
    [
        ("Address", chosen.ip.to_string()),
        ("Domain", chosen.domain.to_string()),
        (
            "Sender",
            format!("{} <{}>", chosen.sender_name, chosen.sender_email),
        ),
        ("Virtual MTA", chosen.vmta.to_string()),
        ("Pool", chosen.pool.to_string()),
    ]
    .iter()
    .map(|(name, value)| format!("{name:<14} {value}"))
    .collect::<Vec<_>>()
    .join("\n")
}

fn table(output: &Output, covered: &CoverView) -> String {
    let mut table = output.table(&["ADDRESS", "DOMAIN", "SENDER", "VIRTUAL MTA", "MAILS"]);
    for part in &covered.parts {
        table.add_row(row([
            part.identity.ip.to_string(),
            part.identity.domain.to_string(),
            part.identity.sender_email.to_string(),
            part.identity.vmta.to_string(),
            part.mails.to_string(),
        ]));
    }
    let mut shown = text(&table);
    if let Some(returns) = covered.returns {
        shown.push_str(&format!(
            "\n\n{} of {} mails are missing today; quota returns at {returns}, and they take {} more days.",
            covered.missing, covered.volume, covered.more_days
        ));
    }
    shown
}
