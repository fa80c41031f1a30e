//! Which field of a record is which, by the names of the header line: their number and order differ
//! with the product's version and configuration, and may change within a file.

use std::collections::BTreeSet;

use csv::ByteRecord;

/// The product's own names, in lower case. Others begin as [`FREE`] says.
const KNOWN: [&str; 36] = [
    "bouncecat",
    "dlvdestinationip",
    "dlvesmtpavailable",
    "dlvsize",
    "dlvsourceip",
    "dlvtlscipher",
    "dlvtlsprotocol",
    "dlvtype",
    "dsnaction",
    "dsndiag",
    "dsnmta",
    "dsnreportingmta",
    "dsnstatus",
    "envid",
    "feedbacktype",
    "format",
    "jobid",
    "orcpt",
    "orig",
    "queue",
    "rcpt",
    "rcvsmtpuser",
    "reporteddomain",
    "reportingmta",
    "repsourceip",
    "srcmta",
    "srctype",
    "timefirstattempt",
    "timelogged",
    "timequeued",
    "totalsecondsqueued",
    "type",
    "useragent",
    "userstring",
    "vmta",
    "vmtapool",
];
/// What the names of fields begin with that an operator chooses.
const FREE: [&str; 2] = ["arf_", "header_"];
/// Types of records.
const KINDS: [&str; 8] = ["b", "d", "f", "r", "rb", "rs", "t", "tq"];
/// Longest name of a field.
const NAME_BYTES: usize = 128;

/// Places of the fields that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Fields of a record.
    pub(super) count: u16,
    pub(super) kind: u16,
    pub(super) time: u16,
    pub(super) queued: Option<u16>,
    pub(super) sender: Option<u16>,
    pub(super) recipient: Option<u16>,
    pub(super) category: Option<u16>,
    pub(super) said: Option<u16>,
    pub(super) vmta: Option<u16>,
    pub(super) source: Option<u16>,
    pub(super) reported: Option<u16>,
    pub(super) queue: Option<u16>,
}

impl Columns {
    /// The columns, when this is a header line: the names of type and time alone make none, because
    /// whoever sends can have them stand in the fields of a record.
    #[must_use]
    pub fn of(header: &ByteRecord) -> Option<Self> {
        if !is_header(header) {
            return None;
        }
        let place = |name: &str| {
            let mut fields = header.iter();
            let at = fields.position(|field| field.eq_ignore_ascii_case(name.as_bytes()))?;
            u16::try_from(at).ok()
        };
        Some(Self {
            time: place("timeLogged")?,
            kind: place("type")?,
            count: u16::try_from(header.len()).ok()?,
            queued: place("timeQueued"),
            sender: place("orig"),
            recipient: place("rcpt"),
            category: place("bounceCat"),
            said: place("dsnDiag"),
            vmta: place("vmta"),
            source: place("dlvSourceIp"),
            reported: place("reportedDomain"),
            queue: place("queue"),
        })
    }
}

/// A header line is names and nothing else, each once: names that are known, in any order, or behind
/// `type`, as the product writes it, any. The type of a record and its time are no names.
fn is_header(fields: &ByteRecord) -> bool {
    let first = fields.get(0).unwrap_or_default();
    let is_ours = first.eq_ignore_ascii_case(b"type");
    let mut seen = BTreeSet::new();
    fields.iter().all(|field| {
        let Some(name) = name(field) else {
            return false;
        };
        let is_known = KNOWN.contains(&&name[..]) || FREE.iter().any(|free| name.starts_with(free));
        (is_ours || is_known) && !KINDS.contains(&&name[..]) && seen.insert(name)
    })
}

/// A field as the name of one, in lower case.
fn name(field: &[u8]) -> Option<String> {
    let is_name = field.first().is_some_and(u8::is_ascii_alphabetic)
        && field.len() <= NAME_BYTES
        && field
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_name.then(|| String::from_utf8_lossy(field).to_ascii_lowercase())
}
