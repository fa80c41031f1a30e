//! Makes a machine a host: by an operator's command that reaches it, or by a token file for a person.
//!
//! By a command, one after the other: a folder, our programs in it as far as they are not there yet with
//! the right hash, then the bootstrap, which reads the join token from its standard input and goes on from
//! wherever an earlier run was cut off. Every remote command is made of words that no shell changes.

mod programs;
mod remote;
pub(super) mod token;
mod via;

use std::time::{Duration, Instant};

use email_engine_protocol::api::HostSpec;
use zeroize::Zeroizing;

use self::programs::{AGENT, BOOTSTRAP, FOLDER};
use self::remote::{Ended, Feed, Order, RemoteError};
use super::voice::Voice;
use crate::client::Client;
use crate::exit::Failure;
use crate::private_file;

pub(super) use self::programs::Programs;
pub(super) use self::via::Via;

/// A look, a folder, a mode.
const SHORT: Duration = Duration::from_secs(90);
/// One program over a slow line.
const COPY: Duration = Duration::from_secs(1800);
/// Until a bootstrap that another run has left there is out of the way.
const BUSY: Duration = Duration::from_secs(3);
/// Beyond what the bootstrap itself waits.
const MARGIN: Duration = Duration::from_secs(120);
/// The longest that its own help accepts.
const LONGEST_WAIT: u64 = 24 * 3600;
/// How a bootstrap ends that found another at work.
const IS_BUSY: i32 = 9;
/// How `ssh` ends that lost its machine; no bootstrap does.
const LOST: i32 = 255;

/// One machine on its way in.
#[derive(Debug)]
pub(super) struct Entering<'a> {
    pub(super) client: &'a Client,
    pub(super) programs: &'a Programs,
    pub(super) host: &'a HostSpec,
    pub(super) via: &'a [String],
    pub(super) patience: Duration,
    pub(super) voice: &'a Voice,
}

/// Why a machine does not say that it is let in.
#[derive(Debug)]
pub(super) struct Unsaid {
    pub(super) why: String,
    /// The way to it was lost, and not what goes on there: it may come all the same.
    pub(super) may_come: bool,
}

impl From<String> for Unsaid {
    fn from(why: String) -> Self {
        let may_come = false;
        Self { why, may_come }
    }
}

