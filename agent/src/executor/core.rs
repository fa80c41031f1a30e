//! The executor's state, and what it does by itself: begin, audit, end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::desired::{Disposition, HostConfig, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::observed::{Attempt, Facts, GenerationStates, Observed, Stage};
use email_engine_protocol::time::Timestamp;
use tokio::sync::mpsc::Sender;

use super::accounting::Accounting;
use super::offered::{Offered, Wanted};
use super::outbox::Outbox;
use super::reconnect::{Answers, Asking};
use super::report::Reported;
use super::{ExecutorConfig, ExecutorError};
use crate::allow::{AllowList, Disallowed};
use crate::certificate::issuer::Issuer;
use crate::certificate::pipe;
use crate::drift::Watcher;
use crate::halves::{FromExecutor, Standing, Trust};
use crate::host::{self, Cabinet, Machine, RecordError};
use crate::ledger::grants::Grants;
use crate::ledger::keys::ExecutorSecrets;
use crate::ledger::page::Page;
use crate::ledger::{self, Ledger, interrupted};
use crate::reconciler::order::Order;
use crate::reconciler::{Outcome, Reconciler, UnderWay};

/// Audits without a pause would starve everything else.
const SHORTEST_AUDIT: Duration = Duration::from_millis(10);

/// A session with a coordinator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) nonce: Nonce,
    pub(super) sequence: u64,
}

/// The state that is enforced.
#[derive(Debug)]
pub(super) struct Enforced {
    pub(super) target: Target,
    pub(super) config: HostConfig,
    pub(super) order: Order,
}

/// Everything that the executor's thread owns.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) allow: AllowList,
    pub(super) audit_interval: Duration,
    pub(super) agent_version: String,
    pub(super) cabinet: Cabinet,
    pub(super) keys: ExecutorSecrets,
    pub(super) trust: Option<Trust>,
    pub(super) grants: Grants,
    pub(super) ledger: Ledger,
    pub(super) reconciler: Reconciler,
    pub(super) watcher: Option<Watcher>,
    /// Asks for certificates.
    pub(super) issuer: Option<Issuer>,
    /// The way to ACME servers, and where their answers go.
    pub(super) way: pipe::Way,
    pub(super) fetched: Arc<pipe::Answers>,
    pub(super) session: Option<Session>,
    /// Since when nobody is there.
    pub(super) alone_since: Instant,
    pub(super) offered: Option<Offered>,
    /// What was asked for and has not come.
    pub(super) wanted: Wanted,
    /// What was refused in this session as not signed for this host.
    pub(super) doubted: Option<Attempt>,
    /// What the allow-list refused in this life: the next one may have another list.
    pub(super) disallowed: Option<Attempt>,
    /// Whether the ledger may hold contents that no state needs.
    pub(super) untidy: bool,
    /// Whether the cluster said in this life what the target is.
    pub(super) told: bool,
    /// Whether something came that the enforced state waited for.
    pub(super) mendable: bool,
    /// Whether something was heard that may bring the offer further.
    pub(super) due: bool,
    pub(super) enforced: Option<Enforced>,
    pub(super) outcome: Option<Outcome>,
    pub(super) facts: Observed<Facts>,
    pub(super) reported: Option<Reported>,
    /// Whether the cluster has not yet heard what the former life left to itself.
    pub(super) untold_interruption: bool,
    pub(super) said: Option<Standing>,
    pub(super) outbox: Outbox,
    pub(super) under_way: Arc<UnderWay>,
    /// Where the network half's answers to the wish for a connection go.
    pub(super) answers: Arc<Answers>,
    /// Failed passes in a row.
    pub(super) failures: u32,
    /// Passes in a row after which all was right but what shall stand still.
    pub(super) unhalted: u32,
    pub(super) next_audit: Instant,
    pub(super) accounting: Accounting,
}

