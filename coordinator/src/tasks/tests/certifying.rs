//! Certificates of hosts at which the fleet submits.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::Role;
use email_engine_protocol::time::Timestamp;

use super::declare;
use super::upkeep::vault;
use crate::command::Command;
use crate::command::fixture::outcome;
use crate::pki::testbed::{TestPki, now};
use crate::pki::{Life, verify};
use crate::push::Fleet;
use crate::push::testbed::{FakeFleet, founded, host_id};
use crate::state::{FleetState, HostLifecycle, TargetRecord};
use crate::tasks::certify;

fn powermta(state: &mut FleetState, name: &str, last: u8) {
    declare(state, name);
    let host = state.hosts.get_mut(&host_id(name)).unwrap();
    host.spec.addresses = vec![[198, 51, 100, last].into()];
}

fn start(pki: &TestPki, state: FleetState) -> FakeFleet {
    let fleet = FakeFleet::new(state);
    let life = Life::of_submission_seconds(90 * 24 * 3600);
    tokio::spawn(certify::run(fleet.clone(), vault(pki), life));
    fleet
}

/// Whether a client that trusts the authority in use takes what the host has for its address.
fn is_trusted(fleet: &FakeFleet, pki: &TestPki, host: &str) -> bool {
    let (authority, secret, address) = fleet.view(|state| {
        let row = &state.submission_certificates[&host_id(host)];
        let authority = &state.submission_authority.as_ref().unwrap().authority;
        let secret = state.secrets[&row.secret].clone();
        (authority.certificate.clone(), secret, row.names.address)
    });
    let text = pki.vault.open_secret(&secret.sealed).unwrap();
    assert_eq!(text.commitment(), secret.commitment);
    let leaf = CertificateDer::from_pem_slice(&text.bytes).unwrap();
    let verifier = verify::server_verifier(&CertificateDer::from(authority)).unwrap();
    let name = ServerName::IpAddress(std::net::IpAddr::V4(address).into());
    verifier
        .verify_server_cert(&leaf, &[], &name, &[], UnixTime::now())
        .is_ok()
}

#[tokio::test]
async fn every_host_gets_its_own_and_another_when_its_address_changes() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    powermta(&mut state, "pmta2", 21);
    let fleet = start(&pki, state);
    let both = |state: &FleetState| state.submission_certificates.len() == 2;
    fleet.until(both, "both hosts have certificates").await;
    for host in ["pmta1", "pmta2"] {
        assert!(is_trusted(&fleet, &pki, host), "{host}");
    }
    let serial = |fleet: &FakeFleet, host: &str| {
        fleet.view(|state| state.submission_certificates[&host_id(host)].serial)
    };
    let before = (serial(&fleet, "pmta1"), serial(&fleet, "pmta2"));
    fleet.change(|state| {
        let host = state.hosts.get_mut(&host_id("pmta1")).unwrap();
        host.spec.addresses = vec![[198, 51, 100, 30].into()];
    });
    let moved = |state: &FleetState| {
        let row = &state.submission_certificates[&host_id("pmta1")];
        row.serial != before.0
    };
    fleet.until(moved, "the host that moved has another").await;
    assert!(is_trusted(&fleet, &pki, "pmta1"));
    assert_eq!(
        serial(&fleet, "pmta2"),
        before.1,
        "the other's is as good as it was"
    );
    assert!(is_trusted(&fleet, &pki, "pmta2"));
    let logged = format!("{:?}", fleet.log());
    assert!(!logged.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn it_is_renewed_at_half_of_its_life_and_not_before() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    let fleet = start(&pki, state);
    let some = |state: &FleetState| state.submission_certificates.len() == 1;
    fleet.until(some, "the host has a certificate").await;
    let first = fleet.view(|state| state.submission_certificates[&host_id("pmta1")].clone());
    // A change that concerns nobody is looked at and leads to nothing.
    let commands = fleet.log().len();
    fleet.change(|_| ());
    fleet.change(|state| {
        let row = state
            .submission_certificates
            .get_mut(&host_id("pmta1"))
            .unwrap();
        row.issued_at = Timestamp(now().0 - 46 * Timestamp::DAY);
        row.not_after = now().plus(44 * Timestamp::DAY);
    });
    let renewed = |state: &FleetState| {
        state.submission_certificates[&host_id("pmta1")].serial != first.serial
    };
    fleet.until(renewed, "half of its life is over").await;
    assert_eq!(fleet.log().len(), commands + 1, "once");
    assert!(is_trusted(&fleet, &pki, "pmta1"));
    let version = fleet.view(|state| state.secrets[&first.secret].version);
    assert_eq!(version, 2);
}

#[tokio::test]
async fn no_server_shows_one_before_those_who_submit_trust_its_authority() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    declare(&mut state, "mailwizz1");
    let host = state.hosts.get_mut(&host_id("mailwizz1")).unwrap();
    host.spec.role = Role::Mailwizz;
    host.lifecycle = HostLifecycle::Enrolled;
    let fleet = start(&pki, state);
    let vouched = |state: &FleetState| state.submission_authority.is_some();
    fleet.until(vouched, "the authority comes first").await;
    let at_target = |number: u64| {
        fleet.change(|state| {
            let generation = Generation { epoch: 1, number };
            let target = TargetRecord {
                generation,
                digest: email_engine_protocol::bytes::ContentHash([0; 32]),
                planner_version: 1,
                revision: state.revision + 1,
                set_at: now(),
                resources: 1,
            };
            state.targets.insert(host_id("mailwizz1"), target);
        });
    };
    at_target(1);
    at_target(2);
    fleet.change(|state| drop(state.outcomes.insert(host_id("mailwizz1"), outcome(1))));
    let waits = fleet.view(|state| state.submission_certificates.is_empty());
    assert!(waits, "it converged on an older target");
    fleet.change(|state| drop(state.outcomes.insert(host_id("mailwizz1"), outcome(2))));
    let some = |state: &FleetState| state.submission_certificates.len() == 1;
    fleet.until(some, "who submits trusts the authority").await;
    let kinds: Vec<_> = fleet
        .log()
        .iter()
        .map(|command| match command {
            Command::SetSubmissionAuthority(_) => "authority",
            Command::SetSubmissionCertificate(_) => "certificate",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["authority", "certificate"]);
}

#[tokio::test]
async fn hosts_that_never_report_hold_nobody_up_for_ever() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    declare(&mut state, "api1");
    let host = state.hosts.get_mut(&host_id("api1")).unwrap();
    host.spec.role = Role::Api;
    host.lifecycle = HostLifecycle::Enrolled;
    let fleet = start(&pki, state);
    let vouched = |state: &FleetState| state.submission_authority.is_some();
    fleet.until(vouched, "the authority comes first").await;
    assert!(fleet.view(|state| state.submission_certificates.is_empty()));
    fleet.change(|state| {
        let record = Arc::make_mut(state.submission_authority.as_mut().unwrap());
        record.authority.issued_at.0 -= 660 * Timestamp::SECOND;
    });
    let some = |state: &FleetState| state.submission_certificates.len() == 1;
    fleet.until(some, "the silent host had its time").await;
}
