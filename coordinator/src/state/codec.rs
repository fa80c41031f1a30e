//! The tables as bytes, as snapshots hold them, under the version that the snapshot's header names.
//!
//! A change of any table is a new version. The tables of a release are then kept as frozen types in a file of
//! their own with a function to the next version, and [`decode`] chains them; a snapshot of the last release
//! must always be readable, because a lagging node may be sent one. Versions before the first release are
//! refused: version 3 gave identities a life and a warm-up of their own, version 4 says since when an address
//! is whose, and remembers what is held against addresses, what files said in their own words, what campaigns
//! take of a day, and a second key while one is rotated; version 5 adds what MailWizz says of campaigns' mail,
//! which warm-up plans of its own it has, what was seen in DNS, what lists of bad senders said, and alerts;
//! version 6 says what was done about listings, what holds identities back, and zones that the fleet changes;
//! version 7 adds campaigns that stand still, and since when a zone is stuck; version 8 finds keys, names of
//! tenants and addresses of hosts without a walk through all, and knows who keeps no quotas; version 9 adds
//! queues that are given up.

use super::FleetState;

/// Version of the tables that [`encode`] writes.
pub const TABLES_VERSION: u32 = 9;

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
    /// Made before the first release.
    #[error(
        "the state has version {got}, from before the first release; this software reads from {oldest}"
    )]
    Unreleased {
        /// The version that was named.
        got: u32,
        /// The oldest that is known here.
        oldest: u32,
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
        TABLES_VERSION => whole(bytes),
        got if got < TABLES_VERSION => Err(DecodeError::Unreleased {
            got,
            oldest: TABLES_VERSION,
        }),
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
            decode(10, &whole),
            Err(DecodeError::Version { got: 10, newest: 9 })
        );
        let cut = &whole[..whole.len() - 1];
        assert!(matches!(
            decode(TABLES_VERSION, cut),
            Err(DecodeError::Damaged(_))
        ));
        let longer = [&whole[..], b"x"].concat();
        assert_eq!(
            decode(TABLES_VERSION, &longer),
            Err(DecodeError::Trailing(1))
        );
    }

    #[test]
    fn tables_from_before_the_first_release_are_named_as_such() {
        let whole = encode(&Fleet::with_identities(1).state);
        for got in 0..TABLES_VERSION {
            let oldest = TABLES_VERSION;
            assert_eq!(
                decode(got, &whole),
                Err(DecodeError::Unreleased { got, oldest })
            );
        }
    }
}
