//! `set-submission-authority`.

use std::sync::Arc;

use email_engine_protocol::limits;

use super::SetSubmissionAuthority;
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, StaleParent};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, SubmissionAuthorityRecord};

/// Most hosts that one authority vouches for: each is a line of its certificate.
pub(crate) const COVERED: usize = 4_096;
/// Bytes that one of them takes in the certificate: address and longest name.
const BYTES_EACH: usize = 320;

impl Verb for SetSubmissionAuthority {
    fn name(&self) -> &'static str {
        "set-submission-authority"
    }

    fn object(&self) -> String {
        format!("authority for {} hosts", self.authority.covers.len())
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let new = &self.authority;
        let current = state.submission_authority.as_deref();
        if current.is_some_and(|record| record.authority.serial == new.serial) {
            return Ok(Change::NONE);
        }
        if current.map(|record| record.authority.serial) != self.replaces {
            let accepted = "the serial of the authority in use";
            let value = format!("{:?}", self.replaces);
            return Err(refuse(StaleParent, "replaces", &value, accepted));
        }
        at_most("authority.covers", new.covers.len(), COVERED)?;
        let room = limits::CERTIFICATE_BYTES + new.covers.len() * BYTES_EACH;
        at_most("authority.certificate", new.certificate.len(), room)?;
        let sealed = new.key.ciphertext.len() + new.key.wrapped_key.len();
        at_most("authority.key", sealed, limits::SECRET_BYTES)?;
        if new.covers.is_empty() {
            let accepted = "the names of at least one host";
            return Err(refuse(Invalid, "authority.covers", &"[]", accepted));
        }
        if new.not_after <= turn.now() {
            let accepted = format!("a time after {}", turn.now());
            return Err(refuse(
                Invalid,
                "authority.not_after",
                &new.not_after,
                accepted,
            ));
        }
        let record = SubmissionAuthorityRecord {
            authority: new.clone(),
            // The number that this change gets: what was planned before it does not count.
            revision: state.revision + 1,
            issued: current.map_or(0, |record| record.issued),
        };
        state.submission_authority = Some(Arc::new(record));
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;

    use crate::command::fixture::{Fleet, submission};
    use crate::command::{Command, Effect, RejectionCode, SetSubmissionAuthority};

    fn changed(change: impl FnOnce(&mut SetSubmissionAuthority)) -> Command {
        let mut command = submission::authority(1, None);
        change(&mut command);
        Command::SetSubmissionAuthority(Box::new(command))
    }

    #[test]
    fn it_replaces_the_one_that_its_maker_saw_and_is_said_twice_without_harm() {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(changed(|_| ()));
        assert_eq!(fleet.accept(changed(|_| ())).effect, Effect::Unchanged);
        let second = |replaces| {
            let command = submission::authority(2, replaces);
            Command::SetSubmissionAuthority(Box::new(command))
        };
        let rejection = fleet.refuse(second(None));
        assert_eq!(rejection.code, RejectionCode::StaleParent);
        fleet.accept(second(Some(CertificateSerial([1; 16]))));
        let record = fleet.state.submission_authority.clone().unwrap();
        assert_eq!(record.authority.serial, CertificateSerial([2; 16]));
        assert_eq!(record.revision, fleet.state.revision);
    }

    #[test]
    fn what_is_too_large_ended_or_vouches_for_nobody_is_refused_by_field() {
        type Change = fn(&mut SetSubmissionAuthority);
        let changes: [(&str, Change); 4] = [
            ("authority.covers", |set| set.authority.covers.clear()),
            ("authority.certificate", |set| {
                set.authority.certificate = vec![0; 100_000];
            }),
            ("authority.key", |set| {
                set.authority.key.ciphertext = vec![0; 100_000];
            }),
            ("authority.not_after", |set| set.authority.not_after.0 = 1),
        ];
        for (field, change) in changes {
            let rejection = Fleet::with_declared_host().refuse(changed(change));
            assert_eq!(rejection.field, field);
        }
    }
}
