//! Says when mail left identities last, as far as it is counted, lays to rest those that had none for 30 days,
//! and those whose quarantine is over, and gives up mail that waits in quarantine for too long.
//!
//! What is said is the day, once when it begins to have mail and once when it is over: idleness is counted in
//! days, and the log is spared what changes nothing. Nobody is idle because nobody counted: one is laid to
//! rest when all that its hosts accounted for before today is read, and there was nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::{leads, say};
use crate::command::{Command, ExpireQueues, QUEUES, RecordSending, SteerIdentity};
use crate::fleet::lifecycle::{Event, Standing, drained_mail_expires_at, due, mail_expires_at};
use crate::fleet::warmup::{Evidence, accounting_hosts, day_begins, day_of, is_read_past};
use crate::push::{Fleet, now};
use crate::state::{FleetState, Identity};

/// Between two looks: what they find is a matter of days.
const AGAIN: Duration = Duration::from_secs(600);
/// Identities that are looked at together, while nothing else is applied.
const TOGETHER: usize = 1_000;
/// Identities of one command.
const PER_COMMAND: usize = 5_000;
/// Identities that are laid to rest after one look: each is a change of its own, with its history.
const RESTS: usize = 100;
/// Days that are looked back at, where nothing was said yet: more than end sending.
const LOOK_BACK_DAYS: u32 = 40;
/// What an identity that sends no more sent last is counted within that time, as a rule.
const LATE_MILLIS: u64 = 3 * Timestamp::DAY;

/// Looks while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, evidence: Arc<dyn Evidence>) {
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        look(&fleet, &evidence).await;
        sleep(AGAIN).await;
    }
}

async fn look<F: Fleet>(fleet: &F, evidence: &Arc<dyn Evidence>) {
    give_up_queues(fleet).await;
    let (mut found, mut from) = (Found::default(), Bound::Unbounded);
    loop {
        let (at, (subjects, clean, last)) = fleet.view(|state| {
            let at = now().max(state.now);
            (at, subjects(state, from, at))
        });
        found.clean.extend(clean);
        let evidence = Arc::clone(evidence);
        // What is counted may lie on a disk.
        let judged = tokio::task::spawn_blocking(move || found_of(&subjects, &*evidence, at));
        found.add(judged.await.unwrap_or_default());
        if found.sent.len() >= PER_COMMAND || last.is_none() {
            tell(fleet, std::mem::take(&mut found.sent)).await;
        }
        match last {
            Some(last) => from = Bound::Excluded(last),
            None => break,
        }
    }
    let clean = found.clean.into_iter().map(|one| (one, Event::Release));
    let idle = found.idle.into_iter().map(|one| (one, Event::Idle));
    for (address, event) in clean.take(RESTS).chain(idle.take(RESTS)) {
        let why = match &event {
            Event::Release => "7 days since it was seen on a list, and two clean sweeps",
            _ => "30 days without mail",
        };
        let steer = SteerIdentity {
            address,
            event,
            force: false,
            on_host: None,
        };
        say(fleet, why, Command::SteerIdentity(steer)).await;
    }
}

/// Those at which mail waits for too long, wherever they are and wherever they still drain.
fn overdue(state: &FleetState, now: Timestamp) -> BTreeSet<IpAddr> {
    let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let living = state.identities.values();
    let living = living.filter(|one| is_due(mail_expires_at(one)));
    let drains = state.leaving.values();
    let drains = drains.filter(|one| is_due(drained_mail_expires_at(state, one)));
    let living = living.map(|one| one.spec.address);
    let all = living.chain(drains.map(|one| one.spec().address));
    all.take(QUEUES).collect()
}

async fn give_up_queues<F: Fleet>(fleet: &F) {
    let state = fleet.view(Clone::clone);
    let addresses = overdue(&state, now().max(state.now));
    if !addresses.is_empty() {
        let command = Command::ExpireQueues(ExpireQueues { addresses });
        say(fleet, "it waited for 12 hours", command).await;
    }
}

async fn tell<F: Fleet>(fleet: &F, sent: BTreeMap<IpAddr, Timestamp>) {
    if !sent.is_empty() {
        let command = Command::RecordSending(RecordSending { sent });
        say(fleet, "as it was counted", command).await;
    }
}

