//! What a host's last report says and the log does not keep: which resources are not right, and what
//! the machine is. Bounded, for every look at the fleet's state carries it from node to node.

use std::cmp::Reverse;

use email_engine_protocol::observed::{
    DrainStatus, Facts, HostReport, Observed, ResourceState, ResourceStatus,
};

/// Resources that are told of one host.
const RESOURCES: usize = 10;
/// Bytes of one reason.
const REASON_BYTES: usize = 300;
/// Names that drain that are told of one host.
const DRAINS: usize = 64;
/// Disks and addresses that are told of one host.
const PARTS: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::push) struct Told {
    pub(super) trouble: Vec<ResourceStatus>,
    pub(super) facts: Option<Facts>,
    pub(super) drains: Vec<DrainStatus>,
}

impl Told {
    /// What a report tells. Reports list the worst first.
    pub(in crate::push) fn of(report: &HostReport) -> Self {
        let troubled = report.statuses.iter().filter_map(troubled);
        let facts = match &report.facts {
            Observed::Known { value, .. } => Some(bounded(value.clone())),
            Observed::Unknown { .. } => None,
        };
        Self {
            trouble: troubled.take(RESOURCES).collect(),
            facts,
            drains: drains(report),
        }
    }
}

/// Those that hold most first: what is empty is soon gone.
fn drains(report: &HostReport) -> Vec<DrainStatus> {
    let bounded = |drain: &DrainStatus| DrainStatus {
        name: cut(&drain.name),
        messages: match &drain.messages {
            known @ Observed::Known { .. } => known.clone(),
            Observed::Unknown { reason, since } => Observed::Unknown {
                reason: cut(reason),
                since: *since,
            },
        },
        is_over: drain.is_over,
    };
    let mut drains: Vec<DrainStatus> = report.drains.iter().map(bounded).collect();
    drains.sort_by_key(|drain| Reverse(drain.messages.known().copied().unwrap_or(u64::MAX)));
    drains.truncate(DRAINS);
    drains
}

/// A resource that is not as it shall be. What cannot be known is no trouble.
fn troubled(status: &ResourceStatus) -> Option<ResourceStatus> {
    let state = match &status.state {
        ResourceState::Blocked(reason) => ResourceState::Blocked(cut(reason)),
        ResourceState::Drifted(reason) => ResourceState::Drifted(cut(reason)),
        ResourceState::Failed(reason) => ResourceState::Failed(cut(reason)),
        ResourceState::Converged
        | ResourceState::Simulated
        | ResourceState::Told(_)
        | ResourceState::Unknown(_) => return None,
    };
    Some(ResourceStatus {
        state,
        ..status.clone()
    })
}

fn cut(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned()
}

fn bounded(mut facts: Facts) -> Facts {
    let left_out = |length: usize| u32::try_from(length.saturating_sub(PARTS)).unwrap_or(u32::MAX);
    let (disks, addresses) = (left_out(facts.disks.len()), left_out(facts.addresses.len()));
    facts.disks_left_out = facts.disks_left_out.saturating_add(disks);
    facts.addresses_left_out = facts.addresses_left_out.saturating_add(addresses);
    facts.disks.truncate(PARTS);
    facts.addresses.truncate(PARTS);
    for text in [
        &mut facts.hostname,
        &mut facts.os,
        &mut facts.kernel,
        &mut facts.architecture,
        &mut facts.agent_version,
    ] {
        *text = cut(text);
    }
    for disk in &mut facts.disks {
        disk.mount_point = cut(&disk.mount_point);
    }
    facts
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::ResourceKind;
    use email_engine_protocol::id::ResourceId;

    use super::*;

    #[test]
    fn only_what_is_wrong_is_told_and_a_long_reason_is_cut_between_characters() {
        let status = |state| ResourceStatus {
            id: ResourceId::new("file:/etc/x").unwrap(),
            kind: ResourceKind::File,
            state,
        };
        for fine in [
            ResourceState::Converged,
            ResourceState::Simulated,
            ResourceState::Unknown("no root".to_owned()),
        ] {
            assert_eq!(troubled(&status(fine)), None);
        }
        let long = ResourceState::Failed("é".repeat(400));
        let told = troubled(&status(long)).unwrap();
        assert_eq!(told.state, ResourceState::Failed("é".repeat(150)));
    }
}