impl Core {
    pub(super) fn open(
        config: ExecutorConfig,
        cabinet: Cabinet,
        events: Sender<FromExecutor>,
        under_way: Arc<UnderWay>,
    ) -> Result<Self, ExecutorError> {
        let ledger = open_ledger(&cabinet)?;
        let random = ring::rand::SystemRandom::new();
        let keys = ExecutorSecrets::open(&cabinet, &Entropy(&random)).map_err(|source| {
            ExecutorError::Identity {
                what: "keys",
                source,
            }
        })?;
        let trust = ledger::read_trust(&cabinet).map_err(|source| ExecutorError::Identity {
            what: "trust",
            source,
        })?;
        let grants = Grants::read(&cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "grants are lost: the next session brings them again");
            Grants::default()
        });
        let machine = Machine::open(&config.root, cabinet.clone());
        let mut machine = machine.map_err(|source| ExecutorError::Root {
            root: config.root,
            source,
        })?;
        machine.files.spare(config.own);
        let answers = Arc::<Answers>::default();
        let asking = Asking::new(events.clone(), Arc::clone(&answers), Arc::clone(&under_way));
        machine.reconnect = Box::new(asking);
        let fetched = Arc::<pipe::Answers>::default();
        let audit_interval = config.audit_interval.max(SHORTEST_AUDIT);
        let facts = Observed::Unknown {
            reason: "not measured yet".to_owned(),
            since: now(),
        };
        Ok(Self {
            allow: config.allow,
            audit_interval,
            agent_version: config.agent_version,
            accounting: Accounting::open(&cabinet),
            keys,
            trust,
            grants,
            ledger,
            reconciler: Reconciler::open(machine, cabinet.clone()),
            cabinet,
            watcher: None,
            issuer: None,
            way: pipe::Way::new(events.clone(), Arc::clone(&fetched)),
            fetched,
            session: None,
            alone_since: Instant::now(),
            offered: None,
            wanted: Wanted::default(),
            doubted: None,
            disallowed: None,
            // A crash may have come before it was tidied.
            untidy: true,
            told: false,
            mendable: false,
            due: false,
            enforced: None,
            outcome: None,
            facts,
            reported: None,
            untold_interruption: false,
            said: None,
            outbox: Outbox::new(events),
            under_way,
            answers,
            failures: 0,
            unhalted: 0,
            next_audit: Instant::now() + audit_interval,
        })
    }

    /// Goes on from the ledger, with nobody's help.
    pub(super) fn resume(&mut self) {
        self.recover();
        self.say_standing();
        self.enforce_accepted();
        self.note_interrupted();
        self.audit();
    }

    /// Says what the former life left to itself when it was ended.
    fn note_interrupted(&mut self) {
        match interrupted::take(&self.cabinet) {
            Ok(None) => {}
            Ok(Some(id)) => {
                let generation = self.accepted_target().map(|target| target.generation);
                let reason = format!("{id}: interrupted, it was under way when the agent stopped");
                self.attempted(generation.unwrap_or_default(), Stage::Apply, reason);
                self.untold_interruption = true;
            }
            Err(error) => tracing::warn!(%error, "what was interrupted cannot be told"),
        }
    }

    /// The full look at everything: the guarantee.
    pub(super) fn audit(&mut self) {
        self.next_audit = Instant::now() + self.audit_interval;
        self.measure();
        if self.enforced.is_none() {
            self.enforce_accepted();
        }
        self.fall_back_if_alone();
        self.pass_all();
        self.ask_again();
        self.report_changes();
    }

    /// Nothing is told to the product any more. A retired host leaves no key behind: nobody starts its
    /// agent again.
    pub(super) fn end(&mut self) {
        self.reconciler.rest();
        if self.ledger.page().retired
            && let Err(error) = ledger::forget_all(&self.cabinet)
        {
            tracing::error!(%error, "the identity of the retired host is not wholly forgotten");
        }
    }

    pub(super) const fn next_audit(&self) -> Instant {
        self.next_audit
    }

    /// When the product is to be asked what is left under names that go.
    pub(super) fn next_question(&self) -> Option<Instant> {
        self.reconciler.next_question()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.under_way.is_stopping()
    }

    pub(super) fn flush(&mut self) -> bool {
        self.outbox.flush()
    }

    pub(super) fn measure(&mut self) {
        self.facts = match self.reconciler.machine.facts(&self.agent_version) {
            Ok(value) => Observed::Known { value, at: now() },
            Err(reason) => Observed::Unknown {
                reason: super::report::cut(reason),
                since: now(),
            },
        };
    }

    /// Remembers for this session that something was refused that nobody signed for this host. It
    /// may claim any generation, and a refused one is not offered again: on disk, one lie of the
    /// network half would shut out what is rightly signed for ever.
    pub(super) fn doubt(&mut self, generation: Generation, reason: String) {
        tracing::warn!(claimed = %generation, reason, "offer is not signed for this host");
        self.doubted = Some(Attempt {
            generation,
            stage: Stage::Accept,
            reason: super::report::cut(reason),
        });
        self.say_standing();
    }

    /// Remembers for this life that the allow-list refuses a generation. Not on disk: what was
    /// refused there is not offered again, and the list may be mended.
    pub(super) fn disallow(&mut self, generation: Generation, error: &Disallowed) {
        let attempt = Attempt {
            generation,
            stage: Stage::Accept,
            reason: super::report::cut(format!("allow-list: {error}")),
        };
        if self.disallowed.as_ref() != Some(&attempt) {
            tracing::error!(%generation, reason = attempt.reason, "generation is refused");
            self.doubted = None;
            self.disallowed = Some(attempt);
            self.say_standing();
        }
    }

    /// Writes to the ledger; what cannot be written must not be acted on.
    pub(super) fn turn(&mut self, change: impl FnOnce(&mut Page)) -> Result<(), RecordError> {
        let turned = self.ledger.turn(change);
        if let Err(error) = &turned {
            tracing::error!(%error, "ledger cannot be written");
        }
        turned
    }

    /// Remembers that a generation did not get through.
    pub(super) fn attempted(&mut self, generation: Generation, stage: Stage, reason: String) {
        tracing::warn!(%generation, ?stage, reason, "generation did not get through");
        let attempt = Attempt {
            generation,
            stage,
            reason: super::report::cut(reason),
        };
        self.doubted = None;
        self.disallowed
            .take_if(|over| over.generation <= generation);
        // That a newer one did not get in is the news; how the enforced one fares, its statuses say.
        let known = self.ledger.page().attempted.as_ref();
        let is_old = known.is_some_and(|known| known.generation > generation);
        if !is_old && let Err(error) = self.ledger.note(|page| page.attempted = Some(attempt)) {
            tracing::error!(%error, "ledger cannot be written");
        }
        self.say_standing();
    }

    pub(super) fn generations(&self) -> GenerationStates {
        let page = self.ledger.page();
        GenerationStates {
            accepted: page.floor().map(|floor| floor.generation),
            running: self.enforced.as_ref().map(|e| e.target.generation),
            last_good: page.last_good.as_ref().map(|target| target.generation),
            attempted: self.attempt().cloned(),
        }
    }

    /// The last that did not get through.
    pub(super) fn attempt(&self) -> Option<&Attempt> {
        let lately = self.doubted.as_ref().or(self.disallowed.as_ref());
        lately.or_else(|| self.ledger.page().attempted.as_ref())
    }

    pub(super) fn standing(&self) -> Standing {
        let page = self.ledger.page();
        Standing {
            generations: self.generations(),
            floor: page.floor(),
            plan_key_version: self.plan_key().map_or(0, |grant| grant.version),
            is_retiring: self.is_retiring(),
        }
    }

    pub(super) fn is_retiring(&self) -> bool {
        let enforced = self.enforced.as_ref();
        enforced.is_some_and(|one| one.config.disposition == Disposition::Retired)
    }

    pub(super) fn say_standing(&mut self) {
        let standing = self.standing();
        if self.said.as_ref() != Some(&standing) {
            self.said = Some(standing.clone());
            self.outbox.say(FromExecutor::Standing(standing));
        }
    }
}

/// Opens the ledger; that of a retired host is forgotten.
fn open_ledger(cabinet: &Cabinet) -> Result<Ledger, ExecutorError> {
    let ledger = Ledger::open(cabinet.clone()).map_err(ExecutorError::Ledger)?;
    if !ledger.page().retired {
        return Ok(ledger);
    }
    tracing::info!("this host was retired: its identity is forgotten");
    ledger::forget_all(cabinet).map_err(ExecutorError::Ledger)?;
    Ledger::open(cabinet.clone()).map_err(ExecutorError::Ledger)
}

/// The machine's clock.
pub(super) fn now() -> Timestamp {
    host::clock()
}
