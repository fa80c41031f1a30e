//! `revoke-token`.

use email_engine_protocol::id::HostId;
use email_engine_protocol::join::Admission;

use crate::command::RejectionCode::TokenUsed;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RevokeToken};
use crate::state::{FleetState, TokenState};

impl Verb for RevokeToken {
    fn name(&self) -> &'static str {
        "revoke-token"
    }

    fn object(&self) -> String {
        format!("token {}", self.id)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(token) = state.tokens.get_mut(&self.id) else {
            return Err(not_found("id", &self.id, "token"));
        };
        match token.state {
            TokenState::Revoked => Ok(Change::NONE),
            TokenState::Redeemed { .. } => {
                let accepted = "a token that was not used; revoke the certificate instead";
                Err(refuse(TokenUsed, "id", &self.id, accepted))
            }
            TokenState::Open => {
                token.state = TokenState::Revoked;
                Ok(Change::DONE)
            }
        }
    }
}

/// A host that goes lets nobody in with a token of before.
pub(in crate::command) fn revoke_tokens(state: &mut FleetState, host: &HostId) {
    for token in state.tokens.values_mut() {
        let is_hosts = matches!(&token.admission, Admission::Host { host: of, .. } if of == host);
        // Used ones too: their bearer could otherwise repeat them until their end.
        if is_hosts {
            token.state = TokenState::Revoked;
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, host_token, redeem};
    use crate::command::{Command, Effect, RejectionCode, RevokeToken};

    #[test]
    fn a_token_that_was_taken_back_lets_nobody_in() {
        let mut fleet = Fleet::with_declared_host();
        let token = host_token("t1", "pmta1", Role::Powermta);
        let revoke = Command::RevokeToken(RevokeToken {
            id: token.id.clone(),
        });
        assert_eq!(fleet.refuse(revoke.clone()).code, RejectionCode::NotFound);
        fleet.accept(Command::IssueToken(token));
        fleet.accept(revoke.clone());
        assert_eq!(fleet.accept(revoke).effect, Effect::Unchanged);
        assert_eq!(fleet.refuse(redeem("t1", 1)).code, RejectionCode::TokenUsed);
    }

    #[test]
    fn a_used_token_cannot_be_taken_back() {
        let mut fleet = Fleet::with_declared_host();
        let token = host_token("t1", "pmta1", Role::Powermta);
        let id = token.id.clone();
        fleet.accept(Command::IssueToken(token));
        fleet.accept(redeem("t1", 1));
        let rejection = fleet.refuse(Command::RevokeToken(RevokeToken { id }));
        assert_eq!(rejection.code, RejectionCode::TokenUsed);
    }
}
