//! Carries rotations of DKIM keys on: begins those that are due, a few at a time, and proposes what a stage
//! waits for once it is there. Whether it is is judged again when the command is applied, so that two who
//! lead, or one who asks twice, do no harm.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use email_engine_protocol::api::{RotationCause, RotationStage};
use email_engine_protocol::observed::DayCounts;
use email_engine_protocol::time::Timestamp;

use super::{leads, say};
use crate::command::{Command, ROTATIONS, RotateKeys, TurnRotations, rotation_facts};
use crate::fleet::rotation::{Event, Pace, is_due, next, pace_of, per_day, scheduled_on};
use crate::fleet::warmup::{Evidence, day_of};
use crate::push::{Fleet, now};
use crate::state::{FleetState, Identity};

/// At least between two looks.
const AGAIN: Duration = Duration::from_secs(1);
/// A look without a change: days are counted, keys become old.
const IDLE: Duration = Duration::from_secs(60);
/// Most rotations that begin by themselves with one look; the keys that they take are made one by one.
const PER_LOOK: usize = 16;
/// Prepared keys that are left for whoever adds an identity, where more are held.
const LEFT: usize = 1;
/// Days of which the mails tell how much an identity sends a day.
const WINDOW: u32 = 7;

/// Carries on while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, evidence: Arc<dyn Evidence>) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    let mut looked: Option<Instant> = None;
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let ready = fleet.view(|state| ready(state, now().max(state.now)));
        if !ready.is_empty() {
            let command = Command::TurnRotations(TurnRotations { addresses: ready });
            say(&fleet, "what it waited for is there", command).await;
        }
        // Keys become old slowly: a fleet that changes all the time is not searched for them each time.
        if looked.is_none_or(|looked| looked.elapsed() >= IDLE) {
            looked = Some(Instant::now());
            let (at, aged) = fleet.view(|state| {
                let at = now().max(state.now);
                (at, aged(state, at))
            });
            if let Some(command) = scheduled(aged, &evidence, day_of(at)).await {
                say(&fleet, "the keys are old enough", command).await;
            }
        }
        sleep(AGAIN).await;
        if let Ok(Err(_)) = timeout(IDLE, applied.changed()).await {
            return;
        }
    }
}

/// Rotations whose stage is over, or of which a day is to be counted, as many as one command takes.
fn ready(state: &FleetState, at: Timestamp) -> BTreeSet<IpAddr> {
    let ready = state.identities.iter().filter(|(_, identity)| {
        let Some(rotation) = &identity.signing.rotation else {
            return false;
        };
        let is_counted = matches!(
            rotation.stage,
            RotationStage::Switched | RotationStage::Retired
        );
        let left = rotation.wanted.saturating_sub(rotation.counted);
        if is_counted && left > 0 {
            return at.since(rotation.counted_at) >= left.min(Timestamp::DAY);
        }
        next(
            Some(rotation),
            &Event::Go,
            &rotation_facts(state, identity, at),
        )
        .is_ok()
    });
    ready.map(|(address, _)| *address).take(ROTATIONS).collect()
}

/// Those whose keys may be old enough.
#[derive(Debug, Default)]
struct Aged {
    /// Due, however little they send.
    due: BTreeSet<IpAddr>,
    /// Due if they send much.
    perhaps: BTreeSet<IpAddr>,
    /// How many of them may begin now.
    room: usize,
}

fn aged(state: &FleetState, at: Timestamp) -> Aged {
    let today = per_day(state.identities.len()).saturating_sub(scheduled_on(state, at));
    let keys = match state.prepared_keys.len() {
        held if held > LEFT => held - LEFT,
        held => held,
    };
    let room = PER_LOOK.min(today).min(keys);
    let mut aged = Aged {
        room,
        ..Aged::default()
    };
    if room == 0 {
        return aged;
    }
    let is_due_if =
        |identity: &Identity, busy| is_due(identity, pace_of(state, identity, busy), at);
    for (address, identity) in &state.identities {
        if aged.due.len() == room {
            break;
        }
        if is_due_if(identity, false) {
            aged.due.insert(*address);
        } else if aged.perhaps.len() < ROTATIONS && is_due_if(identity, true) {
            aged.perhaps.insert(*address);
        }
    }
    aged
}

