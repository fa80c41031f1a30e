//! `renew-certificate`.
//!
//! A host's key is followed from one to the next. Whoever asks with a key that was replaced before is a
//! copy of the host, or the host whose copy asked first: either way a person must look.

use email_engine_protocol::id::{HostId, NodeId};

use super::certificate::{may_record, record, row};
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RenewCertificate};
use crate::state::{CertificateSubject, FleetState, HostKeys};

impl Verb for RenewCertificate {
    fn name(&self) -> &'static str {
        "renew-certificate"
    }

    fn object(&self) -> String {
        let whose = match &self.subject {
            CertificateSubject::Host(host) => format!("host {host}"),
            CertificateSubject::Node(node) => format!("node {node}"),
        };
        format!("{whose}, certificate {}", self.serial)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let keys = match &self.subject {
            CertificateSubject::Host(host) => Some(self.renewed_keys(state, host)?),
            CertificateSubject::Node(node) => self.node_may(state, *node).map(|()| None)?,
        };
        let certificate = row(
            self.subject.clone(),
            self.spki,
            self.serial,
            self.not_after,
            turn.now(),
        );
        may_record(state, &certificate)?;
        if state.certificates.contains_key(&self.serial) {
            return Ok(Change::NONE);
        }
        record(state, certificate, turn.now());
        if let (CertificateSubject::Host(host), Some(keys)) = (&self.subject, keys)
            && let Some(host) = state.hosts.get_mut(host)
        {
            host.keys = Some(keys);
        }
        Ok(Change::DONE)
    }
}

impl RenewCertificate {
    fn renewed_keys(&self, state: &FleetState, id: &HostId) -> Result<HostKeys, Rejection> {
        let keys = state.live_host(id).and_then(|host| host.keys.as_ref());
        let Some(keys) = keys else {
            return Err(not_found("subject", id, "host with an agent"));
        };
        if state.revoked.contains(&keys.serial) {
            let accepted = "a certificate that was not revoked; the host needs a new token";
            return Err(refuse(WrongState, "subject", id, accepted));
        }
        let is_current = keys.spki == self.current_spki;
        let is_repeat = keys.spki == self.spki;
        if !is_current && !is_repeat {
            let accepted = format!(
                "the current key of host {id}; this one was replaced before, so two machines use \
                 this host's identity: replace it with a new token"
            );
            return Err(refuse(
                WrongState,
                "current_spki",
                &self.current_spki,
                accepted,
            ));
        }
        Ok(HostKeys {
            spki: self.spki,
            serial: self.serial,
            ..keys.clone()
        })
    }

    /// A node's first certificate carries the number that it was just given, so it has no key before.
    fn node_may(&self, state: &FleetState, node: NodeId) -> Result<(), Rejection> {
        if state.members().any(|member| member.id == node) {
            Ok(())
        } else {
            Err(not_found("subject", &node, "node that was not removed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;
    use email_engine_protocol::id::NodeId;

    use crate::command::fixture::{Fleet, SECOND, host_id, spki};
    use crate::command::{Command, Effect, RejectionCode, RenewCertificate, RevokeCertificate};
    use crate::state::CertificateSubject;

    fn renew(fleet: &Fleet, from: u8, to: u8, serial: u8) -> Command {
        Command::RenewCertificate(RenewCertificate {
            subject: CertificateSubject::Host(host_id("pmta1")),
            current_spki: spki(from),
            spki: spki(to),
            serial: CertificateSerial([serial; 16]),
            not_after: fleet.now().plus(1000 * SECOND),
        })
    }

    #[test]
    fn the_key_is_followed_and_a_repeat_is_told_from_a_copy() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(renew(&fleet, 1, 2, 20));
        let keys = fleet.state.hosts[&host_id("pmta1")].keys.clone().unwrap();
        assert_eq!(
            (keys.spki, keys.serial),
            (spki(2), CertificateSerial([20; 16]))
        );
        assert_eq!(
            fleet.accept(renew(&fleet, 1, 2, 20)).effect,
            Effect::Unchanged
        );
        assert_eq!(fleet.accept(renew(&fleet, 1, 2, 21)).effect, Effect::Done);
        let copy = fleet.refuse(renew(&fleet, 1, 3, 30));
        assert_eq!(
            (copy.code, &*copy.field),
            (RejectionCode::WrongState, "current_spki")
        );
        assert!(copy.accepted.contains("two machines"), "{copy}");
    }

    #[test]
    fn a_revoked_host_does_not_renew() {
        let mut fleet = Fleet::with_identities(0);
        let serial = fleet.state.hosts[&host_id("pmta1")]
            .keys
            .as_ref()
            .unwrap()
            .serial;
        fleet.accept(Command::RevokeCertificate(RevokeCertificate { serial }));
        assert_eq!(
            fleet.refuse(renew(&fleet, 1, 2, 20)).code,
            RejectionCode::WrongState
        );
    }

    #[test]
    fn certificates_that_ended_go_and_revoked_serials_stay() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(renew(&fleet, 1, 2, 20));
        let serial = CertificateSerial([20; 16]);
        fleet.accept(renew(&fleet, 2, 3, 30));
        fleet.state.revoked.insert(serial);
        fleet.wait(2000 * SECOND);
        fleet.accept(renew(&fleet, 3, 4, 40));
        assert!(!fleet.state.certificates.contains_key(&serial));
        assert!(fleet.state.revoked.contains(&serial));
        // Nor does the serial come back to life.
        assert_eq!(
            fleet.refuse(renew(&fleet, 4, 5, 20)).code,
            RejectionCode::Duplicate
        );
    }

    #[test]
    fn nodes_have_certificates_while_they_are_members() {
        let mut fleet = Fleet::founded();
        let mut renewal = RenewCertificate {
            subject: CertificateSubject::Node(NodeId(1)),
            current_spki: spki(1),
            spki: spki(1),
            serial: CertificateSerial([1; 16]),
            not_after: fleet.now().plus(1000 * SECOND),
        };
        fleet.accept(Command::RenewCertificate(renewal.clone()));
        renewal.subject = CertificateSubject::Node(NodeId(9));
        let rejection = fleet.refuse(Command::RenewCertificate(renewal));
        assert_eq!(rejection.code, RejectionCode::NotFound);
    }
}
