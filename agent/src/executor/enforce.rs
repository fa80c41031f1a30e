//! Making it so: which state is enforced, passes over it, and what follows from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use email_engine_protocol::desired::{Disposition, Spec, Target};
use email_engine_protocol::observed::{ResourceState, Stage};

use super::core::{Core, Enforced, now};
use crate::halves::FromExecutor;
use crate::ledger::store::Opened;
use crate::reconciler::{Outcome, Scope, order};
use crate::resources;
use crate::suspension;

const FIRST_RETRY: Duration = Duration::from_secs(1);

impl Core {
    /// Enforces the accepted state, when there is one and its manifest is at hand.
    pub(super) fn enforce_accepted(&mut self) {
        if let Some(target) = self.accepted_target() {
            self.enforce_target(target, false);
        }
    }

    fn enforce_target(&mut self, target: Target, fallen_back: bool) {
        let config = match self.ledger.manifest(&target.digest) {
            Ok(config) => config,
            Err(reason) => {
                tracing::error!(generation = %target.generation, reason, "state is not at hand");
                return;
            }
        };
        // The list may have changed since it was accepted.
        if let Err(error) = self.allow.judge(&config) {
            self.disallow(target.generation, &error);
            return;
        }
        // What shall stand still does so whatever else is fallen back on.
        let config = match self.enforced.as_ref().filter(|_| fallen_back) {
            Some(newest) => suspension::carried(config, &newest.config),
            None => config,
        };
        // Ordered before it was accepted, so it can be ordered again.
        match order::order(&config.resources) {
            Ok(order) => self.enforce(Enforced {
                target,
                config,
                order,
            }),
            Err(error) => tracing::error!(%error, "state cannot be ordered"),
        }
    }

    pub(super) fn enforce(&mut self, enforced: Enforced) {
        self.outcome = None;
        self.failures = 0;
        self.unhalted = 0;
        self.untidy = true;
        if let Some(issuer) = &self.issuer {
            issuer.keep_only(&enforced.config);
        }
        self.enforced = Some(enforced);
        self.reconciler.change_state(self.is_fallen_back());
        self.arm();
    }

    /// Whether something else than the accepted state is enforced.
    pub(super) fn is_fallen_back(&self) -> bool {
        match (&self.enforced, self.accepted_target()) {
            (Some(enforced), Some(accepted)) => enforced.target != accepted,
            _ => false,
        }
    }

    /// With nobody there, a state that never was right gives way to the last that was.
    pub(super) fn fall_back_if_alone(&mut self) {
        let alone = self.session.is_none() && self.alone_since.elapsed() >= self.audit_interval;
        let failing = self.failures > 0;
        let Some(enforced) = self.enforced.as_ref().filter(|_| alone && failing) else {
            return;
        };
        let retired = enforced.config.disposition == Disposition::Retired;
        let good = self.ledger.page().last_good.clone();
        let Some(good) = good.filter(|good| *good != enforced.target && !retired) else {
            return;
        };
        if self.is_fallen_back() {
            return;
        }
        tracing::warn!(
            failing = %enforced.target.generation, generation = %good.generation,
            "alone with a state that fails: the last good one is enforced"
        );
        self.enforce_target(good, true);
        self.say_standing();
    }

    /// Repairs what was touched, and says whether anything had to be.
    pub(super) fn repair(&mut self) -> bool {
        let Some(watcher) = &self.watcher else {
            return false;
        };
        let before = self.reconciler.repairs();
        let touched = watcher.take();
        if touched.lost {
            tracing::warn!("file system events were lost: everything is looked at");
            self.pass_all();
        } else if !touched.ids.is_empty() {
            self.pass(&Scope::Some(touched.ids));
        }
        self.report_changes();
        self.reconciler.repairs() != before
    }

    /// Asks what is left under names that go; a content that waited for the answer goes live.
    pub(super) fn ask(&mut self) {
        if self.reconciler.ask() {
            self.pass_all();
        }
        self.report_changes();
    }

    /// Something answers otherwise than before: it is said, and what is due for it is done. Whatever else
    /// fails is tried again at its own pace; where nothing does, the state may be good from now on, and
    /// only a look at all of it says so.
    pub(super) fn look_at_health(&mut self) {
        let fails = |outcome: &Outcome| outcome.is_bad_beside_health();
        if self.outcome.as_ref().is_some_and(fails) {
            let config = self.enforced.iter().flat_map(|one| &one.config.resources);
            let checks = config.filter(|one| matches!(one.spec, Spec::HealthCheck(_)));
            let ids = checks.map(|one| one.id.clone()).collect();
            self.pass(&Scope::Some(ids));
        } else {
            self.pass_all();
        }
        self.report_changes();
    }

