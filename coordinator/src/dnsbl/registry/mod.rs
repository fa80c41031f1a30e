//! The lists as data: read from a text, checked as a whole, never changed afterwards.

mod check;
mod load;
mod zone;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

use email_engine_protocol::desired::ListNames;
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

    /// How replies of receivers speak of each list, as hosts that send are told.
    #[must_use]
    pub fn list_names(&self) -> Vec<ListNames> {
        let names = |zone: &Zone| ListNames {
            list: zone.id.clone(),
            names: zone.names(),
        };
        self.zones.values().map(names).collect()
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::limits;

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
    fn what_replies_call_a_list_is_no_other_lists_and_fits_what_hosts_take() {
        let all = Registry::built_in().list_names();
        let mut names: Vec<_> = all.iter().flat_map(|one| &one.names).collect();
        assert!(names.len() <= limits::LIST_NAMES && all.len() == 12);
        assert!(
            names
                .iter()
                .all(|name| name.len() <= limits::LIST_NAME_CHARS)
        );
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        let zen = all.iter().find(|one| one.list == id("spamhaus-zen"));
        let zen = &zen.unwrap().names;
        for name in [
            "zen.spamhaus.org",
            "zen.dq.spamhaus.net",
            "spamhaus.org/query/ip",
        ] {
            assert!(zen.iter().any(|one| one == name), "{name}");
        }
    }
}
