//! `pmta`: configurations of PowerMTA; all without a cluster, but for `base`.

mod base;
mod explain;
mod files;
mod import;
mod lint;

use clap::{Args, Subcommand};

use super::Desk;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Arguments of `pmta`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  email-engine pmta lint /etc/pmta/config --root /
  email-engine pmta lint proposed.conf --against /etc/pmta/config
  email-engine config render --host pmta1 --file /etc/pmta/config | email-engine pmta lint -
  email-engine pmta explain PM203
  email-engine pmta import /etc/pmta/config --root / --out base.toml
  email-engine pmta base plan base.toml
  email-engine pmta base apply base.toml

Only `base` asks a cluster.")]
pub(crate) struct Pmta {
    #[command(subcommand)]
    command: PmtaCommand,
}

#[derive(Debug, Subcommand)]
enum PmtaCommand {
    /// Show what a base would change on the hosts, or put it in place
    Base(base::BaseCommand),
    /// Name what is wrong with a configuration; exit code 2 when there are errors or warnings
    Lint(lint::Lint),
    /// Show what a code of `lint` means, with samples; without a code, list them all
    Explain(explain::Explain),
    /// Take an earlier configuration's rules for receivers over as the fleet's base
    Import(import::Import),
}

pub(crate) async fn run(
    output: &Output,
    desk: impl FnOnce() -> Result<Desk, Failure>,
    arguments: &Pmta,
) -> Result<Exit, Failure> {
    match &arguments.command {
        PmtaCommand::Base(arguments) => base::run(desk, arguments).await,
        PmtaCommand::Lint(arguments) => lint::run(output, arguments),
        PmtaCommand::Explain(arguments) => explain::run(output, arguments),
        PmtaCommand::Import(arguments) => import::run(output, arguments),
    }
}
