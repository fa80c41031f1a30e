//! `email-engine`, the operator's command line: a client of the cluster's HTTP API.
//!
//! A call goes through four rooms: [`args`] says what was asked, [`context`] which cluster is meant
//! and by which key, [`client`] asks its nodes in turn, [`output`] shows the answer as table, JSON or
//! YAML. Each file of [`commands`] is one noun of the command line. [`trial`] runs a whole cluster
//! with hosts on this machine. How a call ended is in its exit code: [`exit`].

mod args;
mod client;
mod commands;
mod context;
mod exit;
mod fleet_file;
#[cfg(test)]
mod fuzz;
mod output;
mod private_file;
mod prompt;
mod trial;

use std::process::ExitCode;

use args::{Arguments, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that went away is no reason to fail differently.
            drop(error.print());
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Success.into()
            };
        }
    };
    let quiet = arguments.global.quiet;
    let exit = match run(arguments) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.report(quiet);
            failure.exit()
        }
    };
    exit.into()
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    if let Command::Follow(follow) = &arguments.command {
        return Err(trial::follow(follow).into());
    }
    // One thread: a trial's children die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot start: {error}")))?;
    let exit = runtime.block_on(commands::run(arguments));
    // A prompt's thread may still wait for a line; nobody needs it any more.
    runtime.shutdown_background();
    exit
}
