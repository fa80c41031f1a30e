//! Who may submit where, and which identity lies on which host: the model of a PowerMTA host, taken
//! from the state.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use email_engine_protocol::api::{IpStatus, Settings};
use email_engine_protocol::id::{Role, TenantId, VmtaName};
use email_engine_protocol::mail::{DomainName, MailAddress};

use super::error::PlanError;
use crate::powermta::schema::Version;
use crate::powermta::{self, Configuration, Egress, Leaver, TenantRoute};
use crate::state::{
    FleetState, HOST_NAME_LABEL, Host, HostLifecycle, Identity, OWN_CERTIFICATE_LABEL, StoredSecret,
};

pub(super) use verdict::judge;

/// Label of a PowerMTA host whose product has other rules than 5.0.
const VERSION_LABEL: &str = "powermta-version";

/// Folder of the DKIM keys.
const KEY_FOLDER: &str = "/etc/pmta/dkim";

/// Folder of the certificate for submission.
const CERTIFICATE_FOLDER: &str = "/etc/pmta/tls";

/// Whether a host takes part in the fleet's work.
pub(super) const fn works(host: &Host) -> bool {
    matches!(
        host.lifecycle,
        HostLifecycle::Declared | HostLifecycle::Enrolled
    )
}

/// Where a PowerMTA host takes mail from the fleet: its first IPv4 address.
pub(super) fn admin_address(host: &Host) -> Result<Ipv4Addr, PlanError> {
    host.spec
        .addresses
        .iter()
        .find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
        .ok_or_else(|| PlanError::NoAdminAddress(host.spec.id.clone()))
}

/// Name of the file of an identity's key: its virtual MTA without a leading `vmta-`. A name without that
/// beginning gets a `_`, which no virtual MTA's name may hold, so that two never meet; and nobody's
/// file is renamed when another identity comes. A key that a rotation made has its selector in its name:
/// which key lies in a file never changes, so that whenever the product reads it, it is the one that its
/// configuration means.
pub(super) fn key_file(identity: &Identity, selector: &str) -> String {
    let is_first = selector == identity.signing.declared;
    file_of(&identity.spec.vmta, (!is_first).then_some(selector))
}

fn file_of(vmta: &VmtaName, rotated: Option<&str>) -> String {
    let name = match vmta.as_str().strip_prefix("vmta-") {
        Some(rest) => rest.to_owned(),
        None => format!("_{vmta}"),
    };
    match rotated {
        Some(selector) => format!("{name}.{selector}.pem"),
        None => format!("{name}.pem"),
    }
}

/// The model of one PowerMTA host.
pub(super) fn configuration(
    state: &FleetState,
    host: &Host,
    settings: &Settings,
) -> Result<Configuration, PlanError> {
    let admin_address = admin_address(host)?;
    if !powermta::is_accounting_size(&settings.accounting_max_size) {
        return Err(PlanError::Value {
            field: "accounting_max_size",
            value: settings.accounting_max_size.clone(),
            accepted: "a number and K, M or G, at least 1M, such as 50M",
        });
    }
    let mut identities = BTreeMap::new();
    let mut names: BTreeMap<VmtaName, IpAddr> = BTreeMap::new();
    for identity in state.identities_on(&host.spec.id) {
        let egress = egress(identity)?;
        if egress.address == IpAddr::V4(admin_address) {
            return Err(PlanError::AdminAddressSends {
                host: host.spec.id.clone(),
                address: egress.address,
            });
        }
        if let Some(first) = names.insert(egress.vmta.clone(), egress.address) {
            return Err(PlanError::VmtaTwice {
                vmta: egress.vmta,
                first,
                second: egress.address,
            });
        }
        identities.insert(egress.address, egress);
    }
    let host_name = host_name(host)?;
    let leaving = leaving(state, host)?;
    Ok(Configuration {
        admin_address,
        postmaster: postmaster(state, host, settings, host_name.as_ref()),
        host_name,
        management_port: settings.management_port,
        accounting_max_size: settings.accounting_max_size.clone(),
        version: version(host)?,
        certificate: certificate(state, host)?,
        catalogue: Arc::default(),
        extra: None,
        tenants: tenants(state, &identities)?,
        mailboxes: mailboxes(
            state,
            identities
                .values()
                .chain(leaving.values().map(|one| &one.egress)),
        ),
        leaving,
        identities,
    })
}

/// Where answers to these go. What drains is answered as well, and is its tenant's last one at times.
fn mailboxes<'a>(
    state: &FleetState,
    all: impl Iterator<Item = &'a Egress>,
) -> BTreeMap<TenantId, MailAddress> {
    let tenants: BTreeSet<&TenantId> = all.map(|egress| &egress.tenant).collect();
    let mailbox =
        |id: &TenantId| Some((id.clone(), state.tenants.get(id)?.inbound_mailbox.clone()?));
    tenants.into_iter().filter_map(mailbox).collect()
}

