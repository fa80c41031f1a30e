//! Unified differences of texts, within the room that one answer has.

use std::fmt::Write;

use email_engine_protocol::api::TextDiff;
use similar::{Algorithm, ChangeTag, TextDiff as Compared};

use crate::planner::build::without_hash;

/// Bytes of differences in one answer.
const ANSWER_BYTES: usize = 512 * 1024;
/// Lines of one file's difference.
const FILE_LINES: usize = 400;
/// Characters of one line.
const LINE_CHARS: usize = 300;
/// Lines between the first and the last that differ, up to which they are compared.
const COMPARED_LINES: usize = 50_000;
/// Lines around a difference.
const CONTEXT: usize = 3;

/// The room that is left for differences.
#[derive(Debug)]
pub(super) struct Paper {
    bytes: usize,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            bytes: ANSWER_BYTES,
        }
    }
}

impl Paper {
    /// The difference between what a file has and what it shall have.
    pub(super) fn write(
        &mut self,
        path: &str,
        was: Option<&[u8]>,
        shall: Option<&[u8]>,
    ) -> TextDiff {
        let read = |bytes: Option<&[u8]>| {
            without_hash(&String::from_utf8_lossy(bytes.unwrap_or_default()))
        };
        let (old, new) = (read(was), read(shall));
        if differing_lines(&old, &new) > COMPARED_LINES {
            return too_long(&old, &new);
        }
        let compared = Compared::configure()
            .algorithm(Algorithm::Patience)
            .diff_lines(&*old, &*new);
        let mut diff = TextDiff {
            added: 0,
            removed: 0,
            unified: String::new(),
            cut: false,
        };
        let name = |bytes: Option<&[u8]>| bytes.map_or("/dev/null", |_| path).to_owned();
        let head = format!("--- {}\n+++ {}\n", name(was), name(shall));
        let mut lines = 0;
        self.put(&mut diff, &mut lines, &head);
        for hunk in compared.unified_diff().context_radius(CONTEXT).iter_hunks() {
            self.put(&mut diff, &mut lines, &format!("{}\n", hunk.header()));
            for change in hunk.iter_changes() {
                let sign = match change.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Equal => ' ',
                    ChangeTag::Insert => '+',
                };
                diff.added += u64::from(sign == '+');
                diff.removed += u64::from(sign == '-');
                let text: String = change
                    .value()
                    .trim_end_matches('\n')
                    .chars()
                    .take(LINE_CHARS)
                    .collect();
                self.put(&mut diff, &mut lines, &format!("{sign}{text}\n"));
            }
        }
        diff
    }

    /// Writes a line while there is room.
    fn put(&mut self, diff: &mut TextDiff, lines: &mut usize, line: &str) {
        if diff.cut || *lines >= FILE_LINES || line.len() > self.bytes {
            diff.cut = true;
            return;
        }
        *lines += line.matches('\n').count();
        self.bytes -= line.len();
        diff.unified.push_str(line);
    }
}

/// Lines between the first and the last that differ, in the longer text.
fn differing_lines(old: &str, new: &str) -> usize {
    let same = |(old, new): &(&str, &str)| old == new;
    let (mut before, mut after) = (old.lines(), new.lines());
    let head = before.by_ref().zip(after.by_ref()).take_while(same).count();
    let longest = old.lines().count().max(new.lines().count());
    let tail = old
        .lines()
        .rev()
        .zip(new.lines().rev())
        .take_while(same)
        .count();
    longest.saturating_sub(head + tail)
}

fn too_long(old: &str, new: &str) -> TextDiff {
    let count = |text: &str| text.lines().count() as u64;
    let mut unified = String::new();
    let _ = writeln!(
        unified,
        "(too long to be compared line by line: {} lines become {})",
        count(old),
        count(new)
    );
    TextDiff {
        added: count(new),
        removed: count(old),
        unified,
        cut: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: Option<&str>, new: Option<&str>) -> TextDiff {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let (old, new) = (bytes(old), bytes(new));
        Paper::default().write("/etc/x", old.as_deref(), new.as_deref())
    }

    #[test]
    fn a_difference_is_unified_and_counted() {
        let changed = diff(Some("a\nb\nc\n"), Some("a\nB\nc\nd\n"));
        let shown = "--- /etc/x\n+++ /etc/x\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n";
        assert_eq!(changed.unified, shown);
        assert_eq!((changed.added, changed.removed, changed.cut), (2, 1, false));
        let created = diff(None, Some("a\n"));
        assert_eq!(
            created.unified,
            "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1 @@\n+a\n"
        );
        let removed = diff(Some("a\n"), None);
        assert_eq!(
            removed.unified,
            "--- /etc/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
        );
    }

    #[test]
    fn the_hash_in_a_head_is_no_difference_of_its_own() {
        let headed = |hash: &str, text: &str| {
            format!(
                "# Written by Email-Engine\n# sha256 of the lines below this one: {hash}\n{text}"
            )
        };
        let changed = diff(
            Some(&headed("0a", "1\n2\n3\n4\n5\nold\n")),
            Some(&headed("0b", "1\n2\n3\n4\n5\nnew\n")),
        );
        assert!(
            changed.unified.contains("@@ -5,4 +5,4 @@\n 3\n"),
            "{}",
            changed.unified
        );
        assert!(!changed.unified.contains("sha256"), "{}", changed.unified);
    }

    #[test]
    fn long_differences_are_cut_and_still_counted() {
        let text: String = (0..5_000).map(|at| format!("line {at}\n")).collect();
        let created = diff(None, Some(&text));
        assert_eq!((created.added, created.cut), (5_000, true));
        assert_eq!(created.unified.lines().count(), FILE_LINES);
        let wide = diff(None, Some(&"x".repeat(10_000)));
        assert!(wide.unified.len() < 400, "{}", wide.unified.len());
        let mut paper = Paper { bytes: 40 };
        let last = paper.write("/etc/x", None, Some(b"a\nb\nc\n"));
        assert!(last.cut && last.unified.len() <= 40, "{}", last.unified);
    }

    #[test]
    fn what_is_too_long_to_compare_is_said_to_be() {
        let lines = |from: usize| {
            (from..from + COMPARED_LINES + 1)
                .map(|at| format!("{at}\n"))
                .collect::<String>()
        };
        let changed = diff(Some(&lines(0)), Some(&lines(1_000_000)));
        assert!(changed.cut && changed.unified.contains("50001 lines become 50001"));
        // The rest of a long file does not count when only its middle differs.
        let near = diff(Some(&lines(0)), Some(&format!("{}end\n", lines(0))));
        assert!(near.unified.ends_with("+end\n"), "{}", near.unified);
    }
}