    /// Goes over everything.
    pub(super) fn pass_all(&mut self) {
        self.pass(&Scope::All);
    }

    /// A content that was missing came: whatever failed for it may work now.
    pub(super) fn mend(&mut self) {
        let mendable = std::mem::take(&mut self.mendable);
        if self.enforced.is_none() {
            self.enforce_accepted();
            self.pass_all();
        } else if self.failures > 0 && (mendable || self.offered.is_none()) {
            self.pass_all();
        }
    }

    /// Puts back what the former life was cut off in, before anything else is looked at.
    pub(super) fn recover(&mut self) {
        if let Some(trust) = &self.trust {
            let contents = Opened {
                store: &self.ledger.store,
                key: &self.keys.sealing,
                cluster: trust.cluster,
                host: &trust.host,
            };
            self.reconciler.recover(&contents);
        }
    }

    pub(super) fn pass(&mut self, scope: &Scope) {
        let (Some(enforced), Some(trust)) = (&self.enforced, &self.trust) else {
            return;
        };
        let contents = Opened {
            store: &self.ledger.store,
            key: &self.keys.sealing,
            cluster: trust.cluster,
            host: &trust.host,
        };
        let under_way = Arc::clone(&self.under_way);
        let passed = self.reconciler.pass(
            &enforced.config,
            &enforced.order,
            &contents,
            scope,
            &under_way,
        );
        match passed {
            Ok(outcome) => self.conclude(scope, outcome),
            Err(error) => {
                let generation = enforced.target.generation;
                self.failures += 1;
                self.schedule_retry();
                self.attempted(generation, Stage::Apply, error.to_string());
            }
        }
    }

    fn conclude(&mut self, scope: &Scope, outcome: Outcome) {
        let changed = outcome.changed > 0;
        let whole = *scope == Scope::All && !outcome.interrupted;
        let (good, good_beside) = (outcome.is_good(), outcome.is_good_beside_halts());
        let (waits, is_untold) = (outcome.waits, outcome.is_untold);
        let first_failure = outcome
            .statuses
            .iter()
            .find_map(|status| match &status.state {
                ResourceState::Failed(reason) => Some(format!("{}: {reason}", status.id)),
                _ => None,
            });
        self.outcome = Some(outcome);
        if whole {
            self.want_certificates();
        }
        if changed || whole {
            self.arm();
        }
        if let Some(due) = self.reconciler.due() {
            self.next_audit = self.next_audit.min(due);
        }
        if good_beside && whole {
            self.failures = 0;
            // What waits was never in force, and of what has not answered nobody knows whether it is well:
            // nobody may fall back on it.
            if !waits && !is_untold {
                self.remember_good(good);
            }
        }
        if !good {
            let failed = if good_beside {
                &mut self.unhalted
            } else {
                &mut self.failures
            };
            // A touched neighbour of something that fails does not make its retry rarer.
            if whole || *failed == 0 {
                *failed += 1;
            }
            self.schedule_retry();
            if let (Some(reason), Some(enforced)) = (first_failure, &self.enforced) {
                self.attempted(enforced.target.generation, Stage::Apply, reason);
            }
        } else if whole {
            self.unhalted = 0;
        }
    }

    /// Retries come sooner than the audit, and ever later until they are as rare as it.
    fn schedule_retry(&mut self) {
        let mut delays = backon::ExponentialBuilder::default()
            .with_min_delay(FIRST_RETRY.min(self.audit_interval))
            .with_max_delay(self.audit_interval)
            .without_max_times()
            .build();
        let failed = match self.failures {
            0 => self.unhalted,
            failures => failures,
        };
        let nth = usize::try_from(failed.clamp(1, 64)).unwrap_or(1) - 1;
        let delay = delays.nth(nth).unwrap_or(self.audit_interval);
        self.next_audit = self.next_audit.min(Instant::now() + delay);
    }

