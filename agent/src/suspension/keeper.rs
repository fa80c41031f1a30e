//! Looks at what stands still all the time, as long as a content is in force that knows nothing of it.
//!
//! That content goes on taking mail, and a queue that the product begins anew is not halted by what it
//! was told before. A pass cannot see to it: it may wait for minutes for the product's judgement of the
//! new content, and is far too much to be made again and again while one is refused.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::HaltSpec;
use email_engine_protocol::id::ResourceId;

use super::answer::Found;
use super::product::{Product, words};
use crate::host::System;

/// From the end of one look to the next.
const AGAIN: Duration = Duration::from_millis(500);
/// The same where what is set does not hold: that is told by passes, and tried ever more rarely here.
const LONGEST: Duration = Duration::from_secs(60);
/// Looks in a row that may be in vain: the next queue can begin while one is halted.
const PATIENCE: u32 = 5;
/// A look that takes long, of a product with many to halt, is paid for with so many times its length.
const REST: u32 = 4;

/// One halt, and what it is a part of.
pub(super) type Kept = (ResourceId, HaltSpec);

/// The thread that looks, when there is one.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    kept: Vec<Kept>,
    /// Nothing is ever sent: that it is gone ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Keeps these, and no others, until [`Self::rest`]. They are set and noted already.
    pub(super) fn keep(&mut self, system: Box<dyn System>, kept: Vec<Kept>) {
        let is_kept = |running: &Running| running.kept == kept && !running.thread.is_finished();
        if self.running.as_ref().is_some_and(is_kept) {
            return;
        }
        self.rest();
        if kept.is_empty() {
            return;
        }
        let (stop, stopped) = mpsc::channel();
        let own = kept.clone();
        let spawned = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || run(system, &own, &stopped));
        match spawned {
            Ok(thread) => self.running = Some(Running { kept, stop, thread }),
            Err(error) => tracing::warn!(%error, "what stands still is looked at by passes only"),
        }
    }

    /// Ends it: nothing is set by it any more.
    pub(super) fn rest(&mut self) {
        if let Some(Running { stop, thread, .. }) = self.running.take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that looks at what stands still has panicked");
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.rest();
    }
}

fn run(mut system: Box<dyn System>, kept: &[Kept], stopped: &Receiver<()>) {
    let mut pause = AGAIN;
    let mut futile = 0_u32;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let begin = Instant::now();
        let mut product = Product::new(system.as_mut());
        let mut in_vain = false;
        for (id, halt) in kept {
            if stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                return;
            }
            in_vain |= !look(&mut product, id, halt, futile == 0);
        }
        futile = if in_vain { futile.saturating_add(1) } else { 0 };
        let again = (AGAIN * 2_u32.pow(futile.saturating_sub(PATIENCE).min(8))).min(LONGEST);
        pause = again.max(begin.elapsed() * REST);
    }
}

/// Sets what was begun anew, and says whether nothing was tried in vain. What cannot be told is for the
/// next pass to report, and to set all the same.
fn look(product: &mut Product<'_>, id: &ResourceId, halt: &HaltSpec, is_news: bool) -> bool {
    if product.ask(id, &halt.is_set) != Ok(Found::No) {
        return true;
    }
    let command = words(&halt.set.command);
    let done = product.tell(id, "set", &halt.set);
    match &done {
        Ok(()) if is_news => {
            tracing::info!(suspension = %id, command, "set for what was begun anew")
        }
        Err(reason) if is_news => {
            tracing::warn!(suspension = %id, command, reason, "is not set again");
        }
        _ => {}
    }
    done.is_ok() && product.ask(id, &halt.is_set) != Ok(Found::No)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use email_engine_protocol::desired::{CommandCheck, CommandLine, HostPath, Question, Sought};

    use super::*;
    use crate::host::Machine;

    /// It is set while the file is there.
    fn halt(file: &Path) -> HaltSpec {
        let file = file.display();
        let check = |script: String| CommandCheck {
            command: CommandLine {
                program: HostPath::new("/bin/sh").unwrap(),
                arguments: vec!["-c".to_owned(), script],
            },
            seconds: 10,
            refused_by: Vec::new(),
            must_say: Vec::new(),
        };
        let asked = format!("if [ -e {file} ]; then echo '[]'; else echo '[1]'; fi");
        HaltSpec {
            set: check(format!("touch {file}")),
            unset: check(format!("rm {file}")),
            is_set: Question {
                command: check(asked).command,
                seconds: 10,
                list: String::new(),
                sought: Sought::Nothing,
            },
            theirs: None,
        }
    }

    fn wait_for(file: &Path) {
        let begin = Instant::now();
        while !file.exists() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it was not set");
            thread::yield_now();
        }
    }

    #[test]
    fn what_begins_anew_is_halted_again_until_nobody_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("halted");
        let kept = vec![(ResourceId::new("suspension:one").unwrap(), halt(&file))];
        let system = || Machine::with_programs(dir.path()).system;
        let mut keeper = Keeper::default();
        keeper.keep(system(), kept.clone());
        for _ in 0..2 {
            wait_for(&file);
            std::fs::remove_file(&file).unwrap();
        }
        keeper.keep(system(), kept);
        wait_for(&file);
        keeper.keep(system(), Vec::new());
        assert!(keeper.running.is_none());
    }
}
