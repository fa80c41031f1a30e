//! `retire-identity`.

use super::roster::leave;
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RetireIdentity};
use crate::state::FleetState;

impl Verb for RetireIdentity {
    fn name(&self) -> &'static str {
        "retire-identity"
    }

    fn object(&self) -> String {
        format!("ip {}", self.address)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(identity) = leave(state, self.address) else {
            return Err(not_found("address", &self.address, "identity"));
        };
        state.secrets.remove(&identity.dkim_key);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, address, identity};
    use crate::command::{AddIdentity, Command, RejectionCode, RetireIdentity};

    #[test]
    fn its_key_goes_with_it_and_its_pool_with_the_last() {
        let mut fleet = Fleet::with_identities(2);
        let retire = |at| {
            Command::RetireIdentity(RetireIdentity {
                address: address(at),
            })
        };
        fleet.accept(retire(0));
        assert_eq!((fleet.state.secrets.len(), fleet.state.pools.len()), (1, 1));
        fleet.accept(retire(1));
        assert_eq!((fleet.state.secrets.len(), fleet.state.pools.len()), (0, 0));
        assert_eq!(fleet.refuse(retire(1)).code, RejectionCode::NotFound);
        // Everything that it claimed is free again.
        fleet.accept(Command::AddIdentity(AddIdentity { ip: identity(1) }));
    }
}
