//! Certificates of a sandbox: what would be there is written down in words. Nobody is asked.

use email_engine_protocol::desired::{CertificateSource, CertificateSpec, HostPath};
use email_engine_protocol::id::ResourceId;

use super::super::{ApplyError, Finding};
use crate::host::Machine;

pub(super) fn observe(machine: &mut Machine, spec: &CertificateSpec) -> Option<Finding> {
    let stand_in = machine.system.stand_in()?;
    Some(match stand_in.recorded(&key(&spec.path)) {
        Some(known) if known == value(spec) => Finding::Simulated,
        Some(_) => Finding::Differs("set to something else".to_owned()),
        None => Finding::Differs("missing".to_owned()),
    })
}

pub(super) fn apply(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &CertificateSpec,
) -> Result<bool, ApplyError> {
    let Some(stand_in) = machine.system.stand_in() else {
        return Ok(false);
    };
    stand_in.record(id, &key(&spec.path), Some(value(spec)))?;
    Ok(true)
}

pub(super) fn remove(
    machine: &mut Machine,
    id: &ResourceId,
    path: &HostPath,
) -> Result<bool, ApplyError> {
    let Some(stand_in) = machine.system.stand_in() else {
        return Ok(false);
    };
    stand_in.record(id, &key(path), None)?;
    Ok(true)
}

fn key(path: &HostPath) -> String {
    format!("certificate {path}")
}

fn value(spec: &CertificateSpec) -> String {
    let group = spec.group.as_deref().unwrap_or("root alone");
    let source = match &spec.source {
        CertificateSource::Acme(acme) => {
            let agreed = if acme.agreed {
                ""
            } else {
                ", terms not agreed to"
            };
            let (directory, webroot) = (&acme.directory, &acme.webroot);
            let key = acme.key.as_str();
            format!("{key} asked of {directory} through {webroot}{agreed}")
        }
        CertificateSource::Supplied(artifact) => format!("artifact {}", artifact.sha256),
    };
    format!(
        "for {}, {source}, key read by {group}",
        spec.domains.join(" ")
    )
}
