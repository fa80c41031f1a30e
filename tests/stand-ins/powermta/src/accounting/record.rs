//! One event, with the names of the guide for its fields.

/// An event of one type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// `d`, `b`, `t`, `tq`, `r`, `f`, `rb` or `rs`.
    pub(crate) kind: &'static str,
    /// When.
    pub(crate) at: i64,
    /// When the message was queued, for those types that say so.
    pub(crate) queued: Option<i64>,
    /// The other fields, by name.
    pub(crate) fields: Vec<(String, String)>,
    /// The message, from which `header_X` is taken.
    pub(crate) message: Vec<u8>,
}

impl Record {
    pub(crate) fn new(kind: &'static str, at: i64) -> Self {
        Self {
            kind,
            at,
            ..Self::default()
        }
    }

    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// A field's value; empty when the event has none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// `5.1.1 (bad destination mailbox address)`: words of RFC 3463.
pub(crate) fn status_text(status: &str) -> String {
    let mut parts = status.splitn(2, '.');
    let class = parts.next().unwrap_or_default();
    let words = match (class, parts.next().unwrap_or_default()) {
        ("2", _) => "success",
        (_, "1.0") => "other address status",
        (_, "1.1") => "bad destination mailbox address",
        (_, "1.2") => "bad destination system address",
        (_, "1.3") => "bad destination mailbox address syntax",
        (_, "1.7") => "bad sender's mailbox address syntax",
        (_, "1.8") => "bad sender's system address",
        (_, "2.0") => "other or undefined mailbox status",
        (_, "2.1") => "mailbox disabled, not accepting messages",
        (_, "2.2") => "mailbox full",
        (_, "2.3") => "message length exceeds administrative limit",
        (_, "3.5") => "system incorrectly configured",
        (_, "4.1") => "no answer from host",
        (_, "4.2") => "bad connection",
        (_, "4.3") => "routing server failure",
        (_, "4.4") => "unable to route",
        (_, "4.6") => "routing loop detected",
        (_, "4.7") => "delivery time expired",
        (_, "5.0") => "other or undefined protocol status",
        (_, "7.0") => "other or undefined security status",
        (_, "7.1") => "delivery not authorized",
        _ => "undefined status",
    };
    // The product's own words for its own status.
    if status == "5.3.5" {
        return "5.3.5 (specified VirtualMTA does not exist)".to_owned();
    }
    format!("{status} ({words})")
}
