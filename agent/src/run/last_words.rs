//! What an agent says that cannot run: without it the cluster would only see that its host is silent.

use std::time::Duration;

use tokio::time::timeout;

use super::{RunError, with_causes};
use crate::config::Config;
use crate::identity::IdentityStore;
use crate::link::hold;

const WITHIN: Duration = Duration::from_secs(5);

/// Tells the cluster why this agent cannot run, if it has an identity to say it by.
pub(super) fn say(config: &Config, error: &RunError) {
    let store = IdentityStore::open(&config.data_dir);
    let Ok(Some((store, identity))) = store.and_then(|store| {
        let identity = store.load()?;
        Ok(identity.map(|identity| (store, identity)))
    }) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    if let Ok(runtime) = runtime {
        let reason = with_causes(error);
        let told = hold::tell(&store, &identity, &reason);
        // Whoever watches this process waits for its end.
        let _ = runtime.block_on(async { timeout(WITHIN, Box::pin(told)).await });
        runtime.shutdown_background();
    }
}
