//! Certificates of hosts at which the fleet submits.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::Role;
use email_engine_protocol::time::Timestamp;

use super::declare;
use super::upkeep::vault;
use crate::command::Command;
use crate::command::fixture::outcome;
use crate::pki::testbed::{TestPki, now};
use crate::pki::{Life, verify};
use crate::planner::builtin_bundle;
use crate::push::Fleet;
use crate::push::testbed::{FakeFleet, founded, host_id, release};
use crate::state::{FleetState, HostLifecycle, RoleBundle, TRUSTS_LABEL, TargetRecord};
use crate::tasks::certify;

fn powermta(state: &mut FleetState, name: &str, last: u8) {
    declare(state, name);
    let host = state.hosts.get_mut(&host_id(name)).unwrap();
    host.spec.addresses = vec![[198, 51, 100, last].into()];
}

fn submitter(state: &mut FleetState, name: &str, role: Role) {
    declare(state, name);
    let host = state.hosts.get_mut(&host_id(name)).unwrap();
    host.spec.role = role;
    host.lifecycle = HostLifecycle::Enrolled;
}

fn start(pki: &TestPki, mut state: FleetState) -> FakeFleet {
    let bundle = RoleBundle::new(builtin_bundle(), now());
    state.bundles.insert(release().bundle, bundle.into());
    let fleet = FakeFleet::new(state);
    let life = Life::of_submission_seconds(90 * 24 * 3600);
    tokio::spawn(certify::run(fleet.clone(), vault(pki), life));
    fleet
}

/// The newest target of a host is this one.
fn at_target(state: &mut FleetState, host: &str, number: u64) {
    let target = TargetRecord {
        generation: Generation { epoch: 1, number },
        digest: ContentHash([0; 32]),
        planner_version: 1,
        planned_from: state.revision + 1,
        set_at: now(),
        resources: 1,
    };
    state.targets.insert(host_id(host), target);
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
    submitter(&mut state, "mailwizz1", Role::Mailwizz);
    let fleet = start(&pki, state);
    let vouched = |state: &FleetState| state.submission_authority.is_some();
    fleet.until(vouched, "the authority comes first").await;
    fleet.change(|state| at_target(state, "mailwizz1", 1));
    fleet.change(|state| at_target(state, "mailwizz1", 2));
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
async fn a_host_that_may_send_is_waited_for_until_somebody_vouches_for_it() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    submitter(&mut state, "api1", Role::Api);
    let fleet = start(&pki, state);
    let vouched = |state: &FleetState| state.submission_authority.is_some();
    fleet.until(vouched, "the authority comes first").await;
    fleet.change(|state| {
        let record = Arc::make_mut(state.submission_authority.as_mut().unwrap());
        record.authority.issued_at.0 -= 30 * Timestamp::DAY;
    });
    // What is due at once shows that the task has looked since.
    fleet.change(|state| powermta(state, "pmta2", 21));
    let both = |state: &FleetState| {
        let record = state.submission_authority.as_ref().unwrap();
        record.authority.covers.len() == 2
    };
    fleet.until(both, "the authority covers both").await;
    assert!(fleet.view(|state| state.submission_certificates.is_empty()));
    fleet.change(|state| {
        let host = state.hosts.get_mut(&host_id("api1")).unwrap();
        let label = (TRUSTS_LABEL.to_owned(), "by hand".to_owned());
        host.spec.labels.extend([label]);
    });
    let some = |state: &FleetState| state.submission_certificates.len() == 2;
    fleet.until(some, "nobody is waited for").await;
}

#[tokio::test]
async fn role_bundles_without_a_place_for_it_keep_a_host_without_one() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    powermta(&mut state, "pmta2", 21);
    let older = ContentHash([0x0d; 32]);
    let host = state.hosts.get_mut(&host_id("pmta1")).unwrap();
    host.release.bundle = older;
    let bundle = RoleBundle::new(BTreeMap::new(), now());
    state.bundles.insert(older, bundle.into());
    let fleet = start(&pki, state);
    let some = |state: &FleetState| !state.submission_certificates.is_empty();
    fleet.until(some, "the other host has a certificate").await;
    let holder = fleet.view(|state| {
        let mut holders = state.submission_certificates.keys().cloned();
        (holders.next(), holders.next())
    });
    assert_eq!(holder, (Some(host_id("pmta2")), None));
    // Who submits and cannot be given the authority does not come to trust it.
    fleet.change(|state| {
        submitter(state, "api1", Role::Api);
        let host = state.hosts.get_mut(&host_id("api1")).unwrap();
        host.release.bundle = older;
        at_target(state, "api1", 1);
        state.outcomes.insert(host_id("api1"), outcome(1));
    });
    let distrusting = |state: &FleetState| state.submission_distrusted_by().next().cloned();
    assert_eq!(fleet.view(distrusting), Some(host_id("api1")));
}

#[tokio::test]
async fn a_renewal_waits_for_nobody() {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    powermta(&mut state, "pmta1", 20);
    let fleet = start(&pki, state);
    let some = |state: &FleetState| state.submission_certificates.len() == 1;
    fleet.until(some, "the host has a certificate").await;
    let first = fleet.view(|state| state.submission_certificates[&host_id("pmta1")].serial);
    fleet.change(|state| {
        submitter(state, "api1", Role::Api);
        let row = state.submission_certificates.get_mut(&host_id("pmta1"));
        let row = row.unwrap();
        row.issued_at = Timestamp(now().0 - 46 * Timestamp::DAY);
        row.not_after = now().plus(44 * Timestamp::DAY);
    });
    let renewed =
        |state: &FleetState| state.submission_certificates[&host_id("pmta1")].serial != first;
    fleet.until(renewed, "half of its life is over").await;
}
