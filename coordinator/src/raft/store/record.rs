//! A log record: a checksum in front of the entry, so that damage is seen and never served.

use crate::raft::types::Entry;

/// Why bytes are not a log record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Shorter than a checksum.
    #[error("log record {index} is cut to {length} bytes")]
    Short {
        /// Its index.
        index: u64,
        /// What is left of it.
        length: usize,
    },
    /// The checksum does not fit.
    #[error("log record {index} is damaged: its checksum does not fit")]
    Checksum {
        /// Its index.
        index: u64,
    },
    /// The checksum fits, but this version cannot read the entry: it must not guess.
    #[error("log record {index} does not decode ({source}): written by a newer version?")]
    Decode {
        /// Its index.
        index: u64,
        /// What the decoder says.
        source: postcard::Error,
    },
    /// Another entry than the key says.
    #[error("log record {index} holds entry {found}")]
    Misplaced {
        /// Its key.
        index: u64,
        /// The index inside.
        found: u64,
    },
}

/// The key of an index: sorts as the numbers do.
pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of a key.
pub(super) fn index_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Encodes an entry.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut record =
        postcard::to_extend(entry, vec![0; 4]).expect("an entry of this version serialises");
    let sum = crc32c::crc32c(&record[4..]).to_be_bytes();
    record[..4].copy_from_slice(&sum);
    record
}

/// Decodes the record that was stored under `index`.
pub(super) fn decode(index: u64, record: &[u8]) -> Result<Entry, RecordError> {
    let length = record.len();
    let Some((sum, body)) = record.split_first_chunk::<4>() else {
        return Err(RecordError::Short { index, length });
    };
    if crc32c::crc32c(body) != u32::from_be_bytes(*sum) {
        return Err(RecordError::Checksum { index });
    }
    let entry: Entry =
        postcard::from_bytes(body).map_err(|source| RecordError::Decode { index, source })?;
    let found = entry.log_id.index;
    if found == index {
        Ok(entry)
    } else {
        Err(RecordError::Misplaced { index, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::tests::entry;

    #[test]
    fn every_damaged_byte_is_seen() {
        let record = encode(&entry(3, 17, "r1"));
        assert_eq!(decode(17, &record).unwrap(), entry(3, 17, "r1"));
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 0x10;
            assert_eq!(
                decode(17, &damaged),
                Err(RecordError::Checksum { index: 17 })
            );
        }
        assert!(matches!(
            decode(17, &record[..3]),
            Err(RecordError::Short { .. })
        ));
        assert!(decode(17, &record[..record.len() - 1]).is_err());
    }

    #[test]
    fn a_record_under_another_key_is_refused() {
        let record = encode(&entry(3, 17, "r1"));
        let found = RecordError::Misplaced {
            index: 18,
            found: 17,
        };
        assert_eq!(decode(18, &record), Err(found));
    }
}
