//! `deploy/toolchain/ensure-packages` against a made-up machine, whose `apt-get` only writes down how
//! it was called.

use std::process::Output;

use crate::machine::{Machine, said};

fn ensure(machine: &Machine, arguments: &[&str]) -> Output {
    machine.run("deploy/toolchain/ensure-packages", arguments)
}

#[test]
fn a_missing_package_is_named_with_its_reason_and_installed() {
    let machine = Machine::new().with_apt("");
    let output = ensure(&machine, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("missing: gcc - links every Rust program"),
        "{}",
        said(&output)
    );
    let calls = machine.calls();
    assert!(
        calls.contains("install -y --no-install-recommends gcc"),
        "{calls}"
    );
    assert!(
        !calls.contains("shellcheck"),
        "only --tests asks for it: {calls}"
    );
    assert!(output.stdout.is_empty(), "stdout belongs to the caller");
}

#[test]
fn no_install_prints_the_command_and_changes_nothing() {
    let machine = Machine::new().with_apt("");
    let output = ensure(&machine, &["--no-install", "--tests"]);
    assert_eq!(output.status.code(), Some(3));
    let said = said(&output);
    assert!(
        said.contains("    apt-get install -y --no-install-recommends gcc"),
        "{said}"
    );
    assert!(said.contains("missing: shellcheck"), "{said}");
    assert_eq!(machine.calls(), "");
}

#[test]
fn a_failed_install_is_tried_again_with_fresh_lists_and_then_reported() {
    let machine = Machine::new().with_apt("exit 100");
    let output = ensure(&machine, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(machine.calls().contains(" update\n"), "{}", machine.calls());
    assert!(
        said(&output).contains("could not install"),
        "{}",
        said(&output)
    );
}

#[test]
fn without_apt_the_needs_are_named_in_words() {
    let output = ensure(&Machine::new(), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("no apt-get"), "{}", said(&output));
}

#[test]
fn who_is_not_root_goes_through_sudo_or_is_told_the_command() {
    let machine = Machine::new().with_apt("");
    machine.command("id", "echo 1000");
    let output = ensure(&machine, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(machine.calls(), "");
    machine.command("sudo", "exec \"$@\"");
    let output = ensure(&machine, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(machine.calls().contains("gcc"), "{}", machine.calls());
}

#[test]
fn an_unknown_option_is_refused_with_the_known_ones() {
    let output = ensure(&Machine::new(), &["--instal"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("'--instal' (known: --tests, --no-install)"));
}
