//! Health checks on a sandbox, and on real servers and programs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{HostConfig, HttpQuestion, Probe};
use email_engine_protocol::observed::ResourceStatus;

use super::*;
use crate::host::{Cabinet, Root};
use crate::reconciler::plan::tests::{config, file, service};
use crate::reconciler::{Outcome, Reconciler, Scope, order};
use crate::resources::database_samples::Nothing;

const LONG: Duration = Duration::from_secs(20);

fn check(probe: Probe, restart: Option<&str>) -> Resource {
    let mut made = file("/x");
    made.id = ResourceId::new("health_check:page").unwrap();
    made.spec = Spec::HealthCheck(HealthCheckSpec {
        probes: vec![probe],
        interval_seconds: 5,
        attempts: 1,
        restart: restart.map(str::to_owned),
    });
    made
}

fn page(address: SocketAddr) -> Probe {
    Probe::Http {
        question: HttpQuestion {
            address,
            tls: false,
            host: Some("localhost".to_owned()),
            path: "/".to_owned(),
            least_status: 200,
            most_status: 299,
            contains: None,
        },
        seconds: 20,
        steady_seconds: 0,
    }
}

/// Waits until a check is as it is expected to be, asking all the while.
fn until(checks: &Checks, id: &ResourceId, expected: impl Fn(&ResourceState) -> bool) {
    let begin = Instant::now();
    loop {
        let state = checks.state(id).unwrap();
        if expected(&state) {
            return;
        }
        assert!(begin.elapsed() < LONG, "it is {state:?}");
        checks.ask_now();
        std::thread::yield_now();
    }
}

fn is_failed(state: &ResourceState, text: &str) -> bool {
    matches!(state, ResourceState::Failed(reason) if reason.contains(text))
}

/// Answers everybody with this status until it is told to end.
fn serve(listener: &TcpListener, status: &str, times: usize) {
    for _ in 0..times {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; 1024];
        let _ = stream.read(&mut heard);
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    }
}

#[test]
fn what_answers_wrong_fails_with_its_reason_and_is_well_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resource = check(page(listener.local_addr().unwrap()), None);
    let told = Arc::new(AtomicUsize::new(0));
    let mut checks = Checks::default();
    let counter = Arc::clone(&told);
    checks.tells(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    checks.keep(&mut machine, &resource);
    assert!(checks.is_any_untold());
    let server = std::thread::spawn(move || {
        serve(&listener, "500 Oh", 1);
        listener
    });
    until(&checks, &resource.id, |state| {
        is_failed(state, "with status 500, accepted is 200 to 299")
    });
    let listener = server.join().unwrap();
    assert!(!checks.is_any_untold());
    std::thread::spawn(move || serve(&listener, "200 OK", 1000));
    until(&checks, &resource.id, |state| {
        *state == ResourceState::Converged
    });
    // It is told right after it can be seen.
    let begin = Instant::now();
    while told.load(Ordering::SeqCst) < 2 {
        assert!(begin.elapsed() < LONG, "the second news is not told");
        std::thread::yield_now();
    }
    assert_eq!(told.load(Ordering::SeqCst), 2, "once for each news");
}

#[test]
fn a_server_that_never_answers_keeps_no_pass_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resource = check(page(listener.local_addr().unwrap()), None);
    let mut checks = Checks::default();
    let begin = Instant::now();
    for _ in 0..100 {
        checks.keep(&mut machine, &resource);
        let state = checks.state(&resource.id).unwrap();
        assert!(matches!(state, ResourceState::Unknown(_)), "{state:?}");
    }
    assert!(begin.elapsed() < LONG, "it waited for the server");
    // One has come, and only one.
    let first = listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    drop(first);
}

/// A service manager that writes down what it is told.
fn with_service_manager(folder: &Path) -> Machine {
    let place = folder.join("systemctl");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}/told\n", folder.display());
    std::fs::write(&place, script).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    Machine::with_systemctl(folder, &place)
}

#[test]
fn a_failed_check_restarts_its_unit_once_and_not_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = with_service_manager(dir.path());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let connect = Probe::Connect {
        address: nobody.unwrap(),
        seconds: 20,
    };
    let mut resource = check(connect, Some("web.service"));
    let mut checks = Checks::default();
    let go = UnderWay::default();
    checks.keep(&mut machine, &resource);
    until(&checks, &resource.id, |state| is_failed(state, "refused"));
    let told = || std::fs::read_to_string(dir.path().join("told")).unwrap_or_default();
    resource.policy = Policy::Report;
    assert!(
        !checks.heal(&mut machine, &resource, &go),
        "it is only told"
    );
    resource.policy = Policy::Enforce;
    assert!(checks.heal(&mut machine, &resource, &go));
    assert_eq!(told(), "restart -- web.service\n");
    until(&checks, &resource.id, |state| {
        is_failed(
            state,
            "web.service was restarted for it, and is again after 30 s",
        )
    });
    assert!(!checks.heal(&mut machine, &resource, &go));
    assert_eq!(told().lines().count(), 1);
}

