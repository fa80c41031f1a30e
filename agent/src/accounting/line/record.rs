//! One record, read by its header.

use std::cell::RefCell;
use std::net::IpAddr;

use csv::ByteRecord;
use csv_core::ReadRecordResult;
use email_engine_protocol::desired::RecordKind;
use email_engine_protocol::observed::BounceCategory;
use email_engine_protocol::time::Timestamp;

use super::columns::Columns;
use super::moment;

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A header: records after it are read by it.
    Header(Columns),
    /// A record that may be counted.
    Record(Record),
    /// A record of a type that is never counted.
    Passed,
}

/// A record that may be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub kind: RecordKind,
    /// When it was written.
    pub at: Timestamp,
    /// The virtual MTA, in lower case.
    pub vmta: String,
    /// Domain of the envelope sender, in lower case; empty for the empty sender.
    pub sender: String,
    /// The domain that a complaint is about.
    pub reported: String,
    /// The address that it was sent from.
    pub source: Option<IpAddr>,
    /// Why it bounced.
    pub category: BounceCategory,
    /// Domain of the recipient, in lower case.
    pub recipient: String,
    /// The queue that it was in, without its virtual MTA, in lower case.
    pub queue: String,
    /// What the receiver said, as printable ASCII; empty of what was delivered, and of complaints.
    pub said: String,
    /// Tells one message to one recipient from others; 0 for what is not deferred.
    pub message: u64,
}

impl Record {
    /// Whether it can have been written by now. What is dated further ahead is counted as it stands, because the
    /// fleet has a better clock, and puts nothing in order: neither what is read next nor what is missing.
    #[must_use]
    pub fn is_by(&self, now: Timestamp) -> bool {
        self.at <= now.plus(AHEAD)
    }

    /// When it was written, as far as that can be by this clock: for people.
    #[must_use]
    pub fn believed(&self, now: Timestamp) -> Timestamp {
        if self.is_by(now) { self.at } else { now }
    }
}

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Nothing says what its fields are.
    #[error("no header line came before it")]
    Headless,
    /// Another number of fields than the header has.
    #[error("{got} fields, its header has {wanted}")]
    Fields {
        /// How many there are.
        got: usize,
        /// How many there should be.
        wanted: u16,
    },
    /// Not one of the forms of time.
    #[error("time {0:?}")]
    Time(String),
    /// A type that nobody documented.
    #[error("type {0:?}")]
    Kind(String),
    /// See [`super::split::RECORD_BYTES`].
    #[error("a line without end")]
    TooLong,
}

/// A clock of the machine that was set back leaves times that have not come yet: so much further than its clock
/// they put records in order.
const AHEAD: u64 = Timestamp::DAY;
/// Longest piece of a receiver's reply that is looked at.
const SAID: usize = 1_024;
/// Longest piece of a line that a reason quotes.
const QUOTED: usize = 40;

/// Reads one line, its end included.
///
/// # Errors
/// When it is neither a header nor a record.
pub fn read(line: &[u8], columns: Option<&Columns>) -> Result<Line, LineError> {
    let Some(fields) = fields(line) else {
        return Ok(Line::Passed);
    };
    if let Some(columns) = Columns::of(&fields) {
        return Ok(Line::Header(columns));
    }
    let columns = columns.ok_or(LineError::Headless)?;
    if fields.len() != usize::from(columns.count) {
        return Err(LineError::Fields {
            got: fields.len(),
            wanted: columns.count,
        });
    }
    record(&Fields { fields, columns })
}

thread_local! {
    /// Its table takes ten times as long to make as a record to read: it is made once. (A copy of one has
    /// half of it.)
    static PARSER: RefCell<csv_core::Reader> = RefCell::new(csv_core::Reader::new());
}

/// The fields of one line; none of an empty one.
pub(in crate::accounting) fn fields(line: &[u8]) -> Option<ByteRecord> {
    PARSER.with_borrow_mut(|parser| {
        parser.reset();
        split(parser, line)
    })
}

