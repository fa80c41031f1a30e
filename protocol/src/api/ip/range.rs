//! Many identities in one entry of a file: a range of addresses, and names with a number in them.
//!
//! They are written out when a document is read, so that whatever works with documents knows single
//! identities alone.

use std::fmt;
use std::net::IpAddr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::api::IpDocument;
use crate::mail::DomainName;

/// Most addresses of one range.
const RANGE: u128 = 1_000;
/// Most identities of one document: more than a fleet may have.
const DOCUMENT: usize = 300_000;

/// An address, or several in a row: `198.51.100.10-59`, `198.51.100.250-198.51.101.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    first: IpAddr,
    count: u32,
}

/// A name, or one for each number: `mail{n}.example.com`, or `mail{n:3}` for `mail007`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

/// Where an identity of a document was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which entry of the list.
    pub entry: usize,
    /// The range that it belongs to, as it was written.
    pub range: Option<String>,
}

/// One entry of a list: a single identity, or each of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpEntry(pub Vec<IpDocument>);

/// A list of entries, written out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct IpEntries(#[serde(deserialize_with = "entries")] pub Vec<IpDocument>);

const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Addresses {
    /// Reads an address or a range.
    ///
    /// # Errors
    /// Says what of it cannot be, and what would be accepted.
    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "an address such as 198.51.100.10, or a range such as 198.51.100.10-59";
        let address = |text: &str| {
            let read = text.trim().parse::<IpAddr>();
            read.map_err(|error| format!("{error} {text:?}: {FORM}"))
        };
        let Some((first, last)) = text.split_once('-') else {
            let first = address(text)?;
            return Ok(Self { first, count: 1 });
        };
        let first = address(first)?;
        let short = match first {
            IpAddr::V4(v4) => last.trim().parse::<u8>().ok().map(|last| {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, last])
            }),
            IpAddr::V6(v6) => u16::from_str_radix(last.trim(), 16).ok().map(|last| {
                let mut groups = v6.segments();
                groups[7] = last;
                IpAddr::from(groups)
            }),
        };
        let last = short.map_or_else(|| address(last), Ok)?;
        if first.is_ipv4() != last.is_ipv4() || number(last) < number(first) {
            return Err(format!(
                "range {text:?} does not end behind its beginning: {FORM}"
            ));
        }
        let count = (number(last) - number(first)).saturating_add(1);
        if count > RANGE {
            return Err(format!(
                "range {text:?} has {count} addresses: at most {RANGE} in one range"
            ));
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Self { first, count })
    }

    fn at(self, index: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() + index).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() + u128::from(index)).into()),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}", self.first),
            count => write!(f, "{}-{}", self.first, self.at(count - 1)),
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AddressesText)
    }
}

struct AddressesText;

impl Visitor<'_> for AddressesText {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IP address, or a range of them such as \"198.51.100.10-59\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
        Addresses::parse(text).map_err(E::custom)
    }
}

impl NamePattern {
    /// Whether it is another name for each number.
    fn is_numbered(&self) -> bool {
        self.0.contains('{')
    }

    fn of(&self, number: u32) -> Result<DomainName, String> {
        let mut name = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) = after.split_once('}').unwrap_or((after, ""));
            name.push_str(before);
            match inside.strip_prefix("n:").map(str::parse::<usize>) {
                Some(Ok(width @ 1..=9)) => name.push_str(&format!("{number:0width$}")),
                None if inside == "n" => name.push_str(&number.to_string()),
                _ => {
                    return Err(format!(
                        "name {:?}: what stands in braces is {{n}}, or {{n:3}} for three digits",
                        self.0
                    ));
                }
            }
            rest = behind;
        }
        name.push_str(rest);
        DomainName::new(&name).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pattern = Self(String::deserialize(deserializer)?);
        // With any number it would be refused for the same reason.
        pattern.of(1).map_err(D::Error::custom)?;
        Ok(pattern)
    }
}

