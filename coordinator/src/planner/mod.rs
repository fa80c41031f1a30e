//! From the state of the fleet to one whole desired state per host. Pure: same state, same bytes, on
//! every node, and planning what was planned already changes nothing.
//!
//! - [`plan`] takes one host at its pinned release: role bundle, planner version and settings revision
//!   are the host's, so that a wave is not finished by accident; facts of identities always flow.
//! - A role is data: `bundle` holds `ROLE/role.toml` and templates, `role` says what may stand in
//!   them, `template` fills them in within limits, `build` makes resources of them. A role may have
//!   parts for some of its hosts (`part`), and layers of one tenant or host ([`crate::state::View`]).
//! - What stands in a role file beside files, folders and services has a room of its own, which begins
//!   with its grammar: `artifacts`, `basics`, `certificate`, `database`, `firewall`, `health`, `packages`,
//!   `secret`.
//! - `values` is what templates may know, `web` what of it labels say of web servers, `monitoring` whom
//!   Prometheus reads; the configuration of PowerMTA is made of `routes` by [`crate::powermta`] and not by a
//!   template, because its rules are rules. `routes` also judges what of it comes from an operator.
//! - [`document`] compares a fleet file with the state, [`preview`] says what that does to the
//!   hosts, [`cautions()`] what its author may not have in mind; [`lint`] judges role files before a
//!   cluster has them; [`asked`] says which files of operators a host's role asks for.

mod affected;
mod artifacts;
mod basics;
mod build;
mod bundle;
mod cautions;
mod certificate;
mod commands;
mod cron;
mod database;
pub mod document;
mod error;
mod firewall;
mod health;
pub mod lint;
mod monitoring;
mod packages;
mod part;
pub mod preview;
mod role;
mod routes;
mod secret;
mod template;
mod values;
mod web;
mod webhooks;

use std::collections::BTreeMap;

use email_engine_protocol::api::Settings;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{AccountingSpec, Disposition, HostConfig};
use email_engine_protocol::id::{HostId, Role};

use crate::powermta;
use crate::state::{FleetState, Host, HostLifecycle, RoleBundle, View};

pub use affected::{Affected, affected};
pub use artifacts::{Asked, Need, asked};
pub use bundle::{builtin_bundle, bundle_hash};
pub use cautions::cautions;
pub(crate) use cautions::word;
pub use commands::transaction::{restart_digest, restart_wanted};
pub use error::{BundleFault, PlanError};

/// Version of what [`plan`] does with the same state. A host is planned at the version that its
/// release pins.
pub const PLANNER_VERSION: u32 = 1;

/// A host's desired state with the bodies that its manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The manifest.
    pub config: HostConfig,
    /// Contents by hash; the manifest's own bytes are not among them.
    pub bodies: BTreeMap<ContentHash, Vec<u8>>,
    /// What an operator must be told of this plan.
    pub flags: Vec<String>,
}

/// Plans one host at its pinned release.
///
/// # Errors
/// When the host is unknown, its release cannot be had, a template is broken, or the fleet holds
/// something that must not be written down.
pub fn plan(state: &FleetState, host: &HostId) -> Result<Planned, PlanError> {
    let cluster = state.cluster.as_ref().ok_or(PlanError::NoCluster)?.id;
    let record = state
        .hosts
        .get(host)
        .ok_or_else(|| PlanError::UnknownHost(host.clone()))?;
    let role = record.spec.role;
    if matches!(
        record.lifecycle,
        HostLifecycle::Retiring { .. } | HostLifecycle::Retired
    ) {
        return Ok(Planned {
            config: HostConfig::retired(cluster, host.clone(), role),
            bodies: BTreeMap::new(),
            flags: Vec::new(),
        });
    }
    let Made {
        built: (resources, bodies),
        accounting,
        mut flags,
    } = make(state, record)?;
    flags.extend(cron::unread(resources.iter().map(|resource| &resource.id)));
    let config = HostConfig {
        cluster,
        host: host.clone(),
        role,
        disposition: Disposition::Active,
        resources,
        large_removal: record.large_removal,
        accounting,
    };
    config.check().map_err(PlanError::Config)?;
    Ok(Planned {
        config,
        bodies,
        flags,
    })
}

/// What a role makes of a host.
struct Made {
    built: build::Built,
    accounting: Option<AccountingSpec>,
    flags: Vec<String>,
}

fn make(state: &FleetState, host: &Host) -> Result<Made, PlanError> {
    let release = &host.release;
    if release.planner_version != PLANNER_VERSION {
        return Err(PlanError::PlannerVersion {
            host: host.spec.id.clone(),
            pinned: release.planner_version,
        });
    }
    let bundle = state
        .bundles
        .get(&release.bundle)
        .ok_or_else(|| PlanError::MissingBundle {
            host: host.spec.id.clone(),
            bundle: release.bundle,
        })?;
    let settings = &state
        .settings
        .get(&release.settings)
        .ok_or_else(|| PlanError::MissingSettings {
            host: host.spec.id.clone(),
            revision: release.settings,
        })?
        .settings;
    let view = bundle.view(&host.spec);
    made(state, host, settings, bundle, &view).map_err(|error| error.placed(&view))
}

fn made(
    state: &FleetState,
    host: &Host,
    settings: &Settings,
    bundle: &RoleBundle,
    view: &View<'_>,
) -> Result<Made, PlanError> {
    let mut role = role::RoleFile::read(view)?;
    let mut flags = part::join(&mut role, &view.files, &|part| part.is_for(state, host))?;
    let artifacts = artifacts::resolve(state, host, &role)?;
    let mut accounting = None;
    let mut values = match host.spec.role {
        Role::Api => values::of_api(state, host)?,
        Role::Mailwizz => values::of_mailwizz(state, host)?,
        Role::Own(_) => values::of_own(state, host)?,
        Role::Powermta => {
            let mut configuration = routes::configuration(state, host, settings)?;
            configuration.catalogue = role::catalogue(bundle)?;
            configuration.extra = role::extra(&view.files)?;
            let text = powermta::render(&configuration);
            flags.extend(routes::judge(&host.spec.id, &configuration, &text)?);
            let mut counted = powermta::accounting(&configuration);
            webhooks::add(state, host, &configuration, &mut counted, &mut flags);
            accounting = Some(counted);
            values::of_powermta(state, host, &configuration, text)?
        }
    };
    if let Some(firewall) = &role.firewall {
        values.firewall = firewall::Known::of(state, host, &firewall.named());
    }
    Ok(Made {
        built: build::build(&view.files, &role, &values, &artifacts)?,
        accounting,
        flags,
    })
}
