//! `set-submission-certificate`.

use std::sync::Arc;

use email_engine_protocol::limits;

use super::SetSubmissionCertificate;
use crate::command::Rejection;
use crate::command::RejectionCode::{Duplicate, Invalid, StaleParent, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, StoredSecret, SubmissionCertificate};

impl Verb for SetSubmissionCertificate {
    fn name(&self) -> &'static str {
        "set-submission-certificate"
    }

    fn object(&self) -> String {
        format!("host {} (certificate {})", self.host, self.serial)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let current = state.submission_certificates.get(&self.host);
        if current.is_some_and(|row| row.serial == self.serial) {
            return Ok(Change::NONE);
        }
        if current.map(|row| row.serial) != self.replaces {
            let accepted = "the serial of the host's certificate in use";
            let value = format!("{:?}", self.replaces);
            return Err(refuse(StaleParent, "replaces", &value, accepted));
        }
        self.fits_its_host(state)?;
        self.is_well_formed(state, turn)?;
        let version = self.next_version(state)?;
        let id = FleetState::submission_secret(&self.host);
        let secret = StoredSecret {
            id: id.clone(),
            version,
            commitment: self.commitment,
            sealed: self.sealed.clone(),
        };
        if let Some(record) = &mut state.submission_authority {
            Arc::make_mut(record).issued = version;
        }
        state.put_secret(secret);
        let row = SubmissionCertificate {
            secret: id,
            names: self.names.clone(),
            serial: self.serial,
            issued_at: turn.now(),
            not_after: self.not_after,
        };
        state.submission_certificates.insert(self.host.clone(), row);
        Ok(Change::DONE)
    }
}

