//! The executor's thread: wakes on messages, touches and time, and hands them to the core.

use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::core::Core;
use crate::drift::Watcher;
use crate::halves::ToExecutor;

/// Changes come in bursts (write, rename, chmod): one pass for all.
const SETTLE: Duration = Duration::from_millis(2);
/// The rarest look at what is touched without end, such as a log that is only reported.
const LONGEST_SETTLE: Duration = Duration::from_secs(1);
/// Messages that are heard before anything is done about them: a stream of them stops nothing.
const AT_ONCE: usize = 32;
/// The thread comes by at least so often, to show that it lives.
const BEAT: Duration = Duration::from_secs(10);
/// When something waits to be said and the network half does not read.
const SAY_AGAIN: Duration = Duration::from_millis(50);

/// Why the thread wakes.
#[derive(Debug)]
pub(super) enum Wake {
    /// With the room that it takes up among those that wait, if it takes any.
    Message(Box<ToExecutor>, Option<OwnedSemaphorePermit>),
    /// A certificate was issued, or was not.
    Certificates,
    /// What must be well is not, or is again.
    Health,
    Stop,
    Touched,
}

pub(super) type WakeSender = Sender<Wake>;

/// Whether the thread has ended, and when it came by last.
#[derive(Debug)]
pub(super) struct Ended {
    ended: Mutex<bool>,
    bell: Condvar,
    beat: Mutex<Instant>,
}

impl Default for Ended {
    fn default() -> Self {
        Self {
            ended: Mutex::default(),
            bell: Condvar::default(),
            beat: Mutex::new(Instant::now()),
        }
    }
}

impl Ended {
    fn beat(&self) {
        *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn beat_within(&self, limit: Duration) -> bool {
        let beat = *self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        beat.elapsed() <= limit
    }

    /// Waits so long; says whether it has ended.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(ended, limit, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Wakes for news of health checks: one waits in the queue, however much news there is while the thread is
/// busy.
#[derive(Debug, Default)]
struct Bell(AtomicBool);

impl Bell {
    fn ring(&self, queue: &WakeSender) {
        if !self.0.swap(true, Ordering::AcqRel) {
            // Without a receiver the thread is gone.
            let _ = queue.send(Wake::Health);
        }
    }

    /// To be called before looking: what comes from now on rings again.
    fn is_heard(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Rings when the thread ends, also by a panic.
struct Ring(Arc<Ended>);

impl Drop for Ring {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.bell.notify_all();
    }
}

pub(super) fn run(mut core: Core) -> std::io::Result<(WakeSender, Arc<Ended>)> {
    let (sender, inbox) = mpsc::channel();
    let ended = Arc::new(Ended::default());
    let ring = Ring(Arc::clone(&ended));
    let alive = Arc::clone(&ended);
    let touch = sender.clone();
    let certificates = sender.clone();
    let health = sender.clone();
    let bell = Arc::new(Bell::default());
    std::thread::Builder::new()
        .name("executor".to_owned())
        .spawn(move || {
            let _ring = ring;
            // Fails only when the thread below is gone.
            let watcher = Watcher::start(move || drop(touch.send(Wake::Touched)));
            match watcher {
                Ok(watcher) => core.watcher = Some(watcher),
                Err(error) => tracing::warn!(%error, "drift is seen by audits only"),
            }
            let wake = certificates;
            core.start_issuer(move || drop(wake.send(Wake::Certificates)));
            let ringing = Arc::clone(&bell);
            core.reconciler
                .tells_of_health(move || ringing.ring(&health));
            core.resume();
            serve(&mut core, &inbox, &alive, &bell);
            core.end();
            tracing::info!("executor stopped");
        })?;
    Ok((sender, ended))
}

/// When touches are looked at: at once, but ever more rarely while looking changes nothing, so that
/// whoever writes all the time to what we leave alone costs neither the processor nor the line.
#[derive(Debug)]
struct Settling {
    pause: Duration,
    looked: Option<Instant>,
}

impl Settling {
    const fn new() -> Self {
        Self {
            pause: SETTLE,
            looked: None,
        }
    }

    /// Something was touched: when to look.
    fn due(&mut self, now: Instant) -> Instant {
        let quiet = |looked: Instant| now.saturating_duration_since(looked) >= LONGEST_SETTLE;
        if self.looked.is_none_or(quiet) {
            self.pause = SETTLE;
        }
        now + self.pause
    }

    fn looked(&mut self, now: Instant, changed: bool) {
        self.looked = Some(now);
        self.pause = if changed {
            SETTLE
        } else {
            (self.pause * 2).min(LONGEST_SETTLE)
        };
    }
}

fn serve(core: &mut Core, inbox: &Receiver<Wake>, alive: &Ended, bell: &Bell) {
    let mut settling = Settling::new();
    let mut settled: Option<Instant> = None;
    while !core.is_stopping() {
        alive.beat();
        let now = Instant::now();
        if settled.is_some_and(|at| at <= now) {
            settled = None;
            let changed = core.repair();
            settling.looked(Instant::now(), changed);
        }
        if core.next_question().is_some_and(|at| at <= now) {
            core.ask();
        }
        if core.next_audit() <= now {
            core.audit();
        }
        if core.next_reading() <= now {
            core.read_accounting();
        }
        let unsaid = (!core.flush()).then(|| Instant::now() + SAY_AGAIN);
        let due = [
            Some(core.next_audit()),
            core.next_question(),
            Some(core.next_reading()),
            settled,
            unsaid,
            Some(now + BEAT),
        ];
        let next = due.into_iter().flatten().min().unwrap_or(now);
        match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(wake) => {
                let waiting = inbox.try_iter().take(AT_ONCE);
                let mut is_health_news = false;
                for wake in iter::once(wake).chain(waiting) {
                    match wake {
                        Wake::Message(message, permit) => {
                            core.hear(*message);
                            drop(permit);
                        }
                        Wake::Certificates => core.look_at_certificates(),
                        Wake::Health => is_health_news = true,
                        Wake::Stop => return,
                        Wake::Touched => {
                            settled = settled.or_else(|| Some(settling.due(Instant::now())));
                        }
                    }
                }
                if is_health_news {
                    bell.is_heard();
                    core.look_at_health();
                }
                core.proceed();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_news_of_health_one_wake_waits_and_what_comes_later_wakes_again() {
        let (sender, inbox) = mpsc::channel();
        let bell = Bell::default();
        for _ in 0..2 {
            for _ in 0..1000 {
                bell.ring(&sender);
            }
            assert_eq!(inbox.try_iter().count(), 1);
            bell.is_heard();
        }
    }

    #[test]
    fn endless_touches_that_change_nothing_are_looked_at_once_a_second() {
        let begin = Instant::now();
        let mut settling = Settling::new();
        let mut now = begin;
        let mut looks = 0;
        while now < begin + Duration::from_secs(60) {
            now = settling.due(now);
            settling.looked(now, false);
            looks += 1;
        }
        assert!((60..80).contains(&looks), "{looks} looks in a minute");
        // A repair, or a quiet second, and it is fast again.
        settling.looked(now, true);
        assert_eq!(settling.due(now), now + SETTLE);
        for _ in 0..20 {
            settling.looked(now, false);
        }
        assert_eq!(settling.due(now), now + LONGEST_SETTLE);
        let later = now + LONGEST_SETTLE;
        assert_eq!(settling.due(later), later + SETTLE);
    }
}
