//! Judges how identities warm up: once a day by the days before it, and with every look whether a line is
//! broken at which nothing new is sent.
//!
//! The day is that of the fleet's clock, which never goes back. A day that begins is judged identity by
//! identity, as soon as the accounting of its host is read past midnight; that no leader judges one twice is
//! seen to by the command. What nobody judged in its day is not made up for: the next day moves one phase at
//! most, as every day does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use email_engine_protocol::api::{WarmupPlan, WarmupReason, WarmupSettings};
use email_engine_protocol::id::{HostId, ReceiverGroup, TenantId};
use email_engine_protocol::time::Timestamp;

use super::{leads, say};
use crate::command::{Command, StopWarmup, TickWarmup, Ticked};
use crate::fleet::warmup::{
    Evidence, Facts, Opens, WINDOW_DAYS, accounting_hosts, day_begins, day_of, is_read_past,
    is_warming, judge, opens_before, settings_of, stop_line, whole_days,
};
use crate::push::{Fleet, now};
use crate::state::FleetState;

/// At least between two looks: every look reads what was counted of all that warm up.
const AGAIN: Duration = Duration::from_secs(30);
/// A look without a change: the accounting of some host may be read further.
const IDLE: Duration = Duration::from_secs(60);
/// Identities that are looked at together, while nothing else is applied.
const TOGETHER: usize = 1_000;
/// Steps of one command that an operator wants to know: so many have room in an audit entry.
const NEWS: usize = 12;

/// Judges while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, evidence: Arc<dyn Evidence>) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let mut from = Bound::Unbounded;
        loop {
            let (at, subjects, last) = fleet.view(|state| {
                let at = now().max(state.now);
                let (subjects, last) = subjects(state, from, day_of(at));
                (at, subjects, last)
            });
            let evidence = Arc::clone(&evidence);
            // What is counted may lie on a disk.
            let judged =
                tokio::task::spawn_blocking(move || commands(&subjects, &*evidence, day_of(at)));
            for command in judged.await.unwrap_or_default() {
                let reason = match &command {
                    Command::StopWarmup(_) => "a stop line is broken",
                    _ => "a day's evidence",
                };
                say(&fleet, reason, command).await;
            }
            match last {
                Some(last) => from = Bound::Excluded(last),
                None => break,
            }
        }
        sleep(AGAIN).await;
        let wait = until_midnight(now()).min(IDLE);
        if let Ok(Err(_)) = timeout(wait, applied.changed()).await {
            return;
        }
    }
}

fn until_midnight(now: Timestamp) -> Duration {
    Duration::from_millis(Timestamp::DAY - now.0 % Timestamp::DAY)
}

/// One that is looked at, as it is now.
struct Subject {
    address: IpAddr,
    plan: WarmupPlan,
    hosts: BTreeSet<HostId>,
    rules: Arc<Rules>,
    /// Opens of the days before, where the application tells them.
    opens: Option<Opens>,
    /// What a MailWizz does that it may not go on beside.
    obstacle: Option<WarmupReason>,
}

/// What a tenant's identities are judged by.
struct Rules {
    settings: WarmupSettings,
    loops: BTreeSet<ReceiverGroup>,
}

/// Those that warm up among the next identities in order of address, and where the rest begins.
fn subjects(state: &FleetState, from: Bound<IpAddr>, day: u32) -> (Vec<Subject>, Option<IpAddr>) {
    let opens = opens_before(state, day);
    let mut rules: BTreeMap<&TenantId, Arc<Rules>> = BTreeMap::new();
    let mut subjects = Vec::new();
    let mut last = None;
    let rest = state.identities.range((from, Bound::Unbounded));
    for (seen, (address, identity)) in rest.enumerate() {
        if seen == TOGETHER {
            return (subjects, last);
        }
        last = Some(*address);
        let tenant = &identity.spec.tenant;
        let rules = rules.entry(tenant).or_insert_with(|| {
            let own = state.tenants.get(tenant);
            Arc::new(Rules {
                settings: settings_of(state, tenant),
                loops: own.map_or_else(BTreeSet::new, |own| own.warmup.feedback_loops.clone()),
            })
        });
        if is_warming(&identity.spec, &identity.warmup, &rules.settings) {
            subjects.push(Subject {
                address: *address,
                plan: identity.warmup.clone(),
                hosts: accounting_hosts(state, identity),
                rules: Arc::clone(rules),
                opens: opens.get(address).copied(),
                obstacle: state.warmup_obstacle(identity).map(|(_, why)| why),
            });
        }
    }
    (subjects, None)
}

