//! Whether a product's log stayed without errors since the swap.
//!
//! Only what was written since is read, and of that only so much. A log that is not there, or cannot be
//! read, accuses nobody: the product makes it when it starts first, and names of logs change.

use std::collections::BTreeMap;

use email_engine_protocol::desired::{HostPath, TransactionSpec};

use crate::host::{EntryKind, Rooted};

/// Bytes that are read of what was written since the swap, the first ones.
const BYTES: u64 = 256 * 1024;
/// Characters of an error that are told.
const SHOWN: usize = 300;

/// How long each log was before the swap.
pub(super) type Marks = BTreeMap<HostPath, u64>;

/// Marks the ends of the logs that shall stay quiet.
pub(super) fn marks(files: &Rooted, spec: &TransactionSpec) -> Marks {
    let mark = |log: &HostPath| {
        let entry = files.look(log).ok().flatten();
        let file = entry.filter(|entry| entry.kind == EntryKind::File);
        (log.clone(), file.map_or(0, |entry| entry.size))
    };
    spec.logs().map(mark).collect()
}

/// Looks for errors behind the mark.
///
/// # Errors
/// The first line with one.
pub(super) fn judge(
    files: &Rooted,
    marks: &Marks,
    log: &HostPath,
    errors: &[String],
) -> Result<(), String> {
    let mark = marks.get(log).copied().unwrap_or(0);
    let size = match files.look(log) {
        Ok(Some(entry)) if entry.kind == EntryKind::File => entry.size,
        Ok(_) => {
            tracing::warn!(%log, "there is no such log: what it says is not judged");
            return Ok(());
        }
        Err(error) => {
            tracing::warn!(%log, %error, "a log cannot be read: what it says is not judged");
            return Ok(());
        }
    };
    // It was begun anew since.
    let from = if size < mark { 0 } else { mark };
    let written = match files.read_from(log, from, BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%log, %error, "a log cannot be read: what it says is not judged");
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&written);
    let bad = |line: &&str| errors.iter().any(|error| line.contains(error.as_str()));
    match text.lines().find(bad) {
        None => Ok(()),
        Some(line) => {
            let shown: String = line.chars().take(SHOWN).collect();
            Err(format!("{log} says: {shown}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_errors_since_the_mark_count() {
        let dir = tempfile::tempdir().unwrap();
        let files = Rooted::open(dir.path()).unwrap();
        let log = HostPath::new("/log").unwrap();
        let errors = ["rror in line ".to_owned()];
        let judged = |mark: u64| judge(&files, &Marks::from([(log.clone(), mark)]), &log, &errors);
        assert_eq!(judged(0), Ok(()), "there is none");
        let place = dir.path().join("log");
        std::fs::write(&place, "Error in line 1\n").unwrap();
        assert!(judged(0).is_err());
        assert_eq!(judged(16), Ok(()), "it was there before");
        let mut file = std::fs::File::options().append(true).open(&place).unwrap();
        file.write_all(b"fine\nParse error in line 9 of /etc/p: no\n")
            .unwrap();
        let said = judged(16).unwrap_err();
        assert_eq!(said, "/log says: Parse error in line 9 of /etc/p: no");
        std::fs::write(&place, "Error in line 2\n").unwrap();
        assert!(
            judged(50).is_err(),
            "a log that was begun anew is read whole"
        );
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        assert_eq!(judged(0), Ok(()), "no file is no error");
    }
}
