//! What must be well, and which state is the one to fall back on.

use std::io::{Read, Write};
use std::net::TcpListener;

use email_engine_protocol::desired::{HealthCheckSpec, HttpQuestion, Probe, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, ResourceState};

use super::life::service;
use super::rig::{Rig, generation};
use crate::host::Machine;

fn check(rig: &mut Rig, address: std::net::SocketAddr) -> Resource {
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new("health_check:page").unwrap();
    made.spec = Spec::HealthCheck(HealthCheckSpec {
        probes: vec![Probe::Http {
            question: HttpQuestion {
                address,
                tls: false,
                host: None,
                path: "/".to_owned(),
                least_status: 200,
                most_status: 299,
                contains: None,
            },
            seconds: 20,
            steady_seconds: 0,
        }],
        interval_seconds: 5,
        attempts: 1,
        restart: None,
    });
    made
}

#[test]
fn a_state_is_the_good_one_only_once_what_must_be_well_has_answered_and_nobody_waits_for_that() {
    let mut rig = Rig::new();
    let machine = Machine::with_programs(&rig.root());
    rig.restart_on(machine);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = check(&mut rig, listener.local_addr().unwrap());
    let file = rig.file("/etc/a", "good");
    let state = rig.config(vec![file, asked]);
    rig.offer_quietly(&state, 1);
    let report = rig.report_where("all but the answer is there", |report| {
        report.generations.running == Some(generation(1)) && report.counts.unknown == 1
    });
    assert_eq!(report.convergence, Convergence::Converging);
    assert_eq!(report.generations.last_good, None);
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = [0; 1024];
    let _ = stream.read(&mut heard).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer).unwrap();
    let report = rig.report_where("it has answered", |report| {
        report.convergence == Convergence::Converged
    });
    assert_eq!(report.generations.last_good, Some(generation(1)));
}

#[test]
fn a_state_whose_check_fails_is_told_and_gives_way_when_the_host_is_alone() {
    let mut rig = Rig::new();
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good]);
    rig.converge(&state, 1);
    let newer = rig.file("/etc/a", "newer");
    let asked = check(&mut rig, "127.0.0.1:80".parse().unwrap());
    let state = rig.config(vec![newer, asked]);
    let failures = rig.data().join("simulated-failures");
    std::fs::write(failures, "health_check:page: the page is gone\n").unwrap();
    let report = rig.offer(&state, 2);
    assert_eq!(report.convergence, Convergence::Degraded);
    assert_eq!(report.generations.last_good, Some(generation(1)));
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.reason, "health_check:page: the page is gone");

    rig.stop();
    let (sender, _events) = tokio::sync::mpsc::channel(64);
    let mut core = rig.core(sender);
    core.alone_since -= core.audit_interval;
    core.resume();
    core.audit();
    let enforced = core.enforced.as_ref().unwrap();
    assert_eq!(enforced.target.generation, generation(1));
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
}

#[test]
fn news_of_health_are_told_and_have_nothing_else_tried_again_before_its_time() {
    let mut rig = Rig::new();
    let asked = check(&mut rig, "127.0.0.1:80".parse().unwrap());
    let web = service(&mut rig, "web");
    let state = rig.config(vec![asked, web]);
    let failures = rig.data().join("simulated-failures");
    std::fs::write(&failures, "service:web\n").unwrap();
    rig.offer(&state, 1);
    rig.stop();
    let (sender, _events) = tokio::sync::mpsc::channel(64);
    let mut core = rig.core(sender);
    core.resume();
    let states = |core: &crate::executor::core::Core| {
        let statuses = &core.outcome.as_ref().unwrap().statuses;
        let is_failed = |one: &str| {
            let found = statuses.iter().find(|status| status.id.as_str() == one);
            matches!(found.unwrap().state, ResourceState::Failed(_))
        };
        (is_failed("service:web"), is_failed("health_check:page"))
    };
    assert_eq!(states(&core), (true, false));
    std::fs::write(&failures, "health_check:page: it is gone\n").unwrap();
    core.look_at_health();
    assert_eq!(
        states(&core),
        (true, true),
        "the service waits for its turn"
    );
    core.audit();
    assert_eq!(states(&core), (false, true));
    // Nothing else fails now: the news make the state the good one.
    std::fs::write(&failures, "").unwrap();
    assert_eq!(core.ledger.page().last_good, None);
    core.look_at_health();
    assert_eq!(states(&core), (false, false));
    assert!(core.ledger.page().last_good.is_some());
}
