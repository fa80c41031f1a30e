//! A package of the distribution's package tool.

use email_engine_protocol::desired::PackageSpec;
use email_engine_protocol::id::ResourceId;

use super::Finding;
use crate::host::{Machine, Presence};

pub(super) fn observe(machine: &mut Machine, id: &ResourceId, spec: &PackageSpec) -> Finding {
    let seen = match machine.system.package(id, &spec.name) {
        Ok(seen) => seen,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let mut diff = Vec::new();
    match (&seen.presence, &spec.version) {
        (Presence::Gone, _) => return Finding::Differs("not installed".to_owned()),
        (Presence::Partly(word), _) => diff.push((*word).clone()),
        (Presence::Installed(has), Some(wanted)) if has != wanted => {
            diff.push(format!("version {has}, not {wanted}"));
        }
        (Presence::Installed(_), _) => {}
    }
    if seen.held != spec.hold {
        diff.push(if spec.hold { "not held" } else { "held" }.to_owned());
    }
    match (diff.is_empty(), machine.system.is_simulated()) {
        (false, _) => Finding::Differs(diff.join("; ")),
        (true, true) => Finding::Simulated,
        (true, false) => Finding::Right,
    }
}
