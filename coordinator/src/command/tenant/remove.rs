//! `remove-tenant`.

use email_engine_protocol::id::TenantId;

use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RejectionCode, RemoveTenant};
use crate::state::FleetState;

impl Verb for RemoveTenant {
    fn name(&self) -> &'static str {
        "remove-tenant"
    }

    fn object(&self) -> String {
        format!("tenant {}", self.tenant)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(current) = state.tenants.get(&self.tenant) else {
            return Err(not_found("tenant", &self.tenant, "tenant"));
        };
        if let Some(left) = what_is_left(state, &self.tenant) {
            let accepted = format!("a tenant with nothing left; it still has {left}");
            return Err(refuse(
                RejectionCode::InUse,
                "tenant",
                &self.tenant,
                accepted,
            ));
        }
        state.lookup.remove_tenant(current);
        state.tenants.remove(&self.tenant);
        state.forget_tenant_secrets(&self.tenant);
        state.alerts.forget_tenant(&self.tenant);
        state.failover.forget_tenant(&self.tenant);
        state
            .campaigns
            .retain(|_, campaign| campaign.tenant != self.tenant);
        let FleetState {
            campaigns,
            campaigns_order,
            ..
        } = state;
        campaigns_order.retain(|request| campaigns.contains_key(request));
        // Its hosts that were cut off would point to nobody. Its keys were revoked and stay, although
        // they do: their names are in the audit, and nobody else's are to be taken for them.
        state
            .hosts
            .retain(|_, host| host.spec.tenant.as_ref() != Some(&self.tenant));
        Ok(Change::DONE)
    }
}

fn what_is_left(state: &FleetState, tenant: &TenantId) -> Option<String> {
    if let Some(identity) = state.identities_of(tenant).next() {
        return Some(format!("ip {}", identity.spec.address));
    }
    let mut leaving = state.leaving.values().map(|leaving| leaving.spec());
    if let Some(ip) = leaving.find(|ip| ip.tenant == *tenant) {
        return Some(format!(
            "ip {}, which drains on host {}",
            ip.address, ip.host
        ));
    }
    let mut hosts = state.live_hosts();
    if let Some((id, _)) = hosts.find(|(_, host)| host.spec.tenant.as_ref() == Some(tenant)) {
        return Some(format!("host {id}"));
    }
    let mut keys = state
        .api_keys
        .values()
        .filter(|key| key.revoked_at.is_none());
    keys.find(|key| key.tenant.as_ref() == Some(tenant))
        .map(|key| format!("API key {}", key.id))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::AccessRole;

    use crate::command::fixture::{Fleet, address, api_key, tenant};
    use crate::command::{Command, RejectionCode, RemoveTenant, RetireIdentity, RevokeApiKey};

    #[test]
    fn a_tenant_goes_only_when_nothing_is_left_of_it() {
        let mut fleet = Fleet::with_identities(1);
        let remove = Command::RemoveTenant(RemoveTenant {
            tenant: tenant("client-1").id,
        });
        let rejection = fleet.refuse(remove.clone());
        assert_eq!(rejection.code, RejectionCode::InUse);
        assert!(rejection.accepted.ends_with("ip 192.0.2.1"), "{rejection}");
        fleet.accept(Command::RetireIdentity(RetireIdentity {
            address: address(0),
        }));
        fleet.accept(remove.clone());
        assert_eq!(fleet.refuse(remove).code, RejectionCode::NotFound);
    }

    #[test]
    fn the_names_of_its_revoked_keys_are_not_given_again() {
        let mut fleet = Fleet::with_identities(0);
        let mut key = api_key("c1", AccessRole::Viewer);
        key.tenant = Some(tenant("client-1").id);
        fleet.accept(Command::CreateApiKey(key.clone()));
        let id = key.id.clone();
        fleet.accept(Command::RevokeApiKey(RevokeApiKey { id }));
        let tenant = tenant("client-1").id;
        fleet.accept(Command::RemoveTenant(RemoveTenant { tenant }));
        key.tenant = None;
        let again = fleet.refuse(Command::CreateApiKey(key));
        assert_eq!(again.code, RejectionCode::AlreadyExists);
    }
}
