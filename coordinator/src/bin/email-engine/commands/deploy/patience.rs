//! Reads of a run, which outlast an election.

use std::time::{Duration, Instant};

use super::voice::Voice;
use crate::client::ClientError;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// A cluster that does not answer for so long has lost its majority, or we our way to it.
const UNANSWERED: Duration = Duration::from_secs(180);

/// Whether an error may pass by itself.
pub(super) const fn may_pass(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unavailable { .. } | ClientError::Unreachable { .. }
    )
}

/// Asks again while no node answers, or none has a leader. What the cluster refuses is its answer.
pub(super) async fn patiently<T>(
    voice: &Voice,
    ask: impl AsyncFn() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(error) if may_pass(&error) && begun.elapsed() < UNANSWERED => {
                voice.record(&format!("the cluster does not answer: {error}"));
                tokio::time::sleep(LOOK).await;
            }
            answer => return answer,
        }
    }
}
