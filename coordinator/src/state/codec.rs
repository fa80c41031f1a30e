//! The snapshot's bytes: a magic, the version of the layout, the tables.
//!
//! A change of any table is a new layout. The layout before it is then kept as frozen types in a file
//! of its own with a function to the next one, and [`decode`] chains them; a snapshot of the last
//! release must always be readable, because a lagging node may be sent one.

use super::FleetState;

const MAGIC: [u8; 8] = *b"EEFLEET\0";
/// Version of the layout that [`encode`] writes.
const LAYOUT: u16 = 1;
const HEADER_BYTES: usize = MAGIC.len() + size_of::<u16>();

/// Why bytes are not a snapshot that this software reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Something else altogether.
    #[error("these bytes are not a snapshot of the fleet's state")]
    Foreign,
    /// Made by newer software.
    #[error("snapshot has layout {got}, this software reads up to {newest}: upgrade it")]
    Layout {
        /// The layout that it names.
        got: u16,
        /// The newest that is known here.
        newest: u16,
    },
    /// Cut or damaged.
    #[error("snapshot of layout {layout} does not decode: {source}")]
    Damaged {
        /// The layout that it names.
        layout: u16,
        /// What was found.
        source: postcard::Error,
    },
    /// Something stands behind the last table.
    #[error("snapshot has {0} bytes behind its end")]
    Trailing(usize),
}

/// The state as bytes. The same state gives the same bytes on every node.
///
/// # Panics
/// Never: every table serialises.
#[must_use]
pub fn encode(state: &FleetState) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&LAYOUT.to_be_bytes());
    postcard::to_extend(state, bytes).expect("every table serialises")
}

/// The state that [`encode`] was given, whichever release wrote it.
///
/// # Errors
/// When the bytes are not a whole snapshot of a known layout.
pub fn decode(bytes: &[u8]) -> Result<FleetState, DecodeError> {
    let (header, tables) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(DecodeError::Foreign)?;
    let layout = match header.strip_prefix(&MAGIC) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => return Err(DecodeError::Foreign),
    };
    if layout != LAYOUT {
        return Err(DecodeError::Layout {
            got: layout,
            newest: LAYOUT,
        });
    }
    let (state, rest) = postcard::take_from_bytes(tables)
        .map_err(|source| DecodeError::Damaged { layout, source })?;
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
        assert_eq!(decode(&encode(&state)).unwrap(), state);
    }

    #[test]
    fn foreign_newer_cut_and_prolonged_bytes_are_told_apart() {
        assert_eq!(decode(b"hello"), Err(DecodeError::Foreign));
        assert_eq!(decode(b"some other file"), Err(DecodeError::Foreign));
        let whole = encode(&Fleet::with_identities(1).state);
        let mut newer = whole.clone();
        newer[9] = 9;
        assert_eq!(
            decode(&newer),
            Err(DecodeError::Layout { got: 9, newest: 1 })
        );
        let cut = &whole[..whole.len() - 1];
        assert!(matches!(decode(cut), Err(DecodeError::Damaged { .. })));
        let longer = [&whole[..], b"x"].concat();
        assert_eq!(decode(&longer), Err(DecodeError::Trailing(1)));
    }
}
