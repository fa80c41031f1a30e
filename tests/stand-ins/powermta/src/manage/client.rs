//! What the program `pmta` does: options, the daemon's socket, the check of a configuration.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::answer::{Answer, Format};
use crate::config::Config;

/// Where the product has its configuration.
pub const CONFIG: &str = "/etc/pmta/config";
/// Where the daemon listens for commands.
pub const SOCKET: &str = "/var/run/pmta/control";

/// A command line of `pmta`, read.
#[derive(Debug)]
pub struct Call {
    format: Format,
    config: PathBuf,
    socket: PathBuf,
    words: Vec<String>,
}

const USAGE: &str = "Usage: pmta [options] command
where 'options' are:
    --help    display this message
    --xml     display result in XML
    --dom     display result as DOM-like \"variables\"
    --json    display result in JSON
";

impl Call {
    /// Options stand before the command; those after it belong to the command.
    pub fn read(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut call = Self {
            format: Format::Text,
            config: PathBuf::from(CONFIG),
            socket: PathBuf::from(SOCKET),
            words: Vec::new(),
        };
        for argument in arguments {
            if !call.words.is_empty() {
                call.words.push(argument);
                continue;
            }
            match argument.as_str() {
                "--xml" => call.format = Format::Xml,
                "--dom" => call.format = Format::Dom,
                "--json" => call.format = Format::Json,
                "--help" => return None,
                // The last two are the stand-in's own, so that several can run on one machine.
                option => match option.split_once('=') {
                    Some(("--config", path)) => call.config = PathBuf::from(path),
                    Some(("--control", path)) => call.socket = PathBuf::from(path),
                    _ => call.words.push(argument),
                },
            }
        }
        (!call.words.is_empty()).then_some(call)
    }

    /// Carries the command out; prints its answer, and says whether it succeeded.
    pub fn run(&self) -> bool {
        let answer = if matches!(self.words.as_slice(), [test, config] if test == "test" && config == "config")
        {
            test_config(&self.config)
        } else {
            self.ask().unwrap_or_else(|error| {
                Answer::fault(format!("cannot connect to PowerMTA: {error}"))
            })
        };
        let printed = answer.printed(self.format);
        let end = if printed.ends_with('\n') || printed.is_empty() {
            ""
        } else {
            "\n"
        };
        let text = format!("{printed}{end}");
        let told = if answer.succeeded || self.format != Format::Text {
            io::stdout().write_all(text.as_bytes())
        } else {
            io::stderr().write_all(text.as_bytes())
        };
        answer.succeeded && told.is_ok()
    }

    fn ask(&self) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut line = serde_json::to_vec(&self.words).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    }
}

/// Reads the live file, without the daemon; nothing is said when nothing is wrong.
fn test_config(file: &Path) -> Answer {
    match Config::read(file) {
        Ok(_) => Answer::said(""),
        Err(error) => Answer::fault(error.to_string()),
    }
}

/// What `--help` prints.
pub fn usage() -> &'static str {
    USAGE
}
