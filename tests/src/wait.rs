//! Waiting for a condition, with a reason and a deadline. There is no other sleep in the tests.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine with two cores, where one DKIM key alone can take
/// ten seconds. Passing never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks again and again until `probe` gives a value; fails with the reason and the last refusal.
pub async fn wait_for<T, E: Debug>(why: &str, mut probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) if started.elapsed() > DEADLINE => {
                panic!("gave up after {DEADLINE:?} waiting until {why}; last seen: {last:?}");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}

/// Waits until `probe` is true.
pub async fn wait_until(why: &str, mut probe: impl AsyncFnMut() -> bool) {
    wait_for(why, async || {
        if probe().await {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
}
