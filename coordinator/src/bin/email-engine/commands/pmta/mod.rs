//! `pmta`: configurations of PowerMTA, without a cluster.

mod explain;
mod files;
mod import;
mod lint;

use clap::{Args, Subcommand};

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

None of these commands asks a cluster.")]
pub(crate) struct Pmta {
    #[command(subcommand)]
    command: PmtaCommand,
}

#[derive(Debug, Subcommand)]
enum PmtaCommand {
    /// Name what is wrong with a configuration; exit code 2 when there are errors or warnings
    Lint(lint::Lint),
    /// Show what a code of `lint` means, with samples; without a code, list them all
    Explain(explain::Explain),
    /// Take an earlier configuration's rules for receivers over as the fleet's base
    Import(import::Import),
}

pub(crate) fn run(output: &Output, arguments: &Pmta) -> Result<Exit, Failure> {
    match &arguments.command {
        PmtaCommand::Lint(arguments) => lint::run(output, arguments),
        PmtaCommand::Explain(arguments) => explain::run(output, arguments),
        PmtaCommand::Import(arguments) => import::run(output, arguments),
    }
}
