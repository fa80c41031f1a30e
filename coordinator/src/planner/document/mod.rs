//! A fleet file against the state: which commands would make the fleet so.
//!
//! A file creates and changes, and removes nothing that it omits unless it is told to prune. What it
//! leaves open about an identity that exists already stays as it is: a file that does not mention its
//! status does not send it back to the bench. Tenants, hosts and the settings are as it says, whole.
//!
//! Everything is checked here once more than the commands do, because only here the place in the file
//! is known: a rejection names `ips[56].domain` and not a command.

mod check;
mod compare;
mod identities;
mod last;
mod lives;
mod names;
mod order;
mod owners;
mod prune;
pub(crate) mod scope;

use std::collections::BTreeMap;

use email_engine_protocol::api::{
    Change, ChangeAction, FleetDocument, HostSpec, Settings, TenantSpec,
};
use email_engine_protocol::id::{HostId, TenantId};
use serde::Serialize;

use crate::command::{
    AddHost, AddIdentity, ChangeHost, ChangeIdentity, ChangeTenant, Command, CreateTenant,
    PutSettings, Rejection, RejectionCode,
};
use crate::state::{FleetState, HostLifecycle};

pub use last::is_last_of_purpose;

/// What applying a fleet file would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentPlan {
    /// For people.
    pub changes: Vec<Change>,
    /// What stops nothing and should be known.
    pub warnings: Vec<String>,
    /// In the order in which they must be carried out. Empty when the fleet is so already.
    pub commands: Vec<Command>,
    /// How many DKIM keys the commands take.
    pub new_identities: usize,
}

/// In whose name a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// An admin of the whole fleet, whose word stands where evidence does else.
    Admin,
    /// An operator of the whole fleet.
    Operator,
    /// A key that is bound to this tenant.
    Tenant(&'a TenantId),
}

impl<'a> Scope<'a> {
    /// The tenant that it is bound to.
    const fn tenant(self) -> Option<&'a TenantId> {
        match self {
            Self::Admin | Self::Operator => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }
}

/// Compares a fleet file with the state.
///
/// # Errors
/// The first thing in the file that cannot be: with its place, its value and what would be accepted.
pub fn changes(
    state: &FleetState,
    document: &FleetDocument,
    prune: bool,
    scope: Scope<'_>,
) -> Result<DocumentPlan, Rejection> {
    if let Some(tenant) = scope.tenant() {
        scope::check(state, document, tenant)?;
    }
    if scope != Scope::Admin {
        scope::no_force(state, document)?;
    }
    let scope = scope.tenant();
    check::settings(document.settings.as_ref())?;
    let wanted = Wanted::of(state, document)?;
    check::hosts(state, &wanted, document)?;
    let identities = identities::resolve(state, document, &wanted)?;
    owners::check(state, &identities, &wanted, prune.then_some(scope))?;
    if let Some(tenant) = scope {
        names::check(state, &identities, tenant)?;
    }
    let mut plan = DocumentPlan::default();
    check::warn(&mut plan, &wanted, document, &identities);
    settings(&mut plan, state, document);
    tenants(&mut plan, state, document);
    hosts(&mut plan, state, document)?;
    let kept = match prune {
        true => prune::identities(&mut plan, state, document, &identities, scope),
        false => Vec::new(),
    };
    identities::compare(&mut plan, state, document, &identities)?;
    if prune && scope.is_none() {
        let needed = [identities, kept].concat();
        prune::hosts_and_tenants(&mut plan, state, document, &needed);
    }
    Ok(plan)
}

/// The place in a file that a refused command of its plan is about: `ips[56].domain` for
/// `commands[60].domain`.
#[must_use]
pub fn place(document: &FleetDocument, commands: &[Command], field: &str) -> Option<String> {
    let (at, rest) = field.strip_prefix("commands[")?.split_once(']')?;
    let list = match commands.get(at.parse::<usize>().ok()?)? {
        Command::AddHost(AddHost { host }) | Command::ChangeHost(ChangeHost { host }) => {
            let index = document.hosts.iter().position(|it| it.id == host.id)?;
            format!("hosts[{index}]")
        }
        Command::AddIdentity(AddIdentity { ip, .. })
        | Command::ChangeIdentity(ChangeIdentity { ip, .. }) => {
            let index = document
                .ips
                .iter()
                .position(|it| it.address == ip.address)?;
            format!("ips[{index}]")
        }
        Command::CreateTenant(CreateTenant { tenant })
        | Command::ChangeTenant(ChangeTenant { tenant }) => {
            let index = document.tenants.iter().position(|it| it.id == tenant.id)?;
            format!("tenants[{index}]")
        }
        Command::PutSettings(_) => "settings".to_owned(),
        _ => return None,
    };
    Some(format!("{list}{rest}"))
}

/// The fleet as it would be: what the file names, and what exists beside it.
#[derive(Debug)]
struct Wanted<'a> {
    settings: Settings,
    tenants: BTreeMap<&'a TenantId, &'a TenantSpec>,
    hosts: BTreeMap<&'a HostId, &'a HostSpec>,
}

