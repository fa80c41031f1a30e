//! Restarts, losses and the end of a host.

use std::time::Duration;

use email_engine_protocol::desired::{
    CommandLine, Disposition, Guard, HostConfig, HostPath, OnNotify, Resource, ServiceSpec, Spec,
    StepSpec,
};
use email_engine_protocol::id::{ResourceId, Role};
use email_engine_protocol::observed::{Convergence, ResourceState, Stage};

use super::rig::{CLUSTER, Rig, generation, host, wait_for};
use super::secrets::files_with;
use crate::executor::core::Core;
use crate::halves::{FromExecutor, ToExecutor};

pub(super) fn service(rig: &mut Rig, name: &str) -> Resource {
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new(format!("service:{name}")).unwrap();
    made.spec = Spec::Service(ServiceSpec {
        unit: format!("{name}.service"),
        enabled: true,
        running: true,
        on_notify: OnNotify::Reload,
    });
    made
}

#[test]
fn a_restart_with_nobody_there_goes_on_enforcing() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "good");
    let key = rig.secret_file("/etc/key", "dkim/a", 1, "hunter2");
    let config = rig.config(vec![file, key]);
    rig.converge(&config, 1);
    rig.stop();
    std::fs::write(rig.at("/etc/a"), "changed while it was off").unwrap();
    std::fs::remove_file(rig.at("/etc/key")).unwrap();
    rig.start_alone();
    wait_for("what changed meanwhile comes back", || {
        std::fs::read(rig.at("/etc/a")).is_ok_and(|bytes| bytes == b"good")
            && std::fs::read(rig.at("/etc/key")).is_ok_and(|bytes| bytes == b"hunter2")
    });
    std::fs::remove_file(rig.at("/etc/a")).unwrap();
    wait_for("drift is repaired alone", || {
        std::fs::read(rig.at("/etc/a")).is_ok_and(|bytes| bytes == b"good")
    });
}

#[test]
fn a_lost_or_damaged_ledger_is_rebuilt_from_the_current_target() {
    for damage in [true, false] {
        let mut rig = Rig::new();
        let file = rig.file("/etc/a", "good");
        let config = rig.config(vec![file]);
        rig.converge(&config, 5);
        let keys = rig.keys;
        rig.stop();
        let page = rig.data().join("ledger/page");
        if damage {
            std::fs::write(page, "EEA1 nonsense").unwrap();
        } else {
            std::fs::remove_dir_all(rig.data().join("ledger")).unwrap();
        }
        std::fs::remove_dir_all(rig.root()).unwrap();
        rig.restart();
        assert_eq!(rig.keys, keys, "the keys are not part of the ledger");
        let report = rig.converge(&config, 5);
        assert_eq!(report.generations.accepted, Some(generation(5)));
        assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
    }
}

#[test]
fn a_body_that_was_damaged_on_disk_is_fetched_again() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "good");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    rig.stop();
    for entry in std::fs::read_dir(rig.data().join("ledger/bodies")).unwrap() {
        std::fs::write(entry.unwrap().path(), "rot").unwrap();
    }
    std::fs::remove_file(rig.at("/etc/a")).unwrap();
    rig.restart();
    rig.report_where("it is whole again", |report| {
        report.convergence == Convergence::Converged
    });
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
}

#[test]
fn a_retired_host_wipes_its_secrets_confirms_and_forgets() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, "hunter2");
    let mut left = rig.secret_file("/etc/left", "dkim/b", 1, "hunter2");
    left.on_remove = email_engine_protocol::desired::OnRemove::Leave;
    let file = rig.file("/etc/a", "good");
    let config = rig.config(vec![key, left, file]);
    rig.converge(&config, 1);
    let retired = HostConfig::retired(CLUSTER, host(), Role::Powermta);
    let target = rig.target(&retired, generation(2));
    rig.tell(ToExecutor::Offer(rig.plan.sign(&target)));
    let report = rig.report_where("the wipe is confirmed", |report| {
        report.disposition == Disposition::Retired && report.convergence == Convergence::Converged
    });
    assert_eq!(report.inventory, 0);
    rig.wait_retired();
    assert!(files_with(rig.dir.path(), b"hunter2").is_empty());
    assert!(!rig.at("/etc/a").exists());
    let before = rig.keys;
    rig.stop();
    // A retired agent is not started again: nothing may wait for that.
    assert!(!rig.data().join("keys").exists());
    assert!(!rig.data().join("trust").exists());
    rig.start_alone();
    assert_ne!(rig.keys, before, "the keys of a retired host are gone");
    assert!(!rig.data().join("trust").exists());
}

#[test]
fn a_retired_host_that_is_cut_off_forgets_although_nobody_heard_it_confirm() {
    let mut rig = Rig::new();
    let key = rig.secret_file("/etc/key", "dkim/a", 1, "hunter2");
    let config = rig.config(vec![key]);
    rig.converge(&config, 1);
    let retired = HostConfig::retired(CLUSTER, host(), Role::Powermta);
    let target = rig.target(&retired, generation(2));
    rig.stop();
    let (sender, mut events) = tokio::sync::mpsc::channel(64);
    let mut core = rig.core(sender);
    core.resume();
    for (hash, bytes) in &rig.bodies {
        core.ledger.store.keep_body(*hash, bytes).unwrap();
    }
    let mut retirements = |core: &mut Core| {
        core.hear(ToExecutor::CutOff);
        let said = std::iter::from_fn(|| events.try_recv().ok());
        said.filter(|event| *event == FromExecutor::Retired).count()
    };
    assert_eq!(retirements(&mut core), 0, "revoked alone is not retired");
    // Nobody hears what it reports of this, as after a power cut before it noted that it had.
    core.hear(ToExecutor::Offer(rig.plan.sign(&target)));
    core.proceed();
    assert!(!rig.at("/etc/key").exists());
    assert!(rig.data().join("keys").exists());
    assert_eq!(retirements(&mut core), 1);
    core.end();
    assert!(!rig.data().join("keys").exists());
    assert!(files_with(rig.dir.path(), b"hunter2").is_empty());
}

