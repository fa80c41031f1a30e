//! One run, put together: look, judge, plan, take the steps, say how it ended.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use email_engine_protocol::join::JoinToken;
use email_engine_protocol::time::Timestamp;

use crate::execute::execute;
use crate::exit::Exit;
use crate::facts::{Bundle, Facts};
use crate::host::{self, Lock, LockError, RealHands};
use crate::journal::{self, Journal, Purpose};
use crate::layout::{self, Layout};
use crate::plan::{self, History, Removal, Step};
use crate::preflight::{Severity, preflight};
use crate::progress::Progress;
use crate::request::{Entry, Part, Request};

/// How far an installation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Only what must be put right first is told.
    Check,
    /// What would be done is told too.
    Plan,
    /// It is done.
    End,
}

/// How a removal is meant.
#[derive(Clone, Copy)]
pub struct Removing<'a> {
    /// Whether a node's data goes too.
    pub purge: bool,
    /// Only what would be done is told.
    pub only_plan: bool,
    /// Asked when it is known what goes and what stays.
    pub confirm: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Removing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Removing")
            .field("purge", &self.purge)
            .field("only_plan", &self.only_plan)
            .finish_non_exhaustive()
    }
}

/// Something that ended a run, and what the run says of it.
struct Ended {
    exit: Exit,
    text: String,
}

impl Ended {
    fn by(exit: Exit, error: &dyn Error) -> Self {
        let text = with_causes(error);
        Self { exit, text }
    }
}

impl From<LockError> for Ended {
    fn from(error: LockError) -> Self {
        let exit = match error {
            LockError::Busy => Exit::Busy,
            LockError::File { .. } => Exit::Failed,
        };
        Self::by(exit, &error)
    }
}

impl From<journal::JournalError> for Ended {
    fn from(error: journal::JournalError) -> Self {
        Self::by(Exit::Failed, &error)
    }
}

/// Brings the machine in.
#[must_use]
pub fn install(request: Request, token: Option<&JoinToken>, until: Until, json: bool) -> Exit {
    let mut progress = Progress::new(json);
    let done = try_install(request, token, until, &mut progress);
    conclude(&progress, &done)
}

/// Takes the part off the machine.
#[must_use]
pub fn remove(part: Part, removing: Removing<'_>, json: bool) -> Exit {
    let mut progress = Progress::new(json);
    let done = try_remove(part, removing, &mut progress);
    conclude(&progress, &done)
}

