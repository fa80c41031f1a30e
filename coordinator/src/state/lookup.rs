//! What the rules look up with every identity, tenant, host and secret, so that a fleet of 100,000 is not searched
//! each time.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{HostSpec, IpSpec, Purpose, TenantSpec};
use email_engine_protocol::bytes::{Commitment, ContentHash};
use email_engine_protocol::id::{HostId, PoolName, Role, SecretId, TenantId, VmtaName};
use email_engine_protocol::mail::DomainName;

use super::{FleetState, Identity, Keys, Leaving, Place, Table};

/// Follows from the tables and is kept in step with them by the commands. It is part of the state, not
/// rebuilt when a snapshot is read, so that no way of reading one can forget it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Identities by sending domain.
    pub domains: Table<DomainName, IpAddr>,
    /// Identities by EHLO name.
    pub hostnames: Table<DomainName, IpAddr>,
    /// Identities by virtual MTA.
    pub vmtas: Table<VmtaName, IpAddr>,
    /// Number of identities in each pool.
    pub members: Table<PoolName, u32>,
    /// Brand domains and their ancestors, which may not send, with the number of brand domains that
    /// each stands for.
    pub protected: Table<DomainName, u32>,
    /// Hosts that were not cut off, by each address of theirs.
    pub addresses: Table<IpAddr, Keys<HostId>>,
    /// The same by what they are for: each relay asks for the few that submit.
    pub roles: Table<Role, Keys<HostId>>,
    /// Who has a brand domain.
    pub brands: Table<DomainName, TenantId>,
    /// Who has a domain of links.
    pub links: Table<DomainName, TenantId>,
    /// Number of tenants with their inbound mailbox in a domain.
    pub mailboxes: Table<DomainName, u32>,
    /// DKIM keys that are prepared, or whose private half is kept, by the hash of their public half.
    pub keys: Keys<ContentHash>,
    /// What the secrets in use commit to.
    pub commitments: Keys<Commitment>,
    /// Names of keys whose records stay published, with the number of records.
    pub departed: Table<SecretId, u32>,
    /// Where what has a name drains, by what is claimed and its name.
    pub leaving: Table<Claim, Keys<Place>>,
    /// Identities by the host that they are placed on.
    pub placed: Table<HostId, Keys<IpAddr>>,
    /// Identities by whose they are.
    pub owned: Table<TenantId, Keys<IpAddr>>,
    /// Identities of each tenant by what they send.
    pub purposes: Table<TenantId, Table<Purpose, Keys<IpAddr>>>,
}

/// What belongs to one identity, and how it is called.
pub type Claim = (ClaimKind, String);

/// What belongs to at most one identity in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClaimKind {
    /// Its address.
    Address,
    /// Its sending domain.
    Domain,
    /// Its EHLO name.
    Hostname,
    /// Its virtual MTA.
    Vmta,
}

impl ClaimKind {
    /// The field that holds it.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Hostname => "hostname",
            Self::Vmta => "vmta",
        }
    }
}

/// What an identity claims.
pub(crate) fn claims(spec: &IpSpec) -> [Claim; 4] {
    [
        address_claim(spec.address),
        (ClaimKind::Domain, spec.domain.to_string()),
        (ClaimKind::Hostname, spec.hostname.to_string()),
        (ClaimKind::Vmta, spec.vmta.to_string()),
    ]
}

pub(super) fn address_claim(address: IpAddr) -> Claim {
    (ClaimKind::Address, address.to_string())
}

/// What a public half, in base64, is known by among all keys.
pub(crate) fn public_key_hash(public: &str) -> ContentHash {
    ContentHash::of(public.as_bytes())
}

impl Lookup {
    /// The lookup of these tables.
    #[must_use]
    pub fn of(state: &FleetState) -> Self {
        let mut lookup = Self::default();
        for tenant in state.tenants.values() {
            lookup.add_tenant(tenant);
        }
        for (_, host) in state.live_hosts() {
            lookup.add_host(&host.spec);
        }
        for identity in state.identities.values() {
            lookup.add_identity(&identity.spec);
            lookup.add_keys(identity);
        }
        for leaving in state.leaving.values() {
            lookup.add_leaving(leaving);
            lookup.add_keys(&leaving.identity);
        }
        for key in state.prepared_keys.values() {
            lookup.keys.insert(public_key_hash(&key.public));
        }
        let commitments = state.secrets.values().map(|secret| secret.commitment);
        lookup.commitments.extend(commitments);
        for (_, key) in state.departed.keys() {
            lookup.add_departed(key);
        }
        lookup
    }

    /// Keys come into the fleet prepared, and go with their private half: between, whose they are changes
    /// nothing here.
    fn add_keys(&mut self, identity: &Identity) {
        for public in identity.publics() {
            self.keys.insert(public_key_hash(public));
        }
    }

