//! `alerts silence`.

use clap::Subcommand;

use email_engine_protocol::api::{AlertKind, SilenceRequest, SilenceView};
use email_engine_protocol::id::TenantId;

use crate::commands::Desk;
use crate::exit::Failure;
use crate::output::{Output, or_dash, row, text};

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// List those that last
    List,
    /// Keep alerts quiet; all that is named has to fit
    #[command(after_help = "\
Example:
  email-engine alerts silence add --subject 'host pmta1' --minutes 120 --why 'its disk is replaced'")]
    Add {
        /// Alerts of this kind
        #[arg(long)]
        kind: Option<AlertKind>,
        /// Alerts about this, as they say it: 'ip 192.0.2.1', 'host pmta1'
        #[arg(long)]
        subject: Option<String>,
        /// Alerts of this tenant
        #[arg(long)]
        tenant: Option<TenantId>,
        /// For so long
        #[arg(long)]
        minutes: u32,
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// End one before its time
    End {
        /// Its number
        id: u64,
    },
}

pub(super) async fn run(desk: &Desk, command: SilenceCommand) -> Result<(), Failure> {
    match command {
        SilenceCommand::List => {
            let silences = desk.client.silences().await?;
            desk.output
                .show(&silences, |output| table(output, &silences))?;
        }
        SilenceCommand::Add {
            kind,
            subject,
            tenant,
            minutes,
            why,
        } => {
            let request = SilenceRequest {
                kind,
                subject,
                tenant,
                minutes,
                reason: why,
            };
            let made = desk.client.silence(&request).await?;
            desk.output.show(&made, |_| {
                format!("Silence {} lasts until {}.", made.id, made.until)
            })?;
        }
        SilenceCommand::End { id } => {
            desk.client.end_silence(id).await?;
            desk.output
                .show(&(), |_| format!("Silence {id} is over."))?;
        }
    }
    Ok(())
}

fn table(output: &Output, silences: &[SilenceView]) -> String {
    let mut table = output.table(&["SILENCE", "KIND", "ABOUT", "TENANT", "UNTIL", "BY", "WHY"]);
    for silence in silences {
        table.add_row(row([
            silence.id.to_string(),
            or_dash(silence.kind.as_ref()),
            or_dash(silence.subject.as_ref()),
            or_dash(silence.tenant.as_ref()),
            silence.until.to_string(),
            silence.by.clone(),
            silence.reason.clone(),
        ]));
    }
    text(&table)
}