/// One that is looked at, as it is now.
struct Subject {
    address: IpAddr,
    /// The first day of which nothing final is said.
    from: u32,
    /// Whether it had no mail for so long that it sends no more, as far as is said yet.
    is_due: bool,
    hosts: BTreeSet<HostId>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    sent: BTreeMap<IpAddr, Timestamp>,
    idle: Vec<IpAddr>,
    /// Those whose quarantine is over.
    clean: Vec<IpAddr>,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.sent.extend(more.sent);
        let room = RESTS.saturating_sub(self.idle.len());
        self.idle.extend(more.idle.into_iter().take(room));
    }
}

/// Of the next identities in order of address those of which something may be said, those whose quarantine is
/// over, and where the rest begins.
fn subjects(
    state: &FleetState,
    from: Bound<IpAddr>,
    now: Timestamp,
) -> (Vec<Subject>, Vec<IpAddr>, Option<IpAddr>) {
    let (mut subjects, mut clean) = (Vec::new(), Vec::new());
    let mut last = None;
    let rest = state.identities.range((from, Bound::Unbounded));
    for (seen, (address, identity)) in rest.enumerate() {
        if seen == TOGETHER {
            return (subjects, clean, last);
        }
        last = Some(*address);
        subjects.extend(subject(state, identity, now));
        if due(&Standing::of(identity), now) == Some(Event::Release) {
            clean.push(*address);
        }
    }
    (subjects, clean, None)
}

fn subject(state: &FleetState, identity: &Identity, now: Timestamp) -> Option<Subject> {
    let (life, today) = (&identity.life, day_of(now));
    let standing = Standing::of(identity);
    let stopped_lately = life.sent_ever && now.since(life.since) < LATE_MILLIS;
    if !standing.sends() && !stopped_lately {
        return None;
    }
    // The end of a day is said as its last moment.
    let from = match life.last_sent {
        Some(sent) if day_of(sent) >= today => return None,
        Some(sent) => day_of(sent.plus(1)),
        None => 0,
    };
    Some(Subject {
        address: identity.spec.address,
        from: from.max(today.saturating_sub(LOOK_BACK_DAYS)),
        is_due: due(&standing, now) == Some(Event::Idle),
        hosts: accounting_hosts(state, identity),
    })
}

