//! `revoke-certificate`.

use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RevokeCertificate};
use crate::state::FleetState;

impl Verb for RevokeCertificate {
    fn name(&self) -> &'static str {
        "revoke-certificate"
    }

    fn object(&self) -> String {
        format!("certificate {}", self.serial)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        if state.revoked.contains(&self.serial) {
            return Ok(Change::NONE);
        }
        if !state.certificates.contains_key(&self.serial) {
            return Err(not_found("serial", &self.serial, "certificate"));
        }
        state.revoked.insert(self.serial);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;

    use crate::command::fixture::{Fleet, host_id};
    use crate::command::{Command, Effect, RejectionCode, RevokeCertificate};

    #[test]
    fn a_known_certificate_is_revoked_once() {
        let mut fleet = Fleet::with_identities(0);
        let serial = fleet.state.hosts[&host_id("pmta1")]
            .keys
            .as_ref()
            .unwrap()
            .serial;
        let revoke = |serial| Command::RevokeCertificate(RevokeCertificate { serial });
        fleet.accept(revoke(serial));
        assert!(fleet.state.revoked.contains(&serial));
        assert_eq!(fleet.accept(revoke(serial)).effect, Effect::Unchanged);
        let unknown = fleet.refuse(revoke(CertificateSerial([99; 16])));
        assert_eq!(unknown.code, RejectionCode::NotFound);
    }
}
