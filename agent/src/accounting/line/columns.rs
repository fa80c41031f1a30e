//! Which field of a record is which, by the names of the header line: their number and order differ
//! with the product's version and configuration, and may change within a file.

use csv::ByteRecord;
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
    pub(super) vmta: Option<u16>,
    pub(super) source: Option<u16>,
    pub(super) reported: Option<u16>,
    pub(super) queue: Option<u16>,
}

impl Columns {
    /// The columns, when this is a header line.
    #[must_use]
    pub fn of(header: &ByteRecord) -> Option<Self> {
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
            vmta: place("vmta"),
            source: place("dlvSourceIp"),
            reported: place("reportedDomain"),
            queue: place("queue"),
        })
    }
}
