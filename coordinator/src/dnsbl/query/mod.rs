//! What a list is asked for, as a name. A key stands inside the name, so a name never prints it.

mod key;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::registry::{Access, Kind, Zone};

pub use key::{KeyError, QueryKey};

/// Whom a list is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A sending address.
    Address(IpAddr),
    /// A host or a domain, in lower case.
    Name(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Why a list is not asked. It is never clean for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConfigured {
    /// It opens with a key only, and there is none.
    #[error("a key is needed: `email-engine dnsbl key`")]
    Key,
    /// It answers only resolvers that are known to it, and nobody said that ours are.
    #[error(
        "this list answers only resolvers that are registered with it; once they are, say so in each node's file: `[dnsbl] registered`"
    )]
    Registration,
}

/// A list that can be asked, and how.
#[derive(Clone, Debug)]
pub struct Door<'a> {
    /// The list.
    pub zone: &'a Zone,
    key: Option<QueryKey>,
    origin: Arc<str>,
}

impl<'a> Door<'a> {
    /// The way to a list with what there is for it.
    ///
    /// # Errors
    /// When it must not be asked as things are.
    pub fn open(
        zone: &'a Zone,
        key: Option<QueryKey>,
        is_registered: bool,
    ) -> Result<Self, NotConfigured> {
        if let (Some(key), Some(origin)) = (key, zone.keyed_suffix()) {
            let origin = origin.into();
            let key = Some(key);
            return Ok(Self { zone, key, origin });
        }
        match (zone.access, zone.origin.as_deref()) {
            (Access::Registered, _) if !is_registered => Err(NotConfigured::Registration),
            (Access::Public | Access::Registered, Some(origin)) => Ok(Self {
                zone,
                key: None,
                origin: origin.into(),
            }),
            _ => Err(NotConfigured::Key),
        }
    }

    /// The name to ask for; none when the list knows nothing of such subjects, or the name would be too
    /// long for any.
    #[must_use]
    pub fn name(&self, subject: &Subject) -> Option<QueryName> {
        let head = match (self.zone.kind, subject) {
            (Kind::Ip, Subject::Address(IpAddr::V4(address))) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}")
            }
            (Kind::Ip, Subject::Address(IpAddr::V6(address))) if self.zone.ipv6 => {
                let mut head = String::with_capacity(63);
                for byte in address.octets().iter().rev() {
                    for nibble in [byte & 0xf, byte >> 4] {
                        if !head.is_empty() {
                            head.push('.');
                        }
                        head.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
                    }
                }
                head
            }
            (Kind::Host | Kind::Domain, Subject::Name(name)) => name.clone(),
            _ => return None,
        };
        let name = QueryName {
            head,
            key: self.key.clone(),
            origin: Arc::clone(&self.origin),
        };
        name.is_name().then_some(name)
    }

    /// A list's own words without the key, should it repeat what it was asked.
    #[must_use]
    pub fn redact(&self, words: &str) -> String {
        let Some(key) = self.key.as_ref().map(QueryKey::reveal) else {
            return words.to_owned();
        };
        let (mut out, mut rest) = (String::new(), words);
        // Case is folded byte by byte, so that places in both texts are the same.
        while let Some(at) = rest.to_ascii_lowercase().find(key) {
            out.push_str(&rest[..at]);
            out.push_str("<key>");
            rest = &rest[at + key.len()..];
        }
        out.push_str(rest);
        out
    }

    /// Whether a key opens it.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }
}

/// A name that is asked for. What prints of it has `<key>` where the key stands.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryName {
    head: String,
    key: Option<QueryKey>,
    origin: Arc<str>,
}

impl QueryName {
    /// Its labels, the key among them: for the wire alone.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let key = self.key.iter().map(QueryKey::reveal);
        self.head
            .split('.')
            .chain(key)
            .chain(self.origin.split('.'))
    }

    /// RFC 1035: labels of 1 to 63 octets, 255 octets in all on the wire.
    fn is_name(&self) -> bool {
        let mut octets = 1;
        for label in self.labels() {
            if !(1..=63).contains(&label.len()) {
                return false;
            }
            octets += label.len() + 1;
        }
        octets <= 255
    }
}

impl fmt::Display for QueryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_some() { "<key>." } else { "" };
        write!(f, "{}.{key}{}", self.head, self.origin)
    }
}

