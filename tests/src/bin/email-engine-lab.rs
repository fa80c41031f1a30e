//! Keeps lab hosts switched on for somebody at a keyboard; `tests/lab/up` starts it where nobody else
//! has its addresses.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use email_engine_tests::lab::World;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: email-engine-lab bare|founded|deployed FOLDER";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
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
    println!("six machines run");
    if stage != "bare" {
        world.found().await;
        println!("three of them are a cluster");
    }
    if stage == "deployed" {
        let output = world.deploy();
        let mut out = std::io::stdout();
        let _ = out.write_all(&output.stdout);
        let _ = out.write_all(&output.stderr);
        world.publish().await;
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
