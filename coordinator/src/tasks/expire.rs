//! Cuts off retiring hosts whose time for confirming the wipe is over, and gives up uploads that stand
//! still.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::leads;
use crate::command::{Command, CutOffHost, IDLE_MILLIS, RemoveArtifact};
use crate::push::{Fleet, now, proposal};
use crate::state::{FleetState, HostLifecycle};

/// A look without a change.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure, and at least between two looks.
const AGAIN: Duration = Duration::from_secs(1);

/// Cuts off while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let (due, next, idle) = fleet.view(|state| {
            let (due, next) = due(state, now());
            (due, next, idle(state, now()))
        });
        for host in &due {
            cut_off(&fleet, host).await;
        }
        for upload in &idle {
            give_up(&fleet, upload).await;
        }
        let wait = match next {
            Some(next) => Duration::from_millis(next.since(now())).min(IDLE),
            None => IDLE,
        };
        if !due.is_empty() || !idle.is_empty() {
            sleep(AGAIN).await;
        } else if let Ok(Err(_)) = timeout(wait.max(AGAIN), applied.changed()).await {
            return;
        }
    }
}

/// Hosts whose deadline has passed, and the next deadline of the others.
fn due(state: &FleetState, now: Timestamp) -> (Vec<HostId>, Option<Timestamp>) {
    let deadlines = state
        .hosts
        .iter()
        .filter_map(|(id, host)| match host.lifecycle {
            HostLifecycle::Retiring { deadline } => Some((id, deadline)),
            _ => None,
        });
    let (mut due, mut next) = (Vec::new(), None);
    for (id, deadline) in deadlines {
        if deadline < now {
            due.push(id.clone());
        } else {
            next = Some(next.map_or(deadline, |next: Timestamp| next.min(deadline)));
        }
    }
    (due, next)
}

/// Uploads of which nothing came for a day.
fn idle(state: &FleetState, now: Timestamp) -> Vec<ContentHash> {
    let uploads = state.artifacts.iter().filter(|(_, artifact)| {
        artifact.finished_at.is_none() && now.since(artifact.touched_at) > IDLE_MILLIS
    });
    uploads.map(|(sha256, _)| *sha256).collect()
}

async fn give_up<F: Fleet>(fleet: &F, upload: &ContentHash) {
    let command = Command::RemoveArtifact(RemoveArtifact {
        sha256: *upload,
        expired: true,
    });
    let actor = format!("node {}", fleet.node());
    let proposal = proposal(fleet, actor, "nothing of it came for a day", command);
    match fleet.propose(proposal).await {
        Ok(Ok(_)) => tracing::info!(artifact = %upload, "an upload that stood still was given up"),
        Ok(Err(rejection)) => tracing::info!(artifact = %upload, %rejection, "an upload stays"),
        Err(error) => tracing::info!(artifact = %upload, %error, "an upload stays for now"),
    }
}

async fn cut_off<F: Fleet>(fleet: &F, host: &HostId) {
    let command = Command::CutOffHost(CutOffHost {
        host: host.clone(),
        confirmed: false,
    });
    let actor = format!("node {}", fleet.node());
    let proposal = proposal(fleet, actor, "its deadline passed", command);
    match fleet.propose(proposal).await {
        Ok(Ok(_)) => tracing::warn!(%host, "host cut off without a confirmed wipe"),
        Ok(Err(rejection)) => tracing::info!(%host, %rejection, "host not cut off"),
        Err(error) => tracing::info!(%host, %error, "host not cut off yet"),
    }
}
