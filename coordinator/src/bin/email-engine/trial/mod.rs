//! `trial`: a cluster and its hosts on this machine, without root, from one folder.
//!
//! [`place`] is the folder, held by one trial at a time. [`programs`] says how the coordinator and the
//! agent are called, [`child`] starts one such that it cannot outlive us, [`keeper`] keeps them all
//! running and ends them. On those, [`nodes`] brings the cluster up, [`hosts`] the fleet file and one
//! agent per host, [`progress`] shows how they get there and says when they are there, [`farewell`]
//! what to try next. Everything is done through the public API and the programs' own flags: a trial
//! has no door of its own.

mod child;
mod farewell;
mod hosts;
mod keeper;
mod nodes;
mod place;
mod programs;
mod progress;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use email_engine_coordinator::command::Rejection;
use email_engine_coordinator::planner;
use email_engine_coordinator::state::FleetState;
use email_engine_protocol::api::FleetDocument;
use email_engine_protocol::id::HostId;

use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::fleet_file::{self, FleetFileError};
use crate::output::Output;
use crate::private_file::PrivateFileError;

pub(crate) use child::{FOLLOW, Follow, follow};

use keeper::Keeper;
use place::Place;

/// The fleet of a trial that is given none.
const EXAMPLE: &str = include_str!("../../../../../deploy/examples/sos-holidays.toml");

/// Arguments of `trial`.
#[derive(Args, Debug)]
#[command(after_help = "\
Coordinator nodes and agents run on 127.0.0.1. Files are real, below DIR/hosts/HOST/root/; packages,
services and commands are only simulated. A second start from the same DIR goes on where the first
one ended. Ctrl-C ends all of it.

In DIR:
  admin.toml       context for this command line, with the admin key (mode 0600)
  recovery-key     a real cluster keeps this offline (mode 0600)
  nodes/N/         data of a node          hosts/HOST/root/   the host's files
  logs/            what each process said  hosts/HOST/agent/  its agent's data

Exit codes: 0 ended by Ctrl-C, or --once and converged; 1 not converged in time, or failed.

Examples:
  email-engine trial
  email-engine trial --dir ./my-trial --fleet fleet.toml
  email-engine trial --dir /tmp/t --once")]
pub(crate) struct Trial {
    /// Folder that holds everything
    #[arg(long, default_value = "email-engine-trial", value_name = "DIR")]
    dir: PathBuf,
    /// Fleet file to apply [default: a shipped example of five identities, at the first start]
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// End once every host has converged
    #[arg(long)]
    once: bool,
    /// Coordinator nodes: 1, 3, 5 or 7 [default: 3, or more where the folder has more]
    #[arg(long, value_parser = parse_nodes)]
    nodes: Option<u64>,
    /// Seconds until hosts must have converged
    #[arg(long, default_value_t = 120, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// An even number bears the loss of no more nodes than the odd one below it.
fn parse_nodes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(nodes @ (1 | 3 | 5 | 7)) => Ok(nodes),
        _ => Err("accepted: 1, 3, 5 or 7".to_owned()),
    }
}

impl Trial {
    const fn deadline(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Why a trial did not come up, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// A call of the API failed.
    #[error("{action} failed")]
    Api {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: ClientError,
    },
    /// Neither empty nor a trial's folder.
    #[error(
        "{} is not empty and not the folder of a trial: name another by --dir",
        dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
    },
    /// Whoever has no key to it must not take it for a first start.
    #[error(
        "{} holds the hosts of an earlier trial and no admin.toml: put that file back, or begin anew \
         in another folder by --dir",
        dir.display()
    )]
    NoAdmin {
        /// The folder.
        dir: PathBuf,
    },
    /// Nodes leave a cluster by an operator's word only.
    #[error(
        "the trial in {} has {known} nodes, not {wanted}: leave --nodes out, or remove nodes by \
         `email-engine cluster remove`, or name another folder by --dir",
        dir.display()
    )]
    Nodes {
        /// The folder.
        dir: PathBuf,
        /// How many it has.
        known: u64,
        /// How many were asked for.
        wanted: u64,
    },
    /// A private file could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The fleet file is wrong.
    #[error(transparent)]
    Fleet(#[from] FleetFileError),
    /// The fleet file cannot be a fleet.
    #[error("{file}: {refusal}")]
    Refused {
        /// The file.
        file: String,
        /// What is wrong in it.
        refusal: Rejection,
    },
    /// The machine refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The trial's own key was revoked.
    #[error(
        "the key in {} is not accepted: it was revoked or replaced; put a valid admin key there, or \
         name a new folder by --dir",
        path.display()
    )]
    Key {
        /// The context that holds it.
        path: PathBuf,
    },
    /// Another trial has the folder.
    #[error("another trial runs in {}: end it, or name another folder by --dir", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// A program is not there.
    #[error(
        "{} is missing: `email-engine`, `email-engine-coordinator` and `email-engine-agent` must \
         stand in one folder",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A program failed.
    #[error("{name} {what}; {log} ends with:\n{tail}")]
    Program {
        /// Which one.
        name: String,
        /// How it failed.
        what: String,
        /// Its log.
        log: String,
        /// The end of what it said.
        tail: String,
    },
    /// An answer of a program was not understood.
    #[error("{name} answered something else than agreed: {reason}")]
    Answer {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Something did not happen in time.
    #[error("{what} not within {seconds} s{reasons}")]
    Timeout {
        /// What did not happen.
        what: &'static str,
        /// The time that it had.
        seconds: u64,
        /// Why, one line each.
        reasons: String,
    },
}