fn conclude(progress: &Progress, done: &Result<(usize, &'static str), Ended>) -> Exit {
    let (exit, changed, text) = match done {
        Ok((changed, text)) => (Exit::Done, *changed, *text),
        Err(ended) => (ended.exit, 0, ended.text.as_str()),
    };
    progress.end(exit, changed, text);
    exit
}

/// What a run knows before it begins.
struct Known {
    request: Request,
    bundle: Bundle,
    layout: Layout,
}

impl Known {
    fn new(mut request: Request) -> Self {
        if request.part == Part::Coordinator && request.advertise.is_none() {
            request.advertise = host::advertised();
        }
        let bundle = host::bundle(request.part);
        let layout = layout::layout(&request, &bundle);
        Self {
            request,
            bundle,
            layout,
        }
    }

    fn facts(&self) -> Facts {
        let endpoints = match &self.request.entry {
            Entry::Join(ticket) => ticket.endpoints.as_slice(),
            Entry::Already | Entry::Init => &[],
        };
        Facts {
            machine: host::machine(&self.layout),
            installed: host::installed(self.request.part, &self.layout, &self.bundle),
            bundle: self.bundle.clone(),
            reach: host::reach(endpoints),
            mail: self.request.mail_server().map(|server| {
                let answer = host::mail_leaves(server);
                (server.clone(), answer)
            }),
        }
    }

    fn history(&self) -> Result<History, Ended> {
        let entries = journal::read(&self.layout.journal)?;
        Ok(journal::history(&entries))
    }

    /// What is missing, as things are now.
    fn plan(&self, history: &History) -> Vec<Step> {
        let installed = host::installed(self.request.part, &self.layout, &self.bundle);
        plan::install(&self.request, &self.layout, &installed, history)
    }
}

fn try_install(
    request: Request,
    token: Option<&JoinToken>,
    until: Until,
    progress: &mut Progress,
) -> Result<(usize, &'static str), Ended> {
    let known = Known::new(request);
    let history = known.history()?;
    let facts = known.facts();
    let findings = preflight(&known.request, &known.layout, &facts, &history, now());
    progress.findings(&findings);
    let refusals = findings
        .iter()
        .filter(|one| one.severity == Severity::Refusal);
    match refusals.count() {
        0 => {}
        count => {
            return Err(Ended {
                exit: Exit::Preflight,
                text: format!("nothing was changed: {count} of the above must be put right first"),
            });
        }
    }
    if until == Until::Check {
        return Ok((0, "The preflight passed; nothing was changed."));
    }
    // Dropped last: it goes when everything is written.
    let _lock = if until == Until::End {
        Some(Lock::take()?)
    } else {
        None
    };
    // Somebody may have been at it meanwhile.
    let history = known.history()?;
    let steps = known.plan(&history);
    progress.plan(&steps, !history.pending.is_empty());
    if steps.is_empty() || until == Until::Plan {
        return Ok((0, "Nothing was changed."));
    }
    let mut hands = RealHands {
        layout: &known.layout,
        bundle: &known.bundle,
        token,
        patience: known.request.patience.unwrap_or_default(),
    };
    take(
        Purpose::Install,
        &steps,
        &known.layout,
        &mut hands,
        progress,
    )?;
    Ok((steps.len(), end_of(&known.request)))
}

/// What an installation that was asked for comes to.
const fn end_of(request: &Request) -> &'static str {
    match (request.part, request.patience.is_some(), &request.entry) {
        (Part::Agent, true, _) if !request.awaits_convergence => {
            "This host is enrolled; whether it converges is not waited for."
        }
        (Part::Agent, true, _) => "This host is enrolled and has converged.",
        (Part::Agent, false, _) => {
            "The agent runs; what comes of it is not waited for. The join token stays in its file \
             until a run without --no-wait."
        }
        (Part::Coordinator, _, Entry::Init) => {
            "The node runs. Further ones: `email-engine cluster add`, and there \
             `email-engine-bootstrap coordinator --join-file FILE`."
        }
        (Part::Coordinator, _, _) => {
            "The node runs and follows; `email-engine cluster promote` gives it a vote."
        }
    }
}

fn try_remove(
    part: Part,
    removing: Removing<'_>,
    progress: &mut Progress,
) -> Result<(usize, &'static str), Ended> {
    let known = Known::new(Request {
        part,
        entry: Entry::Already,
        patience: None,
        awaits_convergence: true,
        advertise: None,
        mail_probe: None,
    });
    if !rustix::process::geteuid().is_root() {
        return Err(Ended {
            exit: Exit::Preflight,
            text: "this must run as root: it removes users, units and files of the system"
                .to_owned(),
        });
    }
    let plan = || -> Result<(Removal, History), Ended> {
        let history = known.history()?;
        let installed = host::installed(part, &known.layout, &known.bundle);
        let removal = plan::remove(part, &known.layout, &installed, &history, removing.purge);
        Ok((removal, history))
    };
    let (removal, history) = plan()?;
    progress.left(&removal.left);
    progress.plan(&removal.steps, !history.removing.is_empty());
    if removal.steps.is_empty() || removing.only_plan {
        return Ok((0, "Nothing was changed."));
    }
    if !(removing.confirm)() {
        return Err(Ended {
            exit: Exit::Usage,
            text: "nothing was removed: it was not confirmed (--yes does so)".to_owned(),
        });
    }
    let _lock = Lock::take()?;
    let (removal, _) = plan()?;
    let mut hands = RealHands {
        layout: &known.layout,
        bundle: &known.bundle,
        token: None,
        patience: Duration::ZERO,
    };
    take(
        Purpose::Remove,
        &removal.steps,
        &known.layout,
        &mut hands,
        progress,
    )?;
    Ok((removal.steps.len(), "Removed."))
}

fn take(
    purpose: Purpose,
    steps: &[Step],
    layout: &Layout,
    hands: &mut RealHands<'_>,
    progress: &mut Progress,
) -> Result<(), Ended> {
    let mut journal = Journal::open(&layout.journal)?;
    progress.begin(steps.len());
    execute(purpose, steps, &mut journal, hands, progress, now)
        .map_err(|stopped| Ended::by(stopped.exit(), &stopped))
}

/// The clock of this machine; before 1970 it is 1970.
fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An error with its causes, each once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
