//! Asks ACME servers beside the reconciler, on a thread of its own: an issuance takes seconds to minutes,
//! and no pass waits for it.
//!
//! It is told the newest list of what is wanted, a few are asked for at a time, and after each one the
//! executor is told to look. What it knows is in records, so that neither a restart nor a crash makes it
//! ask more often than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::desired::{HostConfig, Spec, directory_host};
use email_engine_protocol::time::Timestamp;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::acme::{self, Desk, Fault, Wanted};
use super::due;
use super::pipe::{Pipe, Way};
use super::record::{Attempts, Issued, Place};
use crate::host::clock;

/// Certificates that are asked for at a time.
const AT_ONCE: usize = 2;
/// For one, whatever happens.
const ISSUANCE: Duration = Duration::from_secs(15 * 60);
/// Clocks are turned: it is looked at them so often.
const LOOK: Duration = Duration::from_secs(60);
/// Questions of one certificate, and for each of its names.
const QUESTIONS: u32 = 100;
const QUESTIONS_EACH: u32 = 20;

/// What is wanted.
#[derive(Clone, Debug, Default)]
struct Listed {
    wanted: Vec<Wanted>,
    /// Where certificates of the state lie, also those that are not asked for now.
    places: BTreeSet<Place>,
    /// It is not earlier than this, whatever the clock shows.
    floor: Timestamp,
}

/// Asks for what is wanted.
#[derive(Debug)]
pub(crate) struct Issuer {
    listed: watch::Sender<Listed>,
}

impl Issuer {
    /// Begins; `tell` is called after each attempt. Nobody is asked before something is wanted.
    pub(crate) fn start(
        desk: Desk,
        way: Way,
        tell: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (listed, wanted) = watch::channel(Listed::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || runtime.block_on(serve(Arc::new(desk), way, wanted, tell)))?;
        Ok(Self { listed })
    }

    /// A state is in force and was gone through: its certificates are wanted from now on.
    pub(crate) fn want(&self, config: &HostConfig, floor: Timestamp) {
        let wanted: Vec<Wanted> = config.resources.iter().filter_map(Wanted::of).collect();
        let places = places(config);
        self.listed.send_if_modified(|listed| {
            let is_news = listed.wanted != wanted || listed.places != places;
            // The clock is looked at by itself.
            listed.floor = listed.floor.max(floor);
            if is_news {
                (listed.wanted, listed.places) = (wanted, places);
            }
            is_news
        });
    }

    /// Another state is to be gone through: what it does not want as it was is asked for no more.
    pub(crate) fn keep_only(&self, config: &HostConfig) {
        let still: Vec<Wanted> = config.resources.iter().filter_map(Wanted::of).collect();
        self.listed.send_if_modified(|listed| {
            let before = listed.wanted.len();
            listed.wanted.retain(|one| still.contains(one));
            listed.places = places(config);
            before != listed.wanted.len()
        });
    }
}

fn places(config: &HostConfig) -> BTreeSet<Place> {
    let all = config.resources.iter().filter_map(|one| match &one.spec {
        Spec::Certificate(spec) => Some(Place::of(&spec.path)),
        _ => None,
    });
    all.collect()
}

type Done = (Result<Issued, Fault>, Option<u64>);
/// What is asked for now.
type Known = BTreeMap<Place, (Wanted, AbortHandle)>;

async fn serve(desk: Arc<Desk>, way: Way, mut listed: watch::Receiver<Listed>, tell: impl Fn()) {
    let mut running: JoinSet<Done> = JoinSet::new();
    let mut known = Known::new();
    loop {
        let newest = listed.borrow_and_update().clone();
        known.retain(|place, (wanted, handle)| {
            let stays = newest.wanted.contains(wanted);
            if !stays {
                handle.abort();
                forget_unwanted(&desk, place, &newest.places);
            }
            stays
        });
        let next = begin(&desk, &way, &newest, &mut running, &mut known, clock());
        tokio::select! {
            changed = listed.changed() => if changed.is_err() {
                return;
            },
            Some(done) = running.join_next_with_id() => if joined(&desk, &listed, &mut known, done) {
                tell();
            },
            () = sleep(next) => {}
        }
    }
}

