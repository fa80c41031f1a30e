//! The few facts of the state that Raft's own traffic goes by.
//!
//! Apart from the image, because that is locked while an entry is applied, which takes long for a large
//! one: a heartbeat, a vote or a proposal that waited for it would cost the leader its lead.

use std::collections::BTreeMap;
use std::sync::Arc;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, Keys, Node};

/// The state's head, as of the last entry that is wholly applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The fleet's time.
    pub(crate) now: Timestamp,
    /// The cluster was founded.
    pub(crate) is_founded: bool,
    /// Who may speak.
    pub(crate) doors: Arc<DoorList>,
}

impl Head {
    /// Follows the state. The list is made anew only when it differs.
    pub(super) fn follow(&mut self, fleet: &FleetState) {
        self.now = fleet.now;
        self.is_founded = fleet.cluster.is_some();
        if !self.doors.is_of(fleet) {
            self.doors = Arc::new(DoorList::of(fleet));
        }
    }
}

/// Nodes, and certificates that count no more.
#[derive(Debug, Default)]
pub(crate) struct DoorList {
    nodes: BTreeMap<NodeId, Node>,
    next_node: u64,
    revoked: Keys<CertificateSerial>,
}

impl DoorList {
    /// The list of this state.
    pub(crate) fn of(fleet: &FleetState) -> Self {
        Self {
            nodes: fleet.nodes.clone(),
            next_node: fleet.next_node,
            revoked: fleet.revoked.clone(),
        }
    }

    /// Whether the list is this state's. Serials are only ever added, so their number tells.
    fn is_of(&self, fleet: &FleetState) -> bool {
        self.next_node == fleet.next_node
            && self.revoked.len() == fleet.revoked.len()
            && self.nodes == fleet.nodes
    }

    /// Whether a node with a good certificate may speak.
    pub(crate) fn admits(&self, node: NodeId, serial: Option<&CertificateSerial>) -> bool {
        if serial.is_some_and(|serial| self.is_revoked(serial)) {
            return false;
        }
        match self.nodes.get(&node) {
            Some(known) => known.role != MemberRole::Removed,
            // Numbers grow: one above all known ones is newer than this state, which can only catch up
            // if it lets that node speak.
            None => node.0 >= self.next_node || self.nodes.is_empty(),
        }
    }

    /// Whether a certificate counts no more.
    pub(crate) fn is_revoked(&self, serial: &CertificateSerial) -> bool {
        self.revoked.contains(serial)
    }

    /// Where a node's Raft end point is.
    pub(crate) fn endpoint(&self, node: NodeId) -> Option<String> {
        self.nodes.get(&node).map(|node| node.raft_endpoint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::node;

    #[test]
    fn removed_revoked_and_unknown_nodes_are_not_let_in() {
        let revoked = CertificateSerial([7; 16]);
        let mut fleet = FleetState::default();
        let admits =
            |fleet: &FleetState, node, serial| DoorList::of(fleet).admits(NodeId(node), serial);
        assert!(
            admits(&fleet, 1, None),
            "an empty state cannot know anybody"
        );
        fleet
            .nodes
            .extend([node(1, MemberRole::Voter), node(3, MemberRole::Removed)]);
        fleet.next_node = 4;
        fleet.revoked.insert(revoked);
        assert!(admits(&fleet, 1, None));
        assert!(!admits(&fleet, 1, Some(&revoked)));
        assert!(!admits(&fleet, 2, None), "never on record");
        assert!(!admits(&fleet, 3, None), "removed");
        assert!(admits(&fleet, 4, None), "newer than this state");
    }

    #[test]
    fn the_head_follows_every_change_of_what_it_is_asked_for() {
        let mut fleet = FleetState::default();
        let mut head = Head::default();
        fleet.nodes.extend([node(1, MemberRole::Voter)]);
        (fleet.next_node, fleet.now) = (2, Timestamp(9));
        head.follow(&fleet);
        let first = Arc::clone(&head.doors);
        assert_eq!(head.now, Timestamp(9));
        assert!(first.admits(NodeId(1), None) && first.endpoint(NodeId(1)).is_some());
        fleet.now = Timestamp(10);
        head.follow(&fleet);
        assert!(
            Arc::ptr_eq(&head.doors, &first),
            "nothing of the list changed"
        );
        fleet.revoked.insert(CertificateSerial([7; 16]));
        head.follow(&fleet);
        assert!(head.doors.is_revoked(&CertificateSerial([7; 16])));
        let gone = fleet.nodes.get_mut(&NodeId(1)).unwrap();
        gone.role = MemberRole::Removed;
        head.follow(&fleet);
        assert!(!head.doors.admits(NodeId(1), None));
    }
}
