//! `email-engine-agent`: the command line.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use email_engine_agent::allow;
use email_engine_agent::config::{Config, Overrides};
use email_engine_agent::host;
use email_engine_agent::ledger::expected::ExpectError;
use email_engine_agent::link::enroll::EnrollError;
use email_engine_agent::run::{self, End, RunError, Task};
use email_engine_agent::status;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped by SIGTERM or SIGINT
  1  anything that is not named here
  2  bad usage or configuration, no join token where one is needed, or one that nobody told the executor of
  3  the cluster refuses the join token
  4  whoever answers is not the cluster of the join token (CA pin, cluster)
  5  the host was retired or its certificate revoked: do not restart

Every setting can stand in the configuration file (TOML, same names with `_`), in the environment
(EMAIL_ENGINE_AGENT_...) or in a flag; a flag wins over the environment, that over the file.";

/// Keeps this host at the state that its cluster signed for it.
#[derive(Debug, Parser)]
#[command(name = "email-engine-agent", version, after_help = EXIT_CODES)]
struct Cli {
    /// Configuration file [default: /etc/email-engine/agent.toml, if it exists]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "EMAIL_ENGINE_AGENT_CONFIG"
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Redeem the join token and stop; a host that is enrolled is left as it is
    Enroll,
    /// Tell the executor whom this host may belong to, by the join token that the network half will redeem: as
    /// the user of the executor, root. It believes nobody else's trust. `run` and `enroll` do so themselves, and
    /// email-engine-bootstrap does
    Expect,
    /// The executor half alone, as root: keeps the host at its desired state and speaks to the network
    /// half, through a socket, and to nobody else
    Executor,
    /// The network half alone, as its own user: enrols if need be, and carries messages between the
    /// coordinators and the executor
    Network,
    /// Both halves in one process: enrol if need be, then keep the host at its desired state. For
    /// sandboxes, and where there is no service manager that keeps two processes
    Run,
    /// Do what the executor may not do itself, and say what came of it
    #[command(hide = true)]
    Errand {
        /// What it is
        request: String,
    },
    /// Print which paths and commands a state may name on this host
    ShowAllowList,
    /// Print the settings in force, as a configuration file
    ShowConfig,
    /// Print where this host stands, as JSON: enrolled as whom, which state was accepted, which was
    /// right, what did not get through. Reads what the executor wrote down and changes nothing
    Status,
}

fn main() -> ExitCode {
    // Whatever it was started with: what is private says so itself, folders above a managed file are
    // for everybody, and programs that are run expect the usual one.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    let cli = Cli::parse();
    if let Command::Errand { request } = &cli.command {
        // It needs no settings, and must not fail for theirs.
        return ExitCode::from(host::run_errand(request));
    }
    let config = match Config::load(cli.config.as_deref(), cli.overrides) {
        Ok(config) => config,
        Err(error) => return complain(&error, 2),
    };
    let task = match cli.command {
        Command::Enroll => Task::Enroll,
        Command::Errand { .. } => unreachable!("it was done above"),
        Command::Expect => return expect(&config),
        Command::Executor => Task::Executor,
        Command::Network => Task::Network,
        Command::Run => Task::Run,
        Command::ShowAllowList => return show_allow_list(&config),
        Command::ShowConfig => {
            print!("{}", config.to_toml());
            return ExitCode::SUCCESS;
        }
        Command::Status => return show_status(&config),
    };
    run::logging::init(&config);
    match run::run(&config, task) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Retired | End::Revoked) => ExitCode::from(5),
        Err(error) => complain(&error, code(&error)),
    }
}

fn show_allow_list(config: &Config) -> ExitCode {
    match allow::load(config).and_then(|_| allow::text(config)) {
        Ok(text) => {
            print!("{}", text.as_deref().unwrap_or(allow::BUILT_IN));
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, 2),
    }
}

fn expect(config: &Config) -> ExitCode {
    run::logging::init(config);
    match run::expect(config) {
        Ok(expected) => {
            println!(
                "This machine may become host {} (role {}) of cluster {}.",
                expected.host, expected.role, expected.cluster
            );
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, code(&error)),
    }
}

fn show_status(config: &Config) -> ExitCode {
    match status::read(config) {
        Ok(status) => {
            println!("{}", serde_json::json!(status));
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, 1),
    }
}

const fn code(error: &RunError) -> u8 {
    match error {
        RunError::AllowList(_) | RunError::Token(_) | RunError::OtherHost { .. } => 2,
        RunError::NetworkUser { .. } | RunError::Unexpected(_) => 2,
        RunError::Expect(error) => match error {
            ExpectError::Record(_) | ExpectError::Retiring(_) => 1,
            ExpectError::NotForHosts | ExpectError::Other(..) | ExpectError::Spent { .. } => 2,
        },
        RunError::Enroll(EnrollError::NotForHosts) | RunError::KeysLost { .. } => 2,
        RunError::Enroll(EnrollError::Refused { .. }) => 3,
        RunError::Enroll(EnrollError::Server { .. } | EnrollError::Mismatch { .. }) => 4,
        _ => 1,
    }
}

/// Prints an error with its causes, once.
fn complain(error: &dyn Error, code: u8) -> ExitCode {
    eprintln!("email-engine-agent: {}", run::with_causes(error));
    ExitCode::from(code)
}
