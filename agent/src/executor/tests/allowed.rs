//! What the host's own list refuses, and what it does not keep from being mended.

use email_engine_protocol::desired::{CommandLine, Guard, HostPath, Spec, StepSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{Convergence, HostReport, Stage};

use super::rig::{Rig, generation, wait_for};
use crate::allow::PathRule;

fn only_etc(rig: &mut Rig) {
    rig.allow.paths = vec![PathRule::Below(Some(HostPath::new("/etc").unwrap()))];
    rig.allow.commands = Vec::new();
    rig.restart();
}

fn assert_refused(report: &HostReport, reason: &str) {
    let attempt = report.generations.attempted.as_ref().unwrap();
    assert_eq!(attempt.stage, Stage::Accept);
    assert!(attempt.reason.contains(reason), "{}", attempt.reason);
    assert_eq!(report.generations.accepted, Some(generation(1)));
    assert_eq!(report.convergence, Convergence::Converged);
}

#[test]
fn a_state_outside_the_list_is_refused_whole_and_nothing_is_changed() {
    let mut rig = Rig::new();
    only_etc(&mut rig);
    let file = rig.file("/etc/a", "good");
    let good = rig.config(vec![file]);
    rig.converge(&good, 1);
    let inside = rig.file("/etc/a", "new");
    let outside = rig.file("/usr/bin/tool", "planted");
    let config = rig.config(vec![inside.clone(), outside]);
    let report = rig.offer(&config, 2);
    assert_refused(
        &report,
        "file:/usr/bin/tool: no entry of `paths` in the rig's list allows /usr/bin/tool",
    );
    let mut step = rig.file("/x", "x");
    step.id = ResourceId::new("step:run").unwrap();
    step.spec = Spec::Step(StepSpec {
        command: CommandLine {
            program: HostPath::new("/bin/sh").unwrap(),
            arguments: vec!["-c".to_owned(), "true".to_owned()],
        },
        guard: Guard::Notified,
        timeout_seconds: 1,
        success_codes: Vec::new(),
    });
    let config = rig.config(vec![inside, step]);
    let report = rig.offer(&config, 3);
    assert_refused(
        &report,
        "`commands` in the rig's list allows `/bin/sh -c true`",
    );
    assert_eq!(std::fs::read(rig.at("/etc/a")).unwrap(), b"good");
    assert!(!rig.at("/usr").exists());
}

#[test]
fn the_agents_own_files_are_refused_although_everything_is_listed() {
    let mut rig = Rig::new();
    rig.allow.own = [HostPath::new("/etc/agent/keys").unwrap()].into();
    rig.restart();
    let file = rig.file("/etc/a", "good");
    let good = rig.config(vec![file]);
    rig.converge(&good, 1);
    for (number, path) in [
        (2, "/etc/agent/keys"),
        (3, "/etc/agent"),
        (4, "/etc/agent/keys/x"),
    ] {
        let file = rig.file(path, "planted");
        let config = rig.config(vec![file]);
        let report = rig.offer(&config, number);
        assert_refused(&report, "the agent's own /etc/agent/keys");
    }
    assert!(!rig.at("/etc/agent").exists());
}

#[test]
fn a_list_that_was_mended_lets_the_same_generation_in() {
    let mut rig = Rig::new();
    only_etc(&mut rig);
    let file = rig.file("/etc/a", "good");
    let good = rig.config(vec![file]);
    rig.converge(&good, 1);
    let file = rig.file("/srv/b", "wanted");
    let mut config = rig.config(vec![file]);
    config.large_removal = true;
    let report = rig.offer(&config, 2);
    assert_refused(&report, "/srv/b");
    rig.allow.paths.push(PathRule::Below(None));
    rig.restart();
    let report = rig.report_where("nothing is held against it", |_| true);
    assert_eq!(report.generations.attempted, None);
    rig.converge(&config, 2);
    assert_eq!(std::fs::read(rig.at("/srv/b")).unwrap(), b"wanted");
}

#[test]
fn a_list_that_was_narrowed_stops_what_it_no_longer_allows() {
    let mut rig = Rig::new();
    let file = rig.file("/srv/b", "wanted");
    let config = rig.config(vec![file]);
    rig.converge(&config, 1);
    only_etc(&mut rig);
    let report = rig.report_where("it says so", |report| {
        report.generations.attempted.is_some()
    });
    assert_eq!(report.convergence, Convergence::Degraded);
    assert_eq!(report.generations.running, None);
    assert_eq!(std::fs::read(rig.at("/srv/b")).unwrap(), b"wanted");
}

#[test]
fn an_offer_that_cannot_be_had_does_not_keep_the_host_from_mending() {
    let mut rig = Rig::with_audit(std::time::Duration::from_millis(50));
    let file = rig.file("/etc/a", "good");
    let key = rig.secret_file("/etc/key", "dkim/a", 1, "hunter2");
    let config = rig.config(vec![file, key]);
    rig.converge(&config, 1);
    let file = rig.file("/etc/a", "never to be had");
    let mut stuck = rig.config(vec![file]);
    stuck.large_removal = true;
    let target = rig.target(&stuck, generation(2));
    rig.bodies.remove(&target.digest);
    let report = rig.offer_target(&target);
    assert_eq!(report.generations.attempted.unwrap().stage, Stage::Fetch);
    // Body and secret rot on the disk while the offer waits.
    for folder in ["bodies", "secrets"] {
        for entry in std::fs::read_dir(rig.data().join("ledger").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::write(path, "rot").unwrap();
        }
    }
    for path in ["/etc/a", "/etc/key"] {
        std::fs::remove_file(rig.at(path)).unwrap();
    }
    rig.report_where("what is enforced is whole again", |report| {
        report.counts.converged == 2 && report.repairs >= 2
    });
    wait_for("both are back", || {
        std::fs::read(rig.at("/etc/a")).is_ok_and(|bytes| bytes == b"good")
            && std::fs::read(rig.at("/etc/key")).is_ok_and(|bytes| bytes == b"hunter2")
    });
    // And the offer is taken once it can be had.
    rig.target(&stuck, generation(2));
    rig.report_where("the offer is taken", |report| {
        report.generations.last_good == Some(generation(2))
    });
}

#[test]
fn the_agents_own_files_are_refused_by_names_that_nobody_listed() {
    let mut rig = Rig::new();
    let file = rig.file("/etc/a", "good");
    let good = rig.config(vec![file]);
    rig.converge(&good, 1);
    let keys = rig.at("/lib/agent/keys");
    std::fs::create_dir_all(keys.parent().unwrap()).unwrap();
    std::fs::write(&keys, "secret").unwrap();
    std::os::unix::fs::symlink("/lib", rig.at("/srv")).unwrap();
    std::fs::hard_link(&keys, rig.at("/etc/linked")).unwrap();
    rig.own = vec![rig.at("/lib/agent")];
    rig.restart();
    for (number, path) in [
        (2, "/srv/agent/keys"),
        (3, "/srv/agent/new/file"),
        (4, "/srv/agent"),
        (5, "/etc/linked"),
    ] {
        let file = rig.file("/etc/a", "good");
        let planted = rig.file(path, "planted");
        let mut config = rig.config(vec![file, planted]);
        config.large_removal = true;
        let report = rig.offer(&config, number);
        let attempt = report.generations.attempted.unwrap();
        assert_eq!(attempt.stage, Stage::Apply);
        assert!(
            attempt.reason.contains("the agent's own"),
            "{}",
            attempt.reason
        );
        assert_eq!(report.generations.last_good, Some(generation(1)));
    }
    assert_eq!(std::fs::read(&keys).unwrap(), b"secret");
    assert_eq!(
        std::fs::read_dir(keys.parent().unwrap()).unwrap().count(),
        1
    );
    // Nor does it go when it is no longer wanted.
    let mut good = good;
    good.large_removal = true;
    rig.converge(&good, 6);
    assert_eq!(std::fs::read(&keys).unwrap(), b"secret");
}
