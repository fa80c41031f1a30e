//! The machine with its inventory, and one pass over it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{
    Disposition, HostConfig, Policy, Resource, ResourceKind, Spec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::{DrainStatus, ResourceState, ResourceStatus};

use super::apply::Walk;
use super::bind::{self, Turns};
use super::contest::{self, Contest};
use super::order::Order;
use super::outcome::{Outcome, PassError};
use super::pending::Pending;
use super::plan::{self, Contested, Decision, Plan};
use super::removal;
use super::under_way::UnderWay;
use crate::health::Checks;
use crate::host::{Cabinet, Machine};
use crate::inventory::Inventory;
use crate::resources::{self, Contents, Finding};
use crate::suspension::{Discards, Suspensions};
use crate::transaction::{Transactions, Turn};

/// What a pass looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything: the guarantee.
    All,
    /// Only these, because something was seen to happen to them. Removals and retries wait.
    Some(BTreeSet<ResourceId>),
}

impl Scope {
    fn covers(&self, id: &ResourceId) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(id),
        }
    }
}

/// The machine and what is known about it.
#[derive(Debug)]
pub struct Reconciler {
    /// The machine.
    pub machine: Machine,
    pub(crate) cabinet: Cabinet,
    pub(super) inventory: Inventory,
    /// Whether the inventory says more than what is on disk.
    unwritten: bool,
    pending: Pending,
    pub(super) transactions: Transactions,
    pub(super) suspensions: Suspensions,
    pub(super) discards: Discards,
    pub(super) health: Checks,
    contest: Contest,
    pub(super) findings: BTreeMap<ResourceId, Finding>,
    states: BTreeMap<ResourceId, ResourceState>,
    repairs: u64,
    /// When the next repair that was put off is due, since `begin`.
    pub(super) due: Option<Duration>,
    pub(super) begin: Instant,
}

