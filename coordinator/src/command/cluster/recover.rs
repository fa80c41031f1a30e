//! `recover`.

use std::collections::BTreeSet;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::desired::EpochGrant;

use super::found::check_first_node;
use crate::command::RejectionCode::{ClusterState, Invalid};
use crate::command::access::revoke_certificates;
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Recover, Rejection};
use crate::state::{CertificateSubject, ClusterRecord, FleetState, Restored};

impl Verb for Recover {
    fn name(&self) -> &'static str {
        "recover"
    }

    fn object(&self) -> String {
        match self.grant.unverified() {
            Ok(grant) => format!("epoch {}, node {}", grant.epoch, self.node.id),
            Err(_) => format!("node {}", self.node.id),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(cluster) = &state.cluster else {
            let accepted = "a state that was restored from a backup";
            return Err(refuse(ClusterState, "cluster", &"none", accepted));
        };
        let grant = self.granted(cluster)?;
        check_first_node(&self.node, cluster.version)?;
        if self.node.id.0 < state.next_node {
            let accepted = format!("{} or more: numbers are never used again", state.next_node);
            return Err(refuse(Invalid, "node.id", &self.node.id, accepted));
        }
        let old: Vec<_> = state.nodes.keys().copied().collect();
        for id in old {
            revoke_certificates(state, &CertificateSubject::Node(id), None);
        }
        for node in state.nodes.values_mut() {
            node.role = MemberRole::Removed;
        }
        state.restored = Some(Restored {
            as_of: state.now,
            at: turn.now(),
            on_record: state.certificates.keys().copied().collect(),
            readmitted: BTreeSet::new(),
        });
        state.nodes.insert(self.node.id, self.node.clone());
        state.next_node = self.node.id.0 + 1;
        if let Some(cluster) = &mut state.cluster {
            cluster.epoch = grant.epoch;
            cluster.epoch_grant = Some(self.grant.clone());
        }
        Ok(Change::DONE)
    }
}

impl Recover {
    /// The new epoch, when the recovery key gave its word for it.
    fn granted(&self, cluster: &ClusterRecord) -> Result<EpochGrant, Rejection> {
        let grant = self
            .grant
            .verify(&cluster.recovery.verifying)
            .map_err(|error| {
                refuse(
                    Invalid,
                    "grant",
                    &error,
                    "a grant that this cluster's recovery key signed",
                )
            })?;
        if grant.cluster != cluster.id {
            let accepted = format!("a grant for cluster {}", cluster.id);
            return Err(refuse(Invalid, "grant.cluster", &grant.cluster, accepted));
        }
        if grant.epoch <= cluster.epoch {
            let accepted = format!("above {}", cluster.epoch);
            return Err(refuse(Invalid, "grant.epoch", &grant.epoch, accepted));
        }
        Ok(grant)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MemberRole;
    use email_engine_protocol::bytes::CertificateSerial;
    use email_engine_protocol::crypto::SigningKey;
    use email_engine_protocol::desired::EpochGrant;
    use email_engine_protocol::generation::Generation;
    use email_engine_protocol::id::{ClusterId, NodeId};

    use crate::command::fixture::{Fleet, SECOND, found, host_id, recovery_key, spki};
    use crate::command::{Command, Effect, Recover, RenewCertificate};
    use crate::state::CertificateSubject;

    fn recover(key: &SigningKey, cluster: u8, epoch: u64, node: u64) -> Command {
        let mut row = found().node;
        row.id = NodeId(node);
        let grant = key.sign(&EpochGrant {
            cluster: ClusterId([cluster; 16]),
            epoch,
            issued_at: found().cluster.created_at,
        });
        Command::Recover(Box::new(Recover { grant, node: row }))
    }

    #[test]
    fn only_the_recovery_keys_grant_for_this_cluster_and_a_later_epoch_counts() {
        let mut fleet = Fleet::with_identities(0);
        let key = recovery_key();
        let forged = recover(&SigningKey::from_seed([9; 32]), 1, 2, 2);
        assert_eq!(fleet.refuse(forged).field, "grant");
        assert_eq!(fleet.refuse(recover(&key, 7, 2, 2)).field, "grant.cluster");
        assert_eq!(fleet.refuse(recover(&key, 1, 1, 2)).field, "grant.epoch");
        assert_eq!(fleet.refuse(recover(&key, 1, 2, 1)).field, "node.id");
        fleet.accept(recover(&key, 1, 2, 2));
    }

    #[test]
    fn the_old_nodes_are_out_and_the_next_target_speaks_in_the_new_epoch() {
        let mut fleet = Fleet::with_identities(0);
        let serial = CertificateSerial([50; 16]);
        fleet.accept(Command::RenewCertificate(RenewCertificate {
            subject: CertificateSubject::Node(NodeId(1)),
            current_spki: spki(50),
            spki: spki(50),
            serial,
            not_after: fleet.now().plus(1000 * SECOND),
        }));
        fleet.accept(fleet.target(&[b"one"]));
        fleet.accept(recover(&recovery_key(), 1, 5, 8));
        assert_eq!(fleet.state.nodes[&NodeId(1)].role, MemberRole::Removed);
        assert!(fleet.state.revoked.contains(&serial));
        assert_eq!(fleet.state.next_node, 9);
        let outcome = fleet.accept(fleet.target(&[b"two"]));
        let next = Generation {
            epoch: 5,
            number: 2,
        };
        assert_eq!(
            outcome.effect,
            Effect::Targets(vec![(host_id("pmta1"), next)])
        );
    }
}
