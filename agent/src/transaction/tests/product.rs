//! A product that is there: its words, its exit codes, its answers.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use email_engine_protocol::desired::{Expectation, Holds, HostPath, Probe, TransactionSpec};

use super::bed::{Bed, failure, files};
use super::{check, shell};

const GOOD: [(&str, &str); 2] = [("key", "KEY-1"), ("config", "good")];
const NEXT: [(&str, &str); 2] = [("key", "KEY-2"), ("config", "next")];

/// A product whose test refuses the word `bad`, and that remembers what it was told to read.
fn product(bed: &Bed) -> impl Fn(&mut TransactionSpec) + use<> {
    let config = bed.place("config").display().to_string();
    let running = bed.dir.path().join("running").display().to_string();
    move |spec: &mut TransactionSpec| {
        let refuse = format!(
            "grep -q bad {config} && {{ echo 'Parse error in line 1 of {config}: unknown directive'; }}; exit 0"
        );
        spec.test = check(&refuse);
        spec.activate = check(&format!("cat {config} > {running}"));
        spec.unit = None;
    }
}

fn running(bed: &Bed) -> String {
    std::fs::read_to_string(bed.dir.path().join("running")).unwrap_or_default()
}

/// A bed with the good content in force, and why the next one is refused.
fn refusal(change: impl FnOnce(&mut TransactionSpec)) -> String {
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let good = bed.state_with(&GOOD, &product);
    assert!(bed.accept(&good).is_good());
    assert_eq!(running(&bed), "good");
    let next = bed.state_with(&NEXT, |spec| {
        product(spec);
        change(spec);
    });
    let reason = failure(&bed.accept(&next)).to_owned();
    assert_eq!(bed.files(), files(&GOOD));
    assert_eq!(
        running(&bed),
        "good",
        "what was there before is in force again"
    );
    reason
}

#[test]
fn words_refuse_a_content_although_the_code_does_not() {
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let good = bed.state_with(&GOOD, &product);
    assert!(bed.accept(&good).is_good());
    let bad = bed.state_with(&[("key", "KEY-2"), ("config", "bad")], &product);
    let outcome = bed.accept(&bad);
    let reason = failure(&outcome);
    assert!(
        reason.contains("ended with code 0: Parse error in line 1 of "),
        "{reason}"
    );
    assert_eq!(
        (bed.files(), running(&bed)),
        (files(&GOOD), "good".to_owned())
    );
}

#[test]
fn an_activation_that_does_not_say_that_it_was_done_is_none() {
    let silent = refusal(|spec| spec.activate.must_say.push("reloaded.".to_owned()));
    assert!(
        silent.contains("stage activate") && silent.contains("did not say \"reloaded.\""),
        "{silent}"
    );
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let state = bed.state_with(&GOOD, |spec| {
        product(spec);
        let script = spec.activate.command.arguments.pop().unwrap();
        let said = format!("{script}; echo Configuration reloaded.");
        spec.activate.command.arguments.push(said);
        spec.activate.must_say.push("reloaded.".to_owned());
    });
    assert!(bed.accept(&state).is_good());
}

#[test]
fn an_answer_of_an_unknown_form_is_no_answer() {
    let answer = |words: &str| Probe::Answer {
        command: shell(&format!("echo '{words}'")),
        seconds: 1,
        expect: vec![Expectation {
            pointer: "/data/status".to_owned(),
            holds: Holds::Equals("running".to_owned()),
        }],
    };
    let unknown = refusal(|spec| spec.read_back.push(answer("PowerMTA status: running")));
    assert!(unknown.contains("stage read-back"), "{unknown}");
    assert!(
        unknown.contains("its form is unknown: no JSON"),
        "{unknown}"
    );
    let renamed = refusal(|spec| {
        spec.read_back
            .push(answer(r#"{"data":{"state":"running"}}"#))
    });
    assert!(renamed.contains("nothing is at /data/status"), "{renamed}");
    let wrong = refusal(|spec| {
        spec.health
            .push(answer(r#"{"data":{"status":"stopping"}}"#))
    });
    assert!(wrong.contains("stage health"), "{wrong}");
    assert!(
        wrong.contains("is not \"running\": \"stopping\""),
        "{wrong}"
    );
}

#[test]
fn a_server_that_does_not_greet_as_it_should_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // One that is still starting is asked again.
        for line in ["421 not yet\r\n", "220 ready\r\n", "554 no\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(line.as_bytes()).unwrap();
        }
    });
    let greeting = |begins: &str, seconds: u32| Probe::Greeting {
        address,
        begins: begins.to_owned(),
        seconds,
    };
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let good = bed.state_with(&GOOD, |spec| {
        product(spec);
        spec.health.push(greeting("220", 20));
    });
    assert!(bed.accept(&good).is_good());
    let refused = refusal(|spec| spec.health.push(greeting("220", 1)));
    assert!(refused.contains(&format!("{address} ")), "{refused}");
    server.join().unwrap();
}

#[test]
fn a_program_that_is_not_there_refuses_nothing_and_is_tried_again() {
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let good = bed.state_with(&GOOD, &product);
    assert!(bed.accept(&good).is_good());
    let tool = bed.dir.path().join("tool");
    let next = bed.state_with(&NEXT, |spec| {
        product(spec);
        spec.test.command.program = HostPath::new(tool.display().to_string()).unwrap();
        spec.test.command.arguments.clear();
    });
    for _ in 0..2 {
        let outcome = bed.accept(&next);
        let reason = failure(&outcome);
        assert!(reason.contains("is tried again"), "{reason}");
        assert_eq!(bed.files(), files(&GOOD));
    }
    // Nor does one say anything that the machine ended, as it does when it goes down.
    std::fs::write(&tool, "#!/bin/sh\nkill -TERM $$\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = bed.accept(&next);
    let reason = failure(&outcome);
    assert!(
        reason.contains("signal 15") && reason.contains("is tried again"),
        "{reason}"
    );
    std::fs::remove_file(&tool).unwrap();
    std::os::unix::fs::symlink("/bin/true", &tool).unwrap();
    assert!(bed.accept(&next).is_good());
    assert_eq!(bed.files(), files(&NEXT));
}

#[test]
fn a_change_that_cannot_be_undone_is_told_and_undone_when_it_can_be() {
    let mut bed = Bed::with_programs();
    let product = product(&bed);
    let good = bed.state_with(&GOOD, &product);
    assert!(bed.accept(&good).is_good());
    let folder = bed.place("config").parent().unwrap().to_owned();
    let aside = folder.with_extension("aside");
    // The test takes the folder away and puts a file in its place.
    let script = format!(
        "mv {0} {1}; touch {0}; exit 1",
        folder.display(),
        aside.display()
    );
    let next = bed.state_with(&NEXT, |spec| {
        product(spec);
        spec.test = check(&script);
    });
    let outcome = bed.accept(&next);
    let reason = failure(&outcome);
    assert!(reason.contains("are not all back"), "{reason}");
    let again = bed.look(&next);
    assert!(failure(&again).contains("are not all back"), "{again:?}");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    let outcome = bed.look(&next);
    assert!(
        failure(&outcome).contains("was refused at stage test"),
        "{outcome:?}"
    );
    assert_eq!(bed.files(), files(&GOOD));
}
