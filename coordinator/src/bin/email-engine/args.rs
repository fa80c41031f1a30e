//! The command line as clap reads it. Each noun's own arguments stand with its command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Error, Parser, Subcommand};

use crate::commands::token;
use crate::commands::{
    alerts, artifact, audit, campaigns, cluster, config, deploy, dkim, dns, dnsbl, failover, fleet,
    hosts, ips, keys, pmta, roles, settings, stats, status, tenants, warmup,
};
use crate::output::Format;
use crate::trial;

/// Operates an Email-Engine fleet: one file says what shall be, hosts make it so and keep it so.
#[derive(Debug, Parser)]
#[command(name = "email-engine", version, subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES, after_long_help = LONG, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads a command line. Without a command the help is the answer: the list in clap's own error
    /// holds hidden ones.
    pub(crate) fn read(line: impl Iterator<Item: Into<OsString> + Clone>) -> Result<Self, Error> {
        Self::try_parse_from(line).map_err(|error| match error.kind() {
            ErrorKind::MissingSubcommand => {
                let mut command = Self::command();
                let help = command.render_help();
                Error::raw(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, help)
            }
            _ => error,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  email-engine trial                      a cluster and its hosts on this machine, to try things
  email-engine plan -f fleet.toml         what would change
  email-engine apply -f fleet.toml        change it
  email-engine status --watch             see it happen

`email-engine COMMAND --help` shows options and examples of a command, `--help` the exit codes.";

const LONG: &str = "\
Examples:
  email-engine trial                      a cluster and its hosts on this machine, to try things
  email-engine plan -f fleet.toml         what would change
  email-engine apply -f fleet.toml        change it
  email-engine status --watch             see it happen
  email-engine status --output json | jq .state

Context: a private TOML file (chmod 600) with `cluster`, `api_key`, `ca_pem` or `ca_file`, and one
`[[endpoints]]` with `url` (and `address`, when the name in the URL is in no DNS) per node. Taken
from --context, else EMAIL_ENGINE_CONTEXT, else ~/.config/email-engine/context.toml.

Exit codes:
    0  done; `status`: converged; `plan`: nothing would change
    1  refused, or something went wrong: the reason is on stderr
    2  `plan`, `deploy --plan`: something would change; a `lint` or `import`: not right
    3  `status`: converging; `deploy`: hosts are on their way
    4  `status`: degraded; `deploy`: some host is not what it shall be
    5  no node could be reached, or the cluster has no leader
   64  the command line is wrong (2 belongs to `plan`)
  130  interrupted";

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// File that says which cluster is meant and by which key
    /// [env: EMAIL_ENGINE_CONTEXT] [default: ~/.config/email-engine/context.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,
    /// Form of answers
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM"
    )]
    pub(crate) output: Format,
    /// Why, for the audit
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Say nothing beside answers and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Seconds to wait for a node's answer [default: 35], for a cluster that is electing a leader
    /// [default: 15], and for DKIM keys that a change takes [default: 3600]
    #[arg(long = "request-timeout", global = true, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) request_timeout: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the fleet what a file says
    Apply(fleet::Apply),
    /// Show what `apply` would change; exit code 2 when there is something
    Plan(fleet::Plan),
    /// Make the fleet what a file says, machines included: uploads, hosts let in, roles converged
    Deploy(Box<deploy::Deploy>),
    /// Show the fleet's state; also without a leader, and then says so
    Status(status::Status),
    /// List, show or retire hosts
    Hosts(hosts::Hosts),
    /// Sending identities: list, show, add, remove, and the turns of their lives
    Ips(ips::Ips),
    /// Show where identities stand in their warm-up, pause or resume one, simulate a pool
    Warmup(warmup::Warmup),
    /// Choose which identity sends next, or which ones a campaign
    Select(warmup::select::Select),
    /// Show how something came to be as it is: facts, rules and decisions with times and actors
    Explain(ips::Explain),
    /// List or show tenants
    Tenants(tenants::Tenants),
    /// Change DKIM keys of identities, or show how far that is
    Dkim(dkim::Dkim),
    /// Records that domains want in DNS: show, export, check, and receivers' rules
    Dns(dns::Dns),
    /// List or show sending domains with the DNS records they need
    Domains(ips::Domains),
    /// Create, list or revoke join tokens: one host or node, one use
    #[command(alias = "tokens")]
    Token(token::Token),
    /// Nodes of the cluster: status, add, promote, remove, backup
    Cluster(cluster::Cluster),
    /// Create, list or revoke API keys
    Keys(keys::Keys),
    /// Show what a host is, or would be, given
    Config(config::Config),
    /// Upload, list, name or remove files that hosts are given: archives, packages, licences
    Artifact(artifact::Artifact),
    /// Check configurations of PowerMTA, without a cluster
    Pmta(pmta::Pmta),
    /// Check, store and use what hosts are made from: role files and templates
    Roles(roles::Roles),
    /// Lists of bad senders: which there are, how they answer, look everybody up now
    Dnsbl(dnsbl::Dnsbl),
    /// Show who is on which list of bad senders
    Listings(dnsbl::Listings),
    /// What becomes of listed identities: what was done, what would be, freeze and thaw
    Failover(failover::Failover),
    /// Show tenants' breakers, or let a tenant go on
    Breaker(failover::Breaker),
    /// Have a tenant's MailWizz send mail to a list, from identities that can
    Campaigns(campaigns::Campaigns),
    /// Show or set fleet-wide settings
    Settings(settings::SettingsCommand),
    /// Show what was counted of mail
    Stats(stats::Stats),
    /// What people are told, and through which channels: list, show, test, silence, channels, routes
    Alerts(Box<alerts::Alerts>),
    /// Show who changed what
    Audit(audit::Audit),
    /// Run a cluster and its hosts on this machine, without root
    Trial(trial::Trial),
    /// Show the exit codes
    #[command(name = "help-exit-codes", hide = true)]
    HelpExitCodes,
    #[command(name = trial::FOLLOW, hide = true)]
    Follow(trial::Follow),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_long_help_holds_the_table_of_exit_codes() {
        assert!(LONG.contains(exit::TABLE));
    }

    #[test]
    fn without_a_command_the_help_is_shown_and_no_hidden_command() {
        for line in [&["email-engine"][..], &["email-engine", "--quiet"]] {
            let shown = Arguments::read(line.iter().map(ToString::to_string));
            let shown = shown.unwrap_err().to_string();
            assert!(shown.contains("Operates an Email-Engine fleet"), "{shown}");
            assert!(!shown.contains("follow-parent"), "{shown}");
            assert!(!shown.contains("help-exit-codes"), "{shown}");
        }
    }

    #[test]
    fn secrets_are_no_arguments() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let long = argument.get_long().unwrap_or_default();
                assert!(!matches!(
                    long,
                    "api-key" | "password" | "secret" | "recovery-key"
                ));
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Arguments::command());
    }
}
