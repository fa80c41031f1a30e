//! Records that the fleet wants in DNS. Whoever shows, exports, checks or publishes records takes them from
//! here.

mod fleet;
mod kept;
mod key;
mod record;
mod reverse;
mod zone;

pub use fleet::{OfDomain, of_fleet};
pub use kept::{gone, kept};
pub use key::{dkim_record, dkim_records, keys};
pub use record::{wanted, wanted_records};
pub use reverse::{blocks, reverse_name};
pub(crate) use zone::holds;
pub use zone::{InZones, in_zones, of_zone};

use std::net::{Ipv4Addr, Ipv6Addr};

use email_engine_protocol::api::DomainRecord;
use email_engine_protocol::time::Timestamp;

/// Longest character string of a TXT record (RFC 1035 section 3.3).
pub const STRING_BYTES: usize = 255;
/// How long resolvers may keep our records, in seconds. An hour: a key that others know is gone from their
/// caches within it.
pub const TTL_SECONDS: u32 = 3600;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A name leads to its address.
    Address,
    /// The address leads to its name.
    Pointer,
    /// Who takes mail to the domain.
    Exchanger,
    /// Who may send.
    Spf,
    /// A key.
    Dkim,
    /// What receivers shall do.
    Dmarc,
    /// Another organisation takes our reports.
    Consent,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Who takes mail.
    Mx {
        /// Less is tried first.
        preference: u16,
        /// Its name, without the final dot.
        exchanger: String,
    },
    /// The name of an address, without the final dot.
    Ptr(String),
    /// A text, whole. Ours are ASCII without quotes and backslashes.
    Txt(String),
}

/// One record that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Owner name in lower case, without the final dot.
    pub name: String,
    /// Its data.
    pub data: Data,
    /// What it is for.
    pub part: Part,
    /// It may go then.
    pub until: Option<Timestamp>,
}

impl Wanted {
    fn new(name: impl Into<String>, part: Part, data: Data) -> Self {
        let name = name.into();
        Self {
            name,
            data,
            part,
            until: None,
        }
    }

    /// As the API shows it.
    #[must_use]
    pub fn record(&self) -> DomainRecord {
        DomainRecord {
            name: self.name.clone(),
            kind: self.data.kind().to_owned(),
            value: self.data.to_string(),
            until: self.until,
        }
    }

    /// The line of a zone file.
    #[must_use]
    pub fn line(&self) -> String {
        let (name, kind) = (&self.name, self.data.kind());
        format!("{name}. {TTL_SECONDS} IN {kind} {}", self.data)
    }
}

impl Data {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Mx { .. } => "MX",
            Self::Ptr(_) => "PTR",
            Self::Txt(_) => "TXT",
        }
    }
}

/// In presentation form.
impl std::fmt::Display for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Mx {
                preference,
                exchanger,
            } => write!(f, "{preference} {exchanger}."),
            Self::Ptr(name) => write!(f, "{name}."),
            Self::Txt(text) => {
                let quoted: Vec<String> = strings(text)
                    .into_iter()
                    .map(|part| format!("\"{part}\""))
                    .collect();
                f.write_str(&quoted.join(" "))
            }
        }
    }
}

/// A text in strings of at most 255 bytes; an empty one is one empty string.
#[must_use]
pub fn strings(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    let parts = chars.chunks(STRING_BYTES);
    parts.map(|part| part.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_split_and_loses_nothing() {
        let text = "k".repeat(600);
        let value = Data::Txt(text.clone()).to_string();
        let strings: Vec<&str> = value
            .split(' ')
            .map(|part| part.trim_matches('"'))
            .collect();
        assert!(strings.iter().all(|part| part.len() <= STRING_BYTES));
        assert_eq!(strings.concat(), text);
        assert_eq!(Data::Txt(String::new()).to_string(), "\"\"");
    }

    #[test]
    fn a_record_is_a_line_of_a_zone_file() {
        let exchanger = "mail1.example.com".to_owned();
        let data = Data::Mx {
            preference: 10,
            exchanger: exchanger.clone(),
        };
        let wanted = Wanted::new(exchanger, Part::Exchanger, data);
        assert_eq!(
            wanted.line(),
            "mail1.example.com. 3600 IN MX 10 mail1.example.com."
        );
        assert_eq!(wanted.record().value, "10 mail1.example.com.");
    }
}
