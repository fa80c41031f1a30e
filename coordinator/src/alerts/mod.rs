//! Tells people what they have to know.
//!
//! [`rules`] is pure: what can be told ([`rules::Event`]), in which words, what counts as the same thing
//! once more, who is told, when it is tried again. It changes the table of alerts inside `apply`, by the
//! same log entry as the change that is told of, so that no leader can forget one. [`channels`] carries a
//! letter to Telegram, to a web service, to a mail server or into the log, and says what became of it;
//! `tasks/alerts` joins the two on the leader. [`quorum`] is every node's own voice for the one thing that
//! cannot be written down: that nothing can be written down.

pub mod channels;
pub mod quorum;
pub mod rules;
