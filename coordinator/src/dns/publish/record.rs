//! Records as a zone has them, and the marks that say whose they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use email_engine_protocol::bytes::ContentHash;

use crate::dns::wanted::{Data, STRING_BYTES, TTL_SECONDS};
use crate::state::{Mark, RecordKind};

/// How a mark begins.
const BEGIN: &str = "v=ee1 cluster=";

/// Data of a record as it stands in a zone: names in their own case, texts string by string. A server compares
/// it byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stands {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Preference and name of who takes mail.
    Mx(u16, String),
    /// The name of an address.
    Ptr(String),
    /// A text.
    Txt(Vec<Vec<u8>>),
}

impl Stands {
    /// How wanted data is written into a zone.
    #[must_use]
    pub fn of(data: &Data) -> Self {
        match data {
            Data::A(address) => Self::A(*address),
            Data::Aaaa(address) => Self::Aaaa(*address),
            Data::Mx {
                preference,
                exchanger,
            } => Self::Mx(*preference, exchanger.clone()),
            Data::Ptr(name) => Self::Ptr(name.clone()),
            Data::Txt(text) => Self::text(text),
        }
    }

    /// A text in strings that fit.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let parts: Vec<Vec<u8>> = text
            .as_bytes()
            .chunks(STRING_BYTES)
            .map(<[u8]>::to_vec)
            .collect();
        match parts.is_empty() {
            true => Self::Txt(vec![Vec::new()]),
            false => Self::Txt(parts),
        }
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::A(_) => RecordKind::A,
            Self::Aaaa(_) => RecordKind::Aaaa,
            Self::Mx(..) => RecordKind::Mx,
            Self::Ptr(_) => RecordKind::Ptr,
            Self::Txt(_) => RecordKind::Txt,
        }
    }

    /// The text, whole; none of other types.
    #[must_use]
    pub fn whole(&self) -> Option<String> {
        match self {
            Self::Txt(parts) => Some(String::from_utf8_lossy(&parts.concat()).into_owned()),
            _ => None,
        }
    }

    /// Its mark: of what it says, however it is split or spelt.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let said = match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Aaaa(address) => address.octets().to_vec(),
            Self::Mx(preference, name) => [
                &preference.to_be_bytes(),
                name.to_ascii_lowercase().as_bytes(),
            ]
            .concat(),
            Self::Ptr(name) => name.to_ascii_lowercase().into_bytes(),
            Self::Txt(parts) => parts.concat(),
        };
        let ContentHash(hash) = ContentHash::of(&said);
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash[..8]);
        Mark {
            kind: self.kind(),
            digest: u64::from_be_bytes(digest),
        }
    }

    /// Whether it says what is wanted.
    #[must_use]
    pub fn is(&self, wanted: &Data) -> bool {
        self.kind() == kind(wanted) && self.mark() == Self::of(wanted).mark()
    }

    /// About how many bytes it takes in a message, beside its name.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let data = match self {
            Self::A(_) => 4,
            Self::Aaaa(_) => 16,
            Self::Mx(_, name) | Self::Ptr(name) => name.len() + 4,
            Self::Txt(parts) => parts.iter().map(|part| part.len() + 1).sum(),
        };
        data + 12
    }

    /// The line of a zone file.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        let data = match self {
            Self::A(address) => address.to_string(),
            Self::Aaaa(address) => address.to_string(),
            Self::Mx(preference, exchanger) => format!("{preference} {exchanger}."),
            Self::Ptr(target) => format!("{target}."),
            Self::Txt(parts) => {
                let quoted: Vec<String> = parts.iter().map(|part| quoted(part)).collect();
                quoted.join(" ")
            }
        };
        format!("{name}. {TTL_SECONDS} IN {} {data}", self.kind().as_str())
    }
}

/// A character string as zone files have it (RFC 1035 section 5.1): what others wrote may hold anything.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('"');
    text
}

pub(super) const fn kind(data: &Data) -> RecordKind {
    match data {
        Data::A(_) => RecordKind::A,
        Data::Aaaa(_) => RecordKind::Aaaa,
        Data::Mx { .. } => RecordKind::Mx,
        Data::Ptr(_) => RecordKind::Ptr,
        Data::Txt(_) => RecordKind::Txt,
    }
}

/// Where it is written down whose records a name has.
#[must_use]
pub fn owner_name(name: &str) -> String {
    format!("_ee-owner.{name}")
}

/// What is written there of one record.
#[must_use]
pub fn mark_text(cluster: &str, mark: Mark) -> String {
    let (kind, digest) = (mark.kind.as_str(), mark.digest);
    format!("{BEGIN}{cluster} record={kind}/{digest:016x}")
}

/// What a text at an owner's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A record is this cluster's.
    Ours(Mark),
    /// Some record is another cluster's.
    Others,
    /// Nothing about that.
    Nothing,
}

pub(super) fn said(cluster: &str, text: &str) -> Said {
    let Some(rest) = text.strip_prefix(BEGIN) else {
        return Said::Nothing;
    };
    let Some((of, record)) = rest.split_once(" record=") else {
        return Said::Nothing;
    };
    if of != cluster {
        return Said::Others;
    }
    let mark = record.split_once('/').and_then(|(kind, digest)| {
        let kind = RecordKind::ALL
            .into_iter()
            .find(|one| one.as_str() == kind)?;
        let digest = u64::from_str_radix(digest, 16).ok()?;
        Some(Mark { kind, digest })
    });
    // As it is written, and not otherwise: what is taken back is what was made.
    match mark.filter(|mark| mark_text(cluster, *mark) == text) {
        Some(mark) => Said::Ours(mark),
        None => Said::Nothing,
    }
}
