//! Where a record ends (RFC 4180): at a line's end that is not within quotes.

/// Longest record; what is longer is none. Far above what the product writes.
pub const RECORD_BYTES: usize = 32 * 1024;

/// The first record of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It has so many bytes, its line's end included.
    Record(usize),
    /// It has no end within [`RECORD_BYTES`]: so many bytes are given up.
    TooLong(usize),
    /// The rest is not written yet.
    Unfinished,
}

/// Finds the end of the first record. Looks at no more than [`RECORD_BYTES`].
#[must_use]
pub fn first(bytes: &[u8]) -> Cut {
    let mut at = At::Start;
    for (index, byte) in bytes.iter().take(RECORD_BYTES).enumerate() {
        at = match (at, byte) {
            (At::Start | At::Plain | At::Closed, b'\n') => return Cut::Record(index + 1),
            (At::Start, b'"') | (At::Closed, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (_, b',') => At::Start,
            _ => At::Plain,
        };
    }
    if bytes.len() < RECORD_BYTES {
        return Cut::Unfinished;
    }
    // A quote that nobody closed. All lines so far are given up at once: to try each of them again
    // would cost the square of their number.
    let whole = &bytes[..RECORD_BYTES];
    let end = whole.iter().rposition(|byte| *byte == b'\n');
    Cut::TooLong(end.map_or(RECORD_BYTES, |end| end + 1))
}

/// Where a byte stands.
#[derive(Clone, Copy)]
enum At {
    /// At the beginning of a field.
    Start,
    /// In a field without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: their end, or the first half of a quote that is meant.
    Closed,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_ends_of_lines_end_nothing_and_half_a_line_is_no_record() {
        assert_eq!(first(b"a,b\r\nc"), Cut::Record(5));
        assert_eq!(first(b"a,\"b\nc\"\"\n\"\nd"), Cut::Record(11));
        assert_eq!(first(b"a\"b\n"), Cut::Record(4));
        for half in [&b""[..], b"a,b", b"a,\"b\n", b"a,\"b\"\""] {
            assert_eq!(first(half), Cut::Unfinished, "{half:?}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_a_bounded_stretch() {
        let mut bytes = b"\"".to_vec();
        bytes.extend(b"0123456\n".repeat(RECORD_BYTES));
        assert_eq!(first(&bytes), Cut::TooLong(RECORD_BYTES - 7));
        assert_eq!(first(&vec![b'x'; RECORD_BYTES]), Cut::TooLong(RECORD_BYTES));
    }

    proptest! {
        #[test]
        fn whatever_is_written_as_csv_is_found_record_by_record(
            rows in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,6}", 2..5), 0..8),
            crlf in any::<bool>(),
        ) {
            let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().flexible(true).terminator(end).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let mut rest = &bytes[..];
            for row in &rows {
                let Cut::Record(length) = first(rest) else { panic!("{rest:?}") };
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&rest[..length]);
                let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
                prop_assert_eq!(read.len(), 1);
                prop_assert_eq!(read[0].iter().collect::<Vec<_>>(), row.iter().collect::<Vec<_>>());
                // No shorter piece is taken for it.
                for cut in 0..length {
                    prop_assert_eq!(first(&rest[..cut]), Cut::Unfinished);
                }
                rest = &rest[length..];
            }
            prop_assert_eq!(first(rest), Cut::Unfinished);
        }
    }
}
