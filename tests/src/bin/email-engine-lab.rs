//! Keeps lab hosts switched on for somebody at a keyboard; `tests/lab/up` starts it where nobody else
//! has its addresses. And lets one command run on a host of its own, for measurements.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use email_engine_tests::lab::{Guest, World};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: email-engine-lab bare|founded|deployed FOLDER
       email-engine-lab run BASE ADDRESS FOLDER PLACE COMMAND...";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [run, base, address, folder, place, command @ ..] = words.as_slice()
        && run == "run"
    {
        return run_there(base, address, folder, place, command).await;
    }
    let [stage, folder] = words.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !["bare", "founded", "deployed"].contains(&stage.as_str()) {
        eprintln!("email-engine-lab: '{stage}' is no stage\n{USAGE}");
        return ExitCode::from(2);
    }
    // First, so that whoever gives up early is heard: what is on is switched off by its own end.
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt()]
        .map(|kind| signal(kind).expect("signals can be listened for on Linux"));
    let [term, interrupt] = &mut ends;
    tokio::select! {
        done = keep(stage, Path::new(folder)) => done,
        _ = term.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
    }
}

/// Brings the lab to a stage, writes down where its doors are, and keeps it.
async fn keep(stage: &str, folder: &Path) -> ExitCode {
    let Some(mut world) = World::bare().await else {
        return ExitCode::FAILURE;
    };
    println!("seven machines run");
    if stage != "bare" {
        world.found().await;
        println!("three of them are a cluster");
    }
    if stage == "deployed" {
        let output = world.deploy(World::FLEET).await;
        let mut out = std::io::stdout();
        let _ = out.write_all(&output.stderr);
        let _ = out.write_all(&output.stdout);
        println!("deploy ended with {}; the machines stay on", output.status);
        if output.status.success() {
            world.publish();
        }
    }
    let links = [("doors", world.doors())];
    let context = (stage != "bare").then(|| ("admin.toml", world.operator().context().to_owned()));
    for (name, place) in links.into_iter().chain(context) {
        if let Err(error) = std::os::unix::fs::symlink(&place, folder.join(name)) {
            eprintln!("email-engine-lab: {name} cannot be written down: {error}");
            return ExitCode::FAILURE;
        }
    }
    println!("ready");
    std::future::pending().await
}

/// Boots a host from a base, puts a folder at a place of it, and runs a command there.
async fn run_there(
    base: &str,
    address: &str,
    folder: &str,
    place: &str,
    command: &[String],
) -> ExitCode {
    // Whoever asks for a name is told at once that nobody answers.
    let guest = Guest::boot("bench", Path::new(base), &[address], "127.0.0.1").await;
    let copied = Command::new("cp")
        .args(["-a", folder])
        .arg(guest.file(place))
        .status();
    if !copied.is_ok_and(|status| status.success()) {
        eprintln!("email-engine-lab: {folder} cannot be copied");
        return ExitCode::FAILURE;
    }
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match guest.try_run(&words) {
        Ok(output) => {
            let _ = std::io::stdout().write_all(&output.stdout);
            let _ = std::io::stderr().write_all(&output.stderr);
            let code = output
                .status
                .code()
                .and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(1))
        }
        Err(error) => {
            eprintln!("email-engine-lab: {error}");
            ExitCode::FAILURE
        }
    }
}
