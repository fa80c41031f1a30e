//! `create-api-key`.

use email_engine_protocol::api::AccessRole;

use crate::command::RejectionCode::{AlreadyExists, Invalid};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{CreateApiKey, Rejection};
use crate::state::{ApiKey, FleetState};

/// Most API keys that are in use.
const KEYS: usize = 10_000;

impl Verb for CreateApiKey {
    fn name(&self) -> &'static str {
        "create-api-key"
    }

    fn object(&self) -> String {
        format!("API key {}", self.id)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if state.api_keys.contains_key(&self.id) {
            let accepted = "a name that no key has, and none of the 10,000 that were revoked last \
                            had, so that the audit stays unambiguous";
            return Err(refuse(AlreadyExists, "id", &self.id, accepted));
        }
        let in_use = state
            .api_keys
            .values()
            .filter(|key| key.revoked_at.is_none());
        at_most("keys", in_use.count() + 1, KEYS)?;
        if let Some(tenant) = &self.tenant {
            if !state.tenants.contains_key(tenant) {
                return Err(not_found("tenant", tenant, "tenant"));
            }
            if self.role == AccessRole::Admin {
                let accepted = "viewer or operator for a key that is bound to a tenant";
                return Err(refuse(Invalid, "role", &"admin", accepted));
            }
        }
        let key = ApiKey {
            id: self.id.clone(),
            secret: self.secret,
            role: self.role,
            tenant: self.tenant.clone(),
            created_at: turn.now(),
            revoked_at: None,
        };
        state.api_keys.insert(self.id.clone(), key);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::AccessRole;
    use email_engine_protocol::id::ApiKeyId;

    use crate::command::fixture::{Fleet, api_key, tenant};
    use crate::command::{Command, RejectionCode};

    #[test]
    fn a_name_is_given_once() {
        let mut fleet = Fleet::founded();
        let key = Command::CreateApiKey(api_key("ops", AccessRole::Operator));
        fleet.accept(key.clone());
        assert_eq!(fleet.refuse(key).code, RejectionCode::AlreadyExists);
    }

    #[test]
    fn revoked_keys_do_not_count() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::CreateApiKey(api_key("first", AccessRole::Admin)));
        let mut key = fleet.state.api_keys.pop_first().unwrap().1;
        for number in 0..super::KEYS {
            key.id = ApiKeyId::new(format!("k{number}")).unwrap();
            fleet.state.api_keys.insert(key.id.clone(), key.clone());
        }
        let new = Command::CreateApiKey(api_key("new", AccessRole::Viewer));
        assert_eq!(fleet.refuse(new.clone()).code, RejectionCode::Limit);
        fleet.state.api_keys.get_mut(&key.id).unwrap().revoked_at = Some(fleet.now());
        fleet.accept(new);
    }

    #[test]
    fn a_tenants_key_is_no_admin_and_its_tenant_exists() {
        let mut fleet = Fleet::with_identities(0);
        let mut key = api_key("c1", AccessRole::Admin);
        key.tenant = Some(tenant("client-1").id);
        let rejection = fleet.refuse(Command::CreateApiKey(key.clone()));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::Invalid, "role")
        );
        key.role = AccessRole::Viewer;
        fleet.accept(Command::CreateApiKey(key.clone()));
        key.tenant = Some(tenant("nobody").id);
        key.id = api_key("c2", AccessRole::Viewer).id;
        assert_eq!(
            fleet.refuse(Command::CreateApiKey(key)).code,
            RejectionCode::NotFound
        );
    }
}
