//! Backups that were changed: nothing but a beginning of what was sealed ever comes out.

use std::io::{Read, Write};

use email_engine_fuzz::{SLOW_RUNS, fuzz};
use email_engine_protocol::crypto::{Entropy, SealingKey};
use email_engine_protocol::id::ClusterId;

use super::framing::{SealedReader, SealedWriter};

fn key() -> SealingKey {
    SealingKey::from_seed(&[1; 32])
}

fn plain() -> Vec<u8> {
    (0..70_000_u32).map(|at| at.to_le_bytes()[0]).collect()
}

#[test]
fn what_comes_out_of_a_changed_backup_was_sealed() {
    let random = ring::rand::SystemRandom::new();
    let to = key().public_key();
    let cluster = ClusterId([7; 16]);
    let mut writer = SealedWriter::new(Vec::new(), cluster, &to, &mut Entropy(&random)).unwrap();
    writer.write_all(&plain()).unwrap();
    let sample = writer.finish().unwrap();
    fuzz!(
        vec![sample],
        |bytes| {
            let Ok(mut reader) = SealedReader::new(bytes, &key()) else {
                return false;
            };
            let mut out = Vec::new();
            let whole = reader.read_to_end(&mut out).is_ok();
            assert_eq!(out[..], plain()[..out.len()]);
            assert!(
                !whole || out.len() == plain().len(),
                "a part is taken for the whole"
            );
            whole
        },
        SLOW_RUNS
    );
}
