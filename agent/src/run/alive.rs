//! Tells the service manager that this process is ready and lives (sd_notify(3)); says nothing where
//! there is none.

use std::time::Duration;

use sd_notify::NotifyState;

/// The process is ready: whoever waits for its unit goes on.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The process ends because it was asked to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Shows the service manager's watchdog twice in each of its periods that this process lives, for as
/// long as that is so. Ends at once where there is no watchdog.
pub(super) async fn watchdog(lives: impl Fn() -> bool) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(pause(period));
    loop {
        ticks.tick().await;
        if lives() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("nothing has been done for too long: the watchdog is not told");
        }
    }
}

fn pause(period: Duration) -> Duration {
    (period / 2).max(Duration::from_millis(100))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
