//! One command on a machine that is reached by an operator's own command: bounded in time and in what it may
//! say, and gone with whoever waits for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join3;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};

/// Runs its arguments as the head of a session and process group, with its own process id. It is no head
/// of a group before, and so need not fork.
const SESSION: &str = "setsid";
/// Bytes of one line that are kept.
const LINE: usize = 500;
/// Lines that are told of one command; of more the last ones are kept.
const LINES: usize = 5_000;
/// Lines of the end that are kept.
const TAIL: usize = 20;
/// What a helper of the command may go on holding its outputs open for.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What steers our own programs is not for others.
const OWN_VARIABLES: &str = "EMAIL_ENGINE_";

/// What a command reads.
#[derive(Debug)]
pub(super) enum Feed<'a> {
    Nothing,
    /// A whole file.
    File(&'a File),
    /// A secret, as one line.
    Secret(&'a str),
}

/// A command and how it gets there.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// Words of the operator's command.
    pub(super) via: &'a [String],
    /// Words that are added: letters, digits and `/._=-`, which a shell on the way leaves alone.
    pub(super) words: &'a [&'a str],
    pub(super) feed: Feed<'a>,
    pub(super) limit: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Nothing when a signal ended it.
    pub(super) code: Option<i32>,
    /// The end of what it said, on either output.
    pub(super) tail: VecDeque<String>,
}

impl Ended {
    pub(super) fn last_line(&self) -> String {
        let mut lines = self.tail.iter().rev();
        let said = lines.find(|line| !line.trim().is_empty());
        said.map_or_else(|| "it said nothing".to_owned(), Clone::clone)
    }
}

/// Why nothing is known of a command's end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    /// It did not end.
    #[error(
        "{what} did not end within {seconds} s; where machines share a slow line, --parallel 1 takes one after \
         the other"
    )]
    Late {
        /// The command that was added.
        what: String,
        /// Its time.
        seconds: u64,
    },
    /// The operator's command cannot be started.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// What starts it.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The machine refused something in between.
    #[error("{what} cannot be followed: {source}")]
    Wait {
        /// The command that was added.
        what: String,
        /// Why.
        source: io::Error,
    },
}

