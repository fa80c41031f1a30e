//! The agent's own records.

use std::fmt::Debug;

use email_engine_agent::config::Config;
use email_engine_agent::halves::{ExecutorKeys, Trust};
use email_engine_agent::host::Cabinet;
use email_engine_agent::identity::IdentityStore;
use email_engine_agent::inventory::Inventory;
use email_engine_agent::ledger::expected::Expected;
use email_engine_agent::ledger::grants::Grants;
use email_engine_agent::ledger::page::{Accepted, Page};
use email_engine_agent::ledger::read_trust;
use email_engine_fuzz::fuzz;
use email_engine_protocol::bytes::{ContentHash, SealingPublicKey, VerifyingKey};
use email_engine_protocol::crypto::{RecoveryPublic, SigningKey};
use email_engine_protocol::desired::{EpochGrant, HostConfig, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, Role, TokenId};
use email_engine_protocol::join::TrustPin;
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

#[test]
fn any_word_for_whom_to_believe_is_read_or_refused() {
    fuzz!(vec![postcard::to_stdvec(&expected()).unwrap()], |payload| {
        put("expected/expected", &record(payload));
        match Expected::read(&cabinet("expected")) {
            Ok(Some(read)) => {
                // Only what says the same of all four lets the trust in.
                let words = |it: Expected| (it.cluster, it.host, it.role, it.trust.recovery);
                let lets_in = read.judge(trust()).is_ok();
                assert_eq!(lets_in, words(read) == words(expected()));
                true
            }
            Ok(None) => panic!("a file is there"),
            Err(_) => false,
        }
    });
}

fn expected() -> Expected {
    let trust = trust();
    Expected {
        token: TokenId::new("t-1").unwrap(),
        cluster: trust.cluster,
        host: trust.host,
        role: trust.role,
        trust: TrustPin {
            recovery: trust.recovery.pin(),
            plan_key_version: 1,
            epoch: 1,
        },
    }
}

fn trust() -> Trust {
    let key = SigningKey::from_seed([7; 32]);
    let cluster = ClusterId([1; 16]);
    Trust {
        cluster,
        host: HostId::new("pmta1").unwrap(),
        role: Role::Powermta,
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

/// What was granted is what the recovery key signed, or it is nothing.
#[test]
fn any_grants_are_read_or_refused_and_none_verifies_that_was_not_signed() {
    let key = SigningKey::from_seed([7; 32]);
    let grants = Grants {
        plan_key: Some(trust().plan_key),
        epoch: Some(key.sign(&epoch())),
    };
    let samples = [Grants::default(), grants].map(|grants| postcard::to_stdvec(&grants).unwrap());
    fuzz!(samples.to_vec(), |payload| {
        if !kept::<Grants>(payload) {
            return false;
        }
        put("grants/grants", &record(payload));
        let grants = Grants::read(&cabinet("grants")).unwrap();
        let key = SigningKey::from_seed([7; 32]).verifying_key();
        if let Some(Ok(granted)) = grants.epoch.map(|signed| signed.verify(&key)) {
            assert_eq!(granted, epoch());
        }
        if let Some(Ok(granted)) = grants.plan_key.map(|signed| signed.verify(&key)) {
            assert_eq!(granted.version, 1);
            assert_eq!(granted.key, key);
        }
        true
    });
}

fn epoch() -> EpochGrant {
    EpochGrant {
        cluster: ClusterId([1; 16]),
        epoch: 2,
        issued_at: Timestamp(9),
    }
}

/// The host's own word about what a state may touch, as an operator writes it.
#[test]
fn any_allow_list_is_read_or_its_fault_is_told_and_never_guards_less() {
    let written = "paths = [\"/etc/pmta/\", \"/\"]\ncommands = [[\"/usr/bin/id\", \"-u\"]]\n";
    let samples = [email_engine_agent::allow::BUILT_IN, written, ""];
    fuzz!(
        samples.map(|text| text.as_bytes().to_vec()).to_vec(),
        |bytes| {
            let file = put("allow/allow.toml", bytes);
            let config = Config {
                allow_list: Some(file.clone()),
                ..Config::default()
            };
            let built_in = email_engine_agent::allow::load(&Config::default()).unwrap();
            match email_engine_agent::allow::load(&config) {
                Ok(list) => {
                    // Whatever is listed, the agent's own files stay its own.
                    assert!(list.own.is_superset(&built_in.own), "{list:?}");
                    assert_eq!(list.origin, file.display().to_string());
                    true
                }
                Err(refused) => {
                    assert!(refused.to_string().contains("allow.toml"), "{refused}");
                    false
                }
            }
        }
    );
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
        vec!["192.0.2.1:7443"],
        ExecutorKeys {
            report_key: VerifyingKey([5; 32]),
            sealing_key: SealingPublicKey([6; 32]),
        },
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
        // Its form was right, down to the last field.
        refused.contains("(key)")
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
