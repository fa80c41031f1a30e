//! `revoke-api-key`.

use crate::command::RejectionCode::InUse;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RevokeApiKey};
use crate::state::FleetState;

/// Revoked keys whose names are remembered.
const REVOKED: usize = 10_000;

/// Drops those that were revoked first, but for so many.
fn forget_oldest(state: &mut FleetState, kept: usize) {
    let keys = state.api_keys.values();
    let mut revoked: Vec<_> = keys
        .filter_map(|key| Some((key.revoked_at?, key.id.clone())))
        .collect();
    let too_many = revoked.len().saturating_sub(kept);
    revoked.sort_unstable();
    for (_, id) in &revoked[..too_many] {
        state.api_keys.remove(id);
    }
}

impl Verb for RevokeApiKey {
    fn name(&self) -> &'static str {
        "revoke-api-key"
    }

    fn object(&self) -> String {
        format!("API key {}", self.id)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(key) = state.api_keys.get(&self.id) else {
            return Err(not_found("id", &self.id, "API key"));
        };
        if key.revoked_at.is_some() {
            return Ok(Change::NONE);
        }
        let is_admin = state.admin_keys().any(|admin| admin.id == self.id);
        if is_admin && state.admin_keys().count() == 1 {
            let accepted = "any key but the last admin key; create another first";
            return Err(refuse(InUse, "id", &self.id, accepted));
        }
        if let Some(key) = state.api_keys.get_mut(&self.id) {
            key.revoked_at = Some(turn.now());
        }
        state.forget_metrics_key(&self.id);
        forget_oldest(state, REVOKED);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::AccessRole;

    use crate::command::fixture::{Fleet, api_key};
    use crate::command::{Command, Effect, RejectionCode, RevokeApiKey};

    fn revoke(name: &str) -> Command {
        let id = api_key(name, AccessRole::Admin).id;
        Command::RevokeApiKey(RevokeApiKey { id })
    }

    #[test]
    fn of_too_many_revoked_keys_those_that_were_revoked_first_are_forgotten() {
        let mut fleet = Fleet::founded();
        for name in ["z", "a", "m", "b"] {
            fleet.accept(Command::CreateApiKey(api_key(name, AccessRole::Viewer)));
        }
        for name in ["z", "a", "m"] {
            fleet.accept(revoke(name));
        }
        super::forget_oldest(&mut fleet.state, 2);
        let names: Vec<_> = fleet.state.api_keys.keys().map(|id| id.as_str()).collect();
        assert_eq!(names, ["a", "b", "m"]);
    }

    #[test]
    fn the_last_admin_key_stays() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::CreateApiKey(api_key("admin", AccessRole::Admin)));
        fleet.accept(Command::CreateApiKey(api_key("ops", AccessRole::Operator)));
        fleet.accept(revoke("ops"));
        assert_eq!(fleet.refuse(revoke("admin")).code, RejectionCode::InUse);
        fleet.accept(Command::CreateApiKey(api_key("admin2", AccessRole::Admin)));
        fleet.accept(revoke("admin"));
        assert_eq!(fleet.accept(revoke("admin")).effect, Effect::Unchanged);
        assert_eq!(fleet.refuse(revoke("admin2")).code, RejectionCode::InUse);
        assert_eq!(fleet.refuse(revoke("nobody")).code, RejectionCode::NotFound);
    }
}