/// Runs a command to its end; `heard` gets each line of either output.
pub(super) async fn run(order: Order<'_>, heard: &dyn Fn(&str)) -> Result<Ended, RemoteError> {
    let what = order.words.join(" ");
    let start = |source| RemoteError::Start {
        program: SESSION.to_owned(),
        source,
    };
    // In a session of its own it has no terminal: what would ask there fails at once and says why, instead of
    // being stopped as a job in the background. And a Ctrl-C is for us alone.
    let mut command = Command::new(SESSION);
    command
        .args(order.via)
        .args(order.words)
        .stdin(match order.feed {
            Feed::Nothing => Stdio::null(),
            Feed::File(file) => file.try_clone().map_err(start)?.into(),
            Feed::Secret(_) => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OWN_VARIABLES) {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn().map_err(start)?;
    let _group = Group::of(child.id());
    let secret = match order.feed {
        Feed::Secret(secret) => Some(secret),
        _ => None,
    };
    let ears = Ears::new(heard);
    let (stdin, out, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let listening = join3(feed(stdin, secret), ears.listen(out), ears.listen(errors));
    let ended = async {
        let mut listening = pin!(listening);
        tokio::select! {
            _ = &mut listening => child.wait().await,
            status = child.wait() => {
                let _ = tokio::time::timeout(LAST_WORDS, listening).await;
                status
            }
        }
    };
    let status = match tokio::time::timeout(order.limit, ended).await {
        Ok(Ok(status)) => status,
        Ok(Err(source)) => return Err(RemoteError::Wait { what, source }),
        Err(_) => {
            let seconds = order.limit.as_secs();
            return Err(RemoteError::Late { what, seconds });
        }
    };
    Ok(Ended {
        code: status.code(),
        tail: ears.heard.into_inner().tail,
    })
}

/// A command that ends without reading says why itself.
async fn feed(stdin: Option<ChildStdin>, secret: Option<&str>) {
    if let (Some(mut stdin), Some(secret)) = (stdin, secret) {
        let _ = stdin.write_all(secret.as_bytes()).await;
        let _ = stdin.write_all(b"\n").await;
        let _ = stdin.shutdown().await;
    }
}

/// Hears both outputs of a command.
struct Ears<'a> {
    tell: &'a dyn Fn(&str),
    heard: RefCell<Heard>,
}

#[derive(Default)]
struct Heard {
    lines: usize,
    tail: VecDeque<String>,
}

impl<'a> Ears<'a> {
    fn new(tell: &'a dyn Fn(&str)) -> Self {
        Self {
            tell,
            heard: RefCell::default(),
        }
    }

    async fn listen(&self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let (mut buffer, mut line) = (vec![0; 4096], Vec::new());
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            for byte in &buffer[..read] {
                // What draws over its own line says many.
                if matches!(byte, b'\n' | b'\r') {
                    self.line(&mut line);
                } else if line.len() < LINE {
                    line.push(*byte);
                }
            }
        }
        self.line(&mut line);
    }

    fn line(&self, line: &mut Vec<u8>) {
        if line.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(line).into_owned();
        line.clear();
        let mut heard = self.heard.borrow_mut();
        heard.lines += 1;
        match heard.lines {
            ..=LINES => (self.tell)(&text),
            lines if lines == LINES + 1 => (self.tell)("(it says more, which is left out)"),
            _ => {}
        }
        if heard.tail.len() == TAIL {
            heard.tail.pop_front();
        }
        heard.tail.push_back(text);
    }
}

/// All processes of a command. Ended when nobody waits for it any more.
struct Group(Option<Pid>);

impl Group {
    fn of(id: Option<u32>) -> Self {
        let id = id.and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // What has ended is not there any more.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec()
    }

    async fn ended(
        script: &str,
        feed: Feed<'_>,
        limit: Duration,
    ) -> (Result<Ended, RemoteError>, Vec<String>) {
        let lines = RefCell::new(Vec::new());
        let order = Order {
            via: &shell(script),
            words: &["one", "two"],
            feed,
            limit,
        };
        let ended = run(order, &|line| lines.borrow_mut().push(line.to_owned())).await;
        (ended, lines.into_inner())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn words_are_added_and_both_outputs_heard() {
        let (end, lines) = ended("echo \"$@\"; echo bad >&2; exit 5", Feed::Nothing, LONG).await;
        let end = end.unwrap();
        assert_eq!(end.code, Some(5));
        assert!(lines.contains(&"one two".to_owned()) && lines.contains(&"bad".to_owned()));
    }

    #[tokio::test]
    async fn a_secret_and_a_file_are_read_from_standard_input() {
        let (end, _) = ended("cat", Feed::Secret("hidden"), LONG).await;
        assert_eq!(end.unwrap().last_line(), "hidden");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"content").unwrap();
        let file = File::open(file.path()).unwrap();
        let (end, _) = ended("cat", Feed::File(&file), LONG).await;
        assert_eq!(end.unwrap().last_line(), "content");
        // One that does not read is no reason to fail.
        let (end, _) = ended("exit 3", Feed::Secret("hidden"), LONG).await;
        assert_eq!(end.unwrap().code, Some(3));
    }

    #[tokio::test]
    async fn what_does_not_end_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!(
            "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
            pid.display()
        );
        let (end, _) = ended(&script, Feed::Nothing, Duration::from_secs(2)).await;
        let error = end.unwrap_err().to_string();
        assert!(
            error.starts_with("one two did not end within 2 s; ")
                && error.contains("--parallel 1 "),
            "{error}"
        );
        let pid = std::fs::read_to_string(pid).unwrap();
        let status = format!("/proc/{}/stat", pid.trim());
        let begun = std::time::Instant::now();
        loop {
            // Gone, or nobody has taken note of its end yet.
            match std::fs::read_to_string(&status) {
                Ok(text) if !text.contains(") Z ") => {}
                _ => break,
            }
            assert!(begun.elapsed() < LONG, "it lives on");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_flood_is_cut_and_its_end_kept() {
        let (end, lines) = ended(
            "yes | head -n 9000; head -c 9000 /dev/zero | tr '\\0' a; echo; echo last",
            Feed::Nothing,
            LONG,
        )
        .await;
        assert_eq!(lines.len(), LINES + 1);
        let end = end.unwrap();
        assert_eq!(end.last_line(), "last");
        assert_eq!(end.tail[TAIL - 2].len(), LINE);
    }

    #[tokio::test]
    async fn who_holds_the_output_open_is_not_waited_for() {
        let begun = std::time::Instant::now();
        let (end, _) = ended("sleep 600 & echo done", Feed::Nothing, LONG).await;
        assert_eq!(end.unwrap().last_line(), "done");
        assert!(begun.elapsed() < LONG);
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
        let order = Order {
            via: &["/nonexistent/ssh".to_owned()],
            words: &["x"],
            feed: Feed::Nothing,
            limit: LONG,
        };
        let ended = run(order, &|_| {}).await.unwrap();
        assert_eq!(ended.code, Some(127));
        let said = ended.last_line();
        assert!(said.contains("/nonexistent/ssh"), "{said}");
    }

    #[tokio::test]
    async fn a_command_has_no_terminal_that_it_could_wait_for() {
        // The sixth field is the session; the second, its name, has no blank in it.
        let script = "cut -d' ' -f6 /proc/$$/stat; echo $$";
        let (_, lines) = ended(script, Feed::Nothing, LONG).await;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], lines[1], "it is the head of a session");
    }
}
