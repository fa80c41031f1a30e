//! What releases pin, and what nobody pins any more.

use std::collections::BTreeSet;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;

use crate::state::{FleetState, Release};

/// The first bundle and the first settings make the first release.
pub(super) fn establish_default(state: &mut FleetState) {
    if state.default_release.is_some() {
        return;
    }
    let bundle = newest_bundle(state);
    let settings = state
        .settings
        .last_key_value()
        .map(|(revision, _)| *revision);
    if let (Some(bundle), Some(settings)) = (bundle, settings) {
        state.default_release = Some(Release {
            bundle,
            planner_version: 1,
            settings,
        });
    }
}

/// Drops bundles and settings that no release pins, but for the newest and `kept`.
pub(super) fn collect(state: &mut FleetState, kept: Option<ContentHash>) {
    let pins: Vec<&Release> = state
        .live_hosts()
        .map(|(_, host)| &host.release)
        .chain(&state.default_release)
        .collect();
    let mut bundles: BTreeSet<_> = pins.iter().map(|release| release.bundle).collect();
    let mut settings: BTreeSet<_> = pins.iter().map(|release| release.settings).collect();
    bundles.extend(newest_bundle(state));
    bundles.extend(kept);
    settings.extend(
        state
            .settings
            .last_key_value()
            .map(|(revision, _)| *revision),
    );
    state.bundles.retain(|hash, _| bundles.contains(hash));
    state
        .settings
        .retain(|revision, _| settings.contains(revision));
    state
        .artifact_names
        .retain(|revision, _| settings.contains(revision));
}

/// Moves all hosts, and the default, to a revision of the settings, and drops what nothing pins then.
/// Tells whether any was at another one.
pub(in crate::command) fn release_settings(state: &mut FleetState, revision: u64) -> bool {
    let moved = move_releases(state, None, |release| release.settings = revision);
    collect(state, None);
    moved
}

fn newest_bundle(state: &FleetState) -> Option<ContentHash> {
    let newest = state
        .bundles
        .iter()
        .max_by_key(|(hash, bundle)| (bundle.put_at, **hash));
    newest.map(|(hash, _)| *hash)
}

/// Changes the releases of all hosts, or of these, and tells whether any differs now. The default
/// follows when all are meant.
pub(super) fn move_releases(
    state: &mut FleetState,
    hosts: Option<&BTreeSet<HostId>>,
    change: impl Fn(&mut Release),
) -> bool {
    let mut moved = false;
    let mut pin = |release: &mut Release| {
        let before = release.clone();
        change(release);
        moved |= before != *release;
    };
    state.hosts.change_each(|id, host| {
        if !host.is_retired() && hosts.is_none_or(|hosts| hosts.contains(id)) {
            pin(&mut host.release);
        }
    });
    if let (None, Some(default)) = (hosts, &mut state.default_release) {
        pin(default);
    }
    moved
}
