//! `explain ip`: how an identity came to stand where it does.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use email_engine_protocol::api::Explanation;

use super::super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::{Output, row, text, word};

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine explain ip 192.0.2.7         what happened to it, what was seen, and what follows")]
pub(crate) struct Explain {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A sending identity
    Ip {
        /// Its address
        address: IpAddr,
    },
}

pub(crate) async fn explain(desk: &Desk, arguments: Explain) -> Result<Exit, Failure> {
    let What::Ip { address } = arguments.what;
    let explained = desk.client.explain(address).await?;
    desk.output
        .show(&explained, |output| told(output, &explained))?;
    Ok(Exit::Success)
}

fn told(output: &Output, explained: &Explanation) -> String {
    let (spec, since) = (&explained.ip.spec, explained.ip.since);
    let reserve = if spec.reserve { " in reserve" } else { "" };
    let mut lines = vec![format!(
        "{} ({}) is {}{reserve} since {since}, as of revision {}.",
        spec.address,
        spec.domain,
        word(&spec.status),
        explained.revision
    )];
    if explained.shortened {
        lines.push("Older turns of its life are not kept any more.".to_owned());
    }
    let mut table = output.table(&["AT", "REVISION", "KIND", "WHAT", "WHO", "WHY"]);
    for one in &explained.chain {
        table.add_row(row([
            one.at.to_string(),
            one.revision
                .map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
            one.kind.clone(),
            one.what.clone(),
            one.actor.clone(),
            one.reason.clone(),
        ]));
    }
    lines.push(text(&table));
    lines.push("What follows:".to_owned());
    lines.extend(explained.rules.iter().map(|rule| format!("  {rule}")));
    if !explained.allowed.is_empty() {
        lines.push("What may become of it from here:".to_owned());
        lines.extend(explained.allowed.iter().map(|to| format!("  {to}")));
    }
    lines.join("\n")
}
