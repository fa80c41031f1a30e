//! Queues that are not SMTP: discarded, written to files, piped to a program.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::decide::{self, Verdict, Via};
use crate::clock;
use crate::config::Layered;
use crate::engine::Engine;
use crate::queue::{Item, QueueKey};

/// Decides one recipient of a queue that is not SMTP.
pub(super) async fn deliver(engine: &Arc<Engine>, key: &QueueKey, item: Item, kind: &str) {
    let config = engine.config();
    let settings = config.domain_settings(&key.domain, &key.vmta);
    let via = Via {
        kind: kind.to_owned(),
        ..Via::default()
    };
    let outcome = match kind {
        "discard" if settings.flag("discard-as-bounce") => {
            let verdict = Verdict::own("5.0.0", "smtp;550 discarded");
            decide::bounce(engine, key, &item, &verdict, &via);
            return;
        }
        "discard" => Ok(()),
        "file" => to_file(engine, &settings, &item),
        "pipe" => to_pipe(engine, &settings, &item).await,
        other => Err(io::Error::other(format!(
            "queues of type {other} are not delivered here"
        ))),
    };
    match outcome {
        Ok(()) => {
            let verdict = Verdict::own("2.0.0", format!("smtp;250 {kind}"));
            decide::delivered(engine, key, &item, &verdict, &via);
        }
        Err(error) => {
            let verdict = Verdict::own("4.3.0", format!("smtp;{kind}: {error}"));
            decide::transient(engine, key, item, &verdict, &via);
        }
    }
}

/// `$user`, `$domain`, `$to`, `$from` and `$envid` of a destination or command.
fn expand(text: &str, item: &Item) -> String {
    let to = item.address();
    let (user, domain) = to.rsplit_once('@').unwrap_or((to, ""));
    text.replace("$envid", &item.envelope.env_id)
        .replace("$user", &user.to_lowercase())
        .replace("$domain", &domain.to_lowercase())
        .replace("$from", &item.envelope.orig)
        .replace("$to", to)
}

fn to_file(engine: &Engine, settings: &Layered<'_>, item: &Item) -> io::Result<()> {
    let body = engine
        .store
        .body(item.envelope.id)
        .map_err(io::Error::other)?;
    let place = expand(&settings.text("file-destination"), item);
    let path = Path::new(&place);
    if settings.text("file-format") == "append-mbox" {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let date = clock::rfc5322(clock::now());
        write!(file, "From {} {date}\r\n", item.envelope.orig)?;
        file.write_all(&body)?;
        return file.write_all(b"\r\n");
    }
    fs::create_dir_all(path)?;
    let name = format!("{:016x}-{}.eml", item.envelope.id, item.index);
    let mut text = Vec::new();
    if settings.text("file-format") == "newfile-pickup" {
        write!(
            text,
            "x-sender: {}\r\nx-receiver: {}\r\n",
            item.envelope.orig,
            item.address()
        )?;
    }
    text.extend_from_slice(&body);
    let draft = path.join(format!(".{name}"));
    fs::write(&draft, text)?;
    fs::rename(&draft, path.join(name))
}

async fn to_pipe(engine: &Engine, settings: &Layered<'_>, item: &Item) -> io::Result<()> {
    let body = engine
        .store
        .body(item.envelope.id)
        .map_err(io::Error::other)?;
    let written = settings.text("command");
    let mut words = written
        .split_whitespace()
        .map(|word| expand(word.trim_matches('"'), item));
    let program = words
        .next()
        .ok_or_else(|| io::Error::other("command is missing"))?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&body).await?;
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("the program ended with {status}")))
    }
}