impl Entering<'_> {
    /// Until the machine says that it is let in; else why not.
    pub(super) async fn run(&self) -> Result<(), Unsaid> {
        self.bring().await?;
        self.bootstrap().await?;
        // It has done its work, and installed what it brought.
        let folder = &self.programs.folder;
        if let Err(why) = self.order(&["rm", "-rf", folder], SHORT).await {
            self.hear(&format!("{folder} stays on the machine: {why}"));
        }
        // Another desk may have its own programs there.
        let parent = ["rmdir", "--ignore-fail-on-non-empty", FOLDER];
        if let Err(why) = self.order(&parent, SHORT).await {
            self.hear(&format!("{FOLDER} stays on the machine: {why}"));
        }
        Ok(())
    }

    async fn bring(&self) -> Result<(), String> {
        let folder = self.programs.folder.as_str();
        self.order(&["install", "-d", "-m", "0700", FOLDER, folder], SHORT)
            .await?;
        let there = self.hashes().await?;
        for program in &self.programs.both {
            if there.contains(&program.sha256) {
                continue;
            }
            self.hear(&format!("copying {}", program.name));
            let file = program
                .again()
                .map_err(|error| format!("{} cannot be read: {error}", program.name))?;
            let to = format!("of={}", self.programs.path(program.name));
            let words = ["dd", to.as_str(), "bs=65536", "status=none"];
            self.succeed(&words, Feed::File(&file), COPY).await?;
        }
        let there = self.hashes().await?;
        for program in &self.programs.both {
            if !there.contains(&program.sha256) {
                return Err(format!(
                    "{} did not arrive as it was sent; see the log",
                    program.name
                ));
            }
        }
        let paths = self.paths();
        let words = ["chmod", "0700", paths[0].as_str(), paths[1].as_str()];
        self.order(&words, SHORT).await
    }

    fn paths(&self) -> [String; 2] {
        [BOOTSTRAP, AGENT].map(|name| self.programs.path(name))
    }

    /// What is there already, by its hashes; nothing on a machine that never saw us.
    async fn hashes(&self) -> Result<Vec<String>, String> {
        let paths = self.paths();
        let words = ["sha256sum", paths[0].as_str(), paths[1].as_str()];
        let order = self.order_of(&words, Feed::Nothing, SHORT);
        let heard = |line: &str| {
            if hash(line, &paths).is_none() {
                self.hear(line);
            }
        };
        let ended = remote::run(order, &heard).await;
        let ended = ended.map_err(|error| error.to_string())?;
        // One that is not there is an answer too.
        if !matches!(ended.code, Some(0 | 1)) {
            return Err(failed(words[0], &ended));
        }
        let lines = ended.tail.iter();
        let hashes = lines.filter_map(|line| hash(line, &paths));
        Ok(hashes.map(str::to_owned).collect())
    }

    /// That of a run that was cut off while it is open, else a new one.
    async fn token(&self) -> Result<Zeroizing<String>, Failure> {
        let (path, _) = token::file(self.client, self.host, self.patience, self.voice).await?;
        Ok(private_file::read(&path)?)
    }

    async fn bootstrap(&self) -> Result<(), Unsaid> {
        let token = self.token().await;
        let token = token.map_err(|error| format!("no join token was made: {error}"))?;
        let secret = token.trim();
        let program = self.programs.path(BOOTSTRAP);
        let seconds = self.patience.as_secs().clamp(1, LONGEST_WAIT).to_string();
        let words = [
            program.as_str(),
            "agent",
            "--join-file",
            "-",
            "--no-converge",
            "--wait-seconds",
            &seconds,
        ];
        let begun = Instant::now();
        loop {
            let feed = Feed::Secret(secret);
            let order = self.order_of(&words, feed, self.patience + MARGIN);
            let heard = |line: &str| match line.contains(secret) {
                true => self.hear("(a line with the join token in it is left out)"),
                false => self.hear(line),
            };
            let ended = remote::run(order, &heard).await;
            let ended = ended.map_err(|error| Unsaid {
                why: error.to_string(),
                may_come: !matches!(error, RemoteError::Start { .. }),
            })?;
            match ended.code {
                Some(0) => return Ok(()),
                // A run that was cut off has left one there, which goes on.
                Some(IS_BUSY) if begun.elapsed() < self.patience => {
                    tokio::time::sleep(BUSY).await;
                }
                // Nothing of the machine was changed: nobody has the token.
                Some(2 | 5 | 126 | 127) => {
                    let why = failed("the bootstrap", &ended);
                    let withdrawn = token::withdraw(self.client, self.host, self.voice).await;
                    let told = withdrawn.map_err(|error| format!("{why}; {error}"));
                    return Err(told.map_or_else(Unsaid::from, |()| why.into()));
                }
                code => {
                    return Err(Unsaid {
                        why: failed("the bootstrap", &ended),
                        may_come: matches!(code, None | Some(LOST)),
                    });
                }
            }
        }
    }

    async fn order(&self, words: &[&str], limit: Duration) -> Result<(), String> {
        self.succeed(words, Feed::Nothing, limit).await
    }

    async fn succeed(&self, words: &[&str], feed: Feed<'_>, limit: Duration) -> Result<(), String> {
        let order = self.order_of(words, feed, limit);
        let ended = remote::run(order, &|line| self.hear(line)).await;
        let ended = ended.map_err(|error| error.to_string())?;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(failed(words[0], &ended)),
        }
    }

    const fn order_of<'b>(
        &'b self,
        words: &'b [&'b str],
        feed: Feed<'b>,
        limit: Duration,
    ) -> Order<'b> {
        Order {
            via: self.via,
            words,
            feed,
            limit,
        }
    }

    fn hear(&self, line: &str) {
        self.voice.host(&self.host.id, line);
    }
}

/// The hash of one of these files, in a line of `sha256sum`.
fn hash<'a>(line: &'a str, paths: &[String]) -> Option<&'a str> {
    let (hash, path) = line.split_once(' ')?;
    let known = paths.iter().any(|known| path.trim() == known);
    known.then_some(hash)
}

fn failed(what: &str, ended: &Ended) -> String {
    let code = match ended.code {
        Some(code) => format!("ended with {code}"),
        None => "was ended by a signal".to_owned(),
    };
    format!("{what} {code}: {}", ended.last_line())
}
