//! What the answers of DNS come to: answers in, verdicts out. Pure.
//!
//! A [`judge()`] that lacks an answer names the question and is asked again with more answers, until it has
//! all: so that the rules of SPF and DMARC, where one answer leads to the next question, need no network.
//!
//! Three rules hold for every record. What could not be read is `unknown`, never wrong and never empty. A
//! record is judged on every authoritative server of its zone: one that shows something wrong is enough, and
//! as long as one does not answer nothing is called valid. A verdict says what was seen and by whom; the
//! line to publish is the wanted record's.

mod address;
mod answers;
mod dkim;
mod dmarc;
mod judge;
mod spf;
mod spf_text;
mod tags;
#[cfg(test)]
mod tests;

pub use answers::{Answers, Datum, Kind, Need, Question, Reply, Told};
pub use dmarc::tree_walk;
pub use judge::{Key, Progress, Subject, judge};
pub use spf::{Outcome, check_host};

use answers::{One, each};
