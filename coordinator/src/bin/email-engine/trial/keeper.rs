//! Keeps the processes of a trial running: one that dies is reported and started again.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::child::{self, Recipe};
use super::programs::Programs;
use crate::output::Output;

/// Long enough to see the others take over.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Whoever lived this long is started again as if for the first time.
const HEALTHY: Duration = Duration::from_secs(60);

/// The processes of a trial.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) programs: Programs,
    output: Output,
    stop: watch::Sender<bool>,
    kept: Vec<(String, JoinHandle<()>)>,
    settled: bool,
}

impl Keeper {
    pub(super) fn new(programs: Programs, output: Output) -> Self {
        Self {
            programs,
            output,
            stop: watch::Sender::new(false),
            kept: Vec::new(),
            settled: false,
        }
    }

    /// Starts a process and keeps it running.
    pub(super) fn keep(&mut self, recipe: Recipe) {
        let stop = self.stop.subscribe();
        let name = recipe.name.clone();
        let task = tokio::spawn(keep(recipe, stop, self.output));
        self.kept.push((name, task));
    }

    /// Whether a process of this name is kept running.
    pub(super) fn keeps(&self, name: &str) -> bool {
        let mut kept = self.kept.iter();
        kept.any(|(of, task)| of == name && !task.is_finished())
    }

    /// The trial is up: from now on Ctrl-C is its regular end.
    pub(super) const fn settle(&mut self) {
        self.settled = true;
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Ends all processes, at the same time, and waits for them.
    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        for (_, task) in self.kept {
            // A task that panicked has dropped its process, which killed it.
            let _ = task.await;
        }
    }
}

async fn keep(recipe: Recipe, mut stop: watch::Receiver<bool>, output: Output) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let what = match recipe.spawn() {
            Ok(mut child) => {
                let pid = child.id().unwrap_or_default();
                tokio::select! {
                    status = child.wait() => match status {
                        Ok(status) if status.code().is_some() && status.code() == recipe.farewell => {
                            let name = &recipe.name;
                            output.note(&format!("{name}: its host is retired; it stays ended"));
                            return;
                        }
                        Ok(status) => format!("process {pid} {}", fate(status)),
                        Err(error) => format!("process {pid} is lost: {error}"),
                    },
                    () = stopped(&mut stop) => {
                        child::end(&mut child).await;
                        return;
                    }
                }
            }
            Err(error) => format!("cannot be started: {error}"),
        };
        pause = next_pause(pause, started.elapsed());
        output.note(&format!(
            "{}: {what}; starting it again in {} s (log: {})\n{}",
            recipe.name,
            pause.as_secs(),
            recipe.log.display(),
            child::tail(&recipe.log, 1)
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => return,
        }
        pause *= 2;
    }
}

/// Waits until all shall end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A keeper that is gone has ended everything.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn next_pause(pause: Duration, lived: Duration) -> Duration {
    if lived >= HEALTHY {
        FIRST_PAUSE
    } else {
        pause.min(LONGEST_PAUSE)
    }
}

fn fate(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_healthy_life_resets_them() {
        let soon = Duration::from_secs(1);
        assert_eq!(next_pause(FIRST_PAUSE, soon), FIRST_PAUSE);
        assert_eq!(next_pause(Duration::from_secs(500), soon), LONGEST_PAUSE);
        assert_eq!(next_pause(LONGEST_PAUSE, HEALTHY), FIRST_PAUSE);
    }

    #[test]
    fn a_fate_names_code_or_signal() {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(fate(ExitStatus::from_raw(9)), "was killed by signal 9");
        assert_eq!(fate(ExitStatus::from_raw(256)), "ended with exit code 1");
    }
}
