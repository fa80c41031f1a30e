//! The newest connection of a host wins over all nodes: each tells the others of sessions that begin
//! here, in memory, a burst of them in one message. Connecting never writes to the log.

use std::sync::Arc;
use std::time::Duration;

use super::{Fleet, Push};

/// A burst of sessions is gathered for so long.
const PACE: Duration = Duration::from_millis(20);
/// Until nodes that did not answer are told again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the others until the node stops.
pub(super) async fn run<F: Fleet>(push: Arc<Push<F>>) {
    let mut entered = push.registry.entered();
    while entered.changed().await.is_ok() {
        loop {
            tokio::time::sleep(PACE).await;
            let (numbers, notices) = push.registry.unannounced(push.fleet.node());
            if notices.is_empty() {
                break;
            }
            let announced = push.fleet.announce_sessions(notices).await;
            push.registry.ended_elsewhere(&announced.ended);
            if announced.complete {
                push.registry.are_announced(&numbers);
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