/// What is to be said of them on this day.
fn commands(subjects: &[Subject], evidence: &dyn Evidence, day: u32) -> Vec<Command> {
    let (mut commands, mut verdicts, mut news) = (Vec::new(), Vec::new(), 0);
    for subject in subjects.iter().filter(|one| one.plan.stopped.is_none()) {
        let Rules { settings, loops } = &*subject.rules;
        let first = day.saturating_sub(WINDOW_DAYS);
        let counts = match evidence.day_counts(subject.address, first, day) {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "not judged");
                continue;
            }
        };
        if let Some((reasons, rates)) = stop_line(&subject.plan, &counts, settings, loops, day) {
            commands.push(Command::StopWarmup(Box::new(StopWarmup {
                address: subject.address,
                phase_started_at: subject.plan.phase_started_at,
                reasons,
                rates,
            })));
            continue;
        }
        let judged = subject.plan.judged_on;
        if judged.is_some_and(|judged| judged >= day_begins(day))
            || !is_read_past(evidence, &subject.hosts, day)
        {
            continue;
        }
        // Where the application sent more of a campaign than left this identity, another one sent of it too.
        let left = counts
            .iter()
            .fold(0_u64, |sum, day| sum.saturating_add(day.total().sent));
        let facts = Facts {
            is_read: true,
            loops,
            opens: subject.opens.filter(|opens| opens.delivered <= left),
            obstacle: subject.obstacle.as_ref(),
        };
        let counts = whole_days(evidence, &subject.hosts, counts);
        let (verdict, rates) = judge(&subject.plan, &counts, settings, &facts, day);
        let ticked = Ticked {
            address: subject.address,
            phase: subject.plan.phase,
            phase_started_at: subject.plan.phase_started_at,
            verdict,
            rates,
        };
        news += usize::from(ticked.is_news());
        verdicts.push(ticked);
        if news == NEWS {
            let verdicts = std::mem::take(&mut verdicts);
            commands.push(Command::TickWarmup(TickWarmup { day, verdicts }));
            news = 0;
        }
    }
    if !verdicts.is_empty() {
        commands.push(Command::TickWarmup(TickWarmup { day, verdicts }));
    }
    commands
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{IpStatus, Phase, WarmupStep};
    use email_engine_protocol::id::Role;
    use email_engine_protocol::observed::{BounceCategory, Counts, DayCounts, Gap};

    use super::*;
    use crate::command::fixture::{Fleet, address, host, host_id, identity};
    use crate::command::{AddHost, CutOffHost, RecordForeignPlans, RecordQuotas, RetireHost};
    use crate::fleet::warmup::Unread;
    use crate::state::{Campaign, CampaignEnd, Figures, Reading, Readings};

    /// Every identity sent so much on every day, and every host is read to a day.
    #[derive(Default)]
    struct Counted {
        each: Counts,
        read: u32,
        gaps: Vec<Gap>,
        is_unread: bool,
    }

    impl Evidence for Counted {
        fn day_counts(
            &self,
            address: IpAddr,
            from: u32,
            to: u32,
        ) -> Result<Vec<DayCounts>, Unread> {
            if self.is_unread {
                let reason = "the disk".to_owned();
                return Err(Unread { address, reason });
            }
            let groups = [(ReceiverGroup::other(), self.each)];
            let day = |day| DayCounts {
                day,
                groups: groups.clone().into(),
            };
            Ok((from..=to).map(day).collect())
        }

        fn read_until(&self, _: &HostId) -> Option<Timestamp> {
            Some(day_begins(self.read))
        }

        fn gaps(&self, _: &HostId) -> Vec<Gap> {
            self.gaps.clone()
        }
    }

    fn sent(delivered: u64, bounced: u64) -> Counts {
        let mut counts = Counts {
            sent: delivered + bounced,
            delivered,
            bounced,
            ..Counts::NONE
        };
        counts.categories.0[BounceCategory::BadMailbox as usize] = bounced;
        counts
    }

    fn commands_of(fleet: &Fleet, evidence: &dyn Evidence) -> Vec<Command> {
        let day = day_of(fleet.now());
        let (subjects, last) = subjects(&fleet.state, Bound::Unbounded, day);
        assert_eq!(last, None);
        commands(&subjects, evidence, day)
    }

    fn days(fleet: &mut Fleet, days: u32) {
        for _ in 0..days * 2 {
            fleet.wait(Timestamp::DAY / 2);
            fleet.accept(Command::TellTime(crate::command::TellTime {
                clocks: [].into(),
            }));
        }
    }

    fn phase(fleet: &Fleet) -> Phase {
        fleet.state.identities[&address(0)].warmup.phase
    }

    #[test]
    fn whoever_leads_and_however_often_a_day_moves_one_phase() {
        let mut fleet = Fleet::with_identities(1);
        days(&mut fleet, 8);
        let evidence = Counted {
            each: sent(100, 0),
            read: u32::MAX,
            ..Counted::default()
        };
        // Two leaders judged the same state; both say so, the first one twice.
        let (first, second) = (
            commands_of(&fleet, &evidence),
            commands_of(&fleet, &evidence),
        );
        for command in first.iter().chain(&first).chain(&second) {
            fleet.accept(command.clone());
        }
        assert_eq!(phase(&fleet), Phase::Week3);
        assert_eq!(commands_of(&fleet, &evidence), []);
        // Three weeks without a leader: one phase at most for all of them.
        days(&mut fleet, 21);
        let evidence = Counted {
            each: sent(250, 0),
            read: u32::MAX,
            ..Counted::default()
        };
        for command in commands_of(&fleet, &evidence) {
            fleet.accept(command);
        }
        assert_eq!(
            (phase(&fleet), commands_of(&fleet, &evidence)),
            (Phase::Week4, vec![])
        );
    }

    #[test]
    fn a_day_waits_until_the_accounting_is_read_past_midnight() {
        let mut fleet = Fleet::with_identities(1);
        days(&mut fleet, 8);
        let today = day_of(fleet.now());
        let each = sent(100, 0);
        let late = Counted {
            each,
            read: today - 1,
            ..Counted::default()
        };
        assert_eq!(commands_of(&fleet, &late), []);
        let read = Counted {
            each,
            read: today,
            ..Counted::default()
        };
        assert_eq!(commands_of(&fleet, &read).len(), 1);
        assert_eq!(commands_of(&fleet, &crate::fleet::warmup::NoEvidence), []);
    }

    #[test]
    fn counts_that_cannot_be_read_and_days_with_a_gap_are_not_judged() {
        let mut fleet = Fleet::with_identities(1);
        days(&mut fleet, 8);
        let steps = |evidence: &Counted| -> Vec<_> {
            let commands = commands_of(&fleet, evidence).into_iter();
            let steps = commands.map(|command| match command {
                Command::TickWarmup(tick) => tick.verdicts[0].verdict.step,
                other => panic!("{other:?}"),
            });
            steps.collect()
        };
        let with = |each, gaps| Counted {
            each,
            read: u32::MAX,
            gaps,
            is_unread: false,
        };
        let unread = Counted {
            is_unread: true,
            ..with(sent(100, 0), Vec::new())
        };
        assert_eq!(steps(&unread), []);
        let today = day_of(fleet.now());
        let gap = |days: std::ops::Range<u32>| Gap {
            from: day_begins(days.start).plus(1),
            to: day_begins(days.end),
        };
        let deferred = Counts {
            deferred: 60,
            ..sent(100, 0)
        };
        for (each, gaps, step) in [
            (sent(100, 0), vec![], WarmupStep::Advance),
            // Two days may be missing of seven, and not three.
            (
                sent(100, 0),
                vec![gap(today - 2..today)],
                WarmupStep::Advance,
            ),
            (sent(100, 0), vec![gap(today - 3..today)], WarmupStep::Hold),
            (deferred, vec![], WarmupStep::Pause),
            (deferred, vec![gap(today - 7..today)], WarmupStep::Hold),
            // What was before and comes after is not missing.
            (sent(100, 0), vec![gap(0..today - 7)], WarmupStep::Advance),
        ] {
            assert_eq!(steps(&with(each, gaps.clone())), [step], "{gaps:?}");
        }
    }

    /// A campaign that identity 0 sent alone in the last days: so many delivered and opened.
    fn campaign(fleet: &mut Fleet, delivered: u64, opened: u64) {
        let today = day_of(fleet.now());
        let reading = |days, opened| {
            let at = day_begins(today - days);
            let figures = Figures {
                delivered,
                opened,
                clicked: 0,
            };
            (today - days, Reading { at, figures })
        };
        let campaign = Campaign {
            tenant: identity(0).tenant,
            name: "Autumn".to_owned(),
            parts: vec![(address(0), delivered)],
            asker: [1; 16],
            known: [].into(),
            begun_at: day_begins(today - 3),
            end: Some(CampaignEnd::Created {
                uid: "uid".to_owned(),
            }),
            readings: Readings([reading(3, 0), reading(1, opened)].into()),
        };
        let request = email_engine_protocol::id::RequestId::new("one").unwrap();
        fleet.state.campaigns.insert(request, Arc::new(campaign));
    }

    #[test]
    fn few_opens_hold_where_they_are_known_and_count_nowhere_else() {
        let mut fleet = Fleet::with_identities(1);
        days(&mut fleet, 8);
        let evidence = Counted {
            each: sent(100, 0),
            read: u32::MAX,
            ..Counted::default()
        };
        // Of 500: one in ten is enough. A campaign that is larger than all that left was not sent alone.
        for (delivered, opened, step) in [
            (0, 0, WarmupStep::Advance),
            (500, 49, WarmupStep::Hold),
            (500, 50, WarmupStep::Advance),
            (49, 0, WarmupStep::Advance),
            (800, 0, WarmupStep::Hold),
            (801, 0, WarmupStep::Advance),
        ] {
            campaign(&mut fleet, delivered, opened);
            let commands = commands_of(&fleet, &evidence);
            let [Command::TickWarmup(tick)] = &commands[..] else {
                panic!("{commands:?}");
            };
            let verdict = &tick.verdicts[0].verdict;
            assert_eq!(verdict.step, step, "{opened} of {delivered}");
            let is_few = |reason: &WarmupReason| matches!(reason, WarmupReason::FewOpens { .. });
            assert_eq!(verdict.reasons.iter().any(is_few), step == WarmupStep::Hold);
        }
    }

    /// Two identities that may go on by these counts, and their tenant's MailWizz.
    fn beside_mailwizz() -> (Fleet, Counted) {
        let mut fleet = Fleet::with_identities(2);
        days(&mut fleet, 8);
        let mut machine = host("mailwizz1", Role::Mailwizz, 40);
        machine.tenant = Some(identity(0).tenant);
        fleet.accept(Command::AddHost(AddHost { host: machine }));
        let well = Counted {
            each: sent(100, 0),
            read: u32::MAX,
            ..Counted::default()
        };
        (fleet, well)
    }

    /// How each goes on, and why.
    fn verdicts(fleet: &Fleet, evidence: &Counted) -> Vec<(WarmupStep, String)> {
        let commands = commands_of(fleet, evidence).into_iter();
        let ticked = commands.flat_map(|command| match command {
            Command::TickWarmup(tick) => tick.verdicts,
            other => panic!("{other:?}"),
        });
        ticked
            .map(|one| (one.verdict.step, one.verdict.reasons[0].to_string()))
            .collect()
    }

    fn phases(fleet: &Fleet) -> (Phase, Phase) {
        let phase = |at| fleet.state.identities[&address(at)].warmup.phase;
        (phase(0), phase(1))
    }

    #[test]
    fn nobody_goes_further_while_mailwizz_keeps_no_quotas() {
        let (mut fleet, well) = beside_mailwizz();
        let before = commands_of(&fleet, &well);
        let keeps = |kept| {
            let host = host_id("mailwizz1");
            Command::RecordQuotas(RecordQuotas { host, kept })
        };
        fleet.accept(keeps(false));
        // What was judged before anybody knew of it moves nobody.
        for command in before {
            fleet.accept(command);
        }
        for (step, why) in verdicts(&fleet, &well) {
            assert_eq!(step, WarmupStep::Hold);
            assert!(why.contains("mailwizz1 keeps no quotas"), "{why}");
        }
        assert_eq!(phases(&fleet), (Phase::Week2, Phase::Week2));
        let again = fleet.accept(keeps(false)).effect;
        assert_eq!(again, crate::command::Effect::Unchanged);
        fleet.accept(keeps(true));
        for command in commands_of(&fleet, &well) {
            fleet.accept(command);
        }
        assert_eq!(phases(&fleet), (Phase::Week3, Phase::Week3));
        // It goes with its host, and another tenant's machine says nothing.
        fleet.accept(keeps(false));
        let host = host_id("mailwizz1");
        let confirmed = false;
        let grace_millis = 0;
        fleet.accept(Command::RetireHost(RetireHost {
            host: host.clone(),
            grace_millis,
        }));
        fleet.wait(1);
        fleet.accept(Command::CutOffHost(CutOffHost { host, confirmed }));
        assert!(fleet.state.unlimited.is_empty());
        fleet.refuse(keeps(true));
    }

    #[test]
    fn one_with_a_plan_of_mailwizzs_own_is_held_until_that_is_gone_and_pauses_all_the_same() {
        let (mut fleet, well) = beside_mailwizz();
        let before = commands_of(&fleet, &well);
        let has = |plan: Option<&str>| {
            let plans = plan.map(|plan| (identity(0).vmta, plan.to_owned()));
            Command::RecordForeignPlans(RecordForeignPlans {
                host: host_id("mailwizz1"),
                plans: plans.into_iter().collect(),
            })
        };
        fleet.accept(has(Some("3")));
        let known = |fleet: &Fleet| {
            let identity = &fleet.state.identities[&address(0)];
            fleet.state.warmup_obstacle(identity).unwrap().0
        };
        let since = known(&fleet);
        let judged = verdicts(&fleet, &well);
        assert_eq!(
            (judged[0].0, judged[1].0),
            (WarmupStep::Hold, WarmupStep::Advance)
        );
        assert!(
            judged[0].1.contains("its own warm-up plan 3"),
            "{}",
            judged[0].1
        );
        let ill = Counted {
            each: sent(94, 6),
            read: u32::MAX,
            ..Counted::default()
        };
        assert_eq!(verdicts(&fleet, &ill)[0].0, WarmupStep::Pause);
        // What was judged before anybody knew of it moves the other one alone.
        for command in before {
            fleet.accept(command);
        }
        assert_eq!(phases(&fleet), (Phase::Week2, Phase::Week3));
        // Told again it keeps its time, and once it is gone the warm-up goes on.
        fleet.wait(1_000);
        assert_eq!(
            fleet.accept(has(Some("3"))).effect,
            crate::command::Effect::Unchanged
        );
        assert_eq!(known(&fleet), since);
        fleet.accept(has(None));
        for command in commands_of(&fleet, &well) {
            fleet.accept(command);
        }
        assert_eq!(phases(&fleet), (Phase::Week3, Phase::Week3));
    }

    #[test]
    fn a_stop_does_not_wait_for_midnight_and_is_said_once() {
        let mut fleet = Fleet::with_identities(2);
        let evidence = Counted {
            each: sent(89, 11),
            read: 0,
            ..Counted::default()
        };
        let stops = commands_of(&fleet, &evidence);
        assert_eq!(stops.len(), 2);
        for command in stops {
            fleet.accept(command);
        }
        assert!(fleet.state.identities.values().all(|one| !one.takes_mail()));
        assert_eq!(commands_of(&fleet, &evidence), []);
    }

    #[test]
    fn what_operators_want_to_know_has_room_in_the_audit() {
        let mut fleet = Fleet::with_identities(30);
        days(&mut fleet, 8);
        let evidence = Counted {
            each: sent(100, 0),
            read: u32::MAX,
            ..Counted::default()
        };
        for command in commands_of(&fleet, &evidence) {
            fleet.accept(command);
        }
        let audit = fleet.state.audit.iter();
        let told: Vec<_> = audit
            .filter(|entry| entry.command == "tick-warmup")
            .collect();
        assert_eq!(told.len(), 3);
        for at in 0..30 {
            let words = format!("advance {}", address(at));
            assert!(
                told.iter().any(|entry| entry.object.contains(&words)),
                "{words}"
            );
        }
        let through = fleet.state.identities.values();
        assert!(
            through
                .into_iter()
                .all(|one| one.spec.status == IpStatus::Warming)
        );
    }
}
