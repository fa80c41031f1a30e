//! Small questions that several rooms ask of the tables.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::{AccessRole, MemberRole, Settings};
use email_engine_protocol::id::{HostId, Role, TenantId};
use email_engine_protocol::join::Endpoint;

use super::{
    ApiKey, ClusterRecord, FleetState, Host, HostLifecycle, Identity, Keys, Node, PlanKey, Release,
    RoleBundle, StoredSecret,
};

impl FleetState {
    /// Identities that are placed on a host, in order of address.
    pub fn identities_on<'a>(
        &'a self,
        host: &'a HostId,
    ) -> impl Iterator<Item = &'a Arc<Identity>> + 'a {
        self.named(self.lookup.placed.get(host))
    }

    /// Identities of a tenant, in order of address.
    pub fn identities_of<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> impl Iterator<Item = &'a Arc<Identity>> + 'a {
        self.named(self.lookup.owned.get(tenant))
    }

    fn named<'a>(
        &'a self,
        addresses: Option<&'a Keys<IpAddr>>,
    ) -> impl Iterator<Item = &'a Arc<Identity>> + 'a {
        let addresses = addresses.into_iter().flat_map(Keys::iter);
        addresses.filter_map(|address| self.identities.get(address))
    }

    /// The sealed DKIM key of an identity.
    #[must_use]
    pub fn dkim_secret(&self, address: IpAddr) -> Option<&Arc<StoredSecret>> {
        self.secrets.get(&self.identities.get(&address)?.dkim_key)
    }

    /// The settings that a release pins.
    #[must_use]
    pub fn settings_of(&self, release: &Release) -> Option<&Settings> {
        self.settings
            .get(&release.settings)
            .map(|row| &row.settings)
    }

    /// The newest settings with their revision.
    #[must_use]
    pub fn newest_settings(&self) -> Option<(u64, &Settings)> {
        let (revision, row) = self.settings.last_key_value()?;
        Some((*revision, &row.settings))
    }

    /// The role bundle that a release pins.
    #[must_use]
    pub fn bundle_of(&self, release: &Release) -> Option<&Arc<RoleBundle>> {
        self.bundles.get(&release.bundle)
    }

    /// The cluster's epoch; 0 before it is founded.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.epoch)
    }

    /// The plan key that targets are signed with now.
    #[must_use]
    pub fn current_plan_key(&self) -> Option<(u32, &PlanKey)> {
        self.cluster.as_ref()?.current_plan_key()
    }

    /// Nodes that belong to the cluster, in order of number.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes
            .values()
            .filter(|node| node.role != MemberRole::Removed)
    }

    /// Nodes that vote, in order of number.
    pub fn voters(&self) -> impl Iterator<Item = &Node> {
        self.nodes
            .values()
            .filter(|node| node.role == MemberRole::Voter)
    }

    /// Where agents reach the cluster, in order of node.
    #[must_use]
    pub fn agent_endpoints(&self) -> Vec<Endpoint> {
        self.members()
            .map(|node| node.agent_endpoint.clone())
            .collect()
    }

    /// A host that was not cut off.
    #[must_use]
    pub fn live_host(&self, host: &HostId) -> Option<&Host> {
        self.hosts.get(host).filter(|host| !host.is_retired())
    }

    /// Hosts that were not cut off, in order of name.
    pub fn live_hosts(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        self.hosts.iter().filter(|(_, host)| !host.is_retired())
    }

    /// Hosts that have an address, but for those that were cut off.
    pub fn hosts_at(&self, address: IpAddr) -> impl Iterator<Item = &Host> {
        let hosts = self.lookup.addresses.get(&address);
        let hosts = hosts.into_iter().flat_map(Keys::iter);
        hosts.filter_map(|host| self.live_host(host))
    }

    /// Hosts of a role, but for those that were cut off.
    pub fn hosts_of(&self, role: Role) -> impl Iterator<Item = &Host> {
        let hosts = self.lookup.roles.get(&role);
        let hosts = hosts.into_iter().flat_map(Keys::iter);
        hosts.filter_map(|host| self.live_host(host))
    }

    /// API keys that may do everything and were not revoked.
    pub fn admin_keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.api_keys
            .values()
            .filter(|key| key.role == AccessRole::Admin && key.revoked_at.is_none())
    }
}

impl ClusterRecord {
    /// The plan key of the highest version.
    #[must_use]
    pub fn current_plan_key(&self) -> Option<(u32, &PlanKey)> {
        let (version, key) = self.plan_keys.last_key_value()?;
        Some((*version, key))
    }
}

impl Host {
    /// Whether it was cut off.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        matches!(self.lifecycle, HostLifecycle::Retired)
    }

    /// Whether new work may be placed on it.
    #[must_use]
    pub const fn takes_work(&self) -> bool {
        matches!(
            self.lifecycle,
            HostLifecycle::Declared | HostLifecycle::Enrolled
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, address, host_id, tenant};
    use crate::state::FleetState;

    #[test]
    fn a_fleet_answers_who_is_where_and_at_what() {
        let state = Fleet::with_identities(2).state;
        assert_eq!(state.identities_on(&host_id("pmta1")).count(), 2);
        assert_eq!(state.identities_on(&host_id("pmta2")).count(), 0);
        assert_eq!(state.identities_of(&tenant("client-1").id).count(), 2);
        let secret = state.dkim_secret(address(1)).unwrap();
        assert_eq!(secret.id.as_str(), "dkim/mail1.example.com/mail");
        let release = state.default_release.as_ref().unwrap();
        assert_eq!(
            state.settings_of(release),
            state.newest_settings().map(|(_, row)| row)
        );
        assert!(state.bundle_of(release).is_some());
        assert_eq!(state.agent_endpoints(), ["192.0.2.101:7443"]);
        assert_eq!((state.epoch(), FleetState::default().epoch()), (1, 0));
    }
}
