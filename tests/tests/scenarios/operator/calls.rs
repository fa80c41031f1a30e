//! What all commands share: the context that says which cluster is meant, and exit codes.
//!
//! The codes of `plan` (2) and `status` (0, 3, 4) are shown with those commands.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use email_engine_tests::{Fleet, Operator, samples};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test(flavor = "multi_thread")]
async fn the_context_is_named_by_argument_or_environment_and_the_argument_is_stronger() {
    let fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let nowhere = operator.folder().join("nowhere.toml");
    let nowhere = nowhere.to_str().unwrap();
    let refused = operator.notes(1, &["tenants", "--context", nowhere]);
    assert!(refused.contains(nowhere), "{refused}");
    let context = operator.context().to_str().unwrap();
    for arguments in [
        ["--context", context, "tenants"],
        ["tenants", "--context", context],
    ] {
        let mut command = operator.command(&arguments);
        let named = command
            .env("EMAIL_ENGINE_CONTEXT", nowhere)
            .output()
            .unwrap();
        assert_eq!(named.status.code(), Some(0), "{named:?}");
    }
    let mut command = operator.command(&["tenants"]);
    let refused = command
        .env("EMAIL_ENGINE_CONTEXT", nowhere)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_those_that_the_help_lists() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let operator = Operator::of(&fleet);
    let table = operator.prints(0, &["help-exit-codes"]);
    let listed = table.lines().skip(1).map(|line| {
        let number = line.trim_start().split("  ").next().unwrap();
        number.parse::<i32>().unwrap()
    });
    assert_eq!(listed.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 64, 130]);
    assert!(operator.prints(0, &["--help"]).contains(table.trim_end()));

    let _ = operator.prints(0, &["hosts"]);
    let refused = operator.notes(1, &["hosts", "show", "nobody"]);
    assert!(
        refused.starts_with("error: host \"nobody\" does not exist\n"),
        "{refused}"
    );
    let wrong = operator.notes(64, &["hosts", "shew"]);
    assert!(
        wrong.starts_with("error: unrecognized subcommand 'shew'\n"),
        "{wrong}"
    );
    assert_eq!(ended_by_ctrl_c(&operator), Some(130));

    fleet.nodes.get_mut(&1).unwrap().kill();
    for command in ["hosts", "status"] {
        let said = operator.notes(5, &["--request-timeout", "2", command]);
        let named = format!(
            "no node of the cluster answers\n  {}: ",
            fleet.nodes[&1].url()
        );
        assert!(said.contains(&named), "{said}");
    }
}

/// How a command ends that runs until somebody ends it.
fn ended_by_ctrl_c(operator: &Operator) -> Option<i32> {
    let mut watching = operator.command(&["status", "--watch"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(watching.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "Fleet: converging\n");
    let id = i32::try_from(watching.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    watching.wait().unwrap().code()
}
