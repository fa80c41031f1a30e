//! The firewall of this machine: one table of our own in nftables, what must never be cut off by it,
//! and the way to know that it was not.

mod lifelines;
mod nft;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use lifelines::{Lifelines, Session};
pub(super) use nft::Nft;

/// Why the firewall could not be looked at or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WallError {
    /// There is no nft.
    #[error("{0} is not there: the package nftables brings it")]
    Missing(&'static str),
    /// nft said no, or nothing.
    #[error("{0}")]
    Refused(String),
    /// What must not be cut off cannot be told.
    #[error("{path} cannot be read: {reason}")]
    Unread {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Our table and what is around it.
pub trait Wall: Send + fmt::Debug {
    /// Our table in nft's JSON; nothing when it is not there.
    ///
    /// # Errors
    /// When nft cannot be asked.
    fn table(&mut self) -> Result<Option<String>, WallError>;

    /// Hands nft a text, which it takes as a whole or not at all.
    ///
    /// # Errors
    /// When it does not.
    fn change(&mut self, text: &str) -> Result<(), WallError>;

    /// What must not be cut off.
    ///
    /// # Errors
    /// When it cannot be told.
    fn lifelines(&mut self) -> Result<Lifelines, WallError>;
}

/// Why no new connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No coordinator let itself be reached in time.
    Silent(String),
    /// The agent is to end.
    Stopping,
}

/// Makes new connections to coordinators: only the other half of the agent can.
pub trait Reconnect: Send + fmt::Debug {
    /// Has a connection made from its first packet on, to whichever coordinator answers.
    ///
    /// # Errors
    /// When none did in time.
    fn anew(&mut self, patience: Duration) -> Result<SocketAddr, Unreached>;
}

/// Where nobody makes connections.
#[derive(Debug)]
pub(super) struct Nobody;

impl Reconnect for Nobody {
    fn anew(&mut self, _patience: Duration) -> Result<SocketAddr, Unreached> {
        let reason = "nobody here makes connections";
        Err(Unreached::Silent(reason.to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A wall that is only remembered: its table lists as what was last written.
    #[derive(Debug, Default)]
    pub(crate) struct Paper {
        pub(crate) text: Option<String>,
        pub(crate) lifelines: Lifelines,
        pub(crate) changes: usize,
    }

    /// Shared with the test that looks at it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Shared(pub(crate) std::sync::Arc<std::sync::Mutex<Paper>>);

    impl Wall for Shared {
        fn table(&mut self) -> Result<Option<String>, WallError> {
            let paper = self.0.lock().unwrap();
            // One entry for each rule that has a comment, as nft lists them.
            Ok(paper.text.as_ref().map(|text| {
                let rules = text.lines().filter_map(|line| {
                    let (_, rest) = line.split_once("comment \"")?;
                    let comment = rest.trim_end_matches('"');
                    Some(serde_json::json!({"rule": {"comment": comment, "expr": line}}))
                });
                let all: Vec<_> = rules.collect();
                serde_json::json!({ "nftables": all }).to_string()
            }))
        }

        fn change(&mut self, text: &str) -> Result<(), WallError> {
            let mut paper = self.0.lock().unwrap();
            paper.changes += 1;
            paper.text = text.contains('{').then(|| text.to_owned());
            Ok(())
        }

        fn lifelines(&mut self) -> Result<Lifelines, WallError> {
            Ok(self.0.lock().unwrap().lifelines.clone())
        }
    }

    /// Answers as it was told to, in order; then never again.
    #[derive(Debug, Default)]
    pub(crate) struct Told(pub(crate) VecDeque<Result<SocketAddr, Unreached>>);

    impl Reconnect for Told {
        fn anew(&mut self, _patience: Duration) -> Result<SocketAddr, Unreached> {
            let silent = || Err(Unreached::Silent("no answer".to_owned()));
            self.0.pop_front().unwrap_or_else(silent)
        }
    }
}
