//! Random lives of two addresses that are declared, moved, removed and added again, under a clock that an admin
//! may set anywhere: what was found of an address stays with it until it is made good.

use email_engine_protocol::api::{Rate, WarmupRates, WarmupReason};
use email_engine_protocol::id::{PoolName, Role};
use email_engine_protocol::observed::DayCounts;
use proptest::prelude::*;

use super::*;
use crate::command::{ResumeWarmup, StopWarmup};
use crate::fleet::check;
use crate::state::Said;

const DAY: u64 = Timestamp::DAY;
/// How long an address is held to what it left with.
const HELD: u64 = 90 * DAY;
const STATUSES: [IpStatus; 6] = [
    IpStatus::Active,
    IpStatus::Quarantine,
    IpStatus::Resting,
    IpStatus::Retiring,
    IpStatus::Standby,
    IpStatus::Warming,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(IpStatus, Phase),
    Declare(IpStatus, Phase),
    GiveUp,
    Leap(u64),
    /// To the other host.
    Move,
    Pass(u64),
    Release(bool),
    Resume,
    Retire,
    Stop,
    Sweep(bool),
    /// The host has what is declared.
    Target,
    Turn(u8),
}

fn steps() -> impl Strategy<Value = Vec<(u32, Step)>> {
    let status = || prop::sample::select(STATUSES.to_vec());
    let phase = || prop::sample::select(Phase::ALL.to_vec());
    let leap = prop_oneof![Just(0), Just(400 * DAY), 0..800 * DAY];
    let step = prop_oneof![
        4 => (status(), phase()).prop_map(|(status, phase)| Step::Add(status, phase)),
        2 => (status(), phase()).prop_map(|(status, phase)| Step::Declare(status, phase)),
        2 => Just(Step::GiveUp),
        1 => leap.prop_map(Step::Leap),
        2 => Just(Step::Move),
        2 => (1..9 * DAY).prop_map(Step::Pass),
        4 => any::<bool>().prop_map(Step::Release),
        1 => Just(Step::Resume),
        4 => Just(Step::Retire),
        2 => Just(Step::Stop),
        4 => Just(Step::Sweep(true)),
        1 => Just(Step::Sweep(false)),
        2 => Just(Step::Target),
        4 => (0..6_u8).prop_map(Step::Turn),
    ];
    prop::collection::vec((0..2_u32, step), 1..80)
}

/// What is known of an address beside the fleet.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Last sighting, whether a list saw it, and clean sweeps since.
    out: Option<(Timestamp, bool, u32)>,
    stopped: bool,
    /// While nobody has it: when what is known of it is over.
    until: Option<Timestamp>,
}

struct World {
    fleet: Fleet,
    now: Timestamp,
    known: [Known; 2],
    targets: u8,
}

fn declared(at: u32, status: IpStatus, phase: Phase) -> (IpSpec, Said) {
    let mut ip = identity(at);
    ip.pool = PoolName::new(format!("client-1-pool-{at}")).unwrap();
    (ip.status, ip.phase) = (status, phase);
    let said = Said {
        status: Some(status),
        phase: Some(phase),
        reserve: None,
    };
    (ip, said)
}

impl World {
    fn new() -> Self {
        let mut fleet = Fleet::with_identities(0);
        let host = host("pmta2", Role::Powermta, 2);
        fleet.accept(Command::AddHost(AddHost { host }));
        let now = fleet.now();
        Self {
            fleet,
            now,
            known: Default::default(),
            targets: 0,
        }
    }

    /// Says it at the time that an admin has the fleet at; whether it was taken.
    fn say(&mut self, command: Command) -> bool {
        let mut proposal = self.fleet.proposal(command);
        proposal.now = self.now;
        proposal.override_clock = true;
        self.fleet.state.apply(&proposal).0.is_ok()
    }

    fn row(&self, at: u32) -> Option<&Identity> {
        let found = self.fleet.state.identities.get(&address(at));
        found.map(|identity| &**identity)
    }

    fn steer(&mut self, at: u32, event: Event, force: bool) -> bool {
        let address = address(at);
        let on_host = None;
        self.say(Command::SteerIdentity(SteerIdentity {
            address,
            event,
            force,
            on_host,
        }))
    }

    fn add(&mut self, at: u32, status: IpStatus, phase: Phase) {
        let stock = self.fleet.stock(1);
        self.say(stock);
        let (ip, said) = declared(at, status, phase);
        if !self.say(Command::AddIdentity(AddIdentity { ip, said })) {
            return;
        }
        let (now, known) = (self.now, &mut self.known[at as usize]);
        if known.until.take().is_some_and(|until| now >= until) {
            *known = Known::default();
        }
        if status == IpStatus::Quarantine && known.out.is_none() {
            known.out = Some((now, false, 0));
        }
    }

    fn retire(&mut self, at: u32) {
        let address = address(at);
        if !self.say(Command::RetireIdentity(RetireIdentity { address })) {
            return;
        }
        let (now, own) = (self.now, at as usize);
        self.known[own].until = Some(now.plus(HELD));
        let is_held = self.known[own].out.is_some() || self.known[own].stopped;
        for (_, other) in self
            .known
            .iter_mut()
            .enumerate()
            .filter(|(one, _)| *one != own)
        {
            // What is over is forgotten when another one comes.
            if is_held && other.until.is_some_and(|until| until <= now) {
                *other = Known::default();
            }
        }
    }

    fn change(&mut self, at: u32, said: Said, change: impl FnOnce(&mut IpSpec)) -> bool {
        let Some(mut ip) = self.row(at).map(|row| row.spec.clone()) else {
            return false;
        };
        change(&mut ip);
        self.say(Command::ChangeIdentity(ChangeIdentity { ip, said }))
    }

