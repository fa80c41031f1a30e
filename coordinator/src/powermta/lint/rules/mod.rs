//! The rules, each a function over the outline, by what they are about.

mod accounting;
mod change;
mod global;
mod identity;
mod language;
mod lists;
mod queue;
mod replies;
mod schema;
mod signing;
mod source;

pub(in crate::powermta) use replies::is_broad;

use super::check::Check;
use super::outline::Outline;
pub(super) use change::canonical;

/// Runs all rules.
pub(super) fn run(check: &mut Check<'_, '_>, before: Option<&Outline<'_>>) {
    language::run(check);
    schema::run(check);
    identity::run(check);
    signing::run(check);
    lists::run(check);
    source::run(check);
    replies::backoff::run(check);
    replies::run(check);
    queue::run(check);
    global::run(check);
    accounting::run(check);
    if let Some(before) = before {
        change::run(check, before);
    }
}