/// The command by which those begin that are due.
async fn scheduled(aged: Aged, evidence: &Arc<dyn Evidence>, day: u32) -> Option<Command> {
    let Aged { due, perhaps, room } = aged;
    let evidence = Arc::clone(evidence);
    // What is counted may lie on a disk.
    let busy = tokio::task::spawn_blocking(move || {
        let first = day.saturating_sub(WINDOW);
        let sends_much = |address: &IpAddr| {
            // What cannot be read waits for its usual day.
            let counts = evidence.day_counts(*address, first, day.saturating_sub(1));
            counts.is_ok_and(|counts| is_busy(&counts))
        };
        perhaps
            .into_iter()
            .filter(sends_much)
            .collect::<BTreeSet<_>>()
    });
    let busy = busy.await.unwrap_or_default();
    let addresses: BTreeSet<IpAddr> = due.union(&busy).copied().take(room).collect();
    if addresses.is_empty() {
        return None;
    }
    let cause = RotationCause::Scheduled;
    let busy = busy.intersection(&addresses).copied().collect();
    Some(Command::RotateKeys(RotateKeys {
        addresses,
        cause,
        busy,
    }))
}

/// Whether more than 10,000 mails a day were sent, over a week.
fn is_busy(days: &[DayCounts]) -> bool {
    let sent = days.iter().flat_map(|day| day.groups.values());
    let sent: u64 = sent.map(|counts| counts.sent).sum();
    sent > Pace::BUSY_DAILY * u64::from(WINDOW)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::id::{HostId, ReceiverGroup};
    use email_engine_protocol::observed::{Counts, Gap};

    use super::*;
    use crate::command::TellTime;
    use crate::command::fixture::{Fleet, address};
    use crate::fleet::warmup::Unread;

    /// One identity sent so much on every day.
    struct Sent(IpAddr, u64);

    impl Evidence for Sent {
        fn day_counts(
            &self,
            address: IpAddr,
            from: u32,
            to: u32,
        ) -> Result<Vec<DayCounts>, Unread> {
            let counts = Counts {
                sent: if address == self.0 { self.1 } else { 10 },
                ..Counts::NONE
            };
            let groups = BTreeMap::from([(ReceiverGroup::other(), counts)]);
            let day = |day| DayCounts {
                day,
                groups: groups.clone(),
            };
            Ok((from..=to).map(day).collect())
        }

        fn gaps(&self, _: &HostId) -> Vec<Gap> {
            Vec::new()
        }

        fn read_until(&self, _: &HostId) -> Option<Timestamp> {
            None
        }
    }

    fn days(fleet: &mut Fleet, days: u64) {
        for _ in 0..days * 2 {
            fleet.wait(Timestamp::DAY / 2);
            fleet.accept(Command::TellTime(TellTime { clocks: [].into() }));
        }
    }

    async fn begins(fleet: &mut Fleet, evidence: Sent) -> usize {
        let evidence: Arc<dyn Evidence> = Arc::new(evidence);
        let at = fleet.now();
        let command = scheduled(aged(&fleet.state, at), &evidence, day_of(at)).await;
        let Some(command) = command else {
            return 0;
        };
        fleet.accept(command);
        let rotations = fleet.state.identities.values();
        rotations
            .filter(|one| one.signing.rotation.is_some())
            .count()
    }

    #[tokio::test]
    async fn old_keys_begin_few_a_day_and_young_ones_not() {
        let mut fleet = Fleet::with_identities(20);
        days(&mut fleet, 149);
        let nobody = || Sent(address(99), 0);
        assert_eq!(begins(&mut fleet, nobody()).await, 0);
        days(&mut fleet, 32);
        // All are due by now: four on a day, whoever asks and how often.
        assert_eq!(begins(&mut fleet, nobody()).await, 4);
        assert_eq!(begins(&mut fleet, nobody()).await, 0);
        let again = Command::RotateKeys(RotateKeys {
            addresses: (0..20).map(address).collect(),
            cause: RotationCause::Scheduled,
            busy: BTreeSet::new(),
        });
        fleet.accept(again);
        assert_eq!(scheduled_on(&fleet.state, fleet.now()), 4);
        days(&mut fleet, 1);
        assert_eq!(begins(&mut fleet, nobody()).await, 8);
    }

    #[tokio::test]
    async fn whoever_sends_more_than_ten_thousand_a_day_changes_twice_as_often() {
        let mut fleet = Fleet::with_identities(3);
        days(&mut fleet, 91);
        assert_eq!(begins(&mut fleet, Sent(address(1), 10_000)).await, 0);
        assert_eq!(begins(&mut fleet, Sent(address(1), 10_001)).await, 1);
        let rotation = &fleet.state.identities[&address(1)].signing.rotation;
        assert_eq!(rotation.as_ref().unwrap().cause, RotationCause::Scheduled);
    }
}
