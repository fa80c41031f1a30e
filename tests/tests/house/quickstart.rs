//! `deploy/quickstart` on a made-up machine whose `cargo` builds nothing: it notes how it was called
//! and puts stand-ins where the programs would be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::machine::{Machine, said};

/// Builds what it is asked to build, and chatters on stdout as a build does. The stand-in of
/// `email-engine` answers with its arguments, one in each pair of brackets, and ends as an unconverged
/// trial.
const CARGO: &str = r#"
case "$*" in
    --version) echo 'cargo 1.999.0' ;;
    *build*-p\ email-engine-coordinator*)
        mkdir -p "$CARGO_TARGET_DIR/release"
        printf '#!%s\nprintf "[%%s]" "$@"\nexit 1\n' "${PATH%%:*}/bash" \
            >"$CARGO_TARGET_DIR/release/email-engine"
        chmod 755 "$CARGO_TARGET_DIR/release/email-engine"
        ;;
    *build*-p\ email-engine-agent*) : >"$CARGO_TARGET_DIR/release/email-engine-agent" ;;
    *build*-p\ email-engine-bootstrap*) : >"$CARGO_TARGET_DIR/release/email-engine-bootstrap" ;;
    *) exit 101 ;;
esac
echo "   Compiling something"
"#;

/// A machine that lacks nothing. The library that is slow to make is made already.
fn machine() -> Machine {
    let machine = Machine::new();
    let own = |name: &str| machine.path().join(name);
    let (cache, rocksdb) = (machine.place().join("cache"), own("rocksdb"));
    machine.noting("cargo", CARGO);
    machine.command("cc", "");
    machine.command("c++", "");
    machine
        .with("EMAIL_ENGINE_CACHE", cache)
        .with("ROCKSDB_LIB_DIR", rocksdb)
        .with("LIBCLANG_PATH", "libclang")
        .with_apt("")
}

fn quickstart(machine: &Machine, arguments: &[&str]) -> Output {
    machine.run("deploy/quickstart", arguments)
}

fn answered(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

/// The calls of one program.
fn calls_of(machine: &Machine, name: &str) -> Vec<String> {
    let calls = machine.calls();
    let own = calls.lines().filter(|line| line.starts_with(name));
    own.map(str::to_owned).collect()
}

fn builds(machine: &Machine) -> usize {
    let calls = calls_of(machine, "cargo build");
    assert!(
        calls
            .iter()
            .all(|call| call.contains(" --release --locked ")),
        "{calls:?}"
    );
    calls.len()
}

#[test]
fn build_only_prints_the_folder_of_the_programs_last_and_starts_nothing() {
    let machine = machine();
    let output = quickstart(&machine, &["--build-only"]);
    ends(&output, 0);
    let text = answered(&output);
    let folder = PathBuf::from(text.lines().last().unwrap());
    let targets = machine.place().join("cache/targets");
    assert!(
        folder.starts_with(targets.canonicalize().unwrap()),
        "{text}"
    );
    for program in [
        "email-engine",
        "email-engine-agent",
        "email-engine-bootstrap",
    ] {
        assert!(folder.join(program).exists(), "no {program} in {text}");
    }
    assert_eq!(builds(&machine), 3, "{}", machine.calls());
    assert_eq!(calls_of(&machine, "apt-get"), Vec::<String>::new());
    assert!(!text.contains("[trial]"), "{text}");
}

#[test]
fn a_build_folder_named_from_where_one_stands_is_printed_whole() {
    let machine = machine().with("CARGO_TARGET_DIR", "built");
    let output = quickstart(&machine, &["--build-only"]);
    ends(&output, 0);
    let folder = machine
        .place()
        .join("built/release")
        .canonicalize()
        .unwrap();
    let text = answered(&output);
    assert_eq!(text.lines().last().map(Path::new), Some(&*folder));
}

#[test]
fn everything_after_the_dashes_goes_to_a_trial_that_runs_in_the_foreground() {
    let machine = machine();
    let output = quickstart(
        &machine,
        &["--", "--once", "--dir", "my trial", "--build-only"],
    );
    // What it answers and how it ends is the script's answer and end.
    ends(&output, 1);
    assert_eq!(
        answered(&output),
        "[trial][--once][--dir][my trial][--build-only]"
    );
    let plain = quickstart(&machine, &[]);
    ends(&plain, 1);
    assert_eq!(answered(&plain), "[trial]");
}

#[test]
fn what_a_build_needs_is_installed_before_it_and_said_with_its_reason() {
    let machine = machine();
    fs::remove_file(machine.path().join("cc")).unwrap();
    let output = quickstart(&machine, &["--build-only"]);
    ends(&output, 0);
    let said = said(&output);
    assert!(said.contains("missing: gcc - links every Rust"), "{said}");
    let calls = machine.calls();
    let at = |what: &str| {
        calls
            .find(what)
            .unwrap_or_else(|| panic!("no {what}: {calls}"))
    };
    assert!(at("apt-get ") < at("cargo build"), "{calls}");
    assert!(
        calls.contains("install -y --no-install-recommends gcc\n"),
        "{calls}"
    );
}

#[test]
fn no_install_names_what_is_missing_and_builds_nothing() {
    let machine = machine();
    fs::remove_file(machine.path().join("cc")).unwrap();
    let output = quickstart(&machine, &["--no-install", "--build-only"]);
    ends(&output, 3);
    let said = said(&output);
    assert!(said.contains("missing: gcc"), "{said}");
    assert!(said.contains("    apt-get install -y"), "{said}");
    assert_eq!((builds(&machine), answered(&output)), (0, String::new()));
    assert_eq!(calls_of(&machine, "apt-get"), Vec::<String>::new());

    // Where nothing is missing it is no hindrance.
    machine.command("cc", "");
    ends(&quickstart(&machine, &["--no-install", "--build-only"]), 0);
}

#[test]
fn a_build_that_fails_starts_nothing() {
    let machine = machine();
    machine.noting(
        "cargo",
        "[ \"$1\" != --version ] || { echo 'cargo 1.999.0'; exit; }; exit 101",
    );
    let output = quickstart(&machine, &[]);
    ends(&output, 101);
    assert_eq!((builds(&machine), answered(&output)), (1, String::new()));
}

#[test]
fn an_unknown_option_is_refused_with_the_known_ones_before_anything_is_done() {
    let machine = machine();
    let output = quickstart(&machine, &["--once"]);
    ends(&output, 2);
    let said = said(&output);
    assert!(said.contains("unknown option '--once' (options of the trial go after --)"));
    assert!(said.contains("--no-install") && said.contains("--build-only"));
    assert_eq!(machine.calls(), "");
}

#[test]
fn without_a_new_enough_cargo_it_says_how_to_get_one_and_installs_nothing() {
    let machine = machine();
    fs::remove_file(machine.path().join("cc")).unwrap();
    machine.noting("cargo", "echo 'cargo 1.63.0'");
    let output = quickstart(&machine, &[]);
    ends(&output, 1);
    let text = said(&output);
    assert!(text.contains("cargo is version 1.63.0"), "{text}");
    assert!(text.contains("https://sh.rustup.rs"), "{text}");

    fs::remove_file(machine.path().join("cargo")).unwrap();
    let output = quickstart(&machine, &[]);
    ends(&output, 1);
    let text = said(&output);
    assert!(text.contains("cargo was not found"), "{text}");
    assert!(text.contains("https://sh.rustup.rs"), "{text}");
    assert_eq!(builds(&machine), 0);
    assert_eq!(calls_of(&machine, "apt-get"), Vec::<String>::new());
}