/// Writes an entry out: each address with its names.
fn expand(entry: &IpDocument<Addresses, NamePattern>) -> Result<Vec<IpDocument>, String> {
    let range = entry.address;
    if range.count > 1 {
        let own = [
            ("domain", Some(&entry.domain)),
            ("hostname", entry.hostname.as_ref()),
        ];
        for (field, name) in own {
            if let Some(name) = name.filter(|name| !name.is_numbered()) {
                return Err(format!(
                    "{field} {:?} of the range {range} would belong to {} identities: write {{n}} in \
                     it, such as mail{{n}}.example.com",
                    name.0, range.count
                ));
            }
        }
        if let Some(vmta) = &entry.vmta {
            return Err(format!(
                "vmta {vmta} of the range {range} would belong to {} identities: leave it out, and it \
                 is made of the domain",
                range.count
            ));
        }
    }
    let first = entry.first.unwrap_or(1);
    let numbered = |index: u32| {
        first
            .checked_add(index)
            .ok_or_else(|| format!("first {first} of the range {range} is too large"))
    };
    (0..range.count)
        .map(|index| {
            let number = numbered(index)?;
            let name = |pattern: &NamePattern| {
                let named = pattern.of(number);
                named.map_err(|error| format!("number {number} of the range {range}: {error}"))
            };
            Ok(IpDocument {
                address: range.at(index),
                domain: name(&entry.domain)?,
                hostname: entry.hostname.as_ref().map(name).transpose()?,
                zone: entry.zone.as_ref().map(name).transpose()?,
                tenant: entry.tenant.clone(),
                host: entry.host.clone(),
                sender: entry.sender.clone(),
                display_name: entry.display_name.clone(),
                return_path: entry.return_path.clone(),
                selector: entry.selector.clone(),
                purpose: entry.purpose,
                pool: entry.pool.clone(),
                vmta: entry.vmta.clone(),
                status: entry.status,
                phase: entry.phase,
                planned_daily: entry.planned_daily,
                reserve: entry.reserve,
                first: None,
                written: (range.count > 1).then(|| Written {
                    entry: 0,
                    range: Some(range.to_string()),
                }),
            })
        })
        .collect()
}

impl<'de> Deserialize<'de> for IpEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryTable)
    }
}

struct EntryTable;

impl<'de> Visitor<'de> for EntryTable {
    type Value = IpEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sending identity, or a range of them")
    }

    /// Written out while it is read, so that a fault is one of this entry's place in the text.
    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<IpEntry, A::Error> {
        let entry = IpDocument::deserialize(MapAccessDeserializer::new(table))?;
        expand(&entry).map(IpEntry).map_err(A::Error::custom)
    }
}

