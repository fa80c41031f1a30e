//! Taking away what is owned and no longer wanted.

use std::collections::BTreeSet;

use email_engine_protocol::desired::{HostConfig, ResourceKind};
use email_engine_protocol::observed::{ResourceState, ResourceStatus};

use super::Reconciler;
use super::under_way::UnderWay;
use crate::host::{FileError, SqlError};
use crate::inventory::{Item, Thing};
use crate::resources::{self, ApplyError};

/// A crash may have left a staged copy, with a secret in it, beside any file or certificate of ours.
pub(super) fn sweep(reconciler: &Reconciler, config: &HostConfig) {
    let wanted = config.resources.iter().map(Thing::of);
    let owned = reconciler.inventory.iter().map(|(thing, _)| thing.clone());
    let files: BTreeSet<Thing> = wanted.chain(owned).collect();
    for thing in files {
        let swept = match &thing {
            Thing::File(path) | Thing::Symlink(path) => reconciler.machine.files.sweep(path),
            Thing::Certificate(path) => resources::sweep_certificate(&reconciler.machine, path),
            _ => Ok(()),
        };
        if let Err(error) = swept {
            tracing::warn!(?thing, %error, "a staged copy may be left");
        }
    }
}

/// Removes things and forgets them once they are gone; says which stayed.
///
/// A folder with entries is never emptied. It stays listed and reported, so that it goes as soon as
/// it is empty; when the host is retired or its path is claimed by something else, it is let go. What is
/// the agent's own was never a state's, whatever claimed it.
/// What was not reached before the wish to stop stays listed.
pub(super) fn run(
    reconciler: &mut Reconciler,
    things: &[(Thing, Item)],
    retiring: bool,
    claimed: bool,
    under_way: &UnderWay,
) -> Vec<ResourceStatus> {
    let mut left = Vec::new();
    let mut forgotten = false;
    for (thing, item) in things {
        if under_way.is_stopping() {
            break;
        }
        let remove = || resources::remove(&mut reconciler.machine, thing, item, retiring);
        match under_way.run(&item.id, remove) {
            Ok(()) => {
                tracing::info!(resource = %item.id, on_remove = ?item.on_remove, "let go");
                reconciler.inventory.forget(thing);
                forgotten = true;
            }
            Err(ApplyError::File(FileError::NotEmpty(path))) if retiring || claimed => {
                tracing::warn!(%path, "not empty: left in place and no longer ours");
                reconciler.inventory.forget(thing);
                forgotten = true;
            }
            // Its server goes with the host, or has gone; what it holds was never a secret.
            Err(ApplyError::Sql(error)) if retiring => {
                tracing::warn!(resource = %item.id, %error, "left in place and no longer ours");
                reconciler.inventory.forget(thing);
                forgotten = true;
            }
            // Claimed by a state that could not be enforced for it.
            Err(ApplyError::File(error @ FileError::Own { .. })) => {
                tracing::warn!(resource = %item.id, %error, "left in place: it never was a state's");
                reconciler.inventory.forget(thing);
                forgotten = true;
            }
            Err(error) => left.push(status(thing, item, &error)),
        }
    }
    // A crash here removes again what is gone already, which is fine.
    if forgotten && let Err(error) = reconciler.write_inventory() {
        tracing::error!(%error, "removed things are still listed");
    }
    left
}

fn status(thing: &Thing, item: &Item, error: &ApplyError) -> ResourceStatus {
    tracing::warn!(resource = %item.id, %error, "could not be removed");
    let kind = match thing {
        Thing::Database { .. } => ResourceKind::Database,
        Thing::SqlRow { .. } => ResourceKind::SqlRow,
        Thing::SqlScript(_) => ResourceKind::SqlScript,
        Thing::Directory(_) => ResourceKind::Directory,
        Thing::Discard(_) => ResourceKind::Discard,
        Thing::File(_) => ResourceKind::File,
        Thing::Package(_) => ResourceKind::Package,
        Thing::Service(_) => ResourceKind::Service,
        Thing::Step(_) => ResourceKind::Step,
        Thing::Suspension(_) => ResourceKind::Suspension,
        Thing::Transaction(_) => ResourceKind::Transaction,
        Thing::Symlink(_) => ResourceKind::Symlink,
        Thing::Group(_) => ResourceKind::Group,
        Thing::User(_) => ResourceKind::User,
        Thing::Sysctl(_) => ResourceKind::Sysctl,
        Thing::IpAddress(_) => ResourceKind::IpAddress,
        Thing::Firewall => ResourceKind::Firewall,
        Thing::Archive(_) => ResourceKind::Archive,
        Thing::Certificate(_) => ResourceKind::Certificate,
        Thing::HealthCheck(_) => ResourceKind::HealthCheck,
        Thing::PackageRepository(_) => ResourceKind::PackageRepository,
    };
    let state = match error {
        ApplyError::File(FileError::NotEmpty(_)) | ApplyError::Sql(SqlError::Refused(_)) => {
            ResourceState::Drifted(format!("no longer wanted, but left in place: {error}"))
        }
        _ => ResourceState::Failed(format!("could not be removed: {error}")),
    };
    ResourceStatus {
        id: item.id.clone(),
        kind,
        state,
    }
}