impl<'a> Wanted<'a> {
    fn of(state: &'a FleetState, document: &'a FleetDocument) -> Result<Self, Rejection> {
        check::unique(
            "tenants",
            document.tenants.iter().map(|tenant| tenant.id.as_str()),
        )?;
        check::unique("hosts", document.hosts.iter().map(|host| host.id.as_str()))?;
        let live = |(id, host): (&'a HostId, &'a crate::state::Host)| {
            super::routes::works(host).then_some((id, &host.spec))
        };
        let mut hosts: BTreeMap<_, _> = state.hosts.iter().filter_map(live).collect();
        hosts.extend(document.hosts.iter().map(|host| (&host.id, host)));
        let mut tenants: BTreeMap<_, _> = state.tenants.iter().collect();
        tenants.extend(document.tenants.iter().map(|tenant| (&tenant.id, tenant)));
        let newest = state.settings.values().next_back();
        Ok(Self {
            settings: document
                .settings
                .clone()
                .or_else(|| newest.map(|revision| revision.settings.clone()))
                .unwrap_or_default(),
            tenants,
            hosts,
        })
    }
}

fn settings(plan: &mut DocumentPlan, state: &FleetState, document: &FleetDocument) {
    let Some(wanted) = &document.settings else {
        return;
    };
    let newest = state.settings.values().next_back();
    let command = Command::PutSettings(PutSettings {
        settings: wanted.clone(),
        release: true,
    });
    let old = newest.map(|old| &old.settings);
    if plan.compare("settings", "settings", old, wanted) {
        plan.commands.push(command);
        plan.warn_of_reset("the settings have", old, wanted, Some(&Settings::default()));
    }
}

fn tenants(plan: &mut DocumentPlan, state: &FleetState, document: &FleetDocument) {
    for tenant in &document.tenants {
        let old = state.tenants.get(&tenant.id);
        let command = match old {
            None => Command::CreateTenant(CreateTenant {
                tenant: tenant.clone(),
            }),
            Some(_) => Command::ChangeTenant(ChangeTenant {
                tenant: tenant.clone(),
            }),
        };
        if plan.compare("tenant", tenant.id.as_str(), old, tenant) {
            plan.commands.push(command);
            // Its name is always said.
            let name = old.map(|old| &old.name);
            let bare = serde_json::json!({"id": tenant.id, "name": name});
            let bare = serde_json::from_value(bare).ok();
            let whose = format!("tenant {} has", tenant.id);
            plan.warn_of_reset(&whose, old, tenant, bare.as_ref());
        }
    }
}

fn hosts(
    plan: &mut DocumentPlan,
    state: &FleetState,
    document: &FleetDocument,
) -> Result<(), Rejection> {
    for (index, host) in document.hosts.iter().enumerate() {
        let old = state
            .hosts
            .get(&host.id)
            .filter(|old| old.lifecycle != HostLifecycle::Retired);
        if let Some(old) = old {
            if matches!(old.lifecycle, HostLifecycle::Retiring { .. }) {
                return Err(reject(
                    RejectionCode::WrongState,
                    format!("hosts[{index}].id"),
                    &host.id,
                    "it is being retired; declare it again when it is cut off",
                ));
            }
            if old.spec.role != host.role {
                return Err(reject(
                    RejectionCode::WrongRole,
                    format!("hosts[{index}].role"),
                    &host.role,
                    format!("it is a {} host, and a role never changes", old.spec.role),
                ));
            }
        }
        let command = match old {
            None => Command::AddHost(AddHost { host: host.clone() }),
            Some(_) => Command::ChangeHost(ChangeHost { host: host.clone() }),
        };
        let old = old.map(|old| &old.spec);
        if plan.compare("host", host.id.as_str(), old, host) {
            plan.commands.push(command);
            plan.warn_of_reset(&format!("host {} has", host.id), old, host, None);
        }
    }
    Ok(())
}

impl DocumentPlan {
    /// Tells the difference when there is one; says whether.
    fn compare<T: Serialize + PartialEq>(
        &mut self,
        kind: &str,
        name: &str,
        old: Option<&T>,
        new: &T,
    ) -> bool {
        if old == Some(new) {
            return false;
        }
        self.changes.push(Change {
            action: match old {
                None => ChangeAction::Create,
                Some(_) => ChangeAction::Update,
            },
            kind: kind.to_owned(),
            name: name.to_owned(),
            details: compare::details(old, new),
        });
        true
    }

    /// Warns of fields that a file sets back by leaving them out.
    fn warn_of_reset<T: Serialize>(
        &mut self,
        whose: &str,
        old: Option<&T>,
        new: &T,
        default: Option<&T>,
    ) {
        let reset = old.map(|old| compare::reset(old, new, default));
        let reset = reset.unwrap_or_default();
        if !reset.is_empty() {
            self.warnings.push(format!(
                "{whose} {} as where nothing is said: left out there, or said so",
                reset.join(", ")
            ));
        }
    }

    /// Adds to what is told of the last change.
    fn tell_last(&mut self, detail: String) {
        if let Some(change) = self.changes.last_mut() {
            change.details.push(detail);
        }
    }

    fn remove(&mut self, kind: &str, name: &impl ToString, command: Command) {
        self.changes.push(Change {
            action: ChangeAction::Remove,
            kind: kind.to_owned(),
            name: name.to_string(),
            details: Vec::new(),
        });
        self.commands.push(command);
    }
}

fn reject(
    code: RejectionCode,
    field: String,
    value: &(impl ToString + ?Sized),
    accepted: impl Into<String>,
) -> Rejection {
    Rejection {
        code,
        field,
        value: value.to_string(),
        accepted: accepted.into(),
    }
}