/// Reads a list of entries.
pub(in crate::api) fn entries<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IpDocument>, D::Error> {
    deserializer.deserialize_seq(Entries)
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<IpDocument>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sending identities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut out, mut sizes) = (Vec::new(), Vec::new());
        while let Some(IpEntry(identities)) = list.next_element()? {
            if out.len() + identities.len() > DOCUMENT {
                let text = format!("more than {DOCUMENT} identities in one document");
                return Err(A::Error::custom(text));
            }
            sizes.push(identities.len());
            out.extend(identities);
        }
        if sizes.len() == out.len() {
            return Ok(out);
        }
        // What stands behind a range has another place in the list than in what was written.
        let entry_of = sizes.iter().enumerate();
        let entry_of = entry_of.flat_map(|(entry, size)| std::iter::repeat_n(entry, *size));
        for (ip, entry) in out.iter_mut().zip(entry_of) {
            let range = ip.written.take().and_then(|written| written.range);
            ip.written = Some(Written { entry, range });
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::FleetDocument;

    fn read(entries: &str) -> Result<Vec<IpDocument>, String> {
        let text = format!(r#"{{ "ips": [{entries}] }}"#);
        let document: Result<FleetDocument, _> = serde_json::from_str(&text);
        document
            .map(|document| document.ips)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_range_is_as_many_identities_with_a_number_in_each_name() {
        let ips = read(
            r#"{ "address": "198.51.100.10-12", "domain": "mail{n}.example.com", "tenant": "one" },
               { "address": "198.51.100.20", "domain": "a.example.com", "tenant": "one" },
               { "address": "198.51.100.254-198.51.101.1", "domain": "m{n:3}.example.com",
                 "zone": "example.com", "first": 98, "tenant": "one", "status": "warming" }"#,
        );
        let ips = ips.unwrap();
        let told: Vec<String> = ips
            .iter()
            .map(|ip| format!("{} {}", ip.address, ip.domain))
            .collect();
        assert_eq!(
            told,
            [
                "198.51.100.10 mail1.example.com",
                "198.51.100.11 mail2.example.com",
                "198.51.100.12 mail3.example.com",
                "198.51.100.20 a.example.com",
                "198.51.100.254 m098.example.com",
                "198.51.100.255 m099.example.com",
                "198.51.101.0 m100.example.com",
                "198.51.101.1 m101.example.com",
            ]
        );
        let places: Vec<_> = ips.iter().map(|ip| ip.written.clone().unwrap()).collect();
        assert_eq!((places[3].entry, &places[3].range), (1, &None));
        let range = Some("198.51.100.254-198.51.101.1".to_owned());
        assert_eq!((places[7].entry, &places[7].range), (2, &range));
        assert!(ips.iter().all(|ip| ip.first.is_none()));
    }

    #[test]
    fn single_identities_are_as_they_were_written() {
        let ips =
            read(r#"{ "ip": "192.0.2.1", "domain": "a.example.com", "tenant": "one" }"#).unwrap();
        assert_eq!(ips[0].written, None);
        let named =
            read(r#"{ "ip": "2001:db8::ff-101", "domain": "{n}.example.com", "tenant": "one" }"#);
        let last = named.unwrap().pop().unwrap();
        assert_eq!(
            (last.address, last.domain.as_str()),
            ("2001:db8::101".parse().unwrap(), "3.example.com")
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_range_and_what_would_be_accepted() {
        let refused = |address: &str, rest: &str| {
            let entry = format!(r#"{{ "address": "{address}", "tenant": "one", {rest} }}"#);
            read(&entry).unwrap_err()
        };
        let cases = [
            (
                "198.51.100.0-198.51.103.232",
                r#""domain": "m{n}.example.com""#,
                "has 1001 addresses: at most 1000",
            ),
            (
                "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                r#""domain": "m{n}.example.com""#,
                "at most 1000 in one range",
            ),
            (
                "198.51.100.9-3",
                r#""domain": "m{n}.example.com""#,
                "\"198.51.100.9-3\" does not end behind its beginning",
            ),
            (
                "198.51.100.9-2001:db8::1",
                r#""domain": "m{n}.example.com""#,
                "does not end behind",
            ),
            (
                "198.51.100.9-999",
                r#""domain": "m{n}.example.com""#,
                "invalid IP address syntax \"999\"",
            ),
            (
                "198.51.100.1-2",
                r#""domain": "mail.example.com""#,
                "domain \"mail.example.com\" of the range 198.51.100.1-198.51.100.2 would belong to 2",
            ),
            (
                "198.51.100.1-2",
                r#""domain": "m{n}.example.com", "vmta": "v1""#,
                "vmta v1 of the range 198.51.100.1-198.51.100.2",
            ),
            (
                "198.51.100.1-2",
                r#""domain": "m{x}.example.com""#,
                "what stands in braces is {n}",
            ),
            (
                "198.51.100.1-2",
                r#""domain": "m{n:12}.example.com""#,
                "what stands in braces is {n}",
            ),
            (
                "198.51.100.1-2",
                r#""domain": "m{n}.example.com", "first": 4294967295"#,
                "first 4294967295 of the range",
            ),
        ];
        for (address, rest, expected) in cases {
            let said = refused(address, rest);
            assert!(said.contains(expected), "{address}: {said}");
        }
    }

    proptest! {
        #[test]
        fn a_range_has_each_address_once_and_in_order(first in 0..4_294_960_000_u32, count in 1..1_000_u32) {
            let [begin, end] = [first, first + count - 1].map(std::net::Ipv4Addr::from_bits);
            let range = Addresses::parse(&format!("{begin}-{end}")).unwrap();
            let all: Vec<_> = (0..range.count).map(|at| number(range.at(at))).collect();
            prop_assert_eq!(all.len(), usize::try_from(count).unwrap());
            prop_assert!(all.windows(2).all(|two| two[1] == two[0] + 1));
            prop_assert_eq!((all[0], range.at(count - 1)), (u128::from(first), IpAddr::V4(end)));
        }

        #[test]
        fn no_text_makes_it_panic(address in "\\PC{0,30}", name in "[a-z{}n:0-9.]{0,30}") {
            let _ = Addresses::parse(&address);
            let _ = NamePattern(name).of(7);
        }
    }
}
