//! Which zone a record belongs into.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::mail::DomainName;

use super::{OfDomain, Part, Wanted};

/// Records by where they are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InZones {
    /// Of the zones that hold the fleet's domains; each record once.
    pub zones: BTreeMap<DomainName, Vec<Wanted>>,
    /// In zones of others: another organisation takes our reports.
    pub elsewhere: Vec<Wanted>,
}

/// Puts the records of domains into zones: each into the one that its identity names, or where others of the
/// fleet's zones hold its name, into the longest of them. Ways back from addresses are none of a zone's here.
#[must_use]
pub fn in_zones(domains: &[OfDomain]) -> InZones {
    let zones: BTreeSet<&DomainName> = domains.iter().map(|one| &one.spec.zone).collect();
    let mut sorted: BTreeMap<DomainName, BTreeSet<Key<'_>>> = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    for wanted in domains.iter().flat_map(|one| &one.wanted) {
        if wanted.part == Part::Pointer {
            continue;
        }
        let holders = zones.iter().filter(|zone| holds(zone, &wanted.name));
        match holders.max_by_key(|zone| zone.as_str().len()) {
            Some(zone) => sorted
                .entry((*zone).clone())
                .or_default()
                .insert(Key(wanted)),
            None => elsewhere.insert(Key(wanted)),
        };
    }
    let owned = |keys: BTreeSet<Key<'_>>| keys.into_iter().map(|key| key.0.clone()).collect();
    let zones = sorted.into_iter().map(|(zone, keys)| (zone, owned(keys)));
    InZones {
        zones: zones.collect(),
        elsewhere: owned(elsewhere),
    }
}

/// Whether a name lies in a zone. Names of records have labels that no domain has, such as `_dmarc`.
pub(crate) fn holds(zone: &DomainName, name: &str) -> bool {
    name.strip_suffix(zone.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// By name, type and data: two identities may want the same record of an organisation that takes reports.
#[derive(Clone, Copy, Debug)]
struct Key<'a>(&'a Wanted);

impl Key<'_> {
    /// Names in order of their labels from the right, so that a domain's records stand together.
    fn rank(&self) -> (Vec<&str>, &super::Data) {
        (self.0.name.rsplit('.').collect(), &self.0.data)
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The records that belong into one of the declared zones, ways back from addresses included: of each name the
/// longest zone that holds it.
#[must_use]
pub fn of_zone(
    domains: &[OfDomain],
    declared: &BTreeSet<&DomainName>,
    zone: &DomainName,
) -> Vec<Wanted> {
    let all = domains.iter().flat_map(|one| &one.wanted);
    let own: BTreeSet<Key<'_>> = all
        .filter(|wanted| {
            let holders = declared.iter().filter(|zone| holds(zone, &wanted.name));
            holders.max_by_key(|zone| zone.as_str().len()).copied() == Some(zone)
        })
        .map(Key)
        .collect();
    own.into_iter().map(|key| key.0.clone()).collect()
}
