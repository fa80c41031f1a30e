//! Keys ahead of need, hosts past their deadline, the node's own certificate.

use std::sync::Arc;
use std::time::Duration;

use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use super::declare;
use crate::command::Command;
use crate::pki::Credential;
use crate::pki::store::IdentityStore;
use crate::pki::testbed::{TestPki, now};
use crate::push::Fleet;
use crate::push::testbed::{FakeFleet, founded, host_id, wait_for};
use crate::seal::Vault;
use crate::state::{FleetState, HostLifecycle};
use crate::tasks::{Stock, expire, renew};

pub(super) fn vault(pki: &TestPki) -> Arc<Vault> {
    let key = zeroize::Zeroizing::new(*pki.vault.key());
    Arc::new(Vault::new(pki.vault.version(), key))
}

#[tokio::test]
async fn keys_that_are_being_made_are_kept_when_nobody_waits_for_them_any_more() {
    let pki = TestPki::new();
    let fleet = FakeFleet::new(founded(&pki));
    let stock = Stock::new(fleet.clone(), vault(&pki));
    let gone = tokio::time::timeout(Duration::ZERO, stock.ensure(1)).await;
    assert!(gone.is_err(), "no key is made in no time");
    let mut applied = fleet.applied();
    let made = async {
        while fleet.view(|state| state.prepared_keys.is_empty()) {
            applied.changed().await.unwrap();
        }
    };
    wait_for(made, "the lot that was under way is stored").await;
}

#[tokio::test]
async fn keys_are_stocked_whole_and_sealed() {
    let pki = TestPki::new();
    let fleet = FakeFleet::new(founded(&pki));
    let stock = Stock::new(fleet.clone(), vault(&pki));
    let (one, two) = tokio::join!(stock.ensure(2), stock.ensure(2));
    one.unwrap();
    two.unwrap();
    let held = || fleet.view(|state| state.prepared_keys.len());
    let made = held();
    assert!((2..=4).contains(&made), "two who take two each: {made}");
    stock.ensure(2).await.unwrap();
    assert_eq!(held(), made, "nothing is made of what is there");
    let keys: Vec<_> = fleet.view(|state| state.prepared_keys.values().cloned().collect());
    assert_ne!(keys[0].public, keys[1].public);
    for key in keys {
        let secret = pki.vault.open_secret(&key.sealed).unwrap();
        assert_eq!(secret.commitment(), key.commitment);
        let pem = std::str::from_utf8(&secret.bytes).unwrap();
        let private = rsa::RsaPrivateKey::from_pkcs8_pem(pem).unwrap();
        let public = private.to_public_key().to_public_key_der().unwrap();
        let text = data_encoding::BASE64.encode(public.as_bytes());
        assert_eq!(text, key.public);
        // What is published is a 2,048 bit key, not only what was asked of the generator.
        let der = data_encoding::BASE64.decode(key.public.as_bytes()).unwrap();
        let published = rsa::RsaPublicKey::from_public_key_der(&der).unwrap();
        assert_eq!(published.n().bits(), 2_048);
        let logged = format!("{:?}", fleet.log());
        assert!(!logged.contains("PRIVATE KEY"));
    }
}

#[tokio::test]
async fn a_retiring_host_is_cut_off_after_its_deadline_and_not_before() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    for (host, deadline) in [
        ("late", Timestamp(now().0 - 1)),
        ("in-time", now().plus(Timestamp::HOUR)),
    ] {
        declare(&mut state, host);
        let host = state.hosts.get_mut(&host_id(host)).unwrap();
        host.lifecycle = HostLifecycle::Retiring { deadline };
    }
    let fleet = FakeFleet::new(state);
    tokio::spawn(expire::run(fleet.clone()));
    let cut =
        |state: &FleetState| state.hosts[&host_id("late")].lifecycle == HostLifecycle::Retired;
    fleet.until(cut, "the deadline passed").await;
    let log = fleet.log();
    assert!(matches!(&log[..], [Command::CutOffHost(cut)] if !cut.confirmed));
}

#[tokio::test]
async fn a_node_renews_its_own_certificate_after_half_its_life() {
    let pki = TestPki::founded_at(Timestamp(now().0 - 60 * Timestamp::DAY));
    let four_days_ago = Timestamp(now().0 - 4 * Timestamp::DAY);
    let names = ["192.0.2.1:7443"];
    let old = pki.node_at(NodeId(1), &names, four_days_ago);
    assert!(renew::due(&old).unwrap() < now());
    assert!(renew::due(&pki.node(NodeId(1), &names)).unwrap() > now());
    let folder = tempfile::tempdir().unwrap();
    let store = IdentityStore::new(folder.path());
    store.save(&old).unwrap();
    let fleet = FakeFleet::new(founded(&pki));
    let (identity, mut seen) = watch::channel(Arc::new(old.clone()));
    tokio::spawn(renew::run(
        fleet.clone(),
        vault(&pki),
        store.clone(),
        (identity, crate::pki::Life::default()),
    ));
    wait_for(seen.changed(), "the node renews").await.unwrap();
    let renewed = seen.borrow().clone();
    assert_ne!(renewed.chain, old.chain);
    assert_eq!(store.load().unwrap().chain, renewed.chain);
    let credential = Credential::read(pki.record.id, &renewed.chain[0]).unwrap();
    let recorded = fleet.view(|state| state.certificates.get(&credential.serial).cloned());
    assert_eq!(recorded.unwrap().spki, credential.spki);
    let old = Credential::read(pki.record.id, &old.chain[0]).unwrap();
    assert_ne!(old.spki, credential.spki, "with another key");
    assert_ne!(credential.spki, ContentHash([0; 32]));
}
