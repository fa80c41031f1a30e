//! `pmtad`: the daemon, always in the foreground.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pmta_stand_in::Overrides;
use pmta_stand_in::daemon::Start;
use pmta_stand_in::manage::client::{CONFIG, SOCKET};

/// Stand-in for PowerMTA, for tests.
#[derive(Debug, Parser)]
struct Options {
    /// Stay in the foreground; the stand-in always does.
    #[arg(long)]
    debug: bool,
    /// Configuration instead of the product's place.
    #[arg(long, default_value = CONFIG)]
    config: PathBuf,
    /// Socket for `pmta`.
    #[arg(long, default_value = SOCKET)]
    control: PathBuf,
    /// Resolver with its port, instead of `name-server`.
    #[arg(long)]
    name_server: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let start = Start {
        config: options.config,
        control: options.control,
        overrides: Overrides {
            name_server: options.name_server,
        },
    };
    match start.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
