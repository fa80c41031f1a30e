//! A systemd unit.

use email_engine_protocol::desired::{OnNotify, ServiceSpec};
use email_engine_protocol::id::ResourceId;

use super::{ApplyError, Finding};
use crate::host::Machine;

pub(super) fn observe(machine: &mut Machine, id: &ResourceId, spec: &ServiceSpec) -> Finding {
    let seen = match machine.system.service(id, &spec.unit) {
        Ok(seen) => seen,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let mut diff = Vec::new();
    if seen.enabled != spec.enabled {
        diff.push(if seen.enabled {
            "enabled"
        } else {
            "not enabled"
        });
    }
    if seen.running != spec.running {
        diff.push(if seen.running {
            "running"
        } else {
            "not running"
        });
    }
    match (diff.is_empty(), machine.system.is_simulated()) {
        (false, _) => Finding::Differs(diff.join("; ")),
        (true, true) => Finding::Simulated,
        (true, false) => Finding::Right,
    }
}

/// A service that shall not run has nothing to reload.
pub(super) fn notify(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &ServiceSpec,
) -> Result<(), ApplyError> {
    if spec.running {
        machine
            .system
            .notify_service(id, &spec.unit, spec.on_notify)?;
    }
    Ok(())
}

pub(super) fn switch_off(
    machine: &mut Machine,
    id: &ResourceId,
    unit: &str,
) -> Result<(), ApplyError> {
    let off = ServiceSpec {
        unit: unit.to_owned(),
        enabled: false,
        running: false,
        on_notify: OnNotify::Reload,
    };
    Ok(machine.system.set_service(id, &off)?)
}