#[test]
fn notifications_reach_a_service_once_per_change_and_survive_a_failure() {
    let mut rig = Rig::new();
    let service = service(&mut rig, "pmta");
    let reloads = |rig: &Rig| {
        let text = std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("reloads"))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let state = |rig: &mut Rig, text: &str| {
        let mut file = rig.file("/etc/a", text);
        file.notify.push(service.id.clone());
        rig.config(vec![file, service.clone()])
    };
    let first = state(&mut rig, "one");
    let report = rig.converge(&first, 1);
    assert_eq!(report.counts.simulated, 1);
    let begun = reloads(&rig);
    let second = state(&mut rig, "two");
    std::fs::write(rig.data().join("simulated-failures"), "service:pmta\n").unwrap();
    let report = rig.offer(&second, 2);
    assert_eq!(report.counts.failed, 1);
    assert_eq!(reloads(&rig), begun);
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.stage, Stage::Apply);
    // The change is made; only the notification is owed, and a restart does not forget it.
    rig.stop();
    std::fs::remove_file(rig.data().join("simulated-failures")).unwrap();
    rig.restart();
    rig.report_where("the service is told", |report| {
        report.convergence == Convergence::Converged
    });
    assert_eq!(reloads(&rig), begun + 1);
}

#[test]
fn what_depends_on_a_failed_resource_is_blocked() {
    let mut rig = Rig::new();
    let service = service(&mut rig, "pmta");
    let mut file = rig.file("/etc/a", "x");
    file.after.push(service.id.clone());
    std::fs::write(rig.data().join("simulated-failures"), "service:pmta\n").unwrap();
    let config = rig.config(vec![file, service]);
    let report = rig.offer(&config, 1);
    assert_eq!((report.counts.failed, report.counts.blocked), (1, 1));
    assert_eq!(
        report.statuses[1].state,
        ResourceState::Blocked("service:pmta is not right".to_owned())
    );
    assert!(!rig.at("/etc/a").exists());
    std::fs::remove_file(rig.data().join("simulated-failures")).unwrap();
    rig.report_where("it is retried by itself", |report| {
        report.convergence == Convergence::Converged
    });
}

#[test]
fn alone_with_a_failing_state_the_last_good_one_is_enforced_until_somebody_is_there() {
    let mut rig = Rig::with_audit(Duration::from_millis(50));
    let good = rig.file("/etc/a", "good");
    let state = rig.config(vec![good]);
    rig.converge(&state, 1);
    let file = rig.file("/etc/a", "newer");
    let service = service(&mut rig, "pmta");
    std::fs::write(rig.data().join("simulated-failures"), "service:pmta\n").unwrap();
    let state = rig.config(vec![file, service]);
    let report = rig.offer(&state, 2);
    assert_eq!(report.generations.running, Some(generation(2)));
    assert_eq!(report.generations.last_good, Some(generation(1)));
    rig.tell(ToExecutor::Disconnected);
    wait_for("the last good state is enforced", || {
        std::fs::read(rig.at("/etc/a")).is_ok_and(|bytes| bytes == b"good")
    });
    rig.begin_session();
    let report = rig.report_where("the accepted one is tried again", |report| {
        report.generations.running == Some(generation(2))
    });
    assert_eq!(report.generations.accepted, Some(generation(2)));
    wait_for("the accepted one is enforced", || {
        std::fs::read(rig.at("/etc/a")).is_ok_and(|bytes| bytes == b"newer")
    });
}

#[test]
fn a_host_that_slept_gets_only_the_last() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "1");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    let asked = rig.bodies_asked;
    let file = rig.file("/etc/a", "90");
    let config = rig.config(vec![file]);
    let report = rig.converge(&config, 90);
    assert_eq!(report.generations.last_good, Some(generation(90)));
    assert_eq!(rig.bodies_asked - asked, 2);
}

#[test]
fn guarded_commands_run_when_they_are_needed_and_are_only_simulated() {
    let mut rig = Rig::new();
    let step = |rig: &mut Rig, name: &str, guard: Guard| {
        let mut made = rig.file("/x", "x");
        made.id = ResourceId::new(format!("step:{name}")).unwrap();
        made.spec = Spec::Step(StepSpec {
            command: CommandLine {
                program: HostPath::new("/usr/bin/touch").unwrap(),
                arguments: vec![rig.dir.path().join("proof").display().to_string()],
            },
            guard,
            timeout_seconds: 10,
            success_codes: vec![0],
        });
        made
    };
    let once = Guard::Creates(HostPath::new("/var/lib/made").unwrap());
    let once = step(&mut rig, "once", once);
    let told = step(&mut rig, "told", Guard::Notified);
    let runs = |rig: &Rig| {
        let text = std::fs::read_to_string(rig.data().join("simulated.toml")).unwrap();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| line.contains("step:"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    for (number, expected) in [(1, "1"), (2, "2")] {
        let mut file = rig.file("/etc/a", &number.to_string());
        file.notify.push(told.id.clone());
        let config = rig.config(vec![file, once.clone(), told.clone()]);
        let report = rig.converge(&config, number);
        assert_eq!(report.counts.simulated, 2);
        let told = format!("\"step:told\" = {expected}");
        assert_eq!(runs(&rig), ["\"step:once\" = 1", told.as_str()]);
    }
    assert!(!rig.dir.path().join("proof").exists());
}
