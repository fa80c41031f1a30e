//! `pmta`: the command-line tool.

use std::env;
use std::process::ExitCode;

use pmta_stand_in::manage::client::{Call, usage};

fn main() -> ExitCode {
    let Some(call) = Call::read(env::args().skip(1)) else {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    };
    if call.run() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
