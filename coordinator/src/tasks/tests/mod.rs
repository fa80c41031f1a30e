//! The tasks in front of a state in memory.

mod certifying;
mod planning;
mod refusal;
mod upkeep;

use std::collections::BTreeMap;

use email_engine_protocol::id::Role;

use crate::push::testbed::{host_id, release};
use crate::state::{FleetState, Host, HostLifecycle};

pub(super) fn declare(state: &mut FleetState, name: &str) {
    let spec = email_engine_protocol::api::HostSpec {
        id: host_id(name),
        role: Role::Powermta,
        tenant: None,
        addresses: Vec::new(),
        labels: BTreeMap::new(),
    };
    let host = Host {
        spec,
        lifecycle: HostLifecycle::Declared,
        keys: None,
        release: release(),
        large_removal: false,
    };
    state.hosts.insert(host_id(name), host);
}
