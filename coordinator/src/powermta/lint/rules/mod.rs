//! The rules, each a function over the outline, by what they are about.

mod accounting;
mod backoff;
mod change;
mod global;
mod identity;
mod language;
mod lists;
mod queue;
mod schema;
mod signing;
mod source;

pub(in crate::powermta) use backoff::is_broad;

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
    backoff::run(check);
    queue::run(check);
    global::run(check);
    accounting::run(check);
    if let Some(before) = before {
        change::run(check, before);
    }
}
