//! The signed report.

use email_engine_protocol::desired::Disposition;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    Convergence, DrainStatus, GenerationStates, HostReport, ResourceState, ResourceStatus,
    StatusCounts,
};

use super::core::{Core, now};
use crate::halves::FromExecutor;

/// What the last report said, without what changes all the time: only news is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    generations: GenerationStates,
    convergence: Convergence,
    disposition: Disposition,
    counts: StatusCounts,
    statuses: Vec<ResourceStatus>,
    repairs: u64,
    inventory: u64,
    drains: Vec<DrainStatus>,
}

impl Core {
    /// Reports when there is something new to say.
    pub(super) fn report_changes(&mut self) {
        if self.session.is_some() && self.reported.as_ref() != Some(&self.verdict()) {
            self.report();
        }
    }

    /// Reports, when a session is there to report to.
    pub(super) fn report(&mut self) {
        let verdict = self.verdict();
        let (Some(session), Some(trust)) = (&mut self.session, &self.trust) else {
            return;
        };
        session.sequence += 1;
        let report = HostReport {
            cluster: trust.cluster,
            host: trust.host.clone(),
            nonce: session.nonce,
            sequence: session.sequence,
            at: now(),
            generations: verdict.generations.clone(),
            convergence: verdict.convergence,
            disposition: verdict.disposition,
            counts: verdict.counts,
            statuses: verdict.statuses.clone(),
            repairs: verdict.repairs,
            apply_millis: self.ledger.page().apply_millis,
            inventory: verdict.inventory,
            facts: self.facts.clone(),
            drains: verdict.drains.clone(),
        };
        self.reported = Some(verdict);
        self.untold_interruption = false;
        let signed = self.keys.report.sign(&report);
        self.outbox.say(FromExecutor::Report(signed));
    }

    fn verdict(&self) -> Reported {
        let statuses = self.outcome.as_ref().map(|outcome| &outcome.statuses[..]);
        // Beside what was looked at: it makes nothing of the host wrong.
        let mut statuses = statuses.unwrap_or_default().to_vec();
        statuses.extend(self.unposted());
        let statuses = &statuses[..];
        let disposition = self.enforced.as_ref().map(|e| e.config.disposition);
        Reported {
            generations: self.generations(),
            convergence: self.convergence(),
            disposition: disposition.unwrap_or(Disposition::Active),
            counts: count(statuses),
            statuses: worst_first(statuses),
            repairs: self.reconciler.repairs(),
            inventory: self.reconciler.inventory().len() as u64,
            drains: self.reconciler.drains(),
        }
    }

    fn retires(&self) -> bool {
        let enforced = self.enforced.as_ref();
        enforced.is_some_and(|enforced| enforced.config.disposition == Disposition::Retired)
    }

    fn convergence(&self) -> Convergence {
        let attempted = self.disallowed.as_ref();
        let attempted = attempted.or_else(|| self.ledger.page().attempted.as_ref());
        let under_way = self.offered.as_ref().is_some_and(|offered| {
            attempted.is_none_or(|attempt| attempt.generation != offered.target.generation)
        });
        match (&self.enforced, &self.outcome) {
            _ if under_way => Convergence::Converging,
            (None, _) if self.accepted_target().is_some() && self.disallowed.is_some() => {
                Convergence::Degraded
            }
            (None, _) => Convergence::Idle,
            (Some(_), None) => Convergence::Converging,
            (Some(_), Some(outcome)) if outcome.interrupted => Convergence::Converging,
            (Some(_), Some(outcome)) => {
                let counts = count(&outcome.statuses);
                let fallen_back = self.is_fallen_back();
                let is_right = counts.satisfied() == counts.total() && !fallen_back;
                if self.retires() && self.untidy {
                    // Its word would be taken for it that every secret is gone.
                    Convergence::Converging
                } else if is_right && outcome.is_untold {
                    Convergence::Converging
                } else if is_right {
                    Convergence::Converged
                } else {
                    Convergence::Degraded
                }
            }
        }
    }
}

const fn rank(state: &ResourceState) -> u8 {
    match state {
        ResourceState::Failed(_) => 0,
        ResourceState::Blocked(_) => 1,
        ResourceState::Drifted(_) => 2,
        ResourceState::Unknown(_) => 3,
        // What is told must come along.
        ResourceState::Told(_) => 4,
        ResourceState::Simulated => 5,
        ResourceState::Converged => 6,
    }
}

fn count(statuses: &[ResourceStatus]) -> StatusCounts {
    let mut counts = StatusCounts::default();
    for status in statuses {
        let counter = match &status.state {
            ResourceState::Blocked(_) => &mut counts.blocked,
            ResourceState::Converged | ResourceState::Told(_) => &mut counts.converged,
            ResourceState::Drifted(_) => &mut counts.drifted,
            ResourceState::Failed(_) => &mut counts.failed,
            ResourceState::Simulated => &mut counts.simulated,
            ResourceState::Unknown(_) => &mut counts.unknown,
        };
        *counter += 1;
    }
    counts
}

