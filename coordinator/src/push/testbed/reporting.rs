//! Which reports are believed, and what becomes of them.

use email_engine_protocol::crypto::SigningKey;
use email_engine_protocol::desired::Disposition;
use email_engine_protocol::observed::{Convergence, HostReport};
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::RefusalCode;

use super::{TestNode, host_id, wait_for};
use crate::command::Command;
use crate::pki::testbed::now;
use crate::push::Fleet;
use crate::state::{FleetState, HostLifecycle, Outcome};

fn outcome(state: &FleetState) -> Option<&Outcome> {
    state.outcomes.get(&host_id("pmta1"))
}

#[tokio::test]
async fn a_changed_outcome_is_recorded_and_an_unchanged_one_is_not() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    for sequence in 1..6 {
        let report = machine.report(welcome.nonce, sequence);
        session.report(machine.report_key.sign(&report)).await;
    }
    let mut report = machine.report(welcome.nonce, 6);
    report.convergence = Convergence::Converged;
    session.report(machine.report_key.sign(&report)).await;
    let converged = |state: &FleetState| {
        outcome(state).is_some_and(|outcome| outcome.convergence == Convergence::Converged)
    };
    node.fleet
        .until(converged, "the last report is recorded")
        .await;
    let entries = node.fleet.log().len();
    assert!(entries <= 2, "{entries} entries for two outcomes");
    // A new session with the same outcome: nothing new to write.
    let (mut session, welcome) = machine.session(&node).await;
    let mut report = machine.report(welcome.nonce, 1);
    report.convergence = Convergence::Converged;
    session.report(machine.report_key.sign(&report)).await;
    report.sequence = 2;
    report.convergence = Convergence::Degraded;
    session.report(machine.report_key.sign(&report)).await;
    let degraded = |state: &FleetState| {
        outcome(state).is_some_and(|outcome| outcome.convergence == Convergence::Degraded)
    };
    node.fleet.until(degraded, "the change is recorded").await;
    assert_eq!(node.fleet.log().len(), entries + 1);
}

#[tokio::test]
async fn forged_foreign_and_replayed_reports_end_the_session_and_record_nothing() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (_, old) = machine.session(&node).await;
    let forger = SigningKey::from_seed([66; 32]);
    type Change = fn(&mut HostReport);
    let cases: [(&str, Change, &SigningKey); 4] = [
        ("signature", |_| {}, &forger),
        (
            "about host",
            |report| report.host = host_id("pmta2"),
            &machine.report_key,
        ),
        (
            "about host",
            |report| report.cluster.0[0] ^= 1,
            &machine.report_key,
        ),
        ("another session", |_| {}, &machine.report_key),
    ];
    for (at, (why, change, key)) in cases.into_iter().enumerate() {
        let (mut session, welcome) = machine.session(&node).await;
        assert_ne!(welcome.nonce, old.nonce);
        let nonce = if at == 3 { old.nonce } else { welcome.nonce };
        let mut report = machine.report(nonce, 1);
        change(&mut report);
        session.report(key.sign(&report)).await;
        let told = session.end().await.unwrap();
        assert_eq!(told.code, RefusalCode::Protocol);
        assert!(told.reason.contains(why), "{told:?}");
    }
    assert!(node.fleet.log().is_empty());
}

#[tokio::test]
async fn a_report_said_twice_in_one_session_is_a_replay() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    let signed = machine.report_key.sign(&machine.report(welcome.nonce, 7));
    session.report(signed.clone()).await;
    session.report(signed).await;
    let told = session.end().await.unwrap();
    assert!(told.reason.contains("a replay"), "{told:?}");
}

#[tokio::test]
async fn a_retiring_host_is_cut_off_when_its_executor_confirms_the_wipe() {
    let node = TestNode::start();
    let machine = node.machine("pmta1");
    let (mut session, welcome) = machine.session(&node).await;
    let mut report = machine.report(welcome.nonce, 1);
    report.disposition = Disposition::Retired;
    report.convergence = Convergence::Converged;
    // Nobody asked it to retire yet: an outcome, and no more.
    session.report(machine.report_key.sign(&report)).await;
    let seen = |state: &FleetState| outcome(state).is_some();
    node.fleet.until(seen, "the report is recorded").await;
    node.fleet.change(|state| {
        let deadline = now().plus(Timestamp::HOUR);
        let host = state.hosts.get_mut(&host_id("pmta1")).unwrap();
        host.lifecycle = HostLifecycle::Retiring { deadline };
    });
    report.sequence = 2;
    report.convergence = Convergence::Converging;
    session.report(machine.report_key.sign(&report)).await;
    report.sequence = 3;
    report.convergence = Convergence::Converged;
    session.report(machine.report_key.sign(&report)).await;
    session.send.finish().unwrap();
    let told = session.end().await.unwrap();
    assert_eq!(told.code, RefusalCode::Revoked);
    wait_for(session.connection.closed(), "the connection closes").await;
    let confirmed = node
        .fleet
        .log()
        .into_iter()
        .filter(|command| matches!(command, Command::CutOffHost(cut) if cut.confirmed))
        .count();
    assert_eq!(confirmed, 1);
    let lifecycle = node
        .fleet
        .view(|state| state.hosts[&host_id("pmta1")].lifecycle);
    assert_eq!(lifecycle, HostLifecycle::Retired);
}
