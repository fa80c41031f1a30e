//! `email-engine` as a process: exit codes, and processes that do not outlive their parent.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_email-engine");

fn email_engine(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env_remove("EMAIL_ENGINE_CONTEXT")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A context whose only end point is a port where nobody listens.
fn write_context(path: &Path, mode: u32) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let text = format!(
        "cluster = \"{}\"\napi_key = \"eek1.admin.hunter2\"\nca_pem = '''\n{ca}'''\n\
         [[endpoints]]\nurl = \"https://{}\"\n",
        "01".repeat(16),
        listener.local_addr().unwrap()
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_wrong_command_line_exits_64_and_help_0() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["frobnicate"][..], &["plan"], &["token", "create"]] {
        let output = email_engine(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    }
    let output = email_engine(folder.path(), &["plan", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(
        help.contains("Exit code 0 when nothing would change, 2"),
        "{help}"
    );
}

#[test]
fn a_fault_in_the_fleet_file_is_shown_before_anything_else_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[hosts]]\nid = \"pmta1\"\nroll = \"powermta\"\n";
    fs::write(folder.path().join("fleet.toml"), text).unwrap();
    for command in ["plan", "apply"] {
        let output = email_engine(folder.path(), &[command, "-f", "fleet.toml"]);
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(
            said.contains("fleet.toml:3:1: unknown field `roll`"),
            "{said}"
        );
        assert!(said.contains("3 | roll = \"powermta\"\n  | ^^^^"), "{said}");
    }
}

#[test]
fn a_cluster_that_nobody_answers_for_exits_5_and_names_who_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("admin.toml");
    write_context(&context, 0o600);
    let context = context.to_str().unwrap();
    let output = email_engine(folder.path(), &["--context", context, "status"]);
    assert_eq!(output.status.code(), Some(5));
    let said = said(&output);
    assert!(
        said.contains("no node of the cluster answers\n  https://127.0.0.1:"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_context_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("admin.toml");
    write_context(&context, 0o640);
    let output = email_engine(
        folder.path(),
        &["--context", context.to_str().unwrap(), "hosts"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("chmod 600"), "{}", said(&output));
}

#[test]
fn what_follows_its_parent_dies_with_it() {
    let script = format!("{PROGRAM} follow-parent $$ -- sleep 300 & echo $!; wait");
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let child = line.trim().to_owned();
    until("it has become the program", || name(&child) == "sleep");
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("it is gone", || {
        matches!(name(&child).as_str(), "" | "zombie")
    });
}

#[test]
fn what_follows_somebody_else_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let output = email_engine(
        folder.path(),
        &["follow-parent", "1", "--", "touch", "made"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(!folder.path().join("made").exists());
}

/// Name of a process; empty when it is gone.
fn name(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((before, after)) = text.rsplit_once(')') else {
        return String::new();
    };
    if after.trim_start().starts_with('Z') {
        return "zombie".to_owned();
    }
    before
        .split_once('(')
        .map_or("", |(_, name)| name)
        .to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_configuration_is_checked_without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("good", "log-rotate 8\n");
    write(
        "bad",
        "<virtual-mta a>\n  smtp-source-host a.example.com 192.0.2.1\n</virtual-mta>\n",
    );
    let run = |arguments: &[&str]| {
        let output = email_engine(folder.path(), &[&["pmta"], arguments].concat());
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), stdout)
    };
    assert_eq!(run(&["lint", "good", "--part"]).0, Some(0));
    assert_eq!(run(&["lint", "none"]).0, Some(1));
    assert_eq!(run(&["lint", "good", "--version", "3.5"]).0, Some(64));
    // What is missing in the whole is an error.
    assert_eq!(run(&["lint", "good"]).0, Some(2));
    let (code, text) = run(&[
        "lint",
        "bad",
        "--part",
        "--output",
        "json",
        "--version",
        "4.5",
    ]);
    assert_eq!(code, Some(2), "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&answer["version"], &answer["errors"]),
        (&"4.5".into(), &1.into())
    );
    let finding = &answer["findings"][0];
    assert_eq!(finding["code"], "PM201");
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&2.into(), &3.into())
    );
    let (code, text) = run(&["lint", "good", "--part", "--against", "bad"]);
    assert!(code == Some(2) && text.contains("PM110"), "{text}");
    assert!(run(&["explain", "pm201"]).1.contains("comes first"));
    assert_eq!(run(&["explain", "PM999"]).0, Some(1));
}

#[test]
fn a_configuration_from_another_program_is_checked_by_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["pmta", "lint", "-", "--part"])
        .env_remove("EMAIL_ENGINE_CONTEXT")
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "<virtual-mta a>\n  smtp-source-host a.example.com 192.0.2.1\n</virtual-mta>\n";
    // Closed when it is dropped, which is the end of what is read.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("stdin:2:3"), "{shown}");
}

#[test]
fn an_earlier_configuration_becomes_a_new_file_and_nothing_of_it_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = include_str!("planner/golden/import.conf");
    fs::write(folder.path().join("config"), earlier).unwrap();
    let import = |more: &[&str]| {
        let arguments = [&["pmta", "import", "config"], more].concat();
        email_engine(folder.path(), &arguments)
    };
    let shown = import(&[]);
    assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(
        table.contains("config:14") && table.contains("keys and passwords"),
        "{table}"
    );
    assert!(
        table.ends_with("nothing is written without --out FILE\n"),
        "{table}"
    );
    let written = import(&["--out", "base.toml"]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    let base = fs::read_to_string(folder.path().join("base.toml")).unwrap();
    let golden = include_str!("planner/golden/import.base");
    let undated = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("checked = "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(undated(&base), undated(golden));
    let again = import(&["--out", "base.toml"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        said(&again).contains("cannot write base.toml"),
        "{}",
        said(&again)
    );
    let json = import(&["--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    for (list, least) in [("taken", 40), ("changed", 8), ("dropped", 40)] {
        assert!(json[list].as_array().unwrap().len() >= least, "{list}");
    }
    let absent = email_engine(folder.path(), &["pmta", "import", "absent"]);
    assert_eq!(absent.status.code(), Some(1));
}
