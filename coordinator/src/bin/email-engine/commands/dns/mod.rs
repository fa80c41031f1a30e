//! `dns`: the records that the fleet wants, and their way into zones.

mod check;
mod compliance;
mod export;
mod zones;

use clap::{Args, Subcommand};

use email_engine_protocol::api::DnsRecordsView;
use email_engine_protocol::mail::DomainName;

use super::Desk;
use crate::exit::{Exit, Failure};

/// Arguments of `dns`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine dns records                               what to publish where
  email-engine dns export --format bind --dir zones      one file per zone, to be included by it
  email-engine dns check --domain mail1.example.com      whether it is what servers say
  email-engine dns zones list                            zones that the fleet may change, and what is stuck
  email-engine dns plan example.com                      what it would change there
  email-engine dns compliance --domain mail1.example.com what large receivers ask, and whether it is so
  email-engine dns export --format csv --domain mail1.example.com")]
pub(crate) struct Dns {
    #[command(subcommand)]
    command: DnsCommand,
}

#[derive(Debug, Subcommand)]
enum DnsCommand {
    /// Show the records by zone, and the names that addresses must lead back to, by block
    Records {
        /// Only this domain's
        #[arg(long)]
        domain: Option<DomainName>,
    },
    /// Have the servers of zones asked now, and show what they say; exit code 2 when something is not right
    Check(check::Check),
    /// Hold identities against what Google, Yahoo and Microsoft ask of who sends much; exit code 2 when a
    /// rule is not met
    Compliance(compliance::Compliance),
    /// Say which zones the fleet may change by itself, where and by which key
    Zones(zones::Zones),
    /// Show what would be changed in a zone, and change nothing; exit code 2 when something would be
    Plan(zones::Plan),
    /// Carry out a plan that was looked at, if the zone is still as it was; exit code 2 when something is not
    /// right on every server then
    Apply(zones::Apply),
    /// Write the records as files that zones are loaded with; no form deletes records of others
    Export(export::Export),
}

pub(crate) async fn run(desk: &Desk, arguments: Dns) -> Result<Exit, Failure> {
    match arguments.command {
        DnsCommand::Records { domain } => {
            let view = desk.client.dns_records(domain.as_ref()).await?;
            desk.output.show(&view, |_| text(&view))?;
        }
        DnsCommand::Check(check) => return check::run(desk, &check).await,
        DnsCommand::Compliance(asked) => return compliance::run(desk, &asked).await,
        DnsCommand::Zones(zones) => return zones::zones(desk, zones).await,
        DnsCommand::Plan(plan) => return zones::plan(desk, &plan).await,
        DnsCommand::Apply(apply) => return zones::apply(desk, &apply).await,
        DnsCommand::Export(export) => export::run(desk, &export).await?,
    }
    Ok(Exit::Success)
}

fn text(view: &DnsRecordsView) -> String {
    let mut parts = Vec::new();
    let line = |record: &email_engine_protocol::api::DomainRecord| {
        let until = record
            .until
            .map(|until| format!("\t; may go from {until} on"));
        let (name, kind, value) = (&record.name, &record.kind, &record.value);
        format!("{name}.\tIN\t{kind}\t{value}{}", until.unwrap_or_default())
    };
    for zone in &view.zones {
        let lines: Vec<String> = zone.records.iter().map(line).collect();
        parts.push(format!("; zone {}\n{}", zone.zone, lines.join("\n")));
    }
    if !view.elsewhere.is_empty() {
        let lines: Vec<String> = view.elsewhere.iter().map(line).collect();
        parts.push(format!(
            "; in the zones of who takes your DMARC reports\n{}",
            lines.join("\n")
        ));
    }
    for block in &view.pointers {
        let pointers = block.pointers.iter().map(|pointer| {
            let (address, name, reverse) = (pointer.address, &pointer.name, &pointer.reverse);
            format!("; {address} -> {name}\n{reverse}.\tIN\tPTR\t{name}.")
        });
        let lines: Vec<String> = pointers.collect();
        parts.push(format!(
            "; {}: set at the provider of these addresses, once the names lead to them\n{}",
            block.block,
            lines.join("\n")
        ));
    }
    parts.join("\n\n")
}
