//! Asks one health check again and again, on a thread of its own: a server that does not answer keeps
//! nobody waiting but whoever asks it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{HealthCheckSpec, Probe};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use super::ask;
use super::course::{Course, Rule};
use crate::host::System;

/// Called when there is news.
pub(super) type Tell = Arc<dyn Fn() + Send + Sync>;

/// A check that is being asked. Dropped, it is asked no more; a question that is under way comes to its end
/// unheard.
#[derive(Debug)]
pub(super) struct Watch {
    spec: HealthCheckSpec,
    course: Arc<Mutex<Course>>,
    begin: Instant,
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to ask. Time goes since `begin`.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(super) fn begin(
        id: &ResourceId,
        spec: &HealthCheckSpec,
        system: Box<dyn System>,
        (begin, course): (Instant, Course),
        tell: Tell,
    ) -> std::io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let course = Arc::new(Mutex::new(course));
        let asking = Asking {
            id: id.clone(),
            spec: spec.clone(),
            course: Arc::clone(&course),
            begin,
        };
        let thread = thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || asking.run(system, &woken, &tell))?;
        Ok(Self {
            spec: spec.clone(),
            course,
            begin,
            wake,
            thread,
        })
    }

    /// Whether somebody asks.
    pub(super) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// What it asks.
    pub(super) const fn spec(&self) -> &HealthCheckSpec {
        &self.spec
    }

    /// How it goes.
    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by which its course goes.
    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Something was changed on the host: it is asked at once.
    pub(super) fn ask_now(&self) {
        // A thread that is gone is begun anew by the next pass.
        let _ = self.wake.send(());
    }
}

/// When a check of this spec counts as failed.
pub(super) fn rule(spec: &HealthCheckSpec) -> Rule {
    Rule {
        interval: Duration::from_secs(u64::from(spec.interval_seconds)),
        attempts: spec.attempts,
    }
}

/// What the thread has.
struct Asking {
    id: ResourceId,
    spec: HealthCheckSpec,
    course: Arc<Mutex<Course>>,
    begin: Instant,
}

impl Asking {
    fn run(&self, mut system: Box<dyn System>, woken: &Receiver<()>, tell: &Tell) {
        let rule = rule(&self.spec);
        loop {
            let answer = self.ask(system.as_mut());
            let now = self.begin.elapsed();
            let (news, pause) = {
                let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
                let news = course.answered(rule, answer, now);
                let restarts = self.spec.restart.is_some() && course.falls_due(rule, now);
                (news || restarts, course.pause(rule))
            };
            // Whoever dropped it does not want to hear of it.
            let was_changed = match woken.try_recv() {
                Err(TryRecvError::Disconnected) => return,
                Ok(()) => true,
                Err(TryRecvError::Empty) => false,
            };
            if news {
                tell();
            }
            // What was changed while it was asked is asked about anew.
            let pause = if was_changed { Duration::ZERO } else { pause };
            match woken.recv_timeout(pause) {
                // However many changes there were, it is asked once.
                Ok(()) => while woken.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Asks all of it, once.
    fn ask(&self, system: &mut dyn System) -> Result<(), String> {
        for probe in &self.spec.probes {
            let asked = ask::once(system, &self.id, probe, time_limit(probe));
            asked.map_err(|unwell| super::cut(unwell.to_string()))?;
        }
        Ok(())
    }
}

fn time_limit(probe: &Probe) -> Duration {
    let seconds = match probe.seconds() {
        0 => limits::PROBE_DEFAULT_SECONDS,
        seconds => seconds.min(limits::HEALTH_SECONDS),
    };
    Duration::from_secs(u64::from(seconds))
}
