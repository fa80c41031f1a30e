//! `email-engine-bootstrap`: the command line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use email_engine_bootstrap::exit::{self, Exit};
use email_engine_bootstrap::request::{Entry, Part, Request};
use email_engine_bootstrap::run::{self, Removing, Until, with_causes};
use email_engine_bootstrap::token::{self, TokenText};
use email_engine_protocol::join::{Endpoint, JoinToken};

const LONGEST_WAIT: u64 = 24 * 3600;

/// Makes this machine a host or a coordinator node: looks first, then takes journalled steps.
///
/// A run that was cut off is simply started again; a run over a finished machine changes nothing.
#[derive(Debug, Parser)]
#[command(name = "email-engine-bootstrap", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A host: installs the agent and waits until the host has converged
    #[command(after_help = exit::HELP)]
    Agent(Asked),
    /// A coordinator node: the first of its cluster, or a further one
    #[command(after_help = exit::HELP)]
    Coordinator {
        /// Found a cluster; its admin key and recovery key are shown once
        #[arg(long, conflicts_with_all = ["join", "join_file", "uninstall"])]
        init: bool,
        /// Name or address under which agents, operators and other nodes reach this one [default:
        /// the address that this machine speaks from]
        #[arg(long, value_name = "HOST", value_parser = host)]
        advertise: Option<String>,
        /// With --uninstall: the node's data too, and with it its part of the cluster
        #[arg(long, requires = "uninstall")]
        purge: bool,
        #[command(flatten)]
        asked: Asked,
    },
}

/// What both have.
#[derive(Args, Debug)]
struct Asked {
    /// The join token itself. Every user of this machine can read it in the list of processes:
    /// --join-file, or EMAIL_ENGINE_JOIN_TOKEN in the environment, keeps it to you
    #[arg(long, value_name = "TOKEN", conflicts_with = "join_file")]
    join: Option<TokenText>,
    /// File with the join token, `-` for standard input
    #[arg(long, value_name = "FILE")]
    join_file: Option<PathBuf>,
    /// Only look: say all that must be put right first, and change nothing
    #[arg(long, conflicts_with_all = ["dry_run", "uninstall"])]
    check: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until the machine is let in and has converged
    #[arg(long, conflicts_with = "uninstall")]
    no_wait: bool,
    /// Wait until the machine is let in, and not until it has converged
    #[arg(long, conflicts_with_all = ["no_wait", "uninstall"])]
    no_converge: bool,
    /// How long to wait for each of the two
    #[arg(
        long, value_name = "N", default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..=LONGEST_WAIT)
    )]
    wait_seconds: u64,
    /// Mail server that a host which is to send calls first, to see whether mail leaves the machine; `none`
    /// calls nobody
    #[arg(
        long, value_name = "HOST:PORT", default_value = "gmail-smtp-in.l.google.com:25",
        value_parser = mail_probe, conflicts_with = "uninstall"
    )]
    mail_probe: MailProbe,
    /// Stop the services and remove units, programs, configuration and data. What the agent keeps on
    /// this host for its role stays as it is: `email-engine hosts retire` comes before
    #[arg(long, conflicts_with_all = ["join", "join_file"])]
    uninstall: bool,
    /// Do not ask
    #[arg(long, requires = "uninstall")]
    yes: bool,
    /// One JSON object per line on standard output
    #[arg(long)]
    json: bool,
}

/// What can stand before a port.
fn host(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    if !text.is_empty() && text.len() <= 253 && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("a host name or an address, without a port, such as 192.0.2.1".to_owned())
}

/// Who is called, or nobody.
#[derive(Clone, Debug)]
struct MailProbe(Option<Endpoint>);

fn mail_probe(text: &str) -> Result<MailProbe, String> {
    if text == "none" {
        return Ok(MailProbe(None));
    }
    let is_right = text.rsplit_once(':').is_some_and(|(name, port)| {
        host(name.trim_matches(['[', ']'])).is_ok()
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match is_right {
        true => Ok(MailProbe(Some(text.to_owned()))),
        false => Err("a mail server with its port, such as mx.example.com:25, or none".to_owned()),
    }
}

fn main() -> ExitCode {
    // Whatever it was started with: what is private says so itself.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    match Cli::parse().verb {
        Verb::Agent(asked) => start(Part::Agent, &asked, false, None, false),
        Verb::Coordinator {
            init,
            advertise,
            purge,
            asked,
        } => start(Part::Coordinator, &asked, init, advertise, purge),
    }
    .into()
}

fn start(part: Part, asked: &Asked, init: bool, advertise: Option<String>, purge: bool) -> Exit {
    if asked.uninstall {
        let removing = Removing {
            purge,
            only_plan: asked.dry_run,
            confirm: &|| asked.yes || confirmed(),
        };
        return run::remove(part, removing, asked.json);
    }
    let token = match read_token(asked, init) {
        Ok(token) => token,
        Err(error) => {
            eprintln!("email-engine-bootstrap: {}", with_causes(&error));
            return Exit::Usage;
        }
    };
    let entry = match &token {
        Some(token) => Entry::Join(Box::new(token.into())),
        None if init => Entry::Init,
        None => Entry::Already,
    };
    let request = Request {
        part,
        entry,
        patience: (!asked.no_wait).then(|| Duration::from_secs(asked.wait_seconds)),
        awaits_convergence: !asked.no_converge,
        advertise,
        mail_probe: asked.mail_probe.0.clone(),
    };
    let until = match asked {
        Asked { check: true, .. } => Until::Check,
        Asked { dry_run: true, .. } => Until::Plan,
        _ => Until::End,
    };
    run::install(request, token.as_ref(), until, asked.json)
}

/// A cluster that is founded here needs no token, whatever the environment holds.
fn read_token(asked: &Asked, init: bool) -> Result<Option<JoinToken>, token::TokenError> {
    if init {
        return Ok(None);
    }
    let environment = std::env::var(token::VARIABLE).ok();
    token::read(asked.join.as_ref(), asked.join_file.as_deref(), environment)
}

/// Only a clear yes of a person is one.
fn confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let mut errors = std::io::stderr().lock();
    if write!(errors, "Remove all this? [y/N] ")
        .and_then(|()| errors.flush())
        .is_err()
    {
        return false;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok()
        && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together_and_never_shows_a_token() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["x", "agent", "--join", "eejoin1.verysecret", "--no-wait"]);
        let shown = format!("{cli:?}");
        assert!(!shown.contains("verysecret"), "{shown}");
        for refused in ["a b", "", "x/y", "\"\n"] {
            assert!(host(refused).is_err(), "{refused:?}");
        }
        assert_eq!(host("2001:db8::1"), Ok("2001:db8::1".to_owned()));
    }
}
