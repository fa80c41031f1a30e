//! The socket on which the daemon hears commands: one line in, one line out, both JSON.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::answer::Answer;
use super::command;
use crate::engine::Engine;

/// No command is longer.
const LONGEST: u64 = 64 * 1_024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers for ever; who may is up to the socket's mode: its owner and group.
pub(crate) async fn serve(engine: Arc<Engine>, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Under its name only once somebody listens: who sees the socket may connect to it.
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o660))?;
    fs::rename(&draft, path)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(PATIENCE, answer(&engine, stream)).await {
                engine.log(&format!("control: {error}"));
            }
        });
    }
}

async fn answer(engine: &Arc<Engine>, mut stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str::<Vec<String>>(&line) {
        Ok(words) => command::run(engine, &words),
        Err(error) => Answer::fault(format!("not a command: {error}")),
    };
    let mut bytes = serde_json::to_vec(&answer).map_err(io::Error::other)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}