    pub(crate) fn add_departed(&mut self, key: &SecretId) {
        *self.departed.or_default(key) += 1;
    }

    pub(crate) fn remove_departed(&mut self, key: &SecretId) {
        decrement(&mut self.departed, key);
    }

    pub(crate) fn add_identity(&mut self, spec: &IpSpec) {
        self.domains.insert(spec.domain.clone(), spec.address);
        self.hostnames.insert(spec.hostname.clone(), spec.address);
        self.vmtas.insert(spec.vmta.clone(), spec.address);
        *self.members.or_default(&spec.pool) += 1;
        self.placed.or_default(&spec.host).insert(spec.address);
        self.owned.or_default(&spec.tenant).insert(spec.address);
        let of_tenant = self.purposes.or_default(&spec.tenant);
        let of_purpose = of_tenant.or_default(&spec.purpose);
        of_purpose.insert(spec.address);
    }

    pub(crate) fn remove_identity(&mut self, spec: &IpSpec) {
        self.domains.remove(&spec.domain);
        self.hostnames.remove(&spec.hostname);
        self.vmtas.remove(&spec.vmta);
        decrement(&mut self.members, &spec.pool);
        withdraw(&mut self.placed, &spec.host, &spec.address);
        withdraw(&mut self.owned, &spec.tenant, &spec.address);
        let Some(of_tenant) = self.purposes.get_mut(&spec.tenant) else {
            return;
        };
        if let Some(of_purpose) = of_tenant.get_mut(&spec.purpose) {
            of_purpose.remove(&spec.address);
        }
        of_tenant.retain(|_, addresses| !addresses.is_empty());
        if of_tenant.is_empty() {
            self.purposes.remove(&spec.tenant);
        }
    }

    pub(crate) fn add_leaving(&mut self, leaving: &Leaving) {
        for claim in claims(leaving.spec()) {
            self.leaving.or_default(&claim).insert(leaving.place());
        }
    }

    pub(crate) fn remove_leaving(&mut self, leaving: &Leaving) {
        let place = leaving.place();
        for claim in claims(leaving.spec()) {
            withdraw(&mut self.leaving, &claim, &place);
        }
    }

    pub(crate) fn add_host(&mut self, host: &HostSpec) {
        for address in &host.addresses {
            self.addresses.or_default(address).insert(host.id.clone());
        }
        self.roles.or_default(&host.role).insert(host.id.clone());
    }

    pub(crate) fn remove_host(&mut self, host: &HostSpec) {
        for address in &host.addresses {
            withdraw(&mut self.addresses, address, &host.id);
        }
        withdraw(&mut self.roles, &host.role, &host.id);
    }

    pub(crate) fn add_tenant(&mut self, tenant: &TenantSpec) {
        for name in tenant.brand_domains.iter().flat_map(with_ancestors) {
            *self.protected.or_default(&name) += 1;
        }
        let owned = |name: &DomainName| (name.clone(), tenant.id.clone());
        self.brands.extend(tenant.brand_domains.iter().map(owned));
        self.links.extend(tenant.link_domains.iter().map(owned));
        if let Some(mailbox) = &tenant.inbound_mailbox {
            *self.mailboxes.or_default(&mailbox.domain) += 1;
        }
    }

    pub(crate) fn remove_tenant(&mut self, tenant: &TenantSpec) {
        for name in tenant.brand_domains.iter().flat_map(with_ancestors) {
            decrement(&mut self.protected, &name);
        }
        for name in &tenant.brand_domains {
            self.brands.remove(name);
        }
        for name in &tenant.link_domains {
            self.links.remove(name);
        }
        if let Some(mailbox) = &tenant.inbound_mailbox {
            decrement(&mut self.mailboxes, &mailbox.domain);
        }
    }
}

/// Takes one out of a set, and the set with the last.
fn withdraw<K: Ord + Clone, V: Ord + Clone>(sets: &mut Table<K, Keys<V>>, key: &K, gone: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(gone);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

fn decrement<K: Ord + Clone>(counts: &mut Table<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The name itself and everything above it that is still a domain of two labels.
pub(crate) fn with_ancestors(name: &DomainName) -> impl Iterator<Item = DomainName> + use<> {
    let first = Some(name.clone());
    std::iter::successors(first, |name| {
        let (_, above) = name.as_str().split_once('.')?;
        DomainName::new(above).ok()
    })
}

impl FleetState {
    /// Brings the lookup in step with tables that were filled by hand, as tests do.
    pub fn reindex(&mut self) {
        self.lookup = Lookup::of(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_end_at_two_labels() {
        let name = DomainName::new("a.b.example.com").unwrap();
        let all: Vec<_> = with_ancestors(&name).map(|n| n.to_string()).collect();
        assert_eq!(all, ["a.b.example.com", "b.example.com", "example.com"]);
    }
}
