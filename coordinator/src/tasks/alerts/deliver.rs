//! Carries what is due to its channels, one letter at a time through each: a channel that answers slowly
//! delays itself alone. What became of a letter is written down before the next one goes there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use metrics::counter;
use ring::rand::SystemRandom;
use tokio::time::{sleep, timeout};

use email_engine_protocol::api::ChannelSpec;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::ChannelName;
use email_engine_protocol::time::Timestamp;

use crate::alerts::channels::{Channels, Failure, WITHIN};
use crate::alerts::rules::{DeliveryOutcome, DeliveryResult, Line, Parcel, parcels, pause};
use crate::command::{Command, RecordDeliveries};
use crate::metrics::ALERT_DELIVERIES;
use crate::push::{Fleet, now, proposal};
use crate::seal::Vault;
use crate::tasks::leads;

/// A look without a change; what waits is due by the clock.
const IDLE: Duration = Duration::from_secs(5);
/// Until what could not be written down is tried again. Meanwhile the letter is on nobody's list.
const AGAIN: Duration = Duration::from_millis(500);
/// How often: then the letter is due again, and sent again under the same id.
const ATTEMPTS: u32 = 5;

/// Delivers while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, vault: Arc<Vault>, channels: Channels) {
    let mut leadership = fleet.leadership();
    let mut applied = fleet.applied();
    while leads(&mut leadership).await {
        let mut busy = BTreeSet::new();
        let mut on_their_way = FuturesUnordered::new();
        while leadership.borrow().is_leader {
            applied.mark_unchanged();
            let due = fleet.view(|state| parcels(state, now().max(state.now), &busy));
            for parcel in due {
                busy.insert(parcel.letter.channel.clone());
                on_their_way.push(deliver(&fleet, &vault, &channels, parcel));
            }
            tokio::select! {
                Some(channel) = on_their_way.next() => { busy.remove(&channel); }
                changed = timeout(IDLE, applied.changed()) => {
                    if let Ok(Err(_)) = changed {
                        return;
                    }
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
        // Whatever is on its way may arrive, and nobody here can say so any more: the next leader sends
        // it again.
    }
}

/// Sends a letter and writes down what became of it.
async fn deliver<F: Fleet>(
    fleet: &F,
    vault: &Arc<Vault>,
    channels: &Channels,
    parcel: Parcel,
) -> ChannelName {
    let Parcel {
        channel,
        letter,
        items,
    } = parcel;
    let sending = channels.send_sealed(&channel.spec, channel.secret.as_ref(), vault, &letter);
    let sent = match timeout(WITHIN + Duration::from_secs(5), sending).await {
        Ok(sent) => sent,
        Err(_) => Err(Failure::Later {
            what: "no answer in time".to_owned(),
        }),
    };
    let name = letter.channel;
    count(&channel.spec, &sent, items.len());
    if let Err(failure) = &sent {
        tracing::warn!(channel = %name, %failure, "alerts were not taken");
    }
    let failed = channel.failures.saturating_add(1);
    let outcome = outcome(sent, failed, items.len() == 1, now());
    let result = |(alert, occasion)| DeliveryResult {
        alert,
        occasion,
        channel: name.clone(),
        outcome: outcome.clone(),
    };
    let results = items.into_iter().map(result).collect();
    record(fleet, RecordDeliveries { results }).await;
    name
}

/// What is to become of the deliveries. Chance is drawn here, never where it is written down.
fn outcome(sent: Result<(), Failure>, failed: u32, alone: bool, now: Timestamp) -> DeliveryOutcome {
    let random = SystemRandom::new();
    let chance = || u16::from_le_bytes(Entropy(&random).bytes());
    match sent {
        Ok(()) => DeliveryOutcome::Delivered,
        Err(Failure::Asked { wait_millis, what }) => DeliveryOutcome::Later {
            at: now.plus(pause(1, chance(), Some(wait_millis))),
            error: Line::from(what),
            asked: true,
        },
        Err(Failure::Later { what }) => DeliveryOutcome::Later {
            at: now.plus(pause(failed, chance(), None)),
            error: Line::from(what),
            asked: false,
        },
        Err(Failure::Refused { what }) => DeliveryOutcome::Refused {
            error: Line::from(what),
            alone,
        },
    }
}

async fn record<F: Fleet>(fleet: &F, results: RecordDeliveries) {
    let actor = format!("node {}", fleet.node());
    let command = Command::RecordDeliveries(results);
    let proposal = proposal(fleet, actor, "what became of alerts", command);
    for _ in 0..ATTEMPTS {
        // The same proposal once more is the same answer.
        match fleet.propose(proposal.clone()).await {
            Ok(Ok(_)) => return,
            Ok(Err(rejection)) => {
                tracing::warn!(%rejection, "what became of alerts is not written down");
                return;
            }
            Err(error) => tracing::info!(%error, "what became of alerts is not written down yet"),
        }
        sleep(AGAIN).await;
    }
}

fn count(spec: &ChannelSpec, sent: &Result<(), Failure>, alerts: usize) {
    let channel = match spec {
        ChannelSpec::Log {} => "log",
        ChannelSpec::Smtp(_) => "smtp",
        ChannelSpec::Telegram(_) => "telegram",
        ChannelSpec::Webhook(_) => "webhook",
    };
    let outcome = match sent {
        Ok(()) => "delivered",
        Err(Failure::Asked { .. }) => "asked-to-wait",
        Err(Failure::Later { .. }) => "failed",
        Err(Failure::Refused { .. }) => "refused",
    };
    counter!(ALERT_DELIVERIES, "channel" => channel, "outcome" => outcome).increment(alerts as u64);
    if sent.is_err() {
        crate::metrics::error("alerts", "warning");
    }
}
