//! The agent's own records.

use std::fmt::Debug;

use email_engine_agent::host::Cabinet;
use email_engine_agent::identity::IdentityStore;
use email_engine_agent::inventory::Inventory;
use email_engine_agent::ledger::page::{Accepted, Page};
use email_engine_agent::ledger::read_trust;
use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::{HostConfig, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FOLDER, path, put};

/// A record with a checksum that fits.
fn record(payload: &[u8]) -> Vec<u8> {
    let sum = crc32c::crc32c(payload).to_be_bytes();
    [b"EEA1", &sum[..], payload].concat()
}

fn cabinet(folder: &str) -> Cabinet {
    Cabinet::open(&FOLDER.path().join(folder)).unwrap()
}

/// Reads a record whose payload is the input. What is read is written and read back as it is.
fn kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) -> bool {
    let cabinet = cabinet("kept");
    put("kept/record", payload);
    assert!(payload.starts_with(b"EEA1") || cabinet.read::<T>("record").is_err());
    put("kept/record", &record(payload));
    cabinet.read::<T>("record").is_ok_and(|value| {
        let value = value.unwrap();
        put(
            "kept/record",
            &record(&postcard::to_stdvec(&value).unwrap()),
        );
        assert_eq!(cabinet.read::<T>("record").unwrap(), Some(value));
        true
    })
}

fn page() -> Page {
    let cluster = ClusterId([1; 16]);
    let target = Target {
        cluster,
        host: HostId::new("pmta1").unwrap(),
        generation: Generation {
            epoch: 1,
            number: 9,
        },
        digest: ContentHash([2; 32]),
        plan_key_version: 1,
        issued_at: Timestamp(5),
    };
    let key = SigningKey::from_seed([7; 32]);
    Page {
        accepted: Some(Accepted {
            signed: key.sign(&target),
            target: target.clone(),
            at: Timestamp(6),
        }),
        last_good: Some(target),
        attempted: None,
        apply_millis: Some(12),
        retired: false,
    }
}

#[test]
fn any_page_of_the_ledger_is_read_or_refused() {
    fuzz!(vec![postcard::to_stdvec(&page()).unwrap()], kept::<Page>);
}

#[test]
fn any_inventory_is_read_or_refused() {
    let golden = include_str!("../../../../protocol/tests/golden/v1.txt");
    let line = golden
        .lines()
        .find_map(|line| line.strip_prefix("manifest "));
    let frame = data_encoding::HEXLOWER
        .decode(line.unwrap().as_bytes())
        .unwrap();
    let mut inventory = Inventory::default();
    inventory.claim(&HostConfig::from_bytes(&frame[4..]).unwrap());
    inventory.write(&cabinet("inventory")).unwrap();
    let written = std::fs::read(path("inventory/inventory")).unwrap();
    fuzz!(vec![written[8..].to_vec()], |payload| {
        let cabinet = cabinet("inventory");
        put("inventory/inventory", &record(payload));
        Inventory::read(&cabinet).is_ok_and(|inventory| inventory.iter().count() == inventory.len())
    });
}

#[test]
fn any_trust_is_read_or_refused() {
    fuzz!(vec![postcard::to_stdvec(&trust()).unwrap()], |payload| {
        put("trust/trust", &record(payload));
        matches!(read_trust(&cabinet("trust")), Ok(Some(_)))
    });
}

fn trust() -> email_engine_agent::halves::Trust {
    use email_engine_protocol::bytes::{SealingPublicKey, VerifyingKey};
    use email_engine_protocol::crypto::RecoveryPublic;
    let key = SigningKey::from_seed([7; 32]);
    let cluster = ClusterId([1; 16]);
    email_engine_agent::halves::Trust {
        cluster,
        host: HostId::new("pmta1").unwrap(),
        role: email_engine_protocol::id::Role::Powermta,
        recovery: RecoveryPublic {
            verifying: VerifyingKey([3; 32]),
            sealing: SealingPublicKey([4; 32]),
        },
        plan_key: key.sign(&PlanKeyGrant {
            cluster,
            version: 1,
            key: key.verifying_key(),
        }),
        epoch: 1,
    }
}

/// An identity with a key and a certificate that are none: the outer form is what is looked at; a whole
/// one is read back in the agent's own tests.
#[test]
fn any_identity_is_refused_and_never_taken_for_none() {
    let stored = (
        trust(),
        vec![1_u8; 32],
        vec![vec![0x30_u8, 0]],
        vec![0x30_u8, 1],
        5_u64,
        ["a"],
    );
    let sample = postcard::to_stdvec(&stored).unwrap();
    let store = IdentityStore::open(&FOLDER.path().join("host")).unwrap();
    assert!(matches!(store.load(), Ok(None)));
    fuzz!(vec![sample], |payload| {
        let store = IdentityStore::open(&FOLDER.path().join("host")).unwrap();
        let sum = crc32c::crc32c(payload).to_be_bytes();
        let bytes = [b"email-engine identity 1\n", &sum[..], payload].concat();
        put("host/identity/identity", &bytes);
        let refused = store.load().unwrap_err().to_string();
        assert!(refused.contains("is damaged"), "{refused}");
        refused.contains("(key)") || payload.is_empty() || refused.contains("(content)")
    });
}

#[test]
fn any_list_of_coordinators_and_any_clock_is_bounded() {
    fuzz!(
        vec![b"192.0.2.1:7443\n[2001:db8::1]:7443".to_vec()],
        |bytes| {
            let store = IdentityStore::open(&FOLDER.path().join("learnt")).unwrap();
            put("learnt/identity/coordinators", bytes);
            put("learnt/identity/clock", bytes);
            let list = store.coordinators().unwrap();
            assert!(list.len() <= email_engine_protocol::limits::ENDPOINTS);
            store.clock_floor().unwrap() <= Timestamp(u64::MAX)
        }
    );
}
