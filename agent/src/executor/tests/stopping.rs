//! An end that does not wait for ever for what is under way.

use std::path::Path;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{CommandLine, Guard, HostPath, Resource, Spec, StepSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::Convergence;

use super::rig::{PATIENCE, Rig, generation, wait_for};
use crate::host::{Cabinet, Machine};

fn step(rig: &mut Rig, name: &str, script: &str) -> Resource {
    let mut made = rig.file("/x", "x");
    made.id = ResourceId::new(format!("step:{name}")).unwrap();
    made.spec = Spec::Step(StepSpec {
        command: CommandLine {
            program: HostPath::new("/bin/sh").unwrap(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        },
        guard: Guard::Creates(HostPath::new(format!("/made-by-{name}")).unwrap()),
        timeout_seconds: 600,
        success_codes: Vec::new(),
    });
    made
}

/// Ends the step that was left to itself.
fn end(pid: &Path) {
    let pid: i32 = std::fs::read_to_string(pid)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let group = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_command_that_outlasts_the_grace_is_left_noted_and_done_again_by_the_next_life() {
    let mut rig = Rig::with_audit(Duration::from_millis(500));
    let machine = Machine::with_programs(&rig.root());
    rig.restart_on(machine);
    let root = rig.root().display().to_string();
    let script =
        format!("test -e {root}/slow && echo $$ > {root}/pid && sleep 600; touch {root}/made-by-a");
    let long = step(&mut rig, "a", &script);
    let next = step(&mut rig, "b", &format!("touch {root}/made-by-b"));
    let config = rig.config(vec![long, next]);
    std::fs::write(rig.at("/slow"), "").unwrap();
    rig.offer_quietly(&config, 1);
    let pid = rig.at("/pid");
    wait_for("the command is under way", || {
        std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    let begin = Instant::now();
    rig.stop_within(Duration::from_millis(50));
    assert!(begin.elapsed() < PATIENCE, "the command is not waited for");
    end(&pid);
    std::fs::remove_file(rig.at("/slow")).unwrap();
    // The thread of the former life sees the end of its command, and begins nothing new.
    rig.wait_gone();
    assert!(!rig.at("/made-by-b").exists());

    let cabinet = Cabinet::open(&rig.data()).unwrap();
    let noted: Option<ResourceId> = cabinet.read("interrupted").unwrap();
    assert_eq!(noted.unwrap().as_str(), "step:a");

    let machine = Machine::with_programs(&rig.root());
    rig.restart_on(machine);
    let report = rig.report_where("it is done again", |report| {
        report.generations.last_good == Some(generation(1))
    });
    // Done again before the session began, and told all the same, until the next audit.
    let attempt = report.generations.attempted.unwrap();
    assert_eq!(attempt.generation, generation(1));
    assert!(
        attempt.reason.starts_with("step:a: interrupted"),
        "{}",
        attempt.reason
    );
    rig.report_where("it is over", |report| {
        report.generations.attempted.is_none() && report.convergence == Convergence::Converged
    });
    assert!(!rig.data().join("interrupted").exists(), "it was said");
    assert!(rig.at("/made-by-a").exists() && rig.at("/made-by-b").exists());
}

#[test]
fn a_command_that_ends_within_the_grace_is_waited_for() {
    let mut rig = Rig::new();
    let machine = Machine::with_programs(&rig.root());
    rig.restart_on(machine);
    let root = rig.root().display().to_string();
    // Ends when the test says so, which is after the wish to stop.
    let script = format!(
        "echo $$ > {root}/pid; while ! test -e {root}/go; do sleep 0.01; done; touch {root}/made-by-a"
    );
    let made = step(&mut rig, "a", &script);
    let config = rig.config(vec![made]);
    rig.offer_quietly(&config, 1);
    wait_for("the command is under way", || rig.at("/pid").exists());
    let go = rig.at("/go");
    let stopping = rig.under_way();
    let release = std::thread::spawn(move || {
        wait_for("the executor is asked to stop", || stopping.is_stopping());
        std::fs::write(go, "").unwrap();
    });
    rig.stop_within(PATIENCE);
    release.join().unwrap();
    assert!(rig.at("/made-by-a").exists());
    assert!(!rig.data().join("interrupted").exists());
}
