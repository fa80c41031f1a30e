//! `deploy/toolchain/ensure-packages` against a made-up machine: a PATH that holds nothing but what
//! the script itself uses, and an `apt-get` that only writes down how it was called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::source::root;

/// A folder that is the whole PATH of the script.
struct Machine {
    path: TempDir,
}

impl Machine {
    fn new() -> Self {
        let path = TempDir::new().unwrap();
        for tool in ["bash", "cat", "dirname", "env", "grep", "tee"] {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let real = found.iter().find(|file| file.exists()).expect(tool);
            symlink(real, path.path().join(tool)).unwrap();
        }
        let machine = Self { path };
        machine.command("id", "echo 0");
        machine
    }

    fn command(&self, name: &str, body: &str) {
        let file = self.path.path().join(name);
        fs::write(
            &file,
            format!("#!{}/bash\n{body}\n", self.path.path().display()),
        )
        .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn with_apt(self, body: &str) -> Self {
        let log = self.path.path().join("apt.log");
        self.command(
            "apt-get",
            &format!("echo \"$*\" >>'{}'\n{body}", log.display()),
        );
        self
    }

    fn apt_calls(&self) -> String {
        fs::read_to_string(self.path.path().join("apt.log")).unwrap_or_default()
    }

    fn ensure(&self, arguments: &[&str]) -> Output {
        Command::new(self.path.path().join("bash"))
            .arg(root().join("deploy/toolchain/ensure-packages"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path.path())
            .output()
            .unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_missing_package_is_named_with_its_reason_and_installed() {
    let machine = Machine::new().with_apt("");
    let output = machine.ensure(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("missing: gcc - links every Rust program"),
        "{}",
        said(&output)
    );
    let calls = machine.apt_calls();
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
    let output = machine.ensure(&["--no-install", "--tests"]);
    assert_eq!(output.status.code(), Some(3));
    let said = said(&output);
    assert!(
        said.contains("    apt-get install -y --no-install-recommends gcc"),
        "{said}"
    );
    assert!(said.contains("missing: shellcheck"), "{said}");
    assert_eq!(machine.apt_calls(), "");
}

#[test]
fn a_failed_install_is_tried_again_with_fresh_lists_and_then_reported() {
    let machine = Machine::new().with_apt("exit 100");
    let output = machine.ensure(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        machine.apt_calls().contains(" update\n"),
        "{}",
        machine.apt_calls()
    );
    assert!(
        said(&output).contains("could not install"),
        "{}",
        said(&output)
    );
}

#[test]
fn without_apt_the_needs_are_named_in_words() {
    let output = Machine::new().ensure(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("no apt-get"), "{}", said(&output));
}

#[test]
fn who_is_not_root_goes_through_sudo_or_is_told_the_command() {
    let machine = Machine::new().with_apt("");
    machine.command("id", "echo 1000");
    let output = machine.ensure(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(machine.apt_calls(), "");
    machine.command("sudo", "exec \"$@\"");
    let output = machine.ensure(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        machine.apt_calls().contains("gcc"),
        "{}",
        machine.apt_calls()
    );
}

#[test]
fn an_unknown_option_is_refused_with_the_known_ones() {
    let output = Machine::new().ensure(&["--instal"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("'--instal' (known: --tests, --no-install)"));
}
