//! A file on its way into the cluster: looked at and hashed first, then sent as far as it is missing.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use ring::digest;

use email_engine_protocol::api::{ArtifactRequest, ArtifactView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::limits;

use super::dump;
use crate::commands::Desk;
use crate::exit::{Exit, Failure};

/// Which file is meant, and as what.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    /// Its name in lists; the file's own when absent.
    pub(crate) name: Option<&'a str>,
    /// It is a licence or the like.
    pub(crate) secret: bool,
    /// It may bring the rows of a database.
    pub(crate) import_data: bool,
}

/// A file that was looked at, with what the cluster is told of it before anything of it is sent.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) request: ArtifactRequest,
    path: PathBuf,
    file: File,
}

impl Source {
    /// Reads a file from end to end. Databases of a fleet begin empty: dumps are refused.
    pub(crate) fn read(wanted: &Wanted<'_>, quiet: bool) -> Result<Self, Failure> {
        let cannot = |error| unreadable(wanted.path, &error);
        let mut file = File::open(wanted.path).map_err(cannot)?;
        if !wanted.import_data {
            refuse_dump(&mut file, wanted.path)?;
        }
        let length = file.metadata().map_err(cannot)?.len();
        let bar = bar(length, quiet, "reading");
        let request = described(&mut file, wanted, &bar).map_err(cannot)?;
        bar.finish_and_clear();
        Ok(Self {
            request,
            path: wanted.path.to_owned(),
            file,
        })
    }

    /// All of it, where it has at most so many bytes; what is not UTF-8 is not legible.
    pub(crate) fn text(&self, longest: u64) -> Option<String> {
        let length = self.request.length;
        let length = (length <= longest).then(|| usize::try_from(length).ok())??;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that is changed meanwhile gives other bytes, which the cluster refuses by their hash.
    fn piece(&self, at: u32) -> io::Result<Vec<u8>> {
        let from = u64::from(at) * limits::ARTIFACT_PIECE_BYTES;
        let left = self.request.length.saturating_sub(from);
        let wanted = left.min(limits::ARTIFACT_PIECE_BYTES);
        let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
        self.file.read_exact_at(&mut piece, from)?;
        Ok(piece)
    }
}

/// Sends what the cluster lacks of a file.
pub(crate) async fn send(desk: &Desk, source: &Source) -> Result<ArtifactView, Failure> {
    let (request, length) = (&source.request, source.request.length);
    let begun = desk.client.begin_artifact(request).await?;
    if begun.finished_at.is_some() {
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
    let bar = bar(length, desk.output.quiet, "sending");
    bar.set_position(
        there
            .saturating_mul(limits::ARTIFACT_PIECE_BYTES)
            .min(length),
    );
    for at in begun.missing {
        let piece = source
            .piece(at)
            .map_err(|error| unreadable(&source.path, &error))?;
        let sent = piece.len() as u64;
        desk.client.put_piece(&request.sha256, at, piece).await?;
        bar.inc(sent);
    }
    bar.set_message("comparing");
    let finished = desk.client.finish_artifact(&request.sha256).await?;
    bar.finish_and_clear();
    Ok(finished)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let text = format!("{} cannot be read: {error}", path.display());
    Failure::new(Exit::Failure, text)
}

fn refuse_dump(file: &mut File, path: &Path) -> Result<(), Failure> {
    let found = dump::found(file, path).map_err(|error| unreadable(path, &error))?;
    match found {
        None => Ok(()),
        Some(found) => {
            let text = format!(
                "{found}: hosts begin with empty databases, and an artifact lies on every node and in every \
                 backup. Accepted is a file without it, or `email-engine artifact put --import-data`"
            );
            Err(Failure::new(Exit::Failure, text))
        }
    }
}

fn described(
    file: &mut File,
    wanted: &Wanted<'_>,
    bar: &ProgressBar,
) -> io::Result<ArtifactRequest> {
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
        name: wanted
            .name
            .map_or_else(|| file_name(wanted.path), str::to_owned),
        length,
        sha256: ContentHash(sha256),
        pieces,
        secret: wanted.secret,
    })
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Shown on a terminal alone.
fn bar(length: u64, quiet: bool, word: &'static str) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let form = "{msg:9} {bar:40} {binary_bytes} of {binary_total_bytes} {eta}";
    let bar = ProgressBar::new(length).with_message(word);
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}
