//! `stock-keys`.

use std::collections::BTreeSet;

use email_engine_protocol::limits;

use crate::command::RejectionCode::{Duplicate, Invalid};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, StockKeys};
use crate::state::{FleetState, PreparedKey, public_key_hash};

/// Longest public half: RSA-4096 has 736 characters.
const PUBLIC_CHARS: usize = 1_024;

impl Verb for StockKeys {
    fn name(&self) -> &'static str {
        "stock-keys"
    }

    fn object(&self) -> String {
        format!("{} DKIM keys", self.keys.len())
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        if self.keys.is_empty() {
            return Ok(Change::NONE);
        }
        at_most(
            "keys",
            state.prepared_keys.len() + self.keys.len(),
            limits::PREPARED_KEYS,
        )?;
        for (at, key) in self.keys.iter().enumerate() {
            form(at, key)?;
        }
        unknown(state, &self.keys)?;
        for key in &self.keys {
            state.stock_key(key.clone());
        }
        Ok(Change::DONE)
    }
}

fn form(at: usize, key: &PreparedKey) -> Result<(), Rejection> {
    let sealed = key.sealed.ciphertext.len() + key.sealed.wrapped_key.len();
    at_most(&format!("keys[{at}].sealed"), sealed, limits::SECRET_BYTES)?;
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    if (1..=PUBLIC_CHARS).contains(&key.public.len()) && key.public.bytes().all(base64) {
        return Ok(());
    }
    let accepted = format!("base64 of at most {PUBLIC_CHARS} characters");
    Err(refuse(
        Invalid,
        format!("keys[{at}].public"),
        &key.public.escape_debug(),
        accepted,
    ))
}

/// Invariant 2: a key that is stocked twice would become two identities' key.
fn unknown(state: &FleetState, keys: &[PreparedKey]) -> Result<(), Rejection> {
    let mut fresh = BTreeSet::new();
    let is_known = |key: &PreparedKey| {
        let hash = public_key_hash(&key.public);
        state.lookup.keys.contains(&hash) || !fresh.insert(hash)
    };
    if keys.iter().any(is_known) {
        let accepted = "keys that were never stocked before";
        return Err(refuse(Duplicate, "keys", &keys.len(), accepted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, address, prepared_key};
    use crate::command::{Command, Effect, RejectionCode, RetireIdentity, StockKeys};

    fn stock(numbers: impl IntoIterator<Item = u32>) -> Command {
        let keys = numbers.into_iter().map(prepared_key).collect();
        Command::StockKeys(StockKeys { keys })
    }

    #[test]
    fn keys_are_numbered_on_over_those_that_were_taken() {
        let mut fleet = Fleet::founded();
        fleet.accept(stock([1, 2]));
        fleet.state.prepared_keys.clear();
        fleet.state.reindex();
        fleet.accept(stock([3]));
        assert_eq!(fleet.state.prepared_keys.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(fleet.accept(stock([])).effect, Effect::Unchanged);
    }

    #[test]
    fn a_key_that_is_held_or_in_use_is_not_stocked_again() {
        let mut fleet = Fleet::with_identities(1);
        for known in [0, 1] {
            assert_eq!(
                fleet.refuse(stock([900, known])).code,
                RejectionCode::Duplicate
            );
        }
        assert_eq!(
            fleet.refuse(stock([900, 900])).code,
            RejectionCode::Duplicate
        );
    }

    #[test]
    fn a_key_is_known_until_its_private_half_is_destroyed() {
        let mut fleet = Fleet::with_identities(1);
        let address = address(0);
        fleet.accept(Command::RetireIdentity(RetireIdentity { address }));
        assert!(fleet.state.secrets.is_empty());
        fleet.accept(stock([0]));
        assert_eq!(fleet.refuse(stock([0])).code, RejectionCode::Duplicate);
    }

    #[test]
    fn the_stock_is_bounded_and_each_key_is_well_formed() {
        let mut fleet = Fleet::founded();
        assert_eq!(fleet.refuse(stock(0..10_001)).code, RejectionCode::Limit);
        let mut key = prepared_key(1);
        key.public = "not base64\n".to_owned();
        let rejection = fleet.refuse(Command::StockKeys(StockKeys { keys: vec![key] }));
        assert_eq!(rejection.field, "keys[0].public");
    }
}
