//! Snapshots whose checksums fit whatever was changed in them: what a peer or a backup could bring.

use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ClusterId;

use super::format::{Header, SnapshotReader, SnapshotWriter};
use super::snapshot::load;
use crate::command::fixture::Fleet;
use crate::raft::types::SnapshotMeta;
use crate::state::TABLES_VERSION;

const HEAD_BYTES: usize = 12;
const END: u8 = 5;

fn snapshot(state: &[u8]) -> Vec<u8> {
    let header = Header {
        cluster: Some(ClusterId([1; 16])),
        state_version: TABLES_VERSION,
        meta: SnapshotMeta::default(),
    };
    let mut writer = SnapshotWriter::new(Vec::new(), &header).unwrap();
    writer.state(state).unwrap();
    for body in [&b"one"[..], b"", b"three"] {
        writer.body(&ContentHash::of(body), body).unwrap();
    }
    writer.finish().unwrap()
}

/// Makes the checksums fit, as far as there are whole records.
fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = HEAD_BYTES;
    while let Some(head) = bytes.get(at..at + 5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (start, end) = (at + 5, (at + 5).saturating_add(length));
        if end.saturating_add(4) > bytes.len() {
            break;
        }
        if head[0] == END && length >= 32 {
            let whole = ContentHash::of(&bytes[..at]);
            bytes[end - 32..end].copy_from_slice(&whole.0);
        }
        let sum = crc32c::crc32c(&bytes[start..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
    bytes
}

#[test]
fn any_snapshot_is_read_or_refused() {
    let state = postcard::to_stdvec(&Fleet::founded().state).unwrap();
    fuzz!(vec![snapshot(&state)], |bytes| {
        let _ = load(bytes, |_, _| Ok(()), |_| Ok(()));
        let mut bodies = 0_usize;
        let loaded = load(
            &mended(bytes.to_vec())[..],
            |hash, body| {
                assert_eq!(hash, ContentHash::of(&body));
                bodies += body.len();
                Ok(())
            },
            |_| Ok(()),
        );
        assert!(bodies <= bytes.len());
        loaded.is_ok()
    });
}

#[test]
fn any_state_in_a_snapshot_is_read_or_refused() {
    let state = postcard::to_stdvec(&Fleet::with_identities(2).state).unwrap();
    fuzz!(vec![state], |state| {
        let taken = load(&snapshot(state)[..], |_, _| Ok(()), |_| Ok(()));
        // Whether its bodies are all there is looked at after it decoded.
        let is_read = match taken {
            Ok(_) => true,
            Err(refused) => refused.to_string().contains("a body is missing"),
        };
        is_read || !SnapshotReader::new(state).is_ok_and(|mut reader| reader.next().is_ok())
    });
}

#[test]
fn bytes_behind_the_state_are_refused() {
    let mut state = crate::state::encode(&Fleet::founded().state);
    assert!(load(&snapshot(&state)[..], |_, _| Ok(()), |_| Ok(())).is_ok());
    state.push(0);
    let refused = load(&snapshot(&state)[..], |_, _| Ok(()), |_| Ok(())).unwrap_err();
    assert!(
        refused.to_string().contains("behind the state"),
        "{refused}"
    );
}
