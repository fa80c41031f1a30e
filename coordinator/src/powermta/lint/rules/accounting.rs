//! Accounting files.

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_size;
use super::super::check::{Check, shown};
use super::super::codes::{ACCOUNTING_SIZE, DELETE_AFTER_UNUSED, MOVE_INTERVAL_UNUSED, PIPE_ALONE};
use super::super::outline::Block;

/// Bytes that a file must be allowed to have.
const SMALLEST: u64 = 1 << 20;

pub(super) fn run(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let is_pipe = |block: &Block<'_>| block.name.starts_with('|');
    let has_file = outline
        .sections(Scope::AcctFile)
        .any(|(_, block)| !is_pipe(block));
    for (_, block) in outline.sections(Scope::AcctFile) {
        if is_pipe(block) && !has_file && check.is_whole() {
            check.report(
                PIPE_ALONE,
                block.at,
                "records go to a program and to no file",
            );
        }
        let moved = block.last("move-to");
        if let Some(entry) = block.last("move-interval").filter(|_| moved.is_none()) {
            check.report(
                MOVE_INTERVAL_UNUSED,
                entry.at,
                "without `move-to` nothing is moved",
            );
        }
        if let Some(entry) = block.last("delete-after").filter(|_| moved.is_some()) {
            check.report(
                DELETE_AFTER_UNUSED,
                entry.at,
                "what is moved elsewhere is not deleted",
            );
        }
        if let Some(entry) = block.last("max-size")
            && parse_size(entry.text()).is_some_and(|bytes| bytes < SMALLEST)
        {
            check.report(
                ACCOUNTING_SIZE,
                entry.at,
                format!("{} is under 1M", shown(entry.text())),
            );
        }
    }
}