/// An attempt ended. Says whether something came of it: what was ended, or is asked for otherwise since, is
/// nobody's any more.
fn joined(
    desk: &Desk,
    listed: &watch::Receiver<Listed>,
    known: &mut Known,
    done: Result<(Id, Done), JoinError>,
) -> bool {
    let task = match &done {
        Ok((task, _)) => *task,
        Err(error) => error.id(),
    };
    let place = known.iter().find(|(_, (_, handle))| handle.id() == task);
    let Some(place) = place.map(|(place, _)| place.clone()) else {
        return false;
    };
    let Some((wanted, _)) = known.remove(&place) else {
        return false;
    };
    let is_listed = || listed.borrow().places.contains(&place);
    match done {
        Ok((_, (outcome, wish))) if is_listed() => conclude(desk, &wanted, outcome, wish),
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "asking for a certificate ended unexpectedly"),
    }
    // It may have gone in this moment: what was written after it was forgotten is forgotten too.
    forget_unwanted(desk, &place, &listed.borrow().places);
    true
}

/// What was asked for and is no longer in the state leaves no key behind.
fn forget_unwanted(desk: &Desk, place: &Place, places: &BTreeSet<Place>) {
    if !places.contains(place)
        && let Err(error) = place.forget(&desk.cabinet)
    {
        tracing::warn!(%error, "what is known of a certificate that is not wanted stays");
    }
}

/// Begins what is due; says when to look again.
fn begin(
    desk: &Arc<Desk>,
    way: &Way,
    listed: &Listed,
    running: &mut JoinSet<Done>,
    known: &mut Known,
    clock: Timestamp,
) -> Duration {
    let mut next = LOOK;
    for wanted in &listed.wanted {
        if known.contains_key(&wanted.place) || !wanted.acme.agreed {
            continue;
        }
        let wait = wait(desk, wanted, clock, listed.floor);
        if wait > 0 {
            next = next.min(Duration::from_millis(wait));
        } else if known.len() < AT_ONCE {
            let handle = running.spawn(attempt(Arc::clone(desk), way.clone(), wanted.clone()));
            known.insert(wanted.place.clone(), (wanted.clone(), handle));
        }
    }
    next
}

/// How long it is until this is to be asked for, in milliseconds.
fn wait(desk: &Desk, wanted: &Wanted, clock: Timestamp, floor: Timestamp) -> u64 {
    let issued = wanted.place.issued(&desk.cabinet).unwrap_or_default();
    let attempts = mended(desk, wanted, issued.as_ref(), clock);
    let same =
        |one: &Issued| one.domains == wanted.domains && one.directory == wanted.acme.directory;
    let good = issued.filter(same);
    match good.map_or(0, |one| due::until_renewal(&one, clock.max(floor))) {
        0 => due::wait(&attempts, clock),
        wait => wait,
    }
}

/// How asking went, without what a crash or a turned clock made of it; kept when that is something else.
fn mended(desk: &Desk, wanted: &Wanted, issued: Option<&Issued>, clock: Timestamp) -> Attempts {
    let attempts = wanted.place.attempts(&desk.cabinet);
    let order = attempts.order.as_ref();
    // It ended well, and its end was cut off before all of it was written down.
    let is_over = issued.is_some_and(|one| order.is_some_and(|order| order.key == one.pair.key));
    let mended = if is_over {
        Some(Attempts {
            tokens: attempts.tokens.clone(),
            ..Attempts::default()
        })
    } else {
        due::straightened(&attempts, clock)
    };
    let Some(mended) = mended else {
        return attempts;
    };
    if let Err(error) = wanted.place.keep_attempts(&desk.cabinet, &mended) {
        tracing::error!(resource = %wanted.id, %error, "how asking went cannot be kept");
    }
    mended
}

