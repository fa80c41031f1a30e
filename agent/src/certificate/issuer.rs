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
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::acme::{self, Desk, Fault, Wanted};
use super::due;
use super::pipe::{Pipe, Way};
use super::record::{Issued, Place};
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

type Done = (Wanted, Result<Issued, Fault>, Option<u64>);

async fn serve(desk: Arc<Desk>, way: Way, mut listed: watch::Receiver<Listed>, tell: impl Fn()) {
    let mut running: JoinSet<Done> = JoinSet::new();
    let mut known: BTreeMap<Place, (Wanted, AbortHandle)> = BTreeMap::new();
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
        let next = begin(&desk, &way, &newest, &mut running, &mut known);
        tokio::select! {
            changed = listed.changed() => if changed.is_err() {
                return;
            },
            Some(done) = running.join_next() => match done {
                Ok((wanted, outcome, wish)) => {
                    known.remove(&wanted.place);
                    conclude(&desk, &wanted, outcome, wish);
                    tell();
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => tracing::error!(%error, "asking for a certificate ended unexpectedly"),
            },
            () = sleep(next) => {}
        }
    }
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
    known: &mut BTreeMap<Place, (Wanted, AbortHandle)>,
) -> Duration {
    let now = clock().max(listed.floor);
    let mut next = LOOK;
    for wanted in &listed.wanted {
        if known.contains_key(&wanted.place) || !wanted.acme.agreed {
            continue;
        }
        let wait = wait(desk, wanted, now);
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
fn wait(desk: &Desk, wanted: &Wanted, now: Timestamp) -> u64 {
    let issued = wanted.place.issued(&desk.cabinet).unwrap_or_default();
    let same =
        |one: &Issued| one.domains == wanted.domains && one.directory == wanted.acme.directory;
    let good = issued.filter(same);
    match good.map_or(0, |one| due::until_renewal(&one, now)) {
        0 => due::wait(&wanted.place.attempts(&desk.cabinet), clock()),
        wait => wait,
    }
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
    (wanted, outcome, pipe.wish())
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
            attempts = super::record::Attempts::default();
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