impl Reconciler {
    /// Goes on from what an earlier life left in the data folder. What is damaged there is said and
    /// begun anew: everything that the desired state names is claimed again.
    #[must_use]
    pub fn open(machine: Machine, cabinet: Cabinet) -> Self {
        let inventory = Inventory::read(&cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "inventory is lost: things no longer wanted may stay behind");
            Inventory::default()
        });
        let pending = Pending::read(&cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "owed notifications are lost");
            Pending::default()
        });
        Self {
            machine,
            transactions: Transactions::open(cabinet.clone()),
            suspensions: Suspensions::open(cabinet.clone()),
            discards: Discards::default(),
            health: Checks::default(),
            cabinet,
            inventory,
            unwritten: false,
            pending,
            contest: Contest::default(),
            findings: BTreeMap::new(),
            states: BTreeMap::new(),
            repairs: 0,
            due: None,
            begin: Instant::now(),
        }
    }

    /// What is owned.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Drifts repaired in this life.
    #[must_use]
    pub const fn repairs(&self) -> u64 {
        self.repairs
    }

    /// When a repair is due that was put off because somebody undoes every one.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due.map(|due| self.begin + due)
    }

    /// Another state is enforced from now on, perhaps an older one than the accepted: nothing is known
    /// about it yet.
    pub fn change_state(&mut self, fallen_back: bool) {
        self.contest.clear();
        self.due = None;
        self.findings.clear();
        self.states.clear();
        self.transactions.change_state();
        self.suspensions.change_state(fallen_back);
        self.health.change_state();
    }

    /// When the product is to be asked what is left under names that go.
    #[must_use]
    pub fn next_question(&self) -> Option<Instant> {
        self.transactions.due()
    }

    /// Asks it. Says whether that lets another content go live.
    pub fn ask(&mut self) -> bool {
        self.transactions.ask(&mut self.machine)
    }

    /// What is left under names that are leaving.
    #[must_use]
    pub fn drains(&self) -> Vec<DrainStatus> {
        self.transactions.drains()
    }

    /// Puts back what an earlier life was cut off in. Before anything else is done.
    pub fn recover(&mut self, contents: &dyn Contents) {
        resources::recover(&mut self.machine);
        self.transactions.recover(&mut self.machine, contents);
    }

    /// The state beside the enforced one whose contents must stay at hand.
    #[must_use]
    pub fn kept(&self) -> Option<&HostConfig> {
        self.transactions.kept()
    }

    /// One pass: observe, plan, apply.
    ///
    /// # Errors
    /// When inventory or owed notifications cannot be written; then nothing was changed.
    pub fn pass(
        &mut self,
        config: &HostConfig,
        order: &Order,
        contents: &dyn Contents,
        scope: &Scope,
        under_way: &UnderWay,
    ) -> Result<Outcome, PassError> {
        self.machine.forget_accounts();
        // First of all: it acts although everything below takes its time or fails.
        let news = *scope == Scope::All || self.suspensions.is_news();
        let mut halted = self.halt(config, news, under_way);
        let is_cut_off = self.transactions.is_cut_off();
        self.recover(contents);
        halted += self.halt(config, is_cut_off, under_way);
        self.transactions.learn(config, &mut self.machine);
        let settled = self.transactions.settle(config, order);
        let (config, order) = settled.as_deref().map_or((config, order), |(c, o)| (c, o));
        let scope = &self.widened(config, order, scope);
        if *scope == Scope::All {
            removal::sweep(self, config);
        }
        self.observe(config, contents, scope, under_way);
        let mut turns = self.turns(config, order);
        let mut plan = self.plan(config);
        if *scope != Scope::All {
            self.narrow(config, scope, &turns, &mut plan);
        }
        bind::bind(config, order, &mut turns, &mut plan.decisions);
        let mut owed = self.pending.owed().clone();
        // By another state, that named whom this one does not.
        owed.retain(|id| {
            let listed = config.resources.binary_search_by(|known| known.id.cmp(id));
            listed.is_ok()
        });
        self.make_durable(config, &plan)?;
        let retiring = config.disposition == Disposition::Retired;
        let mut left = removal::run(self, &plan.early, retiring, true, under_way);
        let mut walk = Walk::new(config, order, owed, under_way);
        let now = self.begin.elapsed();
        self.keep_halted(config, &turns);
        walk.run(
            &mut self.machine,
            &mut self.transactions,
            contents,
            &plan.decisions,
            &turns,
        );
        for id in walk.repaired.iter().chain(&walk.undone) {
            self.contest.repaired(id, now);
        }
        self.repairs += walk.repaired.len() as u64;
        // What ran may have made the product forget it.
        let ran = walk.changed > 0 || turns.values().any(|turn| *turn != Turn::Rest);
        halted += self.halt(config, ran, under_way);
        walk.changed += halted;
        walk.changed += self.check_health(config, &mut walk, under_way);
        if *scope == Scope::All && !walk.interrupted {
            left.extend(self.let_go(config, &turns));
            self.throw_away(config, &turns, under_way);
        }
        if !walk.interrupted && self.is_all_through(&turns) {
            left.extend(self.forget_transactions(config));
            let late = removal::run(self, &plan.late, retiring, false, under_way);
            left.extend(late);
        }
        walk.interrupted |= under_way.is_stopping();
        self.settle(config, scope, &walk)?;
        let outcome = self.outcome(config, walk, left);
        tracing::debug!(
            changed = outcome.changed,
            good = outcome.is_good(),
            whole = *scope == Scope::All,
            "pass ended"
        );
        Ok(outcome)
    }

    fn observe(
        &mut self,
        config: &HostConfig,
        contents: &dyn Contents,
        scope: &Scope,
        under_way: &UnderWay,
    ) {
        let is_due = |resource: &&Resource| {
            let is_asked = matches!(resource.spec, Spec::Discard(_) | Spec::HealthCheck(_));
            let is_new = || !self.findings.contains_key(&resource.id);
            !is_asked
                && self.suspensions.state(&resource.id).is_none()
                && (scope.covers(&resource.id) || is_new())
        };
        let due: Vec<&Resource> = config.resources.iter().filter(is_due).collect();
        let units = due.iter().filter_map(|resource| match &resource.spec {
            Spec::Service(service) => Some(service.unit.as_str()),
            _ => None,
        });
        self.machine.system.foresee(&units.collect::<Vec<_>>());
        for resource in due {
            if under_way.is_stopping() {
                return;
            }
            let mut look = || resources::observe(&mut self.machine, contents, resource);
            let finding = match &resource.spec {
                // What it asks may take its time.
                Spec::Step(_) => under_way.run(&resource.id, look),
                _ => look(),
            };
            self.findings.insert(resource.id.clone(), finding);
        }
        // What was told and not asked for is old by the next question.
        self.machine.system.foresee(&[]);
    }

    fn plan(&mut self, config: &HostConfig) -> Plan {
        let now = self.begin.elapsed();
        self.due = None;
        let mut contested = Contested::new();
        for (id, finding) in &self.findings {
            if finding.is_satisfied() {
                continue;
            }
            let Some(wait) = self.contest.is_wrong(id, now) else {
                continue;
            };
            let next = self.due.map_or(wait.until, |due| due.min(wait.until));
            self.due = Some(next);
            if self.contest.is_news(id) {
                tracing::warn!(
                    resource = %id, repairs = contest::AT_ONCE, seconds = wait.pause.as_secs(),
                    longest_seconds = contest::LONGEST.as_secs(),
                    "contested: somebody undoes every repair; the next ones are made ever later"
                );
            }
            contested.insert(id.clone(), wait.pause);
        }
        plan::plan(config, &self.findings, &self.inventory, &contested)
    }

    /// What is touched of a transaction touches all of it that is not right.
    fn widened(&self, config: &HostConfig, order: &Order, scope: &Scope) -> Scope {
        let Scope::Some(ids) = scope else {
            return Scope::All;
        };
        let mut wider = ids.clone();
        for (at, members) in &order.members {
            let member_ids = || members.iter().map(|member| &config.resources[*member].id);
            if member_ids().any(|id| ids.contains(id)) {
                wider.insert(config.resources[*at].id.clone());
                let wrong = |id: &&ResourceId| {
                    let finding = self.findings.get(*id);
                    finding.is_some_and(|finding| !finding.is_satisfied())
                };
                wider.extend(member_ids().filter(wrong).cloned());
            }
        }
        Scope::Some(wider)
    }

    /// What each transaction needs, and with it how it is found.
    fn turns(&mut self, config: &HostConfig, order: &Order) -> Turns {
        let mut turns = Turns::new();
        for (at, members) in &order.members {
            let id = &config.resources[*at].id;
            let mut wrong = members.iter().filter_map(|member| {
                let resource = &config.resources[*member];
                let finding = self.findings.get(&resource.id)?;
                let held = resource.policy == Policy::Hold;
                (!finding.is_satisfied() && !held).then_some(&resource.id)
            });
            let first = wrong.next();
            let turn = self.transactions.turn(id, first.is_some());
            let finding = match (&turn, first) {
                (Turn::Change, _) => Finding::Differs("new content shall go live".to_owned()),
                (Turn::Repair, Some(first)) => Finding::Differs(format!("{first} differs")),
                (Turn::Repair, None) => {
                    Finding::Differs("its content is to be in force".to_owned())
                }
                (Turn::Stuck, _) => Finding::Unknown("a change is not undone".to_owned()),
                (Turn::Rest, _) if self.machine.system.is_simulated() => Finding::Simulated,
                (Turn::Rest, _) => Finding::Right,
            };
            self.findings.insert(id.clone(), finding);
            turns.insert(id.clone(), turn);
        }
        turns
    }

    /// Whether every change of this pass went through: otherwise the old content is in force, which
    /// still names what the new state does not.
    fn is_all_through(&self, turns: &Turns) -> bool {
        turns.iter().all(|(id, turn)| match turn {
            Turn::Change | Turn::Stuck => self.transactions.is_through(id),
            Turn::Repair | Turn::Rest => true,
        })
    }

    fn forget_transactions(&mut self, config: &HostConfig) -> Vec<ResourceStatus> {
        let left = self.transactions.forget_others(config).into_iter();
        left.map(|(id, reason)| ResourceStatus {
            id,
            kind: ResourceKind::Transaction,
            state: ResourceState::Failed(format!("copies are left: {reason}")),
        })
        .collect()
    }

    /// What failed before waits for its own turn; a touched neighbour is no reason to try again.
    fn narrow(&self, config: &HostConfig, scope: &Scope, turns: &Turns, plan: &mut Plan) {
        plan.early.clear();
        plan.late.clear();
        for (resource, decision) in config.resources.iter().zip(&mut plan.decisions) {
            let differed = self
                .findings
                .get(&resource.id)
                .is_some_and(|finding| !finding.is_satisfied());
            let is_retry = turns.get(&resource.id) == Some(&Turn::Change)
                && matches!(
                    self.states.get(&resource.id),
                    Some(ResourceState::Failed(_))
                );
            if differed
                && (is_retry || !scope.covers(&resource.id))
                && let Some(state) = self.states.get(&resource.id)
            {
                *decision = Decision::Leave(state.clone());
            }
        }
    }

    fn make_durable(&mut self, config: &HostConfig, plan: &Plan) -> Result<(), PassError> {
        // What an earlier pass could not write is owed as well.
        self.unwritten |= self.inventory.claim(config);
        if self.unwritten {
            self.write_inventory()?;
        }
        let mut owed = plan.to_be_told(config);
        owed.extend(self.pending.owed().iter().cloned());
        let known: BTreeSet<&ResourceId> = config.resources.iter().map(|r| &r.id).collect();
        owed.retain(|id| known.contains(id));
        self.owe(owed)
    }

    fn settle(
        &mut self,
        config: &HostConfig,
        scope: &Scope,
        walk: &Walk<'_>,
    ) -> Result<(), PassError> {
        let mut news = false;
        for resource in &config.resources {
            if let Some(finding) = walk.findings.get(&resource.id) {
                self.findings.insert(resource.id.clone(), finding.clone());
            } else if !scope.covers(&resource.id) {
                continue;
            }
            let right = self
                .findings
                .get(&resource.id)
                .is_some_and(|finding| finding.is_satisfied() && !finding.waits());
            news |= right && self.inventory.mark_applied(resource);
        }
        if news {
            self.write_inventory()?;
        }
        self.owe(walk.still_owed())
    }

    fn outcome(
        &mut self,
        config: &HostConfig,
        walk: Walk<'_>,
        left: Vec<ResourceStatus>,
    ) -> Outcome {
        let status = |(resource, state): (&Resource, ResourceState)| ResourceStatus {
            id: resource.id.clone(),
            kind: resource.spec.kind(),
            state: self
                .suspensions
                .state(&resource.id)
                .or_else(|| self.discards.state(&resource.id))
                .cloned()
                .unwrap_or(state),
        };
        let changed = walk.changed;
        let (interrupted, untold) = (walk.interrupted, walk.untold);
        let mut statuses: Vec<ResourceStatus> = config
            .resources
            .iter()
            .zip(walk.into_states())
            .map(status)
            .collect();
        self.states = statuses
            .iter()
            .map(|status| (status.id.clone(), status.state.clone()))
            .collect();
        statuses.extend(left);
        Outcome {
            statuses,
            changed,
            interrupted,
            waits: self.transactions.is_waiting(),
            is_untold: untold || self.health.is_any_untold(),
        }
    }

    fn owe(&mut self, owed: BTreeSet<ResourceId>) -> Result<(), PassError> {
        self.pending
            .set(&self.cabinet, owed)
            .map_err(|source| PassError {
                what: "the list of owed notifications",
                source,
            })
    }

    pub(super) fn write_inventory(&mut self) -> Result<(), PassError> {
        self.unwritten = true;
        self.inventory
            .write(&self.cabinet)
            .map_err(|source| PassError {
                what: "the inventory",
                source,
            })?;
        self.unwritten = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::desired::OnRemove;
    use email_engine_protocol::secret::{SecretBytes, SecretRef};
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::host::Root;
    use crate::reconciler::order;
    use crate::reconciler::plan::tests::{config, directory, file, service};
    use crate::resources::ContentError;

    /// The body of each file is its path.
    struct Paths(BTreeMap<ContentHash, Vec<u8>>);

    impl Contents for Paths {
        fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
            Ok(self.0[hash].clone())
        }

        fn secret(&self, secret: &SecretRef) -> Result<SecretBytes, ContentError> {
            unreachable!("no secret {secret:?} is wanted")
        }

        fn is_secret(&self, _: &SecretRef, _: &[u8]) -> Result<bool, ContentError> {
            unreachable!("no secret is wanted")
        }

        fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
            unreachable!("{} bytes shall be put by", bytes.len())
        }

        fn unseal(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
            unreachable!("nothing was put by")
        }
    }

    fn contents(state: &HostConfig) -> Paths {
        let paths = state.resources.iter().filter_map(|r| r.spec.path());
        let bodies = paths.map(|path| path.as_str().as_bytes().to_vec());
        Paths(bodies.map(|body| (ContentHash::of(&body), body)).collect())
    }

    fn reconciler_at(dir: &std::path::Path) -> Reconciler {
        let cabinet = Cabinet::open(&dir.join("data")).unwrap();
        let root = Root::Sandbox(dir.join("root"));
        Reconciler::open(Machine::open(&root, cabinet.clone()).unwrap(), cabinet)
    }

    #[test]
    fn a_warm_pass_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = config(
            (0..100)
                .map(|at| file(&format!("/etc/d/{at:03}")))
                .collect(),
        );
        let order = order::order(&state.resources).unwrap();
        let contents = contents(&state);
        let mut reconciler = reconciler_at(dir.path());
        let go = UnderWay::default();
        let mut pass = || {
            let begin = Instant::now();
            let outcome = reconciler.pass(&state, &order, &contents, &Scope::All, &go);
            (outcome.unwrap(), begin.elapsed())
        };
        let (first, cold) = pass();
        assert!(first.is_good());
        assert_eq!(first.changed, 100);
        let (second, warm) = pass();
        assert_eq!(second.changed, 0);
        assert_eq!(second.statuses, first.statuses);
        println!("100 files: cold pass {cold:?}, warm pass {warm:?}");
    }

    #[test]
    fn a_change_whose_notification_was_lost_in_a_crash_is_told_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut told = file("/etc/a");
        told.notify.push(service("pmta").id);
        let state = config(vec![told.clone(), service("pmta")]);
        let order = order::order(&state.resources).unwrap();
        let contents = contents(&state);
        let go = UnderWay::default();
        let reloads = || {
            let text = std::fs::read_to_string(dir.path().join("data/simulated.toml")).unwrap();
            text.contains("reloads = 1")
        };
        {
            // The crash: everything up to the change is durable, nothing after it happens.
            let mut crashed = reconciler_at(dir.path());
            crashed.observe(&state, &contents, &Scope::All, &go);
            let plan = crashed.plan(&state);
            crashed.make_durable(&state, &plan).unwrap();
            resources::ensure(&mut crashed.machine, &contents, &told).unwrap();
        }
        let mut next = reconciler_at(dir.path());
        let outcome = next.pass(&state, &order, &contents, &Scope::All, &go);
        assert_eq!(outcome.unwrap().changed, 1, "only the service is started");
        assert!(reloads());
        next.pass(&state, &order, &contents, &Scope::All, &go)
            .unwrap();
        assert!(reloads(), "and it is told once");
    }

    #[test]
    fn what_the_disk_refused_to_list_is_listed_before_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let state = config(vec![file("/etc/a")]);
        let order = order::order(&state.resources).unwrap();
        let contents = contents(&state);
        let go = UnderWay::default();
        let mut reconciler = reconciler_at(dir.path());
        reconciler.cabinet.die_after(0);
        let refused = reconciler.pass(&state, &order, &contents, &Scope::All, &go);
        assert!(refused.is_err());
        assert!(!dir.path().join("root/etc/a").exists());
        reconciler.cabinet.die_after(u32::MAX);
        let plan = reconciler.plan(&state);
        reconciler.make_durable(&state, &plan).unwrap();
        let listed = Inventory::read(&reconciler.cabinet).unwrap();
        assert_eq!(listed.len(), 1);
    }

    #[test]
    fn who_is_not_there_any_more_is_owed_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = config(vec![file("/etc/a")]);
        let order = order::order(&state.resources).unwrap();
        let contents = contents(&state);
        let go = UnderWay::default();
        let mut reconciler = reconciler_at(dir.path());
        reconciler
            .owe(BTreeSet::from([service("gone").id]))
            .unwrap();
        reconciler
            .pass(&state, &order, &contents, &Scope::All, &go)
            .unwrap();
        assert!(reconciler.pending.owed().is_empty());
    }

    #[test]
    fn a_pass_that_is_stopped_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let state = config(vec![file("/etc/a")]);
        let order = order::order(&state.resources).unwrap();
        let mut reconciler = reconciler_at(dir.path());
        let stop = UnderWay::default();
        stop.stop();
        let contents = contents(&state);
        let outcome = reconciler
            .pass(&state, &order, &contents, &Scope::All, &stop)
            .unwrap();
        assert!(outcome.interrupted && !outcome.is_good());
        assert!(!dir.path().join("root/etc/a").exists());
    }

    const PATHS: [&str; 6] = ["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f"];

    /// A state out of one digit per path: nothing, a file, or a folder. Below a file is nothing.
    fn state_of_digits(digits: &[u8]) -> HostConfig {
        let mut resources: Vec<Resource> = Vec::new();
        for (path, digit) in PATHS.iter().zip(digits) {
            let below_file = resources.iter().any(|above| {
                matches!(above.spec, Spec::File(_))
                    && path.starts_with(&format!("{}/", above.spec.path().unwrap()))
            });
            match digit {
                1 if !below_file => resources.push(file(path)),
                2 if !below_file => resources.push(directory(path)),
                _ => {}
            }
        }
        for resource in &mut resources {
            resource.on_remove = OnRemove::Delete;
        }
        config(resources)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever states follow each other, and whatever is lost in between, the last is what is
        /// there, and no file of an earlier one.
        #[test]
        fn the_last_state_is_what_is_there(
            states in proptest::collection::vec(proptest::collection::vec(0_u8..3, 6), 1..6),
            restarts in proptest::collection::vec(any::<bool>(), 6),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let go = UnderWay::default();
            let mut reconciler = reconciler_at(dir.path());
            for (digits, restart) in states.iter().zip(restarts) {
                let state = state_of_digits(digits);
                let order = order::order(&state.resources).unwrap();
                let contents = contents(&state);
                reconciler.change_state(false);
                if restart {
                    reconciler = reconciler_at(dir.path());
                }
                let outcome =
                    reconciler.pass(&state, &order, &contents, &Scope::All, &go).unwrap();
                prop_assert!(outcome.is_good(), "{:?}", outcome.statuses);
                let again = reconciler.pass(&state, &order, &contents, &Scope::All, &go).unwrap();
                prop_assert_eq!(again.changed, 0);
                for path in PATHS {
                    let at = dir.path().join("root").join(&path[1..]);
                    let wanted = state
                        .resources
                        .iter()
                        .find(|resource| resource.spec.path().unwrap().as_str() == path);
                    match wanted.map(|resource| &resource.spec) {
                        Some(Spec::File(_)) => {
                            prop_assert_eq!(std::fs::read(at).unwrap(), path.as_bytes());
                        }
                        Some(_) => prop_assert!(at.is_dir()),
                        None => prop_assert!(!at.is_file(), "{} is left", path),
                    }
                }
            }
        }
    }
}
