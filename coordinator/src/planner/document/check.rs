//! Faults of a file that can be seen without looking at identities, and what is worth a warning.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{FleetDocument, HostSpec, IpSpec, Settings};
use email_engine_protocol::id::Role;
use email_engine_protocol::mail::DomainName;

use super::super::{certificate, firewall, web};
use super::{DocumentPlan, Wanted, reject};
use crate::command::{Rejection, RejectionCode};
use crate::powermta;
use crate::state::{FleetState, HOST_NAME_LABEL, INBOUND_MX_LABEL};

pub(super) fn unique<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Result<(), Rejection> {
    let mut seen = BTreeMap::new();
    for (index, id) in ids.enumerate() {
        if let Some(first) = seen.insert(id, index) {
            return Err(reject(
                RejectionCode::Duplicate,
                format!("{list}[{index}].id"),
                id,
                format!("{list}[{first}] has it already; name each once"),
            ));
        }
    }
    Ok(())
}

pub(super) fn settings(settings: Option<&Settings>) -> Result<(), Rejection> {
    let Some(settings) = settings else {
        return Ok(());
    };
    let invalid = |field: &str, value: &dyn ToString, accepted: &str| {
        let field = format!("settings.{field}");
        Err(reject(
            RejectionCode::Invalid,
            field,
            &value.to_string(),
            accepted,
        ))
    };
    if !powermta::is_accounting_size(&settings.accounting_max_size) {
        return invalid(
            "accounting_max_size",
            &settings.accounting_max_size,
            "a number and K, M or G, at least 1M, such as 50M",
        );
    }
    if !powermta::is_selector(&settings.dkim_selector) {
        return invalid(
            "dkim_selector",
            &settings.dkim_selector,
            "one lower-case DNS label, such as mail",
        );
    }
    if matches!(settings.management_port, 0 | 25 | powermta::SUBMISSION_PORT) {
        return invalid(
            "management_port",
            &settings.management_port,
            "1 to 65535, neither 25 nor 2525, which mail uses",
        );
    }
    Ok(())
}

pub(super) fn hosts(
    state: &FleetState,
    wanted: &Wanted<'_>,
    document: &FleetDocument,
) -> Result<(), Rejection> {
    for (index, host) in document.hosts.iter().enumerate() {
        let place = |field: &str| format!("hosts[{index}].{field}");
        state.check_role(&host.id, host.role).map_err(|accepted| {
            reject(RejectionCode::Invalid, place("role"), &host.role, accepted)
        })?;
        if let Some(tenant) = &host.tenant
            && !wanted.tenants.contains_key(tenant)
        {
            let known = names(wanted.tenants.keys());
            return Err(reject(
                RejectionCode::NotFound,
                place("tenant"),
                tenant,
                known,
            ));
        }
        if host.role == Role::Mailwizz && host.tenant.is_none() {
            return Err(reject(
                RejectionCode::Invalid,
                place("tenant"),
                "",
                "a MailWizz host has exactly one tenant: write tenant = \"...\"",
            ));
        }
        if !host.addresses.iter().any(std::net::IpAddr::is_ipv4) {
            return Err(reject(
                RejectionCode::Invalid,
                place("addresses"),
                &format!("{:?}", host.addresses),
                "at least one IPv4 address, the admin address first",
            ));
        }
        labels(host, &place)?;
        for address in &host.addresses {
            let taken = wanted.hosts.values().any(|other| {
                other.id != host.id
                    && other.addresses.contains(address)
                    && other.tenant != host.tenant
            });
            if taken {
                return Err(reject(
                    RejectionCode::Duplicate,
                    place("addresses"),
                    address,
                    "another host has it already, and not for the same tenant",
                ));
            }
        }
    }
    Ok(())
}

/// What labels say must be something that whoever reads them understands.
fn labels(host: &HostSpec, place: &dyn Fn(&str) -> String) -> Result<(), Rejection> {
    for label in [HOST_NAME_LABEL, INBOUND_MX_LABEL] {
        if let Some(name) = host.labels.get(label)
            && DomainName::new(name.clone()).is_err()
        {
            return Err(reject(
                RejectionCode::Invalid,
                place(&format!("labels.{label}")),
                name,
                "a domain of two or more labels, such as pmta1.example.com",
            ));
        }
    }
    for (label, value) in host
        .labels
        .iter()
        .filter(|(label, _)| firewall::is_label(label))
    {
        if let Some(accepted) = firewall::label_fault(label, value) {
            let place = place(&format!("labels.{label}"));
            return Err(reject(RejectionCode::Invalid, place, value, accepted));
        }
    }
    for (label, value) in &host.labels {
        let fault = certificate::label_fault(label, value);
        if let Some(accepted) = fault.or_else(|| web::label_fault(label, value)) {
            let place = place(&format!("labels.{label}"));
            return Err(reject(RejectionCode::Invalid, place, value, accepted));
        }
    }
    Ok(())
}

pub(super) fn warn(
    plan: &mut DocumentPlan,
    wanted: &Wanted<'_>,
    document: &FleetDocument,
    identities: &[IpSpec],
) {
    let brands: BTreeSet<&DomainName> = wanted
        .tenants
        .values()
        .flat_map(|tenant| &tenant.brand_domains)
        .collect();
    for brand in brands {
        let below = identities
            .iter()
            .filter(|ip| ip.domain.is_within(brand))
            .count();
        if below > 0 {
            plan.warnings.push(format!(
                "{below} sending domains are below the brand domain {brand}: receivers count \
                 reputation per registered domain, so the web site shares theirs"
            ));
        }
    }
    let powermta = || {
        document
            .hosts
            .iter()
            .filter(|host| host.role == Role::Powermta)
    };
    for host in powermta().filter(|host| !host.labels.contains_key(HOST_NAME_LABEL)) {
        plan.warnings.push(format!(
            "host {} has no label host-name: it takes no bounces, complaints or answers",
            host.id
        ));
    }
    if powermta().next().is_some() && wanted.settings.postmaster.is_none() {
        plan.warnings.push(
            "settings.postmaster is not set: PowerMTA's notices reach nobody, except on hosts of a \
             tenant that has an inbound_mailbox"
                .to_owned(),
        );
    }
    for tenant in document
        .tenants
        .iter()
        .filter(|t| t.inbound_mailbox.is_none())
    {
        plan.warnings.push(format!(
            "tenant {} has no inbound_mailbox: answers to its senders are dropped",
            tenant.id
        ));
    }
}

/// A list of what would be accepted, cut where it grows long.
pub(super) fn names<T: ToString>(ids: impl Iterator<Item = T>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    match ids.len() {
        0 => "none is declared yet".to_owned(),
        1..=10 => format!("one of {}", ids.join(", ")),
        more => format!("one of {} and {} more", ids[..10].join(", "), more - 10),
    }
}
