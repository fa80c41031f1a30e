//! The nft of this machine.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::super::spawn::{self, Answer};
use super::super::system::SystemError;
use super::{Lifelines, Wall, WallError};

const PROGRAM: &str = "/usr/sbin/nft";
/// Thousands of networks take a second; a busy machine ten.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest table that is listed: rules and sets are bounded, and each is a few hundred bytes.
const LISTING: usize = 16 * 1024 * 1024;
const ABSENT: &str = "No such file or directory";

/// Asked and told by its program; a look costs a fork.
#[derive(Debug)]
pub(in super::super) struct Nft;

impl Wall for Nft {
    fn table(&mut self) -> Result<Option<String>, WallError> {
        let list = ["-j", "list", "table", "inet", "email_engine"];
        let answer = ran(spawn::query_up_to(PROGRAM, &list, PATIENCE, LISTING))?;
        match answer.code {
            0 => Ok(Some(answer.output)),
            _ if answer.errors.contains(ABSENT) => Ok(None),
            code => Err(refused("nft does not list the table", code, &answer.errors)),
        }
    }

    fn change(&mut self, text: &str) -> Result<(), WallError> {
        let text = text.to_owned();
        let (reader, mut writer) =
            std::io::pipe().map_err(|error| WallError::Refused(error.to_string()))?;
        // It ends with the pipe: when nft has read all of it, or is gone.
        std::thread::spawn(move || drop(writer.write_all(text.as_bytes())));
        let answer = ran(spawn::query_from(
            reader.into(),
            PROGRAM,
            &["-f", "-"],
            PATIENCE,
        ))?;
        match answer.code {
            0 => Ok(()),
            code => Err(refused("nft does not take the rules", code, &answer.errors)),
        }
    }

    fn lifelines(&mut self) -> Result<Lifelines, WallError> {
        Lifelines::of(Path::new("/"))
    }
}

fn ran(answer: Result<Answer, SystemError>) -> Result<Answer, WallError> {
    answer.map_err(|error| match error {
        SystemError::Start { .. } if !Path::new(PROGRAM).exists() => WallError::Missing(PROGRAM),
        other => WallError::Refused(other.to_string()),
    })
}

fn refused(what: &str, code: u8, errors: &str) -> WallError {
    WallError::Refused(format!("{what}: code {code}: {errors}"))
}