fn split(parser: &mut csv_core::Reader, line: &[u8]) -> Option<ByteRecord> {
    let commas = line.iter().filter(|byte| **byte == b',').count();
    // No field is longer in itself than it is written, and there is one more than commas at most.
    let (mut text, mut ends) = (vec![0; line.len() + 1], vec![0; commas + 2]);
    let (mut read, mut written, mut ended) = (0, 0, 0);
    loop {
        // Nothing more says that the line is over.
        let (result, took, wrote, found) =
            parser.read_record(&line[read..], &mut text[written..], &mut ends[ended..]);
        (read, written, ended) = (read + took, written + wrote, ended + found);
        match result {
            ReadRecordResult::Record => break,
            ReadRecordResult::InputEmpty if read <= line.len() => {}
            // There is room for all, so that a full buffer is none of ours.
            _ => return None,
        }
    }
    let mut fields = ByteRecord::with_capacity(written, ended);
    let mut begin = 0;
    for end in &ends[..ended] {
        fields.push_field(&text[begin..*end]);
        begin = *end;
    }
    Some(fields)
}

struct Fields<'a> {
    fields: ByteRecord,
    columns: &'a Columns,
}

impl Fields<'_> {
    fn bytes(&self, place: Option<u16>) -> &[u8] {
        let field = place.and_then(|place| self.fields.get(usize::from(place)));
        field.unwrap_or_default().trim_ascii()
    }

    fn lower(&self, place: Option<u16>) -> String {
        String::from_utf8_lossy(self.bytes(place)).to_ascii_lowercase()
    }

    fn quoted(&self, place: u16) -> String {
        let text = String::from_utf8_lossy(self.bytes(Some(place)));
        text.chars().take(QUOTED).collect()
    }
}

fn record(fields: &Fields<'_>) -> Result<Line, LineError> {
    let columns = fields.columns;
    let kind = match fields.bytes(Some(columns.kind)) {
        b"b" => RecordKind::Bounced,
        b"d" => RecordKind::Delivered,
        b"f" => RecordKind::Complaint,
        b"rb" => RecordKind::Returned,
        b"t" => RecordKind::Deferred,
        b"r" | b"rs" | b"tq" => return Ok(Line::Passed),
        _ => return Err(LineError::Kind(fields.quoted(columns.kind))),
    };
    let time = String::from_utf8_lossy(fields.bytes(Some(columns.time)));
    let at = moment::read(&time).ok_or_else(|| LineError::Time(fields.quoted(columns.time)))?;
    let source = std::str::from_utf8(fields.bytes(columns.source)).unwrap_or_default();
    Ok(Line::Record(Record {
        kind,
        at,
        vmta: fields.lower(columns.vmta),
        sender: domain(&fields.lower(columns.sender)),
        reported: domain(&fields.lower(columns.reported)),
        source: source.parse().ok(),
        category: BounceCategory::named(&fields.lower(columns.category)),
        recipient: domain(&fields.lower(columns.recipient)),
        queue: queue(&fields.lower(columns.queue)),
        said: match kind {
            RecordKind::Delivered | RecordKind::Complaint => String::new(),
            _ => printable(fields.bytes(columns.said)),
        },
        message: match kind {
            RecordKind::Deferred => message(fields),
            _ => 0,
        },
    }))
}

/// The beginning of a text, a byte a character.
fn printable(text: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        byte if byte.is_ascii_whitespace() => ' ',
        _ => '?',
    };
    text.iter().take(SAID).map(shown).collect()
}

/// The domain of an address, or the text itself where it has none.
fn domain(address: &str) -> String {
    let bare = address.trim_matches(['<', '>']);
    let domain = bare.rsplit_once('@').map_or(bare, |(_, domain)| domain);
    domain.to_owned()
}

/// `yahoo.rollup/vmta18` is of `yahoo.rollup`.
fn queue(text: &str) -> String {
    let (queue, _) = text.split_once('/').unwrap_or((text, ""));
    queue.to_owned()
}

