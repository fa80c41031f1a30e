//! Where the reading of a file begins, by what the cluster counted of it. Pure.

use email_engine_protocol::observed::FileCursor;
use email_engine_protocol::time::Timestamp;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Nothing of it was counted: all of it is.
    Anew,
    /// All that it has was counted.
    Rest,
    /// What stands before this was counted: it is read for what it says of the rest, its header lines
    /// and the messages that it knows to be deferred.
    Catch {
        /// First byte that is counted.
        to: u64,
    },
    /// It lost what stood before the cursor: the machine was rolled back, or somebody cut the file. What
    /// is in it was counted up to the latest time that was, and what is later is new.
    Seek {
        /// The latest time that was counted.
        after: Timestamp,
        /// The cursor that counts no more.
        given_up: u64,
    },
    /// It was counted once, and nobody knows up to where: it is left alone.
    Skip,
}

/// Says how a file of this size is read. `tail_fits`: before the cursor stands what stood there.
pub(super) fn begin(
    told: Option<&FileCursor>,
    is_forgotten: bool,
    size: u64,
    tail_fits: impl FnOnce(&FileCursor) -> bool,
) -> Begin {
    match told {
        None if is_forgotten => Begin::Skip,
        None => Begin::Anew,
        Some(cursor) if size >= cursor.at && tail_fits(cursor) => {
            if size == cursor.at {
                Begin::Rest
            } else {
                Begin::Catch { to: cursor.at }
            }
        }
        Some(cursor) => Begin::Seek {
            after: cursor.mark.last,
            given_up: cursor.at,
        },
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::observed::{AccountingFileId, Mark};

    use super::*;

    #[test]
    fn every_file_has_one_way_to_begin() {
        let after = Timestamp(7);
        let cursor = FileCursor {
            file: AccountingFileId {
                name: "acct-2026-11-21-0000.csv".to_owned(),
                head: ContentHash([1; 32]),
            },
            at: 100,
            mark: Mark {
                last: after,
                tail: ContentHash([2; 32]),
            },
        };
        let known = |size, fits| begin(Some(&cursor), true, size, |_| fits);
        let lost = Begin::Seek {
            after,
            given_up: 100,
        };
        assert_eq!(known(100, true), Begin::Rest);
        assert_eq!(known(101, true), Begin::Catch { to: 100 });
        assert_eq!(known(101, false), lost);
        assert_eq!(known(99, true), lost);
        assert_eq!(begin(None, false, 5, |_| true), Begin::Anew);
        assert_eq!(begin(None, true, 5, |_| true), Begin::Skip);
    }
}
