//! The lists as data: read from a text, checked as a whole, never changed afterwards.

mod check;
mod load;
mod zone;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

use email_engine_protocol::id::ListId;

pub(super) use check::is_error;
pub use load::RegistryError;
pub use zone::{Access, Class, Code, Kind, Scheme, Span, TestPoint, Zone};

/// The lists that this software knows.
static BUILT_IN: LazyLock<Registry> = LazyLock::new(|| {
    Registry::parse(include_str!("../zones.toml")).expect("a test reads the built-in lists")
});

/// All lists that are known, dead ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    as_of: String,
    zones: BTreeMap<ListId, Zone>,
    errors: BTreeMap<Ipv4Addr, String>,
    dead: BTreeMap<String, String>,
}

impl Registry {
    /// The lists that come with this software.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Day on which somebody last compared them with what their operators say.
    #[must_use]
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// All lists that are alive, by name.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values()
    }

    /// One of them.
    #[must_use]
    pub fn zone(&self, id: &ListId) -> Option<&Zone> {
        self.zones.get(id)
    }

    /// Lists that are no more, and why.
    pub fn dead(&self) -> impl Iterator<Item = (&str, &str)> {
        self.dead.iter().map(|(origin, why)| (&**origin, &**why))
    }

    /// What an answer says that is no answer of a list but of the machinery before it.
    #[must_use]
    pub fn error(&self, answer: Ipv4Addr) -> Option<&str> {
        self.errors.get(&answer).map(String::as_str)
    }

    /// The list that a mail server's reply names, if it names one: by the name of its zone, or of its parent
    /// where replies speak of that.
    #[must_use]
    pub fn named_in(&self, reply: &str) -> Option<&Zone> {
        let reply = reply.to_ascii_lowercase();
        self.zones.values().find(|zone| {
            let origins = [zone.origin.as_deref(), zone.keyed_suffix()];
            origins
                .into_iter()
                .flatten()
                .any(|origin| has_name(&reply, origin))
        })
    }
}

/// Whether a text has a name in it that is not a part of a longer one. What stands in front of it may be
/// more labels: `2.0.0.127.zen.spamhaus.org`.
fn has_name(text: &str, name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    text.match_indices(name).any(|(at, _)| {
        let bytes = text.as_bytes();
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let mut after = bytes[at + name.len()..].iter().copied();
        let ends = match after.next() {
            Some(b'.') => !after.next().is_some_and(is_inner),
            Some(other) => !is_inner(other),
            None => true,
        };
        !before.is_some_and(is_inner) && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ListId {
        ListId::new(text).unwrap()
    }

    #[test]
    fn nine_lists_of_addresses_and_three_of_domains_are_built_in() {
        let registry = Registry::built_in();
        let of = |kind| registry.zones().filter(|zone| zone.kind == kind).count();
        assert_eq!((of(Kind::Ip), of(Kind::Host), of(Kind::Domain)), (9, 1, 2));
        assert!(registry.zone(&id("spamhaus-zen")).is_some());
        let mut dead = registry.dead();
        assert!(dead.any(|(origin, why)| origin == "dnsbl.sorbs.net" && why.contains("2024")));
    }

    #[test]
    fn a_reply_that_names_a_list_is_recognised_and_nothing_else() {
        let registry = Registry::built_in();
        let named = |reply: &str| registry.named_in(reply).map(|zone| zone.id.to_string());
        for (reply, list) in [
            (
                "550 5.7.1 blocked using zen.spamhaus.org; see https://x",
                Some("spamhaus-zen"),
            ),
            (
                "554 192.0.2.7 listed at ZEN.Spamhaus.ORG.",
                Some("spamhaus-zen"),
            ),
            (
                "451 2.2.0.192.k.zen.dq.spamhaus.net says no",
                Some("spamhaus-zen"),
            ),
            (
                "550 (bl.spamcop.net) https://www.spamcop.net",
                Some("spamcop"),
            ),
            ("550 rejected: b.barracudacentral.org", Some("barracuda")),
            ("550 notzen.spamhaus.org", None),
            ("550 zen.spamhaus.organic", None),
            ("550 zen.spamhaus.org.example.com", None),
            ("550 5.1.1 no such user", None),
        ] {
            assert_eq!(named(reply).as_deref(), list, "{reply}");
        }
    }
}