async fn attempt(desk: Arc<Desk>, way: Way, wanted: Wanted) -> Done {
    let host = directory_host(&wanted.acme.directory).unwrap_or_default();
    let names = u32::try_from(wanted.domains.len()).unwrap_or(u32::MAX);
    let questions = QUESTIONS.saturating_add(QUESTIONS_EACH.saturating_mul(names));
    let pipe = Pipe::new(way, host, questions);
    let mut attempts = wanted.place.attempts(&desk.cabinet);
    // Counted before it is begun: one that is cut off again and again is a failure each time.
    attempts.begun_at = Some(clock());
    attempts.failures = attempts.failures.saturating_add(1);
    attempts.pause = due::cut_off(attempts.failures);
    if attempts.reason.is_empty() {
        "it was cut off".clone_into(&mut attempts.reason);
    }
    let kept = wanted.place.keep_attempts(&desk.cabinet, &attempts);
    let outcome = match kept {
        Ok(()) => {
            let issued = acme::issue(&desk, &pipe, &wanted, clock);
            let late = || Fault {
                reason: format!("nothing came of it within {} s", ISSUANCE.as_secs()),
                refused: false,
                ends_order: false,
            };
            timeout(ISSUANCE, issued)
                .await
                .unwrap_or_else(|_| Err(late()))
        }
        // Then nothing is asked: a disk that is full would make a crowd of accounts.
        Err(error) => Err(Fault {
            reason: error.to_string(),
            refused: false,
            ends_order: false,
        }),
    };
    (outcome, pipe.wish())
}