/// The product names messages nowhere: sender, recipient and the time of queueing come close.
fn message(fields: &Fields<'_>) -> u64 {
    let columns = fields.columns;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for place in [columns.sender, columns.recipient, columns.queued] {
        digest.update(fields.bytes(place));
        digest.update(b"\0");
    }
    let digest = digest.finish();
    let first = digest.as_ref().first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(header: &str) -> Columns {
        match read(header.as_bytes(), None) {
            Ok(Line::Header(columns)) => columns,
            other => panic!("{other:?}"),
        }
    }

    fn record(header: &str, line: &str) -> Record {
        match read(line.as_bytes(), Some(&columns(header))) {
            Ok(Line::Record(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_line_has_the_fields_that_the_library_finds(line in "([a-c]|,|\"|\r|\n| |\\u{feff}){0,40}") {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(line.as_bytes());
            let mut wanted = ByteRecord::new();
            let is_there = reader.read_byte_record(&mut wanted).unwrap();
            prop_assert_eq!(fields(line.as_bytes()), is_there.then_some(wanted));
        }
    }

    #[test]
    fn fields_are_found_by_name_in_any_order() {
        let one = record(
            "type,timeLogged,orig,bounceCat,vmta,dlvSourceIp\r\n",
            "b,1795240800,A@Example.NET,bad-mailbox,VMTA-1,192.0.2.1\r\n",
        );
        let other = record(
            "VMTA,dlvSourceIp,jobId,bounceCat,orig,timeLogged,type\n",
            "vmta-1,192.0.2.1,\"a,b\n\",bad-mailbox,a@example.net,2026-11-21 06:00:00+0000,b\n",
        );
        assert_eq!(one.sender, "example.net");
        assert_eq!(one.category, BounceCategory::BadMailbox);
        assert_eq!(one, other);
    }

    #[test]
    fn who_shall_have_it_is_known_by_domain_and_queue() {
        let one = record(
            "type,timeLogged,rcpt,queue\n",
            "d,1795240800,Who@Example.ORG,Yahoo.Rollup/vmta-1\n",
        );
        assert_eq!(
            (&one.recipient[..], &one.queue[..]),
            ("example.org", "yahoo.rollup")
        );
        let bare = record("type,timeLogged\n", "d,1795240800\n");
        assert_eq!((&bare.recipient[..], &bare.queue[..]), ("", ""));
    }

    #[test]
    fn a_record_whose_fields_are_named_as_columns_is_a_record_still() {
        let header = "type,timeLogged,orig,rcpt,vmta,jobId,header_Message-Id\n";
        let columns = columns(header);
        // Whoever hands a message in chooses its job and its headers.
        for line in [
            "d,1795240800,a@example.com,r@rcpt.example,vmta-1,type,timeLogged\n",
            "d,1795240800,type,timeLogged,vmta-1,type,timeLogged\n",
            "d,timeLogged,orig,rcpt,vmta,type,header_Message-Id\n",
            "t,type,timeLogged\n",
        ] {
            let read = read(line.as_bytes(), Some(&columns));
            assert!(!matches!(read, Ok(Line::Header(_))), "{line}: {read:?}");
        }
        // Nor does a file begin with it.
        for line in [
            "d,1795240800,type,timeLogged\n",
            "type,timeLogged,1795240800\n",
            "type,timeLogged,TYPE\n",
            "vmta,type,timeLogged,X-Job\n",
            "type,orig\n",
            "type,timeLogged,\n",
        ] {
            let read = read(line.as_bytes(), None);
            assert_eq!(read, Err(LineError::Headless), "{line}");
        }
        for header in [
            header,
            "header_X-Job,timeLogged,TYPE\n",
            "type,timeLogged,newField\n",
        ] {
            let read = read(header.as_bytes(), Some(&columns));
            assert!(matches!(read, Ok(Line::Header(_))), "{header}: {read:?}");
        }
    }

    #[test]
    fn a_time_that_has_not_come_is_a_time_and_orders_nothing_after_a_day() {
        let columns = columns("type,timeLogged,orig\n");
        let Ok(Line::Record(record)) = read(b"d,1895240800,\n", Some(&columns)) else {
            panic!("it was written by a machine whose clock stands elsewhere");
        };
        assert_eq!(record.at, Timestamp(1_895_240_800_000));
        let now = Timestamp(1_795_240_800_000);
        assert!(!record.is_by(now) && record.is_by(Timestamp(record.at.0 - Timestamp::DAY)));
        assert_eq!(record.believed(now), now);
        assert_eq!(record.believed(record.at), record.at);
    }

    #[test]
    fn what_is_no_record_says_why() {
        let columns = columns("type,timeLogged,orig\n");
        let refused = |line: &str| match read(line.as_bytes(), Some(&columns)) {
            Err(error) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("d,1795240800\n"), "2 fields, its header has 3");
        assert_eq!(refused("d,soon,\n"), "time \"soon\"");
        assert_eq!(refused("x,1795240800,\n"), "type \"x\"");
        let headless = read(b"d,1795240800,\n", None);
        assert_eq!(headless, Err(LineError::Headless));
        for nothing in ["tq", "r", "rs"] {
            let line = format!("{nothing},1795240800,\n");
            assert_eq!(read(line.as_bytes(), Some(&columns)), Ok(Line::Passed));
        }
        assert_eq!(read(b"\r\n", Some(&columns)), Ok(Line::Passed));
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&line, Some(&columns("type,timeLogged,orig\n")));
        }
    }
}
