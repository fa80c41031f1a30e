//! `stock-keys`.

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::limits;

use crate::command::RejectionCode::{Duplicate, Invalid};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, StockKeys};
use crate::state::{FleetState, PreparedKey};

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
            let number = state.next_prepared_key;
            state.prepared_keys.insert(number, Arc::new(key.clone()));
            state.next_prepared_key += 1;
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
    let twice = keys.iter().any(|key| !fresh.insert(key.public.as_str()));
    let held = state.prepared_keys.values().map(|key| &key.public);
    let drained = state.leaving.values().map(|leaving| &leaving.identity);
    let identities = state.identities.values().map(|identity| &**identity);
    let used = identities.chain(drained).flat_map(|identity| {
        let rotation = identity.signing.rotation.as_ref();
        let other = rotation.map(|rotation| &rotation.other.public);
        std::iter::once(&identity.dkim_public).chain(other)
    });
    if twice
        || held
            .chain(used)
            .any(|public| fresh.contains(public.as_str()))
    {
        let accepted = "keys that were never stocked before";
        return Err(refuse(Duplicate, "keys", &keys.len(), accepted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, prepared_key};
    use crate::command::{Command, Effect, RejectionCode, StockKeys};

    fn stock(numbers: impl IntoIterator<Item = u32>) -> Command {
        let keys = numbers.into_iter().map(prepared_key).collect();
        Command::StockKeys(StockKeys { keys })
    }

    #[test]
    fn keys_are_numbered_on_over_those_that_were_taken() {
        let mut fleet = Fleet::founded();
        fleet.accept(stock([1, 2]));
        fleet.state.prepared_keys.clear();
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
    fn the_stock_is_bounded_and_each_key_is_well_formed() {
        let mut fleet = Fleet::founded();
        assert_eq!(fleet.refuse(stock(0..10_001)).code, RejectionCode::Limit);
        let mut key = prepared_key(1);
        key.public = "not base64\n".to_owned();
        let rejection = fleet.refuse(Command::StockKeys(StockKeys { keys: vec![key] }));
        assert_eq!(rejection.field, "keys[0].public");
    }
}
