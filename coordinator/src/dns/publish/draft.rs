//! What the state wants of a zone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use email_engine_protocol::api::{DnsPart, DnsVerdict, ZoneMode};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::guard::{KeyRecord, living_keys};
use crate::dns::due::subject;
use crate::dns::wanted::{OfDomain, Part, Wanted, of_zone};
use crate::state::{FleetState, Inventory, SeenTo};

/// A zone that is right is read again after this.
const AGAIN_MILLIS: u64 = 6 * Timestamp::HOUR;
/// One in which something is in the way is tried again after this, then after twice as long, up to an hour.
const SOONEST_MILLIS: u64 = 15 * Timestamp::SECOND;
const LATEST_MILLIS: u64 = Timestamp::HOUR;
const DOUBLED: u32 = 8;

/// Everything that a plan goes by, but what the zone shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The zone.
    pub zone: DomainName,
    /// Whether it is changed.
    pub mode: ZoneMode,
    /// Its primary server.
    pub server: SocketAddr,
    /// Who marks what it makes.
    pub cluster: String,
    /// The records that are wanted in it.
    pub wanted: Vec<Wanted>,
    /// Names that come only when something else was seen, and what.
    pub waiting: BTreeMap<String, String>,
    /// What was made in it.
    pub made: Inventory,
    /// Keys that still count.
    pub living: BTreeSet<KeyRecord>,
    /// Whose names they are, of those whose records are looked at.
    pub owners: BTreeSet<(String, IpAddr)>,
}

impl Draft {
    /// Of a declared zone; `domains` are all that have records.
    #[must_use]
    pub fn of(
        state: &FleetState,
        domains: &[OfDomain],
        zone: &DomainName,
        now: Timestamp,
    ) -> Option<Self> {
        let row = state.dns_zones.declared.get(zone)?;
        let declared: BTreeSet<&DomainName> = state.dns_zones.declared.keys().collect();
        let wanted = of_zone(domains, &declared, zone);
        let names: BTreeSet<&str> = wanted.iter().map(|one| one.name.as_str()).collect();
        let own = domains.iter().filter(|one| {
            let mut all = one.wanted.iter();
            all.any(|record| names.contains(record.name.as_str()))
        });
        let (mut waiting, mut owners) = (BTreeMap::new(), BTreeSet::new());
        for one in own {
            let address = one.spec.address;
            if state.identities.contains_key(&address) {
                let own = one
                    .wanted
                    .iter()
                    .map(|record| (record.name.clone(), address));
                owners.extend(own);
            }
            let pointers = one
                .wanted
                .iter()
                .filter(|record| record.part == Part::Pointer);
            let pointers = pointers.filter(|record| names.contains(record.name.as_str()));
            for pointer in pointers.filter(|_| !is_led_to(state, address)) {
                let why = format!(
                    "until every server of its zone shows {} at {address}",
                    one.spec.hostname
                );
                waiting.insert(pointer.name.clone(), why);
            }
        }
        let cluster = state.cluster.as_ref();
        Some(Self {
            zone: zone.clone(),
            mode: row.mode,
            server: row.server,
            cluster: cluster
                .map(|cluster| cluster.id.to_string())
                .unwrap_or_default(),
            waiting,
            made: state.dns_zones.inventory(zone),
            living: living_keys(state, zone, now),
            owners,
            wanted,
        })
    }

    /// Whether the zone is to be seen to now: what is wanted is another, something was in the way, or it is long
    /// ago, for others may have changed what is ours.
    #[must_use]
    pub fn is_due(&self, last: Option<&SeenTo>, now: Timestamp) -> bool {
        let wanted = self.digest();
        let Some(last) = last.filter(|last| last.wanted == wanted) else {
            return true;
        };
        let pause = match &last.stuck {
            Some(_) => {
                let doubled = SOONEST_MILLIS << last.failures.saturating_sub(1).min(DOUBLED);
                doubled.min(LATEST_MILLIS)
            }
            None => AGAIN_MILLIS,
        };
        now.since(last.at) >= pause
    }

    /// The identities whose records are among these.
    #[must_use]
    pub fn addresses_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeSet<IpAddr> {
        let names: BTreeSet<&str> = names.collect();
        let own = self.owners.iter();
        let own = own.filter(|(name, _)| names.contains(name.as_str()));
        own.map(|(_, address)| *address).collect()
    }

    /// Hash of what is wanted, and of what of it may come by now.
    #[must_use]
    pub fn digest(&self) -> ContentHash {
        let mut text = String::new();
        for one in &self.wanted {
            let waits = if self.waiting.contains_key(&one.name) {
                "?"
            } else {
                ""
            };
            text.push_str(&format!("{waits}{}\n", one.line()));
        }
        ContentHash::of(text.as_bytes())
    }
}

/// Whether the name of an address was seen to lead to it, on all servers: some providers refuse a way back to a
/// name that leads nowhere, and receivers who see one believe neither.
fn is_led_to(state: &FleetState, address: IpAddr) -> bool {
    let look = state.dns_looks.last.get(&address);
    let (Some(identity), Some(look)) = (state.identities.get(&address), look) else {
        return false;
    };
    let is_of_now = subject(state, identity).is_some_and(|(_, wanted)| wanted == look.wanted);
    is_of_now && matches!(look.found.get(&DnsPart::A), Some(DnsVerdict::Valid { .. }))
}
