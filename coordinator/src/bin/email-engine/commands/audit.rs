//! `audit`: who changed what, and why.

use clap::Args;

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{row, text};

/// Arguments of `audit`.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// Newest entries to show
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(crate) async fn run(desk: &Desk, arguments: &Audit) -> Result<Exit, Failure> {
    let entries = desk.client.audit(arguments.limit).await?;
    desk.output.show(&entries, |output| {
        let mut table = output.table(&["AT", "WHO", "WHAT", "ON", "REVISION", "WHY"]);
        for entry in &entries {
            table.add_row(row([
                entry.at.to_string(),
                entry.actor.clone(),
                entry.command.clone(),
                entry.object.clone(),
                entry.revision.to_string(),
                entry.reason.clone(),
            ]));
        }
        text(&table)
    })?;
    Ok(Exit::Success)
}