/// A sandbox with what is known of it.
struct Bed {
    dir: tempfile::TempDir,
    reconciler: Reconciler,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(&dir.path().join("data")).unwrap();
        let root = Root::Sandbox(dir.path().join("root"));
        let machine = Machine::open(&root, cabinet.clone()).unwrap();
        Self {
            reconciler: Reconciler::open(machine, cabinet),
            dir,
        }
    }

    fn fail(&self, lines: &str) {
        std::fs::write(self.dir.path().join("data/simulated-failures"), lines).unwrap();
    }

    fn simulated(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("data/simulated.toml")).unwrap_or_default()
    }

    fn pass(&mut self, state: &HostConfig) -> Outcome {
        let order = order::order(&state.resources).unwrap();
        let go = UnderWay::default();
        let passed = self
            .reconciler
            .pass(state, &order, &Nothing, &Scope::All, &go);
        passed.unwrap()
    }
}

fn state_of<'a>(outcome: &'a Outcome, id: &str) -> &'a ResourceState {
    let found = |status: &&ResourceStatus| status.id.as_str() == id;
    &outcome.statuses.iter().find(found).unwrap().state
}

#[test]
fn a_sandbox_asks_nobody_and_is_ill_where_a_test_wants_it() {
    let mut bed = Bed::new();
    let address = "127.0.0.1:80".parse().unwrap();
    let unit = service("web");
    let mut asked = check(page(address), Some("web.service"));
    asked.after.push(unit.id.clone());
    let state = config(vec![asked, unit]);
    bed.fail("service:web\n");
    let outcome = bed.pass(&state);
    let blocked = ResourceState::Blocked("service:web is not right".to_owned());
    assert_eq!(state_of(&outcome, "health_check:page"), &blocked);
    bed.fail("");
    let outcome = bed.pass(&state);
    assert_eq!(
        state_of(&outcome, "health_check:page"),
        &ResourceState::Simulated
    );
    assert!(outcome.is_good());
    assert_eq!(bed.pass(&state).changed, 0);

    bed.fail("health_check:page: the page is gone\n");
    let outcome = bed.pass(&state);
    let failed = state_of(&outcome, "health_check:page");
    assert!(is_failed(failed, "the page is gone"), "{failed:?}");
    assert!(!outcome.is_good());
    assert!(
        bed.simulated().contains("restarts = 1"),
        "{}",
        bed.simulated()
    );
    assert_eq!(bed.pass(&state).changed, 0, "not again at once");
    bed.fail("");
    assert!(bed.pass(&state).is_good());
    assert!(bed.simulated().contains("restarts = 1"));
}

#[test]
fn what_is_no_more_in_the_state_is_asked_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::with_programs(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let resource = check(
        Probe::Connect {
            address,
            seconds: 5,
        },
        None,
    );
    let mut checks = Checks::default();
    let tell = Arc::downgrade(&checks.tell);
    checks.keep(&mut machine, &resource);
    until(&checks, &resource.id, |state| {
        *state == ResourceState::Converged
    });
    assert_eq!(tell.strong_count(), 2, "a thread has it as well");
    checks.change_state();
    assert_eq!(checks.state(&resource.id), None);
    let begin = Instant::now();
    while tell.strong_count() > 1 {
        assert!(begin.elapsed() < LONG, "its thread goes on");
        std::thread::yield_now();
    }
}

#[test]
fn another_state_is_asked_anew_and_does_not_begin_with_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = with_service_manager(dir.path());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let connect = Probe::Connect {
        address: nobody.unwrap(),
        seconds: 20,
    };
    let resource = check(connect.clone(), Some("web.service"));
    let mut checks = Checks::default();
    let go = UnderWay::default();
    let told = || std::fs::read_to_string(dir.path().join("told")).unwrap_or_default();
    checks.keep(&mut machine, &resource);
    until(&checks, &resource.id, |state| is_failed(state, "refused"));
    assert!(checks.heal(&mut machine, &resource, &go));
    // A state that differs elsewhere, what it comes after is not right for a while, and another rule.
    let mut slower = resource.clone();
    if let Spec::HealthCheck(spec) = &mut slower.spec {
        spec.interval_seconds = 6;
    }
    for (leaves, resource) in [(0, &resource), (1, &resource), (2, &slower)] {
        match leaves {
            0 => checks.change_state(),
            1 => checks.leave(&resource.id),
            _ => {}
        }
        checks.keep(&mut machine, resource);
        until(&checks, &resource.id, |state| {
            is_failed(state, "and is again after 30 s")
        });
        assert!(!checks.heal(&mut machine, resource, &go), "{leaves}");
    }
    assert_eq!(told(), "restart -- web.service\n");
    // Of another unit nothing is known.
    let other = check(connect, Some("app.service"));
    checks.change_state();
    checks.keep(&mut machine, &other);
    until(&checks, &other.id, |state| is_failed(state, "refused"));
    assert!(checks.heal(&mut machine, &other, &go));
    assert_eq!(told(), "restart -- web.service\nrestart -- app.service\n");
}
