//! Whether what runs on this host is well (`Spec::HealthCheck`).
//!
//! Each check is asked on a thread of its own, at its own pace; a pass reads what was answered last and
//! waits for nobody. What follows from the answers is told by the thread, and done by a pass: only the
//! executor's own thread changes anything.
//!
//! - `ask` asks one probe once; transactions ask by it as well.
//! - [`course`] is pure: when a check has failed, and when its unit is restarted.
//! - `watch` is the thread.
//! - [`Checks`] is all of it, as the reconciler uses it.

pub(crate) mod ask;
pub mod course;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{HealthCheckSpec, OnNotify, Policy, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::ResourceState;

use crate::host::{Machine, System};
use crate::reconciler::UnderWay;
use course::{Course, Restarts, Rule, Verdict};
use watch::{Tell, Watch};

/// In a simulation one answer is enough.
const SIMULATED: Rule = Rule {
    interval: Duration::ZERO,
    attempts: 1,
};

/// Every health check of a host.
pub struct Checks {
    running: BTreeMap<ResourceId, Running>,
    /// Restarts of those that are not asked any more, by their unit as well.
    restarts: BTreeMap<(ResourceId, String), Restarts>,
    tell: Tell,
    begin: Instant,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.keys();
        f.debug_struct("Checks")
            .field("running", &running.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// One that is asked.
enum Running {
    /// By a thread.
    Real(Watch),
    /// By passes, in a simulation.
    Simulated(HealthCheckSpec, Course),
    /// There is no thread for it: why.
    Not(String),
}

impl Running {
    fn spec(&self) -> Option<&HealthCheckSpec> {
        match self {
            Self::Real(watch) => Some(watch.spec()).filter(|_| watch.is_alive()),
            Self::Simulated(spec, _) => Some(spec),
            Self::Not(_) => None,
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            running: BTreeMap::new(),
            restarts: BTreeMap::new(),
            tell: Arc::new(|| {}),
            begin: Instant::now(),
        }
    }
}

impl Checks {
    /// Whom to tell when there is news.
    pub fn tells(&mut self, tell: impl Fn() + Send + Sync + 'static) {
        self.tell = Arc::new(tell);
    }

    /// Another state is enforced from now on: it is good only once its checks have answered. How often their
    /// units were restarted is not forgotten for it.
    pub fn change_state(&mut self) {
        let ids: Vec<ResourceId> = self.running.keys().cloned().collect();
        for id in &ids {
            self.leave(id);
        }
        let now = self.begin.elapsed();
        self.restarts.retain(|_, restarts| !restarts.are_over(now));
    }

    /// Nothing is asked any more.
    pub fn rest(&mut self) {
        self.running.clear();
    }

    /// Asks this one from now on, if it is not asked yet.
    pub fn keep(&mut self, machine: &mut Machine, resource: &Resource) {
        let Spec::HealthCheck(spec) = &resource.spec else {
            return;
        };
        let id = &resource.id;
        let known = self.running.get(id).and_then(Running::spec);
        if known != Some(spec) {
            self.leave(id);
            let key = spec.restart.clone().map(|unit| (id.clone(), unit));
            let restarts = key.and_then(|key| self.restarts.get(&key));
            let course = Course::after(restarts.copied().unwrap_or_default());
            let running = match machine.system.questioner() {
                None => Running::Simulated(spec.clone(), course),
                Some(system) => {
                    let (time, tell) = ((self.begin, course), Arc::clone(&self.tell));
                    Watch::begin(id, spec, system, time, tell).map_or_else(
                        |error| Running::Not(format!("nothing asks it: {error}")),
                        Running::Real,
                    )
                }
            };
            self.running.insert(id.clone(), running);
        }
        if let Some(Running::Simulated(_, course)) = self.running.get_mut(id) {
            let stand_in = machine.system.stand_in();
            let ailment = stand_in.and_then(|stand_in| stand_in.ailment(id));
            course.answered(SIMULATED, ailment.map_or(Ok(()), Err), self.begin.elapsed());
        }
    }

    /// Asks this one no more. Only its restarts are remembered.
    pub fn leave(&mut self, id: &ResourceId) {
        let (spec, course) = match self.running.remove(id) {
            // Also when its thread is gone.
            Some(Running::Real(watch)) => (watch.spec().clone(), watch.course().clone()),
            Some(Running::Simulated(spec, course)) => (spec, course),
            Some(Running::Not(_)) | None => return,
        };
        let Some(unit) = spec.restart else { return };
        let (key, now) = ((id.clone(), unit), self.begin.elapsed());
        let restarts = course.handed_on(now);
        if restarts.are_over(now) {
            self.restarts.remove(&key);
        } else {
            self.restarts.insert(key, restarts);
        }
    }

    /// Something was changed on the host.
    pub fn ask_now(&self) {
        for running in self.running.values() {
            if let Running::Real(watch) = running {
                watch.ask_now();
            }
        }
    }

    /// Restarts the unit of a check that has failed, when that is due. Says whether it was.
    pub fn heal(
        &mut self,
        machine: &mut Machine,
        resource: &Resource,
        under_way: &UnderWay,
    ) -> bool {
        let (id, elapsed) = (&resource.id, self.begin.elapsed());
        let Some(running) = self.running.get_mut(id) else {
            return false;
        };
        let unit = running.spec().and_then(|spec| spec.restart.clone());
        let Some(unit) = unit.filter(|_| resource.policy == Policy::Enforce) else {
            return false;
        };
        let (is_due, reason) = match running {
            Running::Real(watch) => {
                let course = watch.course();
                let is_due = course.needs_restart(watch::rule(watch.spec()), watch.now());
                (is_due, course.reason().to_owned())
            }
            Running::Simulated(_, course) => {
                let is_due = course.needs_restart(SIMULATED, elapsed);
                (is_due, course.reason().to_owned())
            }
            Running::Not(_) => return false,
        };
        if !is_due || under_way.is_stopping() {
            return false;
        }
        tracing::warn!(resource = %id, unit, reason, "has failed: its unit is restarted");
        let restart = || restart(machine.system.as_mut(), id, &unit);
        under_way.run(id, restart);
        match running {
            Running::Real(watch) => {
                let now = watch.now();
                watch.course().restarted(now);
                watch.ask_now();
            }
            Running::Simulated(_, course) => course.restarted(elapsed),
            Running::Not(_) => {}
        }
        true
    }

    /// How a check is; nothing of one that is not asked.
    #[must_use]
    pub fn state(&self, id: &ResourceId) -> Option<ResourceState> {
        Some(match self.running.get(id)? {
            Running::Not(reason) => ResourceState::Failed(reason.clone()),
            Running::Real(watch) => {
                let course = watch.course();
                told(watch.spec(), &course, ResourceState::Converged)
            }
            Running::Simulated(spec, course) => told(spec, course, ResourceState::Simulated),
        })
    }

    /// Whether one of them has not answered enough since it was begun.
    #[must_use]
    pub fn is_any_untold(&self) -> bool {
        self.running.values().any(|running| match running {
            Running::Real(watch) => watch.course().verdict() == Verdict::Unknown,
            Running::Not(_) | Running::Simulated(..) => false,
        })
    }
}

/// What refuses to start is told by what does not answer then, and tried again at the next distance.
fn restart(system: &mut dyn System, id: &ResourceId, unit: &str) {
    // Name of what it does, for simulations.
    let id = ResourceId::new(format!("{id}/restart")).unwrap_or_else(|_| id.clone());
    let id = &id;
    if let Err(error) = system.notify_service(id, unit, OnNotify::Restart) {
        tracing::error!(resource = %id, unit, %error, "is not restarted");
    }
}

fn told(spec: &HealthCheckSpec, course: &Course, well: ResourceState) -> ResourceState {
    match course.verdict() {
        Verdict::Unknown => ResourceState::Unknown("it has not answered yet".to_owned()),
        Verdict::Well => well,
        Verdict::Ill => {
            let reason = course.reason();
            let text = match (&spec.restart, course.restarts()) {
                (None, _) | (_, 0) => reason.to_owned(),
                (Some(unit), _) => {
                    let seconds = course.distance().as_secs();
                    format!("{reason}; {unit} was restarted for it, and is again after {seconds} s")
                }
            };
            ResourceState::Failed(cut(text))
        }
    }
}

/// A reason, cut to what a report may carry.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
    text
}
