//! `refuse-token`.
//!
//! A used token that another machine shows is a token that two machines hold: one of them may have
//! stolen it, and a person must learn of both. The audit names them, the token keeps the second one.

use crate::alerts::rules::{Event, OfCluster};
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{RefuseToken, Rejection};
use crate::state::{FleetState, TokenState, TokenUse};

/// Longest name or address of a machine, in bytes: escaped characters may take several.
const NAME_BYTES: usize = 300;

impl Verb for RefuseToken {
    fn name(&self) -> &'static str {
        "refuse-token"
    }

    fn object(&self) -> String {
        format!(
            "token {}: used by {}, refused to {}",
            self.id,
            named(&self.holder),
            named(&self.refused)
        )
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        for (field, text) in [
            ("holder.machine", &self.holder.machine),
            ("holder.from", &self.holder.from),
            ("refused.machine", &self.refused.machine),
            ("refused.from", &self.refused.from),
        ] {
            at_most(field, text.len(), NAME_BYTES)?;
        }
        let Some(token) = state.tokens.get_mut(&self.id) else {
            return Err(not_found("id", &self.id, "token"));
        };
        match &token.state {
            TokenState::Redeemed { spki, .. } if *spki == self.holder.spki => {}
            _ => {
                let accepted = "a token that the named holder used";
                return Err(refuse(WrongState, "holder", &self.holder.spki, accepted));
            }
        }
        if !token.is_news(&self.refused.spki) {
            return Ok(Change::NONE);
        }
        token.refused.push(self.refused.clone());
        let clone = OfCluster::Clone {
            token: self.id.clone(),
            holder: named(&self.holder).into(),
            refused: named(&self.refused).into(),
        };
        state.raise(Event::Cluster(clone), turn.now());
        Ok(Change::DONE)
    }
}

/// A machine in the audit.
pub(super) fn named(machine: &TokenUse) -> String {
    let TokenUse {
        spki,
        machine,
        from,
    } = machine;
    format!("{machine} at {from} with key {spki}")
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::{Role, TokenId};

    use crate::command::fixture::{Fleet, host_token, redeem, spki};
    use crate::command::{Command, Effect, RefuseToken, RejectionCode};
    use crate::state::{Token, TokenUse};

    fn shown(key: u8) -> TokenUse {
        TokenUse::new(
            spki(key),
            &format!("machine-{key}"),
            &format!("192.0.2.{key}:40000"),
        )
    }

    fn refusal(holder: u8, second: u8) -> Command {
        Command::RefuseToken(Box::new(RefuseToken {
            id: TokenId::new("t1").unwrap(),
            holder: shown(holder),
            refused: shown(second),
        }))
    }

    fn used() -> Fleet {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(Command::IssueToken(host_token(
            "t1",
            "pmta1",
            Role::Powermta,
        )));
        assert_eq!(
            fleet.refuse(refusal(1, 2)).code,
            RejectionCode::WrongState,
            "nobody has used it"
        );
        fleet.accept(redeem("t1", 1));
        fleet
    }

    #[test]
    fn the_audit_names_both_machines_of_a_token_and_the_token_keeps_them() {
        let mut fleet = used();
        fleet.accept(refusal(1, 2));
        let entry = fleet.state.audit.last().unwrap();
        assert_eq!(entry.command, "refuse-token");
        for part in [
            "machine-1",
            "192.0.2.1:40000",
            "machine-2",
            "192.0.2.2:40000",
            &spki(1).to_string(),
            &spki(2).to_string(),
        ] {
            assert!(entry.object.contains(part), "{part}: {}", entry.object);
        }
        let token = &fleet.state.tokens[&TokenId::new("t1").unwrap()];
        assert_eq!(token.used_by, Some(shown(1)));
        assert_eq!(token.refused, [shown(2)]);
    }

    #[test]
    fn one_entry_a_key_and_few_a_token() {
        let mut fleet = used();
        let limit = u8::try_from(Token::REFUSED).unwrap();
        for key in 2..2 + limit {
            assert_eq!(fleet.accept(refusal(1, key)).effect, Effect::Done);
            assert_eq!(fleet.accept(refusal(1, key)).effect, Effect::Unchanged);
        }
        let entries = fleet.state.audit.len();
        for key in 100..120 {
            assert_eq!(fleet.accept(refusal(1, key)).effect, Effect::Unchanged);
        }
        assert_eq!(fleet.state.audit.len(), entries);
        assert_eq!(
            fleet.accept(refusal(1, 1)).effect,
            Effect::Unchanged,
            "the holder itself"
        );
        assert_eq!(
            fleet.refuse(refusal(9, 2)).code,
            RejectionCode::WrongState,
            "not the holder"
        );
    }

    #[test]
    fn what_a_stranger_calls_itself_is_cut_and_printable() {
        let used = TokenUse::new(spki(1), &"x\n\u{1b}[2J".repeat(100), "192.0.2.1:1");
        assert!(used.machine.len() <= 60, "{}", used.machine);
        assert!(!used.machine.chars().any(char::is_control));
    }
}