fn found_of(subjects: &[Subject], evidence: &dyn Evidence, now: Timestamp) -> Found {
    let (mut found, today) = (Found::default(), day_of(now));
    for subject in subjects {
        // A host's clock may be ahead of the fleet's.
        let to = today.saturating_add(1);
        match evidence.last_day(subject.address, subject.from, to) {
            Ok(Some(day)) => {
                let over = Timestamp(day_begins(day.saturating_add(1)).0 - 1);
                found.sent.insert(subject.address, over.min(now));
            }
            Ok(None) if subject.is_due && is_read_past(evidence, &subject.hosts, today) => {
                found.idle.push(subject.address);
            }
            Ok(None) | Err(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{IpStatus, Phase};
    use email_engine_protocol::observed::{DayCounts, Gap};

    use super::*;
    use crate::command::fixture::{BEGIN, Fleet, address};
    use crate::fleet::lifecycle::{idle_millis, resumes_at};
    use crate::fleet::warmup::Unread;

    /// Identity 0 sent on these days, and every host is read to a day.
    struct Counted {
        days: BTreeSet<u32>,
        read: u32,
    }

    impl Evidence for Counted {
        fn day_counts(&self, _: IpAddr, _: u32, _: u32) -> Result<Vec<DayCounts>, Unread> {
            Ok(Vec::new())
        }

        fn gaps(&self, _: &HostId) -> Vec<Gap> {
            Vec::new()
        }

        fn read_until(&self, _: &HostId) -> Option<Timestamp> {
            Some(day_begins(self.read))
        }

        fn last_day(&self, of: IpAddr, from: u32, to: u32) -> Result<Option<u32>, Unread> {
            let own = of == address(0);
            let last = self.days.range(from..=to).next_back();
            Ok(last.copied().filter(|_| own))
        }
    }

    fn looked(fleet: &Fleet, evidence: &dyn Evidence) -> Found {
        let (subjects, clean, last) = subjects(&fleet.state, Bound::Unbounded, fleet.now());
        assert_eq!(last, None);
        Found {
            clean,
            ..found_of(&subjects, evidence, fleet.now())
        }
    }

    /// A look, and what is said after it.
    fn look(fleet: &mut Fleet, evidence: &dyn Evidence) -> Found {
        let found = looked(fleet, evidence);
        let sent = found.sent.clone();
        fleet.accept(Command::RecordSending(RecordSending { sent }));
        for address in &found.idle {
            fleet.accept(Command::SteerIdentity(SteerIdentity {
                address: *address,
                event: Event::Idle,
                force: false,
                on_host: None,
            }));
        }
        found
    }

    fn days(fleet: &mut Fleet, days: u32) {
        for _ in 0..2 * days {
            fleet.wait(Timestamp::DAY / 2);
            let sent = BTreeMap::new();
            fleet.accept(Command::RecordSending(RecordSending { sent }));
        }
    }

    fn status(fleet: &Fleet, at: u32) -> IpStatus {
        fleet.state.identities[&address(at)].spec.status
    }

    #[test]
    fn month_without_mail_lays_to_rest_and_takes_a_phase_and_a_mail_puts_it_off() {
        let mut fleet = Fleet::with_identities(2);
        let first = day_of(BEGIN);
        let evidence = Counted {
            days: [first, first + 5].into(),
            read: u32::MAX,
        };
        days(&mut fleet, 6);
        let found = look(&mut fleet, &evidence);
        assert_eq!(found.sent.keys().collect::<Vec<_>>(), [&address(0)]);
        assert!(found.idle.is_empty(), "{found:?}");
        let sent = fleet.state.identities[&address(0)].life.last_sent.unwrap();
        assert_eq!(day_of(sent), first + 5);
        days(&mut fleet, 25);
        look(&mut fleet, &evidence);
        assert_eq!(status(&fleet, 0), IpStatus::Warming);
        assert_eq!(status(&fleet, 1), IpStatus::Resting, "it never sent");
        days(&mut fleet, 5);
        look(&mut fleet, &evidence);
        assert_eq!(status(&fleet, 0), IpStatus::Resting);
        let standing = Standing::of(&fleet.state.identities[&address(0)]);
        assert_eq!(standing.phase, Phase::Week2);
        assert_eq!(resumes_at(&standing, fleet.now()), Phase::Week1);
        assert!(idle_millis(&standing, fleet.now()) >= 30 * Timestamp::DAY);
    }

    #[test]
    fn what_is_not_counted_is_not_idleness() {
        let mut fleet = Fleet::with_identities(1);
        days(&mut fleet, 40);
        let late = Counted {
            days: BTreeSet::new(),
            read: day_of(fleet.now()) - 1,
        };
        assert_eq!(looked(&fleet, &late), Found::default());
        let nothing = crate::fleet::warmup::NoEvidence;
        assert_eq!(looked(&fleet, &nothing), Found::default());
        let read = Counted {
            read: day_of(fleet.now()),
            ..late
        };
        assert_eq!(looked(&fleet, &read).idle, [address(0)]);
    }

    #[test]
    fn one_day_is_said_twice_at_most_and_its_end_is_the_last_word() {
        let mut fleet = Fleet::with_identities(1);
        let today = day_of(fleet.now());
        let evidence = Counted {
            days: [today].into(),
            read: u32::MAX,
        };
        let at = look(&mut fleet, &evidence).sent[&address(0)];
        assert_eq!(day_of(at), today);
        assert_eq!(look(&mut fleet, &evidence), Found::default());
        days(&mut fleet, 1);
        let at = look(&mut fleet, &evidence).sent[&address(0)];
        assert_eq!(at.plus(1), day_begins(today + 1));
        for _ in 0..3 {
            assert_eq!(look(&mut fleet, &evidence), Found::default());
            days(&mut fleet, 1);
        }
    }
}
