//! What a machine's declaration must be, whether it is new or changed.

use std::collections::BTreeSet;

use email_engine_protocol::api::HostSpec;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ArtifactName, HostId, Role, TenantId};
use email_engine_protocol::mail::DomainName;

use crate::command::Rejection;
use crate::command::RejectionCode::{Duplicate, Invalid, WrongState};
use crate::command::identity::has_mailbox;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::Turn;
use crate::fleet::window::{self, Window};
use crate::state::{
    Artifact, FleetState, HOST_NAME_LABEL, INBOUND_MX_LABEL, WEBHOOK_ALL, WEBHOOK_LABEL,
};

/// Most addresses of one host.
const ADDRESSES: usize = 1_024;
/// Most labels of one host.
const LABELS: usize = 64;
/// Longest key or value of a label, in characters.
const LABEL_CHARS: usize = 200;

/// What an operator's own mail server is written as.
const MX_ACCEPTED: &str = "the name of a mail server, two or more labels, such as mx.example.com";

/// An operator's word is for a host that is there and stays.
pub(super) fn at_work(state: &FleetState, field: &str, host: &HostId) -> Result<(), Rejection> {
    let Some(found) = state.live_host(host) else {
        return Err(not_found(field, host, "host"));
    };
    if !found.takes_work() {
        let accepted = "a host that is not being retired: that needs no word";
        return Err(refuse(WrongState, field, host, accepted));
    }
    Ok(())
}

pub(super) fn check(state: &FleetState, spec: &HostSpec, turn: &Turn<'_>) -> Result<(), Rejection> {
    tenant(state, spec)?;
    state
        .check_role(&spec.id, spec.role)
        .map_err(|accepted| refuse(Invalid, "role", &spec.role, accepted))?;
    addresses(state, spec)?;
    if !turn.in_batch {
        shares_no_address(state, spec)?;
    }
    labels(spec)?;
    name(state, spec)
}

/// As of a sending domain: mail to a host's own name comes to the fleet.
fn name(state: &FleetState, spec: &HostSpec) -> Result<(), Rejection> {
    match spec.labels.get(HOST_NAME_LABEL) {
        Some(name) if has_mailbox(state, name) => {
            let field = format!("labels.{HOST_NAME_LABEL}");
            let accepted = "a name in which no tenant has its inbound_mailbox: what is forwarded there \
                            would come back to this fleet's hosts";
            Err(refuse(Invalid, field, &name.escape_debug(), accepted))
        }
        _ => Ok(()),
    }
}

fn tenant(state: &FleetState, spec: &HostSpec) -> Result<(), Rejection> {
    match &spec.tenant {
        Some(tenant) if !state.tenants.contains_key(tenant) => {
            Err(not_found("tenant", tenant, "tenant"))
        }
        None if spec.role == Role::Mailwizz => {
            let accepted = "the tenant whose MailWizz this is: such a host has exactly one";
            Err(refuse(Invalid, "tenant", &"", accepted))
        }
        _ => Ok(()),
    }
}

fn addresses(state: &FleetState, spec: &HostSpec) -> Result<(), Rejection> {
    let Some(admin) = spec.addresses.first() else {
        let accepted = "at least one address, the admin address first";
        return Err(refuse(Invalid, "addresses", &"[]", accepted));
    };
    at_most("addresses", spec.addresses.len(), ADDRESSES)?;
    let mut seen = BTreeSet::new();
    for (at, address) in spec.addresses.iter().enumerate() {
        let field = format!("addresses[{at}]");
        if address.is_unspecified() || address.is_multicast() {
            let accepted = "an address of one machine";
            return Err(refuse(Invalid, field, address, accepted));
        }
        if !seen.insert(address) {
            return Err(refuse(Duplicate, field, address, "each address once"));
        }
    }
    let mut others = state.hosts_at(*admin).map(|other| &other.spec);
    if others.any(|other| other.id != spec.id && other.addresses.first() == Some(admin)) {
        let accepted = "an admin address that no other host has";
        return Err(refuse(Duplicate, "addresses[0]", admin, accepted));
    }
    Ok(())
}

/// Whether this host has no address that another tenant's has. Hosts of one tenant may share one, such as a
/// machine with two roles; between tenants it would tell nobody whose mail it is that comes from there.
pub(in crate::command) fn shares_no_address(
    state: &FleetState,
    spec: &HostSpec,
) -> Result<(), Rejection> {
    for (at, address) in spec.addresses.iter().enumerate() {
        let mut others = state.hosts_at(*address).filter(|other| other.takes_work());
        if others.any(|other| other.spec.id != spec.id && other.spec.tenant != spec.tenant) {
            let accepted = "an address that no host of another tenant, or of all, has";
            let field = format!("addresses[{at}]");
            return Err(refuse(Duplicate, field, address, accepted));
        }
    }
    Ok(())
}

fn labels(spec: &HostSpec) -> Result<(), Rejection> {
    at_most("labels", spec.labels.len(), LABELS)?;
    for (key, value) in &spec.labels {
        let texts = [key, value];
        if key.is_empty()
            || texts.iter().any(|text| text.chars().count() > LABEL_CHARS)
            || texts.iter().any(|text| text.chars().any(char::is_control))
        {
            let accepted =
                format!("key and value of at most {LABEL_CHARS} characters, no control characters");
            return Err(refuse(Invalid, "labels", &key.escape_debug(), accepted));
        }
    }
    if let Some(name) = spec.labels.get(INBOUND_MX_LABEL)
        && DomainName::new(name.clone()).is_err()
    {
        let field = format!("labels.{INBOUND_MX_LABEL}");
        return Err(refuse(Invalid, field, &name.escape_debug(), MX_ACCEPTED));
    }
    if let Some(text) = spec.labels.get(WEBHOOK_LABEL)
        && text != WEBHOOK_ALL
        && text.split(',').any(|tenant| TenantId::new(tenant).is_err())
    {
        let field = format!("labels.{WEBHOOK_LABEL}");
        let accepted = "all, or tenants with commas between them, such as client-1,client-2";
        return Err(refuse(Invalid, field, &text.escape_debug(), accepted));
    }
    let artifacts = spec.labels.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(Artifact::LABEL)?;
        Some((key, name, value))
    });
    for (key, name, value) in artifacts {
        let is_one = value == Artifact::NONE || value.parse::<ContentHash>().is_ok();
        if ArtifactName::new(name).is_err() || !is_one {
            let accepted =
                "SHA-256 of an artifact in hex, or none, under a label such as artifact-mailwizz";
            let field = format!("labels.{key}");
            return Err(refuse(Invalid, field, &value.escape_debug(), accepted));
        }
    }
    match spec.labels.get(window::LABEL) {
        Some(text) if text.parse::<Window>().is_err() => {
            let field = format!("labels.{}", window::LABEL);
            Err(refuse(
                Invalid,
                field,
                &text.escape_debug(),
                window::ACCEPTED,
            ))
        }
        _ => Ok(()),
    }
}
