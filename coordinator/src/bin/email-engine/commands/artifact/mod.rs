//! `artifact`: files that hosts are given, such as a product's archive, a package or a licence.

mod dump;
mod upload;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use email_engine_protocol::api::ArtifactView;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ArtifactName;

use super::Desk;
use super::hosts::permitted;
use crate::exit::{Exit, Failure};
use crate::output::{Mood, Output, or_dash, text};

pub(crate) use upload::{Source, Wanted, send};

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
            let wanted = Wanted {
                path: &put.file,
                name: put.name.as_deref(),
                secret: put.secret,
                import_data: put.import_data,
            };
            let source = Source::read(&wanted, desk.output.quiet)?;
            let mut view = send(desk, &source).await?;
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