fn worst_first(statuses: &[ResourceStatus]) -> Vec<ResourceStatus> {
    let mut sorted: Vec<&ResourceStatus> = statuses.iter().collect();
    sorted.sort_by_key(|status| rank(&status.state));
    sorted
        .into_iter()
        .take(limits::STATUSES_PER_REPORT)
        .cloned()
        .map(|status| ResourceStatus {
            state: match status.state {
                ResourceState::Blocked(text) => ResourceState::Blocked(cut(text)),
                ResourceState::Drifted(text) => ResourceState::Drifted(cut(text)),
                ResourceState::Failed(text) => ResourceState::Failed(cut(text)),
                ResourceState::Unknown(text) => ResourceState::Unknown(cut(text)),
                state @ (ResourceState::Converged
                | ResourceState::Simulated
                | ResourceState::Told(_)) => state,
            },
            ..status
        })
        .collect()
}

/// A reason, cut to what a report may carry.
pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::Nonce;
    use email_engine_protocol::crypto::SigningKey;
    use email_engine_protocol::desired::ResourceKind;
    use email_engine_protocol::generation::Generation;
    use email_engine_protocol::id::{ClusterId, HostId, ResourceId};
    use email_engine_protocol::observed::{Attempt, Disk, Facts, Mode, Observed, Stage};
    use email_engine_protocol::wire::frame;
    use email_engine_protocol::wire::v1::AgentMessage;

    use super::*;

    #[test]
    fn the_worst_comes_first_and_the_list_is_bounded() {
        let status = |at: usize, state| ResourceStatus {
            id: ResourceId::new(format!("file:/{at}")).unwrap(),
            kind: ResourceKind::File,
            state,
        };
        let mut statuses: Vec<ResourceStatus> = (0..2000)
            .map(|at| status(at, ResourceState::Converged))
            .collect();
        statuses.push(status(9999, ResourceState::Failed("é".repeat(5000))));
        let shown = worst_first(&statuses);
        assert_eq!(shown.len(), limits::STATUSES_PER_REPORT);
        let ResourceState::Failed(reason) = &shown[0].state else {
            panic!("the failed one is not first");
        };
        assert_eq!(reason.len(), limits::REASON_BYTES);
        let counts = count(&statuses);
        assert_eq!((counts.failed, counts.total()), (1, 2001));
    }

    fn largest_facts() -> Facts {
        let text = || "x".repeat(limits::FACT_BYTES);
        let disk = Disk {
            mount_point: text(),
            total_bytes: u64::MAX,
            available_bytes: u64::MAX,
        };
        Facts {
            hostname: text(),
            os: text(),
            kernel: text(),
            architecture: text(),
            cpus: u32::MAX,
            memory_bytes: u64::MAX,
            disks: vec![disk; limits::DISKS_PER_REPORT],
            addresses: vec!["2001:db8::1".parse().unwrap(); limits::ADDRESSES_PER_REPORT],
            agent_version: text(),
            mode: Mode::Sandbox,
            disks_left_out: u32::MAX,
            addresses_left_out: u32::MAX,
        }
    }

    fn largest_drain() -> DrainStatus {
        DrainStatus {
            name: "n".repeat(limits::DRAIN_BYTES),
            messages: Observed::Unknown {
                reason: "r".repeat(limits::DRAIN_BYTES),
                since: now(),
            },
            is_over: false,
        }
    }

    #[test]
    fn the_largest_report_fits_a_frame() {
        let failed = |at: usize| ResourceStatus {
            id: ResourceId::new(format!("{at:0255}")).unwrap(),
            kind: ResourceKind::File,
            state: ResourceState::Failed("y".repeat(10_000)),
        };
        let statuses: Vec<ResourceStatus> = (0..5000).map(failed).collect();
        let report = HostReport {
            cluster: ClusterId([1; 16]),
            host: HostId::new("h".repeat(63)).unwrap(),
            nonce: Nonce([1; 16]),
            sequence: u64::MAX,
            at: now(),
            generations: GenerationStates {
                attempted: Some(Attempt {
                    generation: Generation::default(),
                    stage: Stage::Apply,
                    reason: cut("z".repeat(10_000)),
                }),
                ..GenerationStates::default()
            },
            convergence: Convergence::Degraded,
            disposition: Disposition::Active,
            counts: count(&statuses),
            statuses: worst_first(&statuses),
            repairs: u64::MAX,
            apply_millis: Some(u64::MAX),
            inventory: u64::MAX,
            facts: Observed::Known {
                value: largest_facts(),
                at: now(),
            },
            drains: vec![largest_drain(); limits::DRAINS_PER_REPORT],
        };
        let left_out = report.counts.total() as usize - report.statuses.len();
        assert_eq!(left_out, 4500);
        let signed = SigningKey::from_seed([1; 32]).sign(&report);
        let frame = frame::encode(&AgentMessage::Report(signed)).unwrap();
        println!("the largest report has {} bytes", frame.len());
    }
}