impl fmt::Debug for QueryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryName({self})")
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ListId;
    use proptest::prelude::*;

    use super::*;
    use crate::dnsbl::registry::Registry;

    fn zone(id: &str) -> &'static Zone {
        let id = ListId::new(id).unwrap();
        Registry::built_in().zone(&id).unwrap()
    }

    fn asked(door: &Door<'_>, subject: &str) -> Option<String> {
        let subject = match subject.parse() {
            Ok(address) => Subject::Address(address),
            Err(_) => Subject::Name(subject.to_owned()),
        };
        let name = door.name(&subject)?;
        Some(name.labels().collect::<Vec<_>>().join("."))
    }

    fn key() -> QueryKey {
        QueryKey::new("k3y5ecret").unwrap()
    }

    #[test]
    fn addresses_are_asked_backwards_and_names_as_they_are() {
        let zen = Door::open(zone("spamhaus-zen"), None, false).unwrap();
        let v4 = asked(&zen, "192.0.2.99");
        assert_eq!(v4.as_deref(), Some("99.2.0.192.zen.spamhaus.org"));
        let v6 = asked(&zen, "2001:db8:1:2:3:4:567:89ab");
        let wanted =
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org";
        assert_eq!(v6.as_deref(), Some(wanted));
        let dbl = Door::open(zone("spamhaus-dbl"), None, false).unwrap();
        let name = asked(&dbl, "mail1.example.com");
        assert_eq!(name.as_deref(), Some("mail1.example.com.dbl.spamhaus.org"));
        // RFC 5782 section 2.4.
        let test = asked(&zen, "::ffff:7f00:2").unwrap();
        assert!(test.starts_with("2.0.0.0.0.0.f.7.f.f.f.f.0."), "{test}");
    }

    #[test]
    fn a_list_is_not_asked_what_it_knows_nothing_of() {
        let zen = Door::open(zone("spamhaus-zen"), None, false).unwrap();
        let dbl = Door::open(zone("spamhaus-dbl"), None, false).unwrap();
        let cop = Door::open(zone("spamcop"), None, false).unwrap();
        assert_eq!(asked(&zen, "mail1.example.com"), None);
        assert_eq!(asked(&dbl, "192.0.2.1"), None);
        assert_eq!(asked(&cop, "2001:db8::1"), None);
        let long = ["a".repeat(60).as_str(); 4].join(".");
        assert_eq!(asked(&dbl, &long), None);
        assert_eq!(asked(&dbl, "a..example.com"), None);
    }

    #[test]
    fn without_its_key_a_list_is_not_configured() {
        for id in ["abusix-black", "spamrats-spam"] {
            assert_eq!(
                Door::open(zone(id), None, true).unwrap_err(),
                NotConfigured::Key
            );
            assert!(Door::open(zone(id), Some(key()), false).is_ok());
        }
        let refused = Door::open(zone("barracuda"), None, false).unwrap_err();
        assert_eq!(refused, NotConfigured::Registration);
        assert!(Door::open(zone("barracuda"), None, true).is_ok());
    }

    #[test]
    fn a_key_is_in_the_name_on_the_wire_and_in_no_text() {
        let rats = Door::open(zone("spamrats-spam"), Some(key()), false).unwrap();
        let wire = asked(&rats, "192.0.2.7").unwrap();
        assert_eq!(wire, "7.2.0.192.k3y5ecret.spam.spamrats.com");
        let name = rats.name(&Subject::Address([192, 0, 2, 7].into())).unwrap();
        assert_eq!(name.to_string(), "7.2.0.192.<key>.spam.spamrats.com");
        for text in [
            format!("{name:?}"),
            format!("{rats:?}"),
            format!("{name:#?}"),
        ] {
            assert!(!text.contains("k3y5ecret"), "{text}");
        }
        // A list that is open needs none, and takes one where it has a door for it.
        let zen = Door::open(zone("spamhaus-zen"), Some(key()), false).unwrap();
        let wire = asked(&zen, "192.0.2.7").unwrap();
        assert_eq!(wire, "7.2.0.192.k3y5ecret.zen.dq.spamhaus.net");
        let cop = Door::open(zone("spamcop"), Some(key()), false).unwrap();
        assert!(!cop.has_key());
        let words =
            rats.redact("see https://example.org/?q=7.2.0.192.K3y5ecret.spam and k3y5ecret");
        assert_eq!(
            words,
            "see https://example.org/?q=7.2.0.192.<key>.spam and <key>"
        );
    }

    proptest! {
        #[test]
        fn two_addresses_never_have_the_same_name(one: u32, other: u32) {
            let zen = Door::open(zone("spamhaus-zen"), None, false).unwrap();
            let name = |bits: u32| zen.name(&Subject::Address(IpAddr::V4(bits.into()))).unwrap();
            prop_assert_eq!(name(one) == name(other), one == other);
            let back: Vec<u8> = name(one).labels().take(4).map(|l| l.parse().unwrap()).collect();
            prop_assert_eq!([back[3], back[2], back[1], back[0]], one.to_be_bytes());
        }
    }
}
