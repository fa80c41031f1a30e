//! Replies that say nothing of the sender: greylisting, one full mailbox, an ended connection, one
//! refused text. A rule that slows or stops a queue for one of these does harm to all mail of a
//! receiver.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::expression::{compile, takes};

/// The replies. Those that `everyone.toml` leaves alone are among them, and those that it tells from
/// the ones that it slows down for.
pub(super) const ORDINARY: [&str; 17] = [
    "450 4.2.0 <a@example.com>: Recipient address rejected: Greylisted",
    "451 4.3.0 Temporary failure, please try again later",
    "451 4.7.1 Greylisting in action, please come back later",
    "452 4.2.2 Mailbox full, try again later",
    "452 4.2.2 Too many messages in this mailbox",
    "452 4.5.3 Too many recipients",
    "552 5.2.2 Over quota",
    "421 4.4.2 mx.example.net Error: timeout exceeded waiting for command",
    "421 4.4.2 mx.example.net closing connection",
    "421 mx.example.net Service closing transmission channel",
    "451 4.4.1 connection cannot be established",
    "451 4.4.1 connection refused",
    "451 Rejected",
    "550 5.5.2 too many errors in this message's MIME parts",
    "550 5.6.0 Message content rejected",
    "554 5.7.1 Message rejected",
    "554 5.7.1 Sorry, message looks like spam to me",
];

/// Answers by expression. To compile one costs far more than all else that is done with it, and every
/// plan of every host asks for those of the same catalogue.
static KNOWN: Mutex<BTreeMap<String, Option<&'static str>>> = Mutex::new(BTreeMap::new());
/// Most answers that are kept; more expressions than a fleet has.
const MOST: usize = 5_000;

/// One of the replies that an expression takes; none when it takes none, or is no expression.
pub(in crate::powermta) fn ordinary_taken(pattern: &str) -> Option<&'static str> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = known().get(pattern) {
        return *answer;
    }
    let answer = tried(pattern);
    let mut known = known();
    if known.len() < MOST {
        known.insert(pattern.to_owned(), answer);
    }
    answer
}

fn tried(pattern: &str) -> Option<&'static str> {
    let expression = compile(pattern).ok()?;
    ORDINARY.into_iter().find(|reply| takes(&expression, reply))
}

/// Ways to write an expression that takes some of them.
#[cfg(test)]
pub(super) const BROAD: [&str; 10] = [
    "too many .*",
    r"\btoo many\b",
    ".*try again.*",
    "rejected",
    "(?:too) many",
    r"^4\d\d ",
    "mailbox (is )?full|over quota",
    "gr[ae]ylist",
    "t.o man.",
    r"421.{0,40}closing\s+connection",
];

#[cfg(test)]
mod tests {
    use super::super::{Action, Catalogue};
    use super::*;
    use crate::planner::builtin_bundle;

    #[test]
    fn all_that_everyone_leaves_alone_is_ordinary_and_no_rule_of_ours_takes_it() {
        let catalogue = Catalogue::load(&builtin_bundle()).unwrap();
        let backoff = Action::Take("mode=backoff".to_owned());
        for rule in &catalogue.everyone().unwrap().replies {
            let left = match &rule.action {
                Action::Leave => &rule.samples,
                action if *action == backoff => &rule.near,
                Action::Take(_) => continue,
            };
            for reply in left {
                assert!(ORDINARY.contains(&reply.as_str()), "{reply}");
            }
        }
        for rule in catalogue.providers.iter().flat_map(|p| &p.replies) {
            let strikes = rule
                .action
                .parsed()
                .is_some_and(|actions| actions.strikes());
            let taken = ordinary_taken(&rule.pattern).filter(|_| strikes);
            assert_eq!(taken, None, "{}", rule.id);
        }
    }

    #[test]
    fn however_a_broad_expression_is_written_it_takes_what_is_ordinary() {
        for broad in BROAD
            .into_iter()
            .chain([r"4\.[0-9]\.[0-9]", "(message|mail) rejected"])
        {
            assert!(ordinary_taken(broad).is_some(), "{broad}");
        }
        for narrow in [
            r"\[TS0[1-3]\]",
            "RP-00[1-3]",
            "unusual rate of unsolicited mail",
            "(",
        ] {
            assert_eq!(ordinary_taken(narrow), None, "{narrow}");
        }
    }
}
