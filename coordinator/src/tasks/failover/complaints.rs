//! Whose breaker opens by what was counted of 24 hours, or by who is in quarantine for whatever reason.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use email_engine_protocol::api::Purpose;
use email_engine_protocol::id::{ReceiverGroup, TenantId};
use email_engine_protocol::time::Timestamp;

use crate::command::{Command, OpenBreaker};
use crate::fleet::failover::{Complaints, opens};
use crate::fleet::warmup::Evidence;
use crate::push::{Fleet, now};
use crate::state::FleetState;
use crate::tasks::{leads, say};

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(300);
/// Hours that are looked at together.
const HOURS: u64 = 24;

/// A tenant whose breaker is not open, and what is to be read of it.
struct Subject {
    tenant: TenantId,
    loops: BTreeSet<ReceiverGroup>,
    identities: Vec<(IpAddr, Purpose)>,
    /// The first and the last hour, numbered from 1970-01-01.
    hours: (u32, u32),
}

/// Looks while this node leads.
pub(in crate::tasks) async fn run<F: Fleet>(fleet: F, evidence: Arc<dyn Evidence>) {
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        for command in look(&fleet, &evidence).await {
            say(&fleet, "too many complain, or are in quarantine", command).await;
        }
        sleep(AGAIN).await;
    }
}

/// Breakers that open.
async fn look<F: Fleet>(fleet: &F, evidence: &Arc<dyn Evidence>) -> Vec<Command> {
    let state = fleet.view(FleetState::clone);
    let evidence = Arc::clone(evidence);
    // What is counted may lie on a disk.
    let read = tokio::task::spawn_blocking(move || {
        let subjects = subjects(&state, now().max(state.now)).into_iter();
        let read = subjects.filter_map(|one| Some((complaints(&one, &*evidence)?, one.tenant)));
        let over = read.filter(|(complaints, tenant)| opens(&state, tenant, complaints).is_some());
        over.map(|(complaints, tenant)| Command::OpenBreaker(OpenBreaker { tenant, complaints }))
            .collect()
    });
    read.await.unwrap_or_default()
}

/// Only what was counted after an operator's last word is held against a tenant.
fn subjects(state: &FleetState, at: Timestamp) -> Vec<Subject> {
    let tenants = state.tenants.iter();
    let closed = tenants.filter(|(id, _)| state.failover.open_breaker(id).is_none());
    let hour = |at: Timestamp| u32::try_from(at.0 / Timestamp::HOUR).unwrap_or(u32::MAX);
    let subjects = closed.map(|(id, tenant)| {
        let own = state.identities_of(id).map(|own| &own.spec);
        let first = Timestamp(at.0.saturating_sub((HOURS - 1) * Timestamp::HOUR));
        let breaker = state.failover.breakers.get(id);
        let released = breaker.and_then(|breaker| breaker.released.as_ref());
        let first = released.map_or(first, |word| first.max(word.at.plus(Timestamp::HOUR)));
        Subject {
            tenant: id.clone(),
            loops: tenant.warmup.feedback_loops.clone(),
            identities: own.map(|spec| (spec.address, spec.purpose)).collect(),
            hours: (hour(first), hour(at)),
        }
    });
    subjects.collect()
}

/// What was counted; none when that cannot be read, which is not nothing.
fn complaints(subject: &Subject, evidence: &dyn Evidence) -> Option<Complaints> {
    let mut all: Complaints = BTreeMap::new();
    let (first, last) = subject.hours;
    if subject.loops.is_empty() {
        return Some(all);
    }
    for (address, purpose) in &subject.identities {
        let hours = match evidence.hours(*address, first, last) {
            Ok(hours) => hours,
            Err(error) => {
                tracing::warn!(%error, "complaints are not judged");
                return None;
            }
        };
        let told = hours.iter().flatten();
        for (_, counts) in told.filter(|(group, _)| subject.loops.contains(*group)) {
            let (complaints, delivered) = all.entry(*purpose).or_default();
            *complaints = complaints.saturating_add(counts.complaints);
            *delivered = delivered.saturating_add(counts.delivered);
        }
    }
    Some(all)
}
