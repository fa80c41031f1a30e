//! Reads the lists from a text.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::Deserialize;

use email_engine_protocol::api::ListingClass;
use email_engine_protocol::id::ListId;

use super::check::check;
use super::{Access, Class, Code, Kind, Registry, Scheme, Span, TestPoint, Zone};
use crate::dnsbl::query::Subject;

/// Why a text is not a registry of lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It is no TOML, or has keys that are none.
    #[error("the lists cannot be read: {0}")]
    Syntax(String),
    /// A value is not accepted.
    #[error("list {list}: {field} = {value:?} is not accepted: {accepted}")]
    Value {
        /// Of which list.
        list: String,
        /// Which key.
        field: &'static str,
        /// What was written.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// The list is no more.
    #[error("list {list}: {origin} is dead and is not asked: {reason}")]
    Dead {
        /// Which.
        list: String,
        /// Its zone.
        origin: String,
        /// What became of it.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    as_of: String,
    #[serde(default)]
    zone: Vec<RawZone>,
    #[serde(default)]
    error: Vec<RawError>,
    #[serde(default)]
    dead: Vec<RawDead>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZone {
    id: ListId,
    name: String,
    kind: Kind,
    access: Access,
    origin: Option<String>,
    keyed_origin: Option<String>,
    #[serde(default)]
    ipv6: bool,
    #[serde(default)]
    scheme: Scheme,
    codes: Vec<RawCode>,
    #[serde(default)]
    errors: Vec<RawError>,
    listed: Vec<RawPoint>,
    unlisted: Vec<String>,
    #[serde(default)]
    replies: Vec<String>,
    per_second: Option<u32>,
    in_flight: u32,
    expiry: String,
    delist: String,
    #[serde(default)]
    terms: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCode {
    answer: Option<Ipv4Addr>,
    to: Option<Ipv4Addr>,
    bit: Option<u8>,
    class: String,
    meaning: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawError {
    answer: Ipv4Addr,
    meaning: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDead {
    origin: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    subject: String,
    answers: Vec<Ipv4Addr>,
}

impl Registry {
    /// Reads a text of lists.
    ///
    /// # Errors
    /// When something is not as it must be; the list, the field and the value are named.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let raw: RawRegistry =
            toml::from_str(text).map_err(|error| RegistryError::Syntax(error.to_string()))?;
        let mut registry = Self {
            as_of: raw.as_of,
            zones: [].into(),
            errors: raw
                .error
                .into_iter()
                .map(|one| (one.answer, one.meaning))
                .collect(),
            dead: raw
                .dead
                .into_iter()
                .map(|one| (one.origin, one.reason))
                .collect(),
        };
        for zone in raw.zone {
            let zone = zone.read()?;
            check(&zone, &registry.dead)?;
            let id = zone.id.clone();
            if registry.zones.insert(id.clone(), zone).is_some() {
                let accepted = "an id that no other list has";
                return Err(refused(&id, "id", id.as_str(), accepted));
            }
        }
        Ok(registry)
    }
}

impl RawZone {
    fn read(self) -> Result<Zone, RegistryError> {
        let codes = self
            .codes
            .iter()
            .map(|code| code.read(&self.id, self.scheme));
        let codes = codes.collect::<Result<_, _>>()?;
        let listed = self.listed.iter().map(|point| {
            let subject = subject(&self.id, self.kind, "listed", &point.subject)?;
            let answers = point.answers.clone();
            Ok(TestPoint { subject, answers })
        });
        let listed = listed.collect::<Result<_, _>>()?;
        let unlisted = self.unlisted.iter();
        let unlisted = unlisted.map(|text| subject(&self.id, self.kind, "unlisted", text));
        let unlisted = unlisted.collect::<Result<_, _>>()?;
        Ok(Zone {
            id: self.id,
            name: self.name,
            kind: self.kind,
            access: self.access,
            origin: self.origin,
            keyed_origin: self.keyed_origin,
            ipv6: self.ipv6,
            scheme: self.scheme,
            codes,
            errors: self
                .errors
                .into_iter()
                .map(|one| (one.answer, one.meaning))
                .collect(),
            listed,
            unlisted,
            replies: self.replies,
            per_second: self.per_second,
            in_flight: self.in_flight,
            expiry: self.expiry,
            delist: self.delist,
            terms: self.terms,
        })
    }
}

impl RawCode {
    fn read(&self, list: &ListId, scheme: Scheme) -> Result<Code, RegistryError> {
        let span = match (scheme, self.answer, self.to, self.bit) {
            (Scheme::Codes, Some(answer), to, None) => {
                Span::Addresses(answer, to.unwrap_or(answer))
            }
            (Scheme::Bits, None, None, Some(bit)) => Span::Bit(bit),
            _ => {
                let accepted = "`answer` and perhaps `to`, or `bit` where `scheme = \"bits\"`";
                return Err(refused(list, "codes", &self.meaning, accepted));
            }
        };
        let class = match &*self.class {
            "a" => Class::Listed(ListingClass::A),
            "b" => Class::Listed(ListingClass::B),
            "c" => Class::Listed(ListingClass::C),
            "policy" => Class::Listed(ListingClass::Policy),
            "praise" => Class::Praise,
            other => {
                let accepted = "a, b, c, policy or praise";
                return Err(refused(list, "class", other, accepted));
            }
        };
        let meaning = self.meaning.clone();
        Ok(Code {
            span,
            class,
            meaning,
        })
    }
}

fn subject(
    list: &ListId,
    kind: Kind,
    field: &'static str,
    text: &str,
) -> Result<Subject, RegistryError> {
    if kind == Kind::Ip {
        let address = IpAddr::from_str(text).map(Subject::Address);
        return address.map_err(|_| refused(list, field, text, "an address"));
    }
    if !super::check::is_name(text) {
        return Err(refused(list, field, text, "a domain name"));
    }
    Ok(Subject::Name(text.to_ascii_lowercase()))
}

pub(super) fn refused(
    list: &ListId,
    field: &'static str,
    value: &str,
    accepted: impl Into<String>,
) -> RegistryError {
    RegistryError::Value {
        list: list.to_string(),
        field,
        value: value.chars().take(120).collect(),
        accepted: accepted.into(),
    }
}
