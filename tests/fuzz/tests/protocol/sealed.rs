//! What is sealed: nothing but what was sealed ever opens, and whoever opens does not fall over.

use email_engine_fuzz::{SLOW_RUNS, fuzz};
use email_engine_protocol::crypto::{
    Entropy, HpkeStream, Sealed, SealedSecret, SealingKey, open_stream, seal_stream,
};
use email_engine_protocol::id::{ClusterId, HostId, SecretId};
use email_engine_protocol::secret::{SecretBytes, SecretRef};

const CLUSTER: ClusterId = ClusterId([1; 16]);
const CHUNKS: [&[u8]; 3] = [b"one", b"", b"three"];

fn key() -> SealingKey {
    SealingKey::from_seed(&[5; 32])
}

fn host() -> HostId {
    HostId::new("pmta1").unwrap()
}

fn secret() -> SecretBytes {
    SecretBytes {
        salt: [3; 16],
        bytes: b"private key".to_vec(),
    }
}

fn sealed_secret() -> SealedSecret {
    let random = ring::rand::SystemRandom::new();
    let bytes = secret();
    let reference = SecretRef {
        id: SecretId::new("dkim/mail1.example.com/mail").unwrap(),
        version: 1,
        commitment: bytes.commitment(),
    };
    let (to, mut entropy) = (key().public_key(), Entropy(&random));
    SealedSecret::new(CLUSTER, &host(), &to, reference, &bytes, &mut entropy).unwrap()
}

#[test]
fn a_changed_sealed_secret_does_not_open() {
    fuzz!(
        vec![postcard::to_stdvec(&sealed_secret()).unwrap()],
        |input| {
            let Ok(sealed) = postcard::from_bytes::<SealedSecret>(input) else {
                return false;
            };
            assert!(!format!("{sealed:?}").contains("private key"));
            sealed.open(CLUSTER, &host(), &key()).is_ok_and(|opened| {
                assert!(opened == secret());
                true
            })
        },
        SLOW_RUNS
    );
}

#[test]
fn changed_sealed_bytes_do_not_open() {
    let random = ring::rand::SystemRandom::new();
    let (to, mut entropy) = (key().public_key(), Entropy(&random));
    let sealed = Sealed::new(&to, b"info", b"aad", b"plain", &mut entropy).unwrap();
    fuzz!(
        vec![postcard::to_stdvec(&sealed).unwrap()],
        |input| {
            let Ok(sealed) = postcard::from_bytes::<Sealed>(input) else {
                return false;
            };
            assert!(key().open(&sealed, b"info", b"other").is_err());
            key().open(&sealed, b"info", b"aad").is_ok_and(|opened| {
                assert_eq!(opened, b"plain");
                true
            })
        },
        SLOW_RUNS
    );
}

/// The head, then each chunk behind its length.
fn stream() -> Vec<u8> {
    let random = ring::rand::SystemRandom::new();
    let (to, mut entropy) = (key().public_key(), Entropy(&random));
    let (head, mut seal) = seal_stream(&to, b"backup", &mut entropy).unwrap();
    let mut bytes = head.to_vec();
    for chunk in CHUNKS {
        let sealed = seal.next(chunk, b"").unwrap();
        bytes.push(u8::try_from(sealed.len()).unwrap());
        bytes.extend_from_slice(&sealed);
    }
    bytes
}

/// Opens chunk after chunk until one is refused or nothing is left.
fn opened(mut open: HpkeStream, mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some((&length, tail)) = rest.split_first() {
        let Some((chunk, tail)) = tail.split_at_checked(usize::from(length)) else {
            break;
        };
        let Ok(plain) = open.next(chunk, b"") else {
            break;
        };
        chunks.push(plain);
        rest = tail;
    }
    chunks
}

#[test]
fn what_opens_of_a_changed_stream_is_a_beginning_of_it() {
    fuzz!(
        vec![stream()],
        |input| {
            let Some((head, rest)) = input.split_first_chunk::<32>() else {
                return false;
            };
            let Ok(open) = open_stream(&key(), head, b"backup") else {
                return false;
            };
            let chunks = opened(open, rest);
            assert_eq!(chunks[..], CHUNKS[..chunks.len()]);
            chunks.len() == CHUNKS.len()
        },
        SLOW_RUNS
    );
}