/// What drains here. New mail goes nowhere near it; what may leave leaves at the pace that it had, so
/// that what was held back is not set free by its going.
fn leaving(state: &FleetState, host: &Host) -> Result<BTreeMap<VmtaName, Leaver>, PlanError> {
    let leavers = state.leaving_on(&host.spec.id).map(|leaving| {
        let mut egress = egress(&leaving.identity)?;
        if egress.takes_mail() {
            egress.status = IpStatus::Retiring;
        }
        // One that moved took its address along, and a listener without one fails.
        let is_taken = state.identities.contains_key(&egress.address);
        let has_address = !is_taken && !leaving.took_address;
        let leaver = Leaver {
            egress,
            has_address,
        };
        Ok((leaver.egress.vmta.clone(), leaver))
    });
    leavers.collect()
}

fn egress(identity: &Identity) -> Result<Egress, PlanError> {
    let spec = &identity.spec;
    if powermta::is_reserved(&spec.vmta) {
        return Err(PlanError::ReservedVmta {
            address: spec.address,
            vmta: spec.vmta.clone(),
        });
    }
    if !powermta::is_selector(&spec.selector) {
        return Err(PlanError::Value {
            field: "selector",
            value: spec.selector.clone(),
            accepted: "one lower-case DNS label, such as mail",
        });
    }
    let is_paused = !identity.takes_mail();
    // What is left in the queue of a retiring identity goes out at the pace that it had reached.
    let daily_quota = match spec.status {
        IpStatus::Retiring => identity.warmup.reached,
        // What is stopped takes nothing new; what waits leaves slowly.
        IpStatus::Active | IpStatus::Warming if is_paused => identity.warmup.reached / 2,
        _ => identity.daily_quota(),
    };
    let status = match spec.status {
        IpStatus::Active | IpStatus::Warming if is_paused => IpStatus::Retiring,
        status => status,
    };
    Ok(Egress {
        address: spec.address,
        hostname: spec.hostname.clone(),
        domain: spec.domain.clone(),
        tenant: spec.tenant.clone(),
        vmta: spec.vmta.clone(),
        sender: spec.sender.clone(),
        return_path: spec.return_path.clone(),
        selector: spec.selector.clone(),
        key_path: format!("{KEY_FOLDER}/{}", key_file(identity, &spec.selector)),
        purpose: spec.purpose,
        status,
        daily_quota,
        is_answered: identity.life.sent_from(&spec.host),
    })
}

fn host_name(host: &Host) -> Result<Option<DomainName>, PlanError> {
    host.spec
        .labels
        .get(HOST_NAME_LABEL)
        .map(|text| {
            DomainName::new(text.clone()).map_err(|_| PlanError::Value {
                field: "label host-name",
                value: text.clone(),
                accepted: "a domain of two or more labels, such as pmta1.example.com",
            })
        })
        .transpose()
}

/// What the product on a host says that it is.
pub(super) fn version_said(host: &Host) -> &str {
    let label = host.spec.labels.get(VERSION_LABEL);
    label.map_or("5.0", String::as_str)
}

/// The rules for it. A later one is told what 5.0 knows: it refuses what it does not take.
fn version(host: &Host) -> Result<Version, PlanError> {
    let said = version_said(host);
    let number = |text: &str| text.parse::<u8>().ok();
    let parts = said
        .split_once('.')
        .map(|(major, minor)| (number(major), number(minor)));
    match parts {
        Some((Some(4), Some(5))) => Ok(Version::V4_5),
        Some((Some(5..), Some(_))) => Ok(Version::V5_0),
        _ => Err(PlanError::Value {
            field: "label powermta-version",
            value: said.to_owned(),
            accepted: "4.5, or 5.0 or a later one, such as 6.0",
        }),
    }
}

/// The certificate that the cluster issued to this host, unless it is for an address or a name that the host
/// had before, which the authority may not vouch for any more, or the host went back to a role bundle without a place for it.
pub(super) fn issued<'a>(state: &'a FleetState, host: &Host) -> Option<&'a StoredSecret> {
    let names = host.submission_names()?;
    let row = state.submission_certificates.get(&host.spec.id)?;
    let secret = state.secrets.get(&row.secret)?;
    // A name that came since is missing in it and does no harm.
    let older = row.names.host_name.is_none();
    let is_vouched_for =
        row.names.address == names.address && (older || row.names.host_name == names.host_name);
    (is_vouched_for && state.gives_certificate(host)).then_some(&**secret)
}

