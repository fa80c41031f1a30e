//! The one alarm that cannot be written down: this node hears no majority. Every node gives it for itself,
//! through channels that stand in a private file of its own, because the cluster's channels are sealed in a
//! state that nobody can change now, and because one node may be the only one that still reaches anybody.
//!
//! It is told once when it has lasted, and once when it is over. `course` says when; the letters go
//! through each channel in their order, and are tried again until they arrive or are three days old.

mod course;
mod file;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use email_engine_protocol::api::{AlertKind, Occasion};
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::time::Timestamp;

use super::channels::{Channels, Failure};
use super::rules::{Event, GIVE_UP_MILLIS, Letter, Notice, OfCluster, pause};
use crate::metrics;
use crate::raft::Leadership;

pub use course::Course;
pub use file::{AlarmFile, AlarmFileError, LocalChannel, LocalSecret};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Letters that wait for a channel; a cluster that goes and comes all day is told by the newest.
const WAITING: usize = 16;

/// Who speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speaker {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Which node.
    pub node: NodeId,
    /// This node's clock.
    pub now: fn() -> Timestamp,
}

/// Watches for as long as the node lives. `after` is how long a loss lasts before it is told.
pub async fn run(
    mut leadership: watch::Receiver<Leadership>,
    speaker: Speaker,
    file: AlarmFile,
    channels: Channels,
    after: Duration,
) {
    let posts: Vec<_> = file
        .channels
        .into_iter()
        .map(|channel| {
            let (post, letters) = mpsc::channel(WAITING);
            tokio::spawn(carry(channel, channels.clone(), letters, speaker.now));
            post
        })
        .collect();
    let mut course = Course::new(after);
    let mut since = (speaker.now)();
    loop {
        let has_quorum = leadership.borrow_and_update().leader.is_some();
        if has_quorum && !course.is_told() {
            since = (speaker.now)();
        }
        if let Some(occasion) = course.tick(has_quorum, Instant::now()) {
            let notice = notice(speaker, occasion, since);
            tracing::error!(over = occasion == Occasion::Resolved, "{}", notice.title);
            metrics::error("quorum", "critical");
            for post in &posts {
                // One that is full has older news than this to tell.
                drop(post.try_send(notice.clone()));
            }
        }
        if let Ok(Err(_)) = timeout(TICK, leadership.changed()).await {
            return;
        }
    }
}

fn notice(speaker: Speaker, occasion: Occasion, since: Timestamp) -> Notice {
    let Speaker { cluster, node, now } = speaker;
    let event = Event::Cluster(OfCluster::NoQuorum { node, since });
    let alert = format!("{cluster}-node{node}-{}", since.0);
    Notice {
        id: format!("{alert}-{}", occasion.as_str()),
        alert,
        occasion,
        kind: AlertKind::NoQuorum,
        severity: AlertKind::NoQuorum.severity(),
        subject: format!("node {node}"),
        tenant: None,
        title: String::new(),
        text: Vec::new(),
        raised_at: since,
        last_at: now(),
        count: 1,
        resolved_at: (occasion == Occasion::Resolved).then(now),
    }
    .with(event.words())
}

/// Carries letters to one channel, in their order.
async fn carry(
    channel: LocalChannel,
    channels: Channels,
    mut letters: mpsc::Receiver<Notice>,
    now: fn() -> Timestamp,
) {
    let random = SystemRandom::new();
    let mut waiting = VecDeque::new();
    let mut failed = 0_u32;
    loop {
        if waiting.is_empty() {
            let Some(notice) = letters.recv().await else {
                return;
            };
            waiting.push_back(notice);
        }
        while let Ok(notice) = letters.try_recv() {
            waiting.push_back(notice);
        }
        let old = |notice: &Notice| now().since(notice.last_at) > GIVE_UP_MILLIS;
        while waiting.len() > WAITING || waiting.front().is_some_and(old) {
            waiting.pop_front();
        }
        let Some(notice) = waiting.front() else {
            continue;
        };
        let letter = Letter {
            channel: channel.name.clone(),
            cluster: notice
                .alert
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            sent_at: now(),
            notices: vec![notice.clone()],
        };
        let secret = channel.secret.as_ref().map(|secret| Arc::clone(&secret.0));
        let sent = channels
            .send(&channel.spec, secret.as_deref(), &letter)
            .await;
        match sent {
            Ok(()) | Err(Failure::Refused { .. }) => {
                if let Err(failure) = sent {
                    tracing::error!(channel = %channel.name, %failure, "the alarm was refused");
                }
                waiting.pop_front();
                failed = 0;
            }
            Err(failure) => {
                failed = failed.saturating_add(1);
                tracing::warn!(channel = %channel.name, %failure, "the alarm was not taken yet");
                let asked = match failure {
                    Failure::Asked { wait_millis, .. } => Some(wait_millis),
                    _ => None,
                };
                let chance = u16::from_le_bytes(Entropy(&random).bytes());
                sleep(Duration::from_millis(pause(failed, chance, asked))).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