/// Writes down what came of it.
fn conclude(desk: &Desk, wanted: &Wanted, outcome: Result<Issued, Fault>, wish: Option<u64>) {
    let mut attempts = wanted.place.attempts(&desk.cabinet);
    match outcome {
        Ok(issued) => {
            let (id, until) = (&wanted.id, issued.not_after);
            tracing::info!(resource = %id, %until, "a certificate was issued");
            if let Err(error) = wanted.place.keep_issued(&desk.cabinet, &issued) {
                tracing::error!(resource = %id, %error, "what was issued cannot be kept");
                return;
            }
            attempts = Attempts::default();
        }
        Err(fault) => {
            let at = attempts.begun_at.unwrap_or_default();
            let failures = attempts.failures.max(1);
            attempts.pause = due::pause(failures, fault.refused, wish, acme::jitter(wanted, at));
            tracing::warn!(
                resource = %wanted.id, reason = fault.reason, failures,
                again_in_seconds = attempts.pause / 1000, "no certificate"
            );
            attempts.reason = fault.reason;
            if fault.ends_order {
                attempts.order = None;
            }
        }
    }
    if let Err(error) = wanted.place.keep_attempts(&desk.cabinet, &attempts) {
        tracing::error!(resource = %wanted.id, %error, "how asking went cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::pair::tests::Authority;
    use super::super::record::Ordered;
    use super::super::tests::resource;
    use super::*;
    use crate::host::{Cabinet, Rooted};

    const BEGIN: Timestamp = Timestamp(1_795_000_000_000);

    /// A host that wants one certificate, and a network half that is gone.
    struct Bed {
        desk: Arc<Desk>,
        way: Way,
        wanted: Wanted,
        listed: watch::Sender<Listed>,
        running: JoinSet<Done>,
        known: Known,
        _dir: tempfile::TempDir,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let wanted = Wanted::of(&resource(&["a.example.com"])).unwrap();
            let listed = Listed {
                wanted: vec![wanted.clone()],
                places: [wanted.place.clone()].into(),
                floor: Timestamp(0),
            };
            let desk = Desk {
                cabinet: Cabinet::open(&dir.path().join("agent")).unwrap(),
                files: Rooted::open(dir.path()).unwrap(),
            };
            Self {
                desk: Arc::new(desk),
                way: Way::new(mpsc::channel(1).0, Arc::default()),
                wanted,
                listed: watch::channel(listed).0,
                running: JoinSet::new(),
                known: Known::new(),
                _dir: dir,
            }
        }

        fn keep(&self, attempts: &Attempts) {
            let place = &self.wanted.place;
            place.keep_attempts(&self.desk.cabinet, attempts).unwrap();
        }

        fn attempts(&self) -> Attempts {
            self.wanted.place.attempts(&self.desk.cabinet)
        }

        fn begin(&mut self, now: Timestamp) -> Duration {
            let listed = self.listed.borrow().clone();
            let (running, known) = (&mut self.running, &mut self.known);
            begin(&self.desk, &self.way, &listed, running, known, now)
        }

        /// Asked for, by something that ends so.
        fn ask(&mut self, task: impl Future<Output = Done> + Send + 'static) {
            let handle = self.running.spawn(task);
            let entry = (self.wanted.clone(), handle);
            self.known.insert(self.wanted.place.clone(), entry);
        }

        async fn join(&mut self) -> bool {
            let done = self.running.join_next_with_id().await.unwrap();
            let listed = self.listed.subscribe();
            joined(&self.desk, &listed, &mut self.known, done)
        }
    }

    fn issued(wanted: &Wanted) -> Issued {
        let pair = Authority::new().issue(&["a.example.com"], 90);
        let seen = pair.judge_issued(&wanted.domains, None).unwrap();
        Issued {
            pair,
            domains: wanted.domains.clone(),
            directory: wanted.acme.directory.clone(),
            not_before: seen.validity.not_before,
            not_after: seen.validity.not_after,
            issued_at: clock(),
        }
    }

    fn fault() -> Fault {
        Fault {
            reason: "away".to_owned(),
            refused: false,
            ends_order: false,
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_after_a_failure_costs_one_pause() {
        let mut bed = Bed::new();
        bed.keep(&Attempts {
            failures: 1,
            begun_at: Some(BEGIN.plus(365 * Timestamp::DAY)),
            pause: 10 * LOOK.as_secs() * Timestamp::SECOND,
            reason: "away".to_owned(),
            ..Attempts::default()
        });
        let mut now = BEGIN;
        while bed.known.is_empty() {
            assert!(now.since(BEGIN) <= 600_000, "it waits for ever");
            let next = bed.begin(now);
            assert_eq!(bed.attempts().begun_at, Some(BEGIN), "written down");
            now = now.plus(u64::try_from(next.as_millis()).unwrap());
        }
        assert!(now.since(BEGIN) >= 600_000, "the pause is kept");
    }

    #[tokio::test]
    async fn asking_that_ends_unexpectedly_is_begun_again() {
        let mut bed = Bed::new();
        bed.ask(async { panic!("as a library might") });
        assert!(bed.join().await);
        assert!(bed.known.is_empty());
        bed.begin(clock());
        assert_eq!(bed.known.len(), 1);
    }

    #[tokio::test]
    async fn the_end_of_an_earlier_attempt_does_not_touch_the_one_that_is_under_way() {
        let mut bed = Bed::new();
        bed.ask(async { (Err(fault()), None) });
        let wanted = bed.wanted.clone();
        bed.wanted.acme.contact = None;
        bed.ask(std::future::pending());
        assert!(!bed.join().await, "nobody waits for it");
        assert_eq!(bed.known[&wanted.place].0, bed.wanted);
        assert_eq!(bed.attempts(), Attempts::default());
    }

    #[tokio::test]
    async fn no_key_is_written_down_for_a_place_that_is_gone() {
        let mut bed = Bed::new();
        let one = issued(&bed.wanted);
        let (again, place) = (one.clone(), bed.wanted.place.clone());
        bed.ask(async { (Ok(one), None) });
        assert!(bed.join().await);
        assert!(place.issued(&bed.desk.cabinet).unwrap().is_some());
        // It went before the end was seen.
        bed.ask(async { (Ok(again), None) });
        bed.listed.send_replace(Listed::default());
        bed.join().await;
        assert_eq!(place.issued(&bed.desk.cabinet).unwrap(), None);
        assert_eq!(bed.attempts(), Attempts::default());
    }

    #[tokio::test]
    async fn a_crash_between_what_was_issued_and_how_it_went_is_no_failure() {
        let mut bed = Bed::new();
        let one = issued(&bed.wanted);
        let place = bed.wanted.place.clone();
        place.keep_issued(&bed.desk.cabinet, &one).unwrap();
        let attempts = |key: &str| Attempts {
            failures: 1,
            begun_at: Some(clock()),
            pause: 5000,
            reason: "it was cut off".to_owned(),
            order: Some(Ordered {
                url: "https://acme.example.net/order/1".to_owned(),
                wanted: Vec::new(),
                key: key.to_owned(),
            }),
            tokens: Vec::new(),
        };
        bed.keep(&attempts(&one.pair.key));
        bed.begin(clock());
        assert!(bed.known.is_empty());
        assert_eq!(bed.attempts(), Attempts::default());
        // Another order is under way still.
        let other = attempts("another");
        bed.keep(&other);
        bed.begin(clock());
        assert_eq!(bed.attempts(), other);
    }
}
