//! Random histories with a host beside the fleet: whatever happens, what it signs with was seen and is
//! published.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{RotationCause, RotationStage, Verdict};
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{coming, fleet, one, rotate, see, stage, turn};
use crate::command::fixture::{BEGIN, Fleet, host_id, outcome};
use crate::command::{Command, RecordOutcome};
use crate::fleet::check;
use crate::fleet::rotation::published;

/// A random history, and what the host really does in it.
#[derive(Clone, Copy, Debug)]
enum Act {
    Rotate(bool),
    See(u8),
    Turn,
    Plan,
    Apply,
    Wait(u64),
    Leap(bool),
    Retarget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..8_u8).prop_map(|how| Act::Rotate(how == 0)),
        (0..4_u8).prop_map(Act::See),
        Just(Act::Turn),
        Just(Act::Turn),
        Just(Act::Plan),
        Just(Act::Plan),
        Just(Act::Apply),
        Just(Act::Apply),
        (1..30_u64).prop_map(Act::Wait),
        any::<bool>().prop_map(Act::Leap),
        Just(Act::Retarget),
    ]
}

/// The host beside the fleet: what each target has it sign with, which it brought into force, and which
/// records were ever seen valid.
struct World {
    fleet: Fleet,
    planned: BTreeMap<u64, (String, BTreeSet<String>)>,
    running: u64,
    seen: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            fleet: fleet(1),
            planned: BTreeMap::new(),
            running: 0,
            seen: ["mail".to_owned()].into(),
        };
        world.plan();
        world.apply();
        world
    }

    fn newest(&self) -> u64 {
        self.fleet.state.targets[&host_id("pmta1")]
            .generation
            .number
    }

    fn plan(&mut self) {
        let body = self.fleet.state.revision.to_be_bytes();
        let target = self.fleet.target(&[&body, b"planned"]);
        self.commit(target);
        let own = one(&self.fleet);
        let files = std::iter::once(own.spec.selector.clone());
        let files = files.chain(own.second_key_file().map(|key| key.selector.clone()));
        let row = (own.spec.selector.clone(), files.collect());
        self.planned.insert(self.newest(), row);
    }

    /// The host brings the newest target into force, and says so.
    fn apply(&mut self) {
        self.running = self.newest();
        let host = host_id("pmta1");
        let outcome = outcome(self.running);
        self.commit(Command::RecordOutcome(RecordOutcome { host, outcome }));
    }

    fn commit(&mut self, command: Command) {
        let mut proposal = self.fleet.proposal(command);
        proposal.override_clock = true;
        let _ = self.fleet.state.apply(&proposal);
    }

    fn run(&mut self, act: Act) {
        match act {
            Act::Rotate(urgent) => {
                if self.fleet.state.prepared_keys.is_empty() {
                    let stock = self.fleet.stock(4);
                    self.commit(stock);
                }
                self.commit(rotate(match urgent {
                    true => RotationCause::Emergency,
                    false => RotationCause::Asked,
                }));
            }
            Act::See(how) => {
                let text = || "no".to_owned();
                let verdict = match how {
                    0 => Verdict::Invalid { what: text() },
                    1 => Verdict::Unknown { why: text() },
                    _ => Verdict::Valid,
                };
                if verdict == Verdict::Valid {
                    self.seen.insert(coming(&self.fleet));
                }
                let see = see(&self.fleet, verdict);
                self.commit(see);
            }
            Act::Turn => self.commit(turn()),
            Act::Plan => self.plan(),
            Act::Apply => self.apply(),
            Act::Wait(hours) => self.fleet.wait(hours * Timestamp::HOUR),
            Act::Leap(on) => {
                // A year on, or back to where the fleet began.
                if on {
                    self.fleet.wait(365 * Timestamp::DAY);
                } else {
                    self.fleet.wind_back(BEGIN);
                }
            }
            Act::Retarget => {
                // Somebody else's change of the fleet makes another target of the same.
                let stock = self.fleet.stock(1);
                self.commit(stock);
                self.plan();
            }
        }
    }

    fn holds(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(check(&self.fleet.state), Ok(()));
        let Some((signs, files)) = self.planned.get(&self.running) else {
            return Ok(());
        };
        let own = one(&self.fleet);
        let records = published(own);
        let record = records.iter().find(|one| one.selector == signs);
        prop_assert!(
            record.is_some_and(|record| record.key.is_some()),
            "{signs} signs and has no record: {records:?}"
        );
        prop_assert!(self.seen.contains(signs), "{signs} was never seen");
        prop_assert!(files.contains(signs), "{signs} has no file");
        let name = format!("dkim/{}/{signs}", own.spec.domain);
        let has_secret = self
            .fleet
            .state
            .secrets
            .keys()
            .any(|id| id.as_str() == name);
        prop_assert!(has_secret, "the key of {signs} is destroyed and signs");
        let selectors: BTreeSet<_> = records.iter().map(|one| one.selector).collect();
        prop_assert_eq!(selectors.len(), records.len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_happens_what_a_host_signs_with_was_seen_and_is_published(
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut world = World::new();
        for act in acts {
            world.run(act);
            world.holds()?;
        }
    }
}

/// A history in which nothing ever switches would show nothing.
#[test]
fn random_histories_come_to_every_stage() {
    let mut runner = TestRunner::deterministic();
    let mut stages = BTreeSet::new();
    for _ in 0..16 {
        let acts = prop::collection::vec(act(), 80);
        let mut world = World::new();
        for act in acts.new_tree(&mut runner).unwrap().current() {
            world.run(act);
            stages.extend(stage(&world.fleet));
        }
    }
    assert_eq!(stages, RotationStage::ALL.into());
}