impl TrialError {
    fn api(action: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let action = action.into();
        |source| Self::Api { action, source }
    }

    fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }
}

/// Runs a trial until it is done or told to end; its processes are gone when this returns.
pub(crate) async fn run(arguments: Trial, output: Output) -> Result<Exit, Failure> {
    let document = document(&arguments)?;
    let place = Place::open(&arguments.dir)?;
    if !place.admin().exists() {
        stands_alone(&arguments, &document)?;
    }
    let mut keeper = Keeper::new(programs::Programs::find()?, output);
    let mut signals = child::Signals::new().map_err(TrialError::io("listen for signals"))?;
    let ended = tokio::select! {
        ended = stage(&arguments, document, &place, &mut keeper, output) => ended,
        signal = signals.wait() => {
            output.note(&format!("{signal}: ending"));
            // Before it was up, an interruption is not a success.
            Ok(if keeper.is_settled() && !arguments.once { Exit::Success } else { Exit::Interrupted })
        }
    };
    keeper.end().await;
    output.note("all processes ended");
    Ok(ended?)
}

/// The fleet file, read before anything is started: a fault in it is told at once.
fn document(arguments: &Trial) -> Result<FleetDocument, TrialError> {
    Ok(match &arguments.fleet {
        Some(path) => fleet_file::read(path)?.document,
        None => fleet_file::parse("the shipped example", EXAMPLE)?,
    })
}

/// What cannot be the first file of a fleet is refused before a cluster is founded for it.
fn stands_alone(arguments: &Trial, document: &FleetDocument) -> Result<(), TrialError> {
    let planned = planner::document::changes(
        &FleetState::default(),
        document,
        false,
        planner::document::Scope::Admin,
    );
    planned.map(drop).map_err(|refusal| TrialError::Refused {
        file: arguments.fleet.as_ref().map_or_else(
            || "the shipped example".to_owned(),
            |path| path.display().to_string(),
        ),
        refusal,
    })
}

async fn stage(
    arguments: &Trial,
    document: FleetDocument,
    place: &Place,
    keeper: &mut Keeper,
    output: Output,
) -> Result<Exit, TrialError> {
    let client = nodes::bring_up(place, keeper, arguments.nodes, output).await?;
    let declared = hosts::declare(&client, &document, arguments.fleet.is_some(), output).await?;
    hosts::start_agents(&client, place, keeper, &declared).await?;
    let ids: Vec<HostId> = declared.iter().map(|host| host.spec.id.clone()).collect();
    let status = loop {
        let reached = progress::converge(&client, &ids, arguments.deadline(), output).await;
        keeper.settle();
        match reached {
            Ok(status) => break status,
            Err(error) if arguments.once => return Err(error),
            // It may still get there, and what keeps it is best seen while it runs.
            Err(error) => output.note(&format!("{error}\nStill trying; Ctrl-C ends it.")),
        }
    };
    hosts::forget_tokens(place, &ids);
    farewell::show(&status, place, arguments.once, output)?;
    if arguments.once {
        return Ok(Exit::Success);
    }
    match hosts::tend(client, place, keeper, output).await? {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_is_a_fleet_of_three_hosts_and_five_identities() {
        let document = fleet_file::parse("example", EXAMPLE).unwrap();
        assert_eq!((document.hosts.len(), document.ips.len()), (3, 5));
    }
}