    /// The enforced state was right, wholly or but for what shall stand still: it is the one to fall back
    /// on, and what only older ones needed is removed.
    fn remember_good(&mut self, wholly: bool) {
        let Some(enforced) = &self.enforced else {
            return;
        };
        let target = enforced.target.clone();
        let page = self.ledger.page();
        let accepted = page.accepted.as_ref();
        let is_accepted = accepted.is_some_and(|accepted| accepted.target == target);
        let done = target.generation;
        let was_hurt = page
            .attempted
            .as_ref()
            .is_some_and(|attempt| attempt.stage == Stage::Apply && attempt.generation == done);
        // An interruption is mended by the first pass, before anybody could hear of it.
        let untold = self.untold_interruption;
        if page.last_good.as_ref() == Some(&target) && was_hurt && !untold {
            // What failed since it was right has been mended.
            if wholly {
                let _ = self.turn(|page| page.attempted = None);
                self.say_standing();
            }
        } else if is_accepted && page.last_good.as_ref() != Some(&target) {
            let millis = accepted.map(|accepted| now().since(accepted.at));
            self.doubted = None;
            self.disallowed.take_if(|over| over.generation <= done);
            let kept = self.turn(|page| {
                page.apply_millis = millis;
                page.last_good = Some(target);
                let over = page.attempted.as_ref();
                if !untold && over.is_some_and(|attempt| attempt.generation <= done) {
                    page.attempted = None;
                }
            });
            if kept.is_ok() {
                tracing::info!(generation = %done, millis, wholly, "right");
            }
            self.say_standing();
        }
        let is_last_good = self.enforced.as_ref().is_some_and(|enforced| {
            is_accepted && self.ledger.page().last_good.as_ref() == Some(&enforced.target)
        });
        if self.untidy && is_last_good && self.offered.is_none() {
            self.tidy(self.told);
        }
        if !self.ledger.page().retired {
            self.confirm_retirement();
        }
    }

    /// Bodies of an offer that was on its way when this life began are kept until it is told what the
    /// target is: most of an artifact may be among them.
    fn tidy(&mut self, bodies: bool) {
        let Some(enforced) = &self.enforced else {
            return;
        };
        let mut configs = vec![&enforced.config];
        configs.extend(self.reconciler.kept());
        let kept = self
            .ledger
            .store
            .keep_only(&configs, &[enforced.target.digest], bodies);
        match kept {
            Ok(()) => self.untidy = !bodies,
            Err(error) => tracing::warn!(%error, "older contents stay in the ledger"),
        }
    }

    /// A retired host says so once its secrets are gone, from the machine and from the ledger.
    pub(super) fn confirm_retirement(&mut self) {
        if self.session.is_some() && self.is_wiped() {
            self.report();
            self.end_retired();
        }
    }

    /// The cluster cuts a retired host off as soon as it has heard that it is wiped, which may be
    /// before we have written down that we said so, and after a power cut we would be let in no more.
    pub(super) fn cut_off(&mut self) {
        if self.is_wiped() {
            self.end_retired();
        }
    }

    fn end_retired(&mut self) {
        if self.turn(|page| page.retired = true).is_ok() {
            self.outbox.say(FromExecutor::Retired);
        }
    }

    /// Whether nothing is left of a host that is to be retired, neither on it nor in the ledger.
    fn is_wiped(&mut self) -> bool {
        let enforced = self.enforced.as_ref();
        let is_done =
            enforced.is_some_and(|one| self.ledger.page().last_good.as_ref() == Some(&one.target));
        let inventory = self.reconciler.inventory();
        let holds_secrets = inventory.iter().any(|(_, item)| item.secret);
        if !is_done || !self.is_retiring() || holds_secrets {
            return false;
        }
        self.tidy(true);
        // Else sealed secrets are still in the ledger: the next audit tries again.
        !self.untidy
    }

    fn arm(&self) {
        let (Some(watcher), Some(enforced)) = (&self.watcher, &self.enforced) else {
            return;
        };
        let resources = || enforced.config.resources.iter();
        let elsewhere: Vec<_> = resources()
            .flat_map(|one| {
                resources::watched(&one.spec)
                    .into_iter()
                    .map(|path| (path, &one.id))
            })
            .collect();
        let managed = resources()
            .filter_map(|resource| Some((resource.spec.path()?, &resource.id)))
            .chain(elsewhere.iter().map(|(path, id)| (path, *id)));
        let missing = watcher.arm(&self.reconciler.machine.files, managed);
        if missing > 0 {
            tracing::debug!(missing, "folders that are not there cannot be watched");
        }
    }
}
