//! The tables as bytes, as snapshots hold them, under the version that the snapshot's header names.
//!
//! A change of any table is a new version. The tables before it are then kept as frozen types in a
//! file of their own with a function to the next version, and [`decode`] chains them; a snapshot of
//! the last release must always be readable, because a lagging node may be sent one. A version that only
//! puts tables behind the others needs no frozen types: older bytes are read with empty ones appended.

use super::FleetState;

/// Version of the tables that [`encode`] writes.
pub const TABLES_VERSION: u32 = 2;

/// Tables that version 2 put behind those of version 1, empty: artifacts, their names, and records of
/// identities that are gone.
const ADDED_BY_2: [u8; 3] = [0, 0, 0];

/// Why bytes are not the tables of a state that this software reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Made by newer software.
    #[error("the state has version {got}, this software reads up to {newest}: upgrade it")]
    Version {
        /// The version that was named.
        got: u32,
        /// The newest that is known here.
        newest: u32,
    },
    /// Cut or damaged.
    #[error("the state does not decode: {0}")]
    Damaged(postcard::Error),
    /// Something stands behind the last table.
    #[error("{0} bytes stand behind the state's end")]
    Trailing(usize),
}

/// The state as bytes. The same state gives the same bytes on every node.
///
/// # Panics
/// Never: every table serialises.
#[must_use]
pub fn encode(state: &FleetState) -> Vec<u8> {
    postcard::to_stdvec(state).expect("every table serialises")
}

/// The state that [`encode`] was given, whichever release wrote it.
///
/// # Errors
/// When the bytes are not whole tables of a known version, and nothing else.
pub fn decode(version: u32, bytes: &[u8]) -> Result<FleetState, DecodeError> {
    match version {
        1 => whole(&[bytes, &ADDED_BY_2].concat()),
        TABLES_VERSION => whole(bytes),
        got => Err(DecodeError::Version {
            got,
            newest: TABLES_VERSION,
        }),
    }
}

fn whole(bytes: &[u8]) -> Result<FleetState, DecodeError> {
    let (state, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Damaged)?;
    if rest.is_empty() {
        Ok(state)
    } else {
        Err(DecodeError::Trailing(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::Fleet;

    #[test]
    fn a_state_comes_back_as_it_was() {
        let state = Fleet::with_identities(3).state;
        assert_eq!(decode(TABLES_VERSION, &encode(&state)).unwrap(), state);
    }

    #[test]
    fn newer_cut_and_prolonged_bytes_are_told_apart() {
        let whole = encode(&Fleet::with_identities(1).state);
        assert_eq!(
            decode(9, &whole),
            Err(DecodeError::Version { got: 9, newest: 2 })
        );
        let cut = &whole[..whole.len() - 1];
        assert!(matches!(decode(2, cut), Err(DecodeError::Damaged(_))));
        let longer = [&whole[..], b"x"].concat();
        assert_eq!(decode(2, &longer), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn tables_from_before_artifacts_are_read_as_without_any() {
        let state = Fleet::with_identities(2).state;
        let mut older = encode(&state);
        assert_eq!(older.split_off(older.len() - ADDED_BY_2.len()), ADDED_BY_2);
        assert_eq!(decode(1, &older).unwrap(), state);
    }
}
