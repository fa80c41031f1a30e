//! `artifact`: files that hosts are given, such as a product's archive, a package or a licence.

mod dump;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use ring::digest;

use email_engine_protocol::api::{ArtifactRequest, ArtifactView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ArtifactName;
use email_engine_protocol::limits;

use super::Desk;
use super::hosts::permitted;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text};

/// Arguments of `artifact`.
#[derive(Args, Debug)]
#[command(after_help = "\
Role files call an artifact by a name (`artifact = \"mailwizz\"`). `use` says which one is meant, for
all hosts; a host's label `artifact-mailwizz = \"SHA256\"` says so for that host alone. An upload that
was cut off goes on where it was when it is started again, for a day.

Examples:
  email-engine artifact put mailwizz.zip --use mailwizz
  email-engine artifact put pmta-license --confidential --use powermta-license
  email-engine artifact use mailwizz 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  email-engine artifact list")]
pub(crate) struct Artifact {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List artifacts
    List,
    /// Upload a file, or the rest of one
    Put(Put),
    /// Remove an artifact that nothing names
    Remove {
        /// SHA-256 of the whole
        sha256: ContentHash,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show an artifact
    Show {
        /// SHA-256 of the whole
        sha256: ContentHash,
    },
    /// Take a name away
    Unuse(Unuse),
    /// Say which artifact a name of role files stands for
    Use(Use),
}

#[derive(Args, Debug)]
struct Put {
    /// The file
    file: PathBuf,
    /// Its name in lists [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// It is a licence or the like: hosts keep it from everybody
    #[arg(long = "confidential")]
    secret: bool,
    /// What role files call it: hosts get it from now on
    #[arg(long = "use", value_name = "NAME")]
    uses: Option<ArtifactName>,
    /// With --use, only note it: hosts go on with what they have until a release
    #[arg(long, requires = "uses")]
    hold: bool,
    /// It brings the rows of a database, and shall: else a dump is refused
    #[arg(long)]
    import_data: bool,
}

#[derive(Args, Debug)]
struct Use {
    /// What role files call it
    name: ArtifactName,
    /// SHA-256 of the whole
    sha256: ContentHash,
    /// Only note it: hosts go on with what they have until a release
    #[arg(long)]
    hold: bool,
}

#[derive(Args, Debug)]
struct Unuse {
    /// What role files call it
    name: ArtifactName,
    /// Only note it: hosts go on with what they have until a release
    #[arg(long)]
    hold: bool,
}

pub(crate) async fn run(desk: &Desk, arguments: Artifact) -> Result<Exit, Failure> {
    let client = &desk.client;
    match arguments.command {
        Verb::List => {
            let artifacts = client.artifacts().await?;
            desk.output
                .show(&artifacts, |output| table(output, &artifacts))?;
        }
        Verb::Put(put) => {
            let mut view = upload(desk, &put).await?;
            if let Some(name) = &put.uses {
                let (sha256, release) = (Some(view.sha256), !put.hold);
                client.name_artifact(name, sha256, release).await?;
                view = client.artifact(&view.sha256).await?;
            }
            desk.output.show(&view, |_| lines(&view))?;
        }
        Verb::Remove { sha256, yes } => {
            // Nobody is asked about what is not there: the cluster says so.
            let view = client.artifact(&sha256).await?;
            permitted(&format!("Remove artifact {} ({sha256})?", view.name), yes)?;
            let answer = client.remove_artifact(&sha256).await?;
            desk.output
                .show(&answer, |_| format!("Artifact {} removed.", view.name))?;
        }
        Verb::Show { sha256 } => {
            let view = client.artifact(&sha256).await?;
            desk.output.show(&view, |_| lines(&view))?;
        }
        Verb::Unuse(Unuse { name, hold }) => {
            let answer = client.name_artifact(&name, None, !hold).await?;
            desk.output.show(&answer, |_| {
                format!("{name} stands for no artifact any more.")
            })?;
        }
        Verb::Use(Use { name, sha256, hold }) => {
            let answer = client.name_artifact(&name, Some(sha256), !hold).await?;
            desk.output
                .show(&answer, |_| format!("{name} stands for {sha256} now."))?;
        }
    }
    Ok(Exit::Success)
}

/// Sends what the cluster lacks of a file.
async fn upload(desk: &Desk, put: &Put) -> Result<ArtifactView, Failure> {
    let cannot = |error: io::Error| {
        let text = format!("{} cannot be read: {error}", put.file.display());
        Failure::new(Exit::Failure, text)
    };
    let mut file = File::open(&put.file).map_err(cannot)?;
    refuse_dump(&mut file, put)?;
    let length = file.metadata().map_err(cannot)?.len();
    let bar = bar(length, desk.output.quiet);
    let request = described(&mut file, put, &bar).map_err(cannot)?;
    let begun = desk.client.begin_artifact(&request).await?;
    if begun.finished_at.is_some() {
        bar.finish_and_clear();
        desk.output.note("The cluster has it already.");
        return Ok(begun);
    }
    let there = u64::from(begun.pieces).saturating_sub(begun.missing.len() as u64);
    if there > 0 {
        desk.output.note(&format!(
            "{there} of {} pieces are there already.",
            begun.pieces
        ));
    }
    bar.set_message("sending");
    bar.set_position(
        there
            .saturating_mul(limits::ARTIFACT_PIECE_BYTES)
            .min(length),
    );
    for at in begun.missing {
        let piece = piece_at(&file, at, length).map_err(cannot)?;
        let sent = piece.len() as u64;
        desk.client.put_piece(&request.sha256, at, piece).await?;
        bar.inc(sent);
    }
    bar.set_message("comparing");
    let finished = desk.client.finish_artifact(&request.sha256).await?;
    bar.finish_and_clear();
    Ok(finished)
}

/// Databases of a fleet begin empty.
fn refuse_dump(file: &mut File, put: &Put) -> Result<(), Failure> {
    if put.import_data {
        return Ok(());
    }
    let found = dump::found(file, &put.file).map_err(|error| {
        let text = format!("{} cannot be read: {error}", put.file.display());
        Failure::new(Exit::Failure, text)
    })?;
    match found {
        None => Ok(()),
        Some(found) => {
            let text = format!(
                "{found}: hosts begin with empty databases, and an artifact lies on every node and in every \
                 backup. Accepted is a file without it, or --import-data"
            );
            Err(Failure::new(Exit::Failure, text))
        }
    }
}

/// What the cluster is told of a file before anything of it is sent.
fn described(file: &mut File, put: &Put, bar: &ProgressBar) -> io::Result<ArtifactRequest> {
    let (mut pieces, mut length) = (Vec::new(), 0);
    let mut whole = digest::Context::new(&digest::SHA256);
    loop {
        let mut piece = Vec::new();
        let taken = file.by_ref().take(limits::ARTIFACT_PIECE_BYTES);
        let read = { taken }.read_to_end(&mut piece)? as u64;
        if read == 0 {
            break;
        }
        length += read;
        if length > limits::ARTIFACT_BYTES {
            let text = format!("it is larger than {} bytes", limits::ARTIFACT_BYTES);
            return Err(io::Error::other(text));
        }
        whole.update(&piece);
        pieces.push(ContentHash::of(&piece));
        bar.inc(read);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(whole.finish().as_ref());
    Ok(ArtifactRequest {
        name: put.name.clone().unwrap_or_else(|| file_name(&put.file)),
        length,
        sha256: ContentHash(sha256),
        pieces,
        secret: put.secret,
    })
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A file that is changed meanwhile gives other bytes, which the cluster refuses by their hash.
fn piece_at(file: &File, at: u32, length: u64) -> io::Result<Vec<u8>> {
    let from = u64::from(at) * limits::ARTIFACT_PIECE_BYTES;
    let wanted = length
        .saturating_sub(from)
        .min(limits::ARTIFACT_PIECE_BYTES);
    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
    file.read_exact_at(&mut piece, from)?;
    Ok(piece)
}

/// Shown on a terminal alone.
fn bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let form = "{msg:9} {bar:40} {binary_bytes} of {binary_total_bytes} {eta}";
    let bar = ProgressBar::new(length).with_message("reading");
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}

fn state(view: &ArtifactView) -> (String, Mood) {
    match view.finished_at {
        Some(at) => (format!("since {at}"), Mood::Good),
        None => {
            let text = format!("{} of {} pieces missing", view.missing.len(), view.pieces);
            (text, Mood::Bad)
        }
    }
}

fn joined<T: ToString>(all: &[T]) -> Option<String> {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn lines(view: &ArtifactView) -> String {
    format!(
        "name    {}\nsha256  {}\nbytes   {}\nsecret  {}\nstate   {}\nused as {}\nhosts   {}",
        view.name,
        view.sha256,
        view.length,
        if view.secret { "yes" } else { "no" },
        state(view).0,
        or_dash(joined(&view.named)),
        or_dash(joined(&view.hosts)),
    )
}

fn table(output: &Output, artifacts: &[ArtifactView]) -> String {
    let mut table = output.table(&["NAME", "BYTES", "STATE", "USED AS", "HOSTS", "SHA256"]);
    for view in artifacts {
        let (state, mood) = state(view);
        table.add_row(vec![
            output.mood(&view.name, Mood::Plain),
            output.mood(&view.length, Mood::Plain),
            output.mood(&state, mood),
            output.mood(&or_dash(joined(&view.named)), Mood::Plain),
            output.mood(&view.hosts.len(), Mood::Plain),
            output.mood(&view.sha256, Mood::Plain),
        ]);
    }
    text(&table)
}