    /// Leaves by release only what was seen to be well for a week, or what was a word alone.
    fn release(&mut self, at: u32, force: bool) -> Result<(), TestCaseError> {
        let was_out = self
            .row(at)
            .is_some_and(|row| row.spec.status == IpStatus::Quarantine);
        if !self.steer(at, Event::Release, force) || !was_out {
            return Ok(());
        }
        let out = self.known[at as usize].out.take();
        let Some((seen, by_list, clean)) = out else {
            return Err(TestCaseError::fail("it was out, and nobody said so"));
        };
        let is_well = self.now >= seen.plus(7 * DAY) && clean >= 2;
        prop_assert!(is_well || (force && !by_list), "{seen} {by_list} {clean}");
        Ok(())
    }

    fn turn(&mut self, at: u32, which: u8) {
        let event = match which {
            0 => Event::Activate,
            1 => Event::Rest,
            2 => Event::Graduate,
            3 => Event::Idle,
            4 => quarantined(),
            _ => Event::Quarantine {
                lists: BTreeSet::new(),
            },
        };
        let force = event == Event::Activate;
        if self.steer(at, event, force) && which >= 4 {
            let known = &mut self.known[at as usize];
            let (seen, by_list, _) = known.out.unwrap_or((self.now, false, 0));
            known.out = Some((seen.max(self.now), by_list || which == 4, 0));
        }
    }

    fn sweep(&mut self, at: u32, is_clean: bool) {
        let what = "127.0.0.2".to_owned();
        let verdict = match is_clean {
            true => Verdict::Valid,
            false => Verdict::Invalid { what },
        };
        let says = StateChecks {
            address: address(at),
            verdicts: [(Check::Listing, verdict)].into(),
            sweeps: true,
        };
        let taken = self.say(Command::StateChecks(says));
        let now = self.now;
        if let (true, Some((seen, _, clean))) = (taken, &mut self.known[at as usize].out) {
            (*seen, *clean) = match is_clean {
                true => (*seen, *clean + 1),
                false => (now.max(*seen), 0),
            };
        }
    }

    fn stop(&mut self, at: u32) {
        let Some(row) = self.row(at) else { return };
        let rate = Rate {
            events: 11,
            of: 100,
            measured: true,
        };
        let stop = StopWarmup {
            address: address(at),
            phase_started_at: row.warmup.phase_started_at,
            reasons: vec![WarmupReason::Bounces { rate, line: 1_000 }],
            rates: WarmupRates::default(),
        };
        self.known[at as usize].stopped |= self.say(Command::StopWarmup(Box::new(stop)));
    }

    fn resume(&mut self, at: u32) {
        let resume = ResumeWarmup {
            address: address(at),
            reason: "mended".to_owned(),
            counted: DayCounts::default(),
        };
        if self.say(Command::ResumeWarmup(Box::new(resume))) {
            self.known[at as usize].stopped = false;
        }
    }

    fn step(&mut self, at: u32, step: Step) -> Result<(), TestCaseError> {
        let address = address(at);
        match step {
            Step::Add(status, phase) => self.add(at, status, phase),
            Step::Declare(status, phase) => {
                let said = declared(at, status, phase).1;
                let changed = self.change(at, said, |ip| (ip.status, ip.phase) = (status, phase));
                let known = &mut self.known[at as usize];
                if changed && status == IpStatus::Quarantine && known.out.is_none() {
                    known.out = Some((self.now, false, 0));
                }
                if changed && status != IpStatus::Quarantine {
                    // The way out by a declaration is the same as by a call.
                    if let Some((seen, _, clean)) = known.out.take() {
                        prop_assert!(self.now >= seen.plus(7 * DAY) && clean >= 2);
                    }
                }
            }
            Step::GiveUp => {
                let messages = None;
                self.say(Command::GiveUpDrain(GiveUpDrain { address, messages }));
            }
            Step::Leap(to) => {
                self.now = Timestamp(crate::command::fixture::BEGIN.0 - 400 * DAY + to)
            }
            Step::Move => {
                let other = |ip: &mut IpSpec| {
                    let is_first = ip.host == host_id("pmta1");
                    ip.host = host_id(if is_first { "pmta2" } else { "pmta1" });
                };
                self.change(at, Said::default(), other);
            }
            Step::Pass(millis) => self.now = self.now.plus(millis),
            Step::Release(force) => self.release(at, force)?,
            Step::Resume => self.resume(at),
            Step::Retire => self.retire(at),
            Step::Stop => self.stop(at),
            Step::Sweep(is_clean) => self.sweep(at, is_clean),
            Step::Target => {
                self.targets += 1;
                let target = self.fleet.target(&[b"it", &[self.targets]]);
                self.say(target);
            }
            Step::Turn(which) => self.turn(at, which),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nobody_leaves_quarantine_early_or_a_stop_without_a_reason_by_whatever_door(steps in steps()) {
        let mut world = World::new();
        for (at, step) in steps {
            world.step(at, step)?;
            prop_assert_eq!(check(&world.fleet.state), Ok(()));
            for at in 0..2 {
                let (Some(row), known) = (world.row(at), &world.known[at as usize]) else {
                    continue;
                };
                let is_out = row.spec.status == IpStatus::Quarantine;
                prop_assert_eq!(is_out, known.out.is_some(), "{:?}", step);
                prop_assert_eq!(row.life.quarantine.is_some(), is_out);
                prop_assert!(!known.stopped || (!row.takes_mail() && row.weight() == 0), "{:?}", step);
                prop_assert!(row.takes_mail() || row.weight() == 0);
            }
        }
    }
}
