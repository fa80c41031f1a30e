//! `revoke-certificate`.
//!
//! A renewal leaves the session with the certificate that it began with, and may come in between an
//! operator's look and the command: whoever loses one certificate loses all that it holds. That it has
//! ended saves none: a host that was off renews past its end, and a stolen one would, too.

use super::certificate::subject_of;
use super::revoke_certificates;
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
        let Some(subject) = subject_of(state, &self.serial) else {
            return Err(not_found("serial", &self.serial, "certificate"));
        };
        revoke_certificates(state, &subject, None);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;
    use email_engine_protocol::id::NodeId;

    use crate::command::fixture::{Fleet, SECOND, host_id, spki};
    use crate::command::{Command, Effect, RejectionCode, RenewCertificate, RevokeCertificate};
    use crate::state::CertificateSubject;

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

    #[test]
    fn a_certificate_from_before_a_renewal_goes_too() {
        let mut fleet = Fleet::with_identities(0);
        let keys = |fleet: &Fleet| fleet.state.hosts[&host_id("pmta1")].keys.clone().unwrap();
        let first = keys(&fleet).serial;
        let renewed = CertificateSerial([20; 16]);
        fleet.accept(Command::RenewCertificate(RenewCertificate {
            subject: CertificateSubject::Host(host_id("pmta1")),
            current_spki: keys(&fleet).spki,
            spki: spki(2),
            serial: renewed,
            not_after: fleet.now().plus(1000 * SECOND),
        }));
        for shown in [first, renewed] {
            let mut fleet = fleet.clone();
            fleet.accept(Command::RevokeCertificate(RevokeCertificate {
                serial: shown,
            }));
            let both = [first, renewed].map(|serial| fleet.state.revoked.contains(&serial));
            assert_eq!(both, [true, true]);
        }
    }

    #[test]
    fn a_host_whose_certificate_has_ended_is_revoked_and_renews_no_more() {
        let mut fleet = Fleet::with_identities(0);
        let keys = |fleet: &Fleet| fleet.state.hosts[&host_id("pmta1")].keys.clone().unwrap();
        let renew = |fleet: &Fleet, host: &str, from, to: u8| {
            Command::RenewCertificate(RenewCertificate {
                subject: CertificateSubject::Host(host_id(host)),
                current_spki: from,
                spki: spki(to),
                serial: CertificateSerial([to; 16]),
                not_after: fleet.now().plus(1000 * SECOND),
            })
        };
        fleet.accept(renew(&fleet, "pmta1", keys(&fleet).spki, 10));
        let keys = keys(&fleet);
        fleet.wait(2000 * SECOND);
        // Somebody else's certificate is recorded, and the row of the ended one goes.
        let node = Command::RenewCertificate(RenewCertificate {
            subject: CertificateSubject::Node(NodeId(1)),
            current_spki: spki(90),
            spki: spki(90),
            serial: CertificateSerial([90; 16]),
            not_after: fleet.now().plus(1000 * SECOND),
        });
        fleet.accept(node);
        assert!(!fleet.state.certificates.contains_key(&keys.serial));
        let mut untouched = fleet.clone();
        untouched.accept(renew(&fleet, "pmta1", keys.spki, 20));

        let serial = keys.serial;
        fleet.accept(Command::RevokeCertificate(RevokeCertificate { serial }));
        assert!(fleet.state.revoked.contains(&serial));
        let refused = fleet.refuse(renew(&fleet, "pmta1", keys.spki, 20));
        assert_eq!(refused.code, RejectionCode::WrongState);
    }
}