/// Name of its file. Another one for each, so that the configuration names what is new: the product
/// reads its configuration again when it is told, and whether it looks into files that are called as
/// before is documented nowhere.
pub(super) fn certificate_file(secret: &StoredSecret) -> String {
    format!("submission-{}.pem", secret.version)
}

/// Whether whoever submits to this host finds STARTTLS offered.
pub(super) fn offers_tls(state: &FleetState, host: &Host) -> bool {
    host.spec.labels.contains_key(OWN_CERTIFICATE_LABEL) || issued(state, host).is_some()
}

fn certificate(state: &FleetState, host: &Host) -> Result<Option<String>, PlanError> {
    let Some(path) = host.spec.labels.get(OWN_CERTIFICATE_LABEL) else {
        let file = issued(state, host).map(certificate_file);
        return Ok(file.map(|file| format!("{CERTIFICATE_FOLDER}/{file}")));
    };
    if powermta::is_file_path(path) {
        return Ok(Some(path.clone()));
    }
    Err(PlanError::Value {
        field: "label smtp-certificate",
        value: path.clone(),
        accepted: "an absolute path of letters, digits, `/`, `.`, `_` and `-`",
    })
}

/// The product wants one, and whose identities lie on the host must not matter: another one would
/// change a line that belongs to none. So it is the fleet's, else the mailbox of the host's own tenant,
/// else the one that every mail name must have; a host without any has one that no mail reaches (RFC
/// 2606).
fn postmaster(
    state: &FleetState,
    host: &Host,
    settings: &Settings,
    host_name: Option<&DomainName>,
) -> Option<MailAddress> {
    let of_tenant = || {
        let tenant = state.tenants.get(host.spec.tenant.as_ref()?)?;
        tenant.inbound_mailbox.clone()
    };
    let of_host = || {
        let unreachable = || format!("{}.invalid", host.spec.id);
        let domain = host_name.map_or_else(unreachable, ToString::to_string);
        MailAddress::new(&format!("postmaster@{domain}")).ok()
    };
    settings
        .postmaster
        .clone()
        .or_else(of_tenant)
        .or_else(of_host)
}

/// Tenants with identities here, and who submits for them: their MailWizz and API hosts. A shared API
/// host may submit where one tenant only is served; with more, its mail could not be told apart.
fn tenants(
    state: &FleetState,
    identities: &BTreeMap<IpAddr, Egress>,
) -> Result<BTreeMap<TenantId, TenantRoute>, PlanError> {
    let mut tenants: BTreeMap<TenantId, TenantRoute> = BTreeMap::new();
    for egress in identities.values() {
        if !tenants.contains_key(&egress.tenant) {
            if !state.tenants.contains_key(&egress.tenant) {
                return Err(PlanError::UnknownTenant(egress.tenant.clone()));
            }
            tenants.insert(egress.tenant.clone(), TenantRoute::default());
        }
    }
    let only = match tenants.len() {
        1 => tenants.keys().next().cloned(),
        _ => None,
    };
    let mut owners: BTreeMap<IpAddr, TenantId> = BTreeMap::new();
    let submitting = state
        .hosts_of(Role::Api)
        .chain(state.hosts_of(Role::Mailwizz));
    for host in submitting.filter(|host| works(host)) {
        let own = host.spec.tenant.clone();
        let owner = match host.spec.role {
            Role::Api => own.or_else(|| only.clone()),
            _ => own,
        };
        let Some(owner) = owner else { continue };
        for address in &host.spec.addresses {
            if let Some(first) = owners.insert(*address, owner.clone())
                && first != owner
                && (tenants.contains_key(&first) || tenants.contains_key(&owner))
            {
                return Err(PlanError::SharedSubmitter {
                    address: *address,
                    first,
                    second: owner,
                });
            }
            if let Some(route) = tenants.get_mut(&owner) {
                route.submitters.insert(*address);
            }
        }
    }
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn key_files_of_two_identities_never_meet(a in "[a-z][a-z0-9-]{0,20}[a-z0-9]", b in "[a-z][a-z0-9-]{0,20}[a-z0-9]") {
            let file = |name: &str| file_of(&VmtaName::new(name).unwrap(), None);
            let names = [a.clone(), b.clone(), format!("vmta-{a}"), format!("vmta-{b}"), format!("vmta-vmta-{a}")];
            let names: BTreeSet<_> = names.into_iter().collect();
            let files: BTreeSet<_> = names.iter().map(|name| file(name)).collect();
            prop_assert_eq!(files.len(), names.len());
        }
    }
}
