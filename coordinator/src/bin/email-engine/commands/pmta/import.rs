//! `pmta import`: an earlier configuration becomes the fleet's base.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use email_engine_coordinator::powermta::providers::{Note, Verdict, import};
use email_engine_coordinator::powermta::schema::Version;

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, text};

/// Arguments of `pmta import`.
#[derive(Args, Debug)]
#[command(after_help = "\
Rules of receivers, lists of replies, categories of bounces, spool and log are taken. Addresses, keys,
users and passwords are dropped and never shown. Exit code 2 when a place is not well formed and
was left out. What the base says of a receiver goes before what the
catalogue says; the catalogue's rules for all receivers stand behind. `pmta base plan` shows what the
result changes on each host, `pmta base apply` puts it in place.")]
pub(super) struct Import {
    /// The earlier configuration, or `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder that stands for `/` where files are included
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Write the base to this new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer<'a> {
    taken: Vec<Line<'a>>,
    changed: Vec<Line<'a>>,
    dropped: Vec<Line<'a>>,
    /// What would be written with `--out`.
    base: String,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: u32,
    what: &'a str,
    why: &'a str,
    code: Option<String>,
}

pub(super) fn run(output: &Output, arguments: &Import) -> Result<Exit, Failure> {
    let sources = files::read(&arguments.file, arguments.root.as_deref())
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    let origin = sources
        .files()
        .first()
        .map(|file| file.name.as_str())
        .unwrap_or_default();
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let imported = import(&sources, Version::default(), origin, &today);
    let base = imported
        .base
        .to_toml()
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    if let Some(path) = &arguments.out {
        write(path, &base)?;
    }
    let of = |verdict| {
        imported
            .notes
            .iter()
            .filter(move |n| n.verdict == verdict)
            .map(line)
    };
    let answer = Answer {
        taken: of(Verdict::Taken).collect(),
        changed: of(Verdict::Changed).collect(),
        dropped: of(Verdict::Dropped).collect(),
        base,
    };
    output.show(&answer, |output| {
        table(output, &imported.notes, arguments.out.as_deref())
    })?;
    Ok(match imported.malformed {
        0 => Exit::Success,
        places => {
            output.note(&format!(
                "warning: {places} places are not well formed, and nothing was taken of them"
            ));
            Exit::Found
        }
    })
}

/// Never over a file that is there.
fn write(path: &Path, base: &str) -> Result<(), Failure> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(base.as_bytes()));
    written.map_err(|error| {
        Failure::new(
            Exit::Failure,
            format!("cannot write {}: {error}", path.display()),
        )
    })
}

fn line(note: &Note) -> Line<'_> {
    Line {
        file: &note.file,
        line: note.line,
        what: &note.what,
        why: &note.why,
        code: note.code.map(|code| code.to_string()),
    }
}

fn table(output: &Output, notes: &[Note], out: Option<&Path>) -> String {
    let mut table = output.table(&["PLACE", "RESULT", "WHAT", "WHY", "CODE"]);
    for note in notes {
        let (word, mood) = match note.verdict {
            Verdict::Changed => ("changed", Mood::Underway),
            Verdict::Dropped => ("dropped", Mood::Bad),
            Verdict::Taken => ("taken", Mood::Plain),
        };
        let code = note.code.map(|code| code.to_string()).unwrap_or_default();
        table.add_row(vec![
            output.mood(&format!("{}:{}", note.file, note.line), Mood::Plain),
            output.mood(word, mood),
            output.mood(&note.what, Mood::Plain),
            output.mood(&note.why, Mood::Plain),
            output.mood(&code, Mood::Plain),
        ]);
    }
    let end = match out {
        Some(path) => format!("written to {}", path.display()),
        None => "nothing is written without --out FILE".to_owned(),
    };
    format!("{}\n\n{end}", text(&table))
}