impl SetSubmissionCertificate {
    fn fits_its_host(&self, state: &FleetState) -> Result<(), Rejection> {
        let Some(host) = state.live_host(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        match host.submission_names() {
            Some(names) if names == self.names => Ok(()),
            Some(names) => {
                let accepted = format!("the names that the host has: {names:?}");
                let value = format!("{:?}", self.names);
                Err(refuse(WrongState, "names", &value, accepted))
            }
            None => {
                let accepted =
                    "a working powermta host without a certificate of the operator's own";
                Err(refuse(WrongState, "host", &self.host, accepted))
            }
        }
    }

    fn is_well_formed(&self, state: &FleetState, turn: &Turn<'_>) -> Result<(), Rejection> {
        let sealed = self.sealed.ciphertext.len() + self.sealed.wrapped_key.len();
        at_most("sealed", sealed, limits::SECRET_BYTES)?;
        if self.not_after <= turn.now() {
            let accepted = format!("a time after {}", turn.now());
            return Err(refuse(Invalid, "not_after", &self.not_after, accepted));
        }
        if state.lookup.commitments.contains(&self.commitment) {
            let accepted = "a key that is nobody's yet";
            return Err(refuse(Duplicate, "commitment", &self.host, accepted));
        }
        Ok(())
    }

    /// The number of this certificate; the authority that issued it must be the one in use, and vouch
    /// for these names.
    fn next_version(&self, state: &FleetState) -> Result<u32, Rejection> {
        let record = state.submission_authority.as_ref();
        let fits = record.filter(|record| {
            let authority = &record.authority;
            authority.serial == self.authority && authority.covers.contains(&self.names)
        });
        let Some(record) = fits else {
            let accepted = "the authority in use, which vouches for these names";
            return Err(refuse(StaleParent, "authority", &self.authority, accepted));
        };
        let version = record.issued.checked_add(1);
        version.ok_or_else(|| refuse(Invalid, "version", &record.issued, "fewer renewals"))
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, SECOND, host, host_id, submission};
    use crate::command::{
        ChangeHost, Command, CutOffHost, Effect, RejectionCode, RetireHost,
        SetSubmissionCertificate,
    };

    fn certified() -> Fleet {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(Command::SetSubmissionAuthority(Box::new(
            submission::authority(1, None),
        )));
        fleet.accept(certificate(1, |_| ()));
        fleet
    }

    fn certificate(number: u8, change: impl FnOnce(&mut SetSubmissionCertificate)) -> Command {
        let mut command = submission::certificate(number);
        change(&mut command);
        Command::SetSubmissionCertificate(Box::new(command))
    }

    fn versions(fleet: &Fleet) -> Vec<u32> {
        let secrets = fleet.state.secrets.values();
        secrets.map(|secret| secret.version).collect()
    }

    #[test]
    fn a_renewal_has_the_next_version_and_is_said_twice_without_harm() {
        let mut fleet = certified();
        assert_eq!(versions(&fleet), [1]);
        assert_eq!(
            fleet.accept(certificate(1, |_| ())).effect,
            Effect::Unchanged
        );
        let rejection = fleet.refuse(certificate(2, |_| ()));
        assert_eq!(rejection.code, RejectionCode::StaleParent, "two leaders");
        let first = Some(CertificateSerial([1; 16]));
        fleet.accept(certificate(2, |set| set.replaces = first));
        assert_eq!(versions(&fleet), [2]);
        assert_eq!(fleet.state.submission_certificates.len(), 1);
    }

    #[test]
    fn what_does_not_fit_the_host_or_the_authority_any_more_is_refused_by_field() {
        type Change = fn(&mut SetSubmissionCertificate);
        let changes: [(&str, Change); 6] = [
            ("host", |set| set.host = host_id("nobody")),
            ("names", |set| set.names.address = [203, 0, 113, 9].into()),
            ("authority", |set| {
                set.authority = CertificateSerial([9; 16])
            }),
            ("sealed", |set| set.sealed.ciphertext = vec![0; 100_000]),
            ("not_after", |set| set.not_after.0 = 1),
            ("replaces", |set| {
                set.replaces = Some(CertificateSerial([9; 16]))
            }),
        ];
        for (field, change) in changes {
            let mut fleet = Fleet::with_declared_host();
            let authority = submission::authority(1, None);
            fleet.accept(Command::SetSubmissionAuthority(Box::new(authority)));
            assert_eq!(fleet.refuse(certificate(1, change)).field, field);
        }
        let api = certificate(1, |set| set.host = host_id("api1"));
        let mut fleet = certified();
        fleet.declare("api1", Role::Api, 2);
        assert_eq!(fleet.refuse(api).field, "host", "nobody submits there");
    }

    #[test]
    fn a_key_is_one_hosts() {
        let mut fleet = certified();
        let first = Some(CertificateSerial([1; 16]));
        let rejection = fleet.refuse(certificate(2, |set| {
            set.replaces = first;
            set.commitment = submission::certificate(1).commitment;
        }));
        assert_eq!(rejection.code, RejectionCode::Duplicate);
    }

    #[test]
    fn it_goes_with_its_host_and_with_an_operators_own() {
        let mut fleet = certified();
        let mut spec = host("pmta1", Role::Powermta, 1);
        let own = "smtp-certificate".to_owned();
        spec.labels.insert(own, "/etc/pmta/own.pem".to_owned());
        fleet.accept(Command::ChangeHost(ChangeHost { host: spec }));
        assert_eq!(
            (versions(&fleet), fleet.state.submission_certificates.len()),
            (vec![], 0)
        );

        let mut fleet = certified();
        fleet.accept(Command::RetireHost(RetireHost {
            host: host_id("pmta1"),
            grace_millis: SECOND,
        }));
        assert_eq!(versions(&fleet), [1], "until it is wiped");
        fleet.accept(Command::CutOffHost(CutOffHost {
            host: host_id("pmta1"),
            confirmed: true,
        }));
        assert_eq!(
            (versions(&fleet), fleet.state.submission_certificates.len()),
            (vec![], 0)
        );
        fleet.declare("pmta1", Role::Powermta, 1);
        fleet.accept(certificate(2, |_| ()));
        assert_eq!(versions(&fleet), [2], "no version stands for two keys");
    }
}
