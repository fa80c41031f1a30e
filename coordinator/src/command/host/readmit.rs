//! `readmit-host`.
//!
//! A restored cluster does not know the certificates that hosts got after its backup. Such a host proves
//! that it holds one, and it becomes the host's current one; the one of the backup is out. Once per host
//! and restore: whoever comes second with another is a copy.

use crate::command::RejectionCode::WrongState;
use crate::command::access::{record, revoke_certificates};
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{ReadmitHost, Rejection};
use crate::state::{CertificateRecord, CertificateSubject, FleetState, Return};

impl Verb for ReadmitHost {
    fn name(&self) -> &'static str {
        "readmit-host"
    }

    fn object(&self) -> String {
        format!(
            "host {}, certificate {} of the time that the restore lost",
            self.host, self.shown.serial
        )
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let (host, shown) = (&self.host, &self.shown);
        let keys = state.hosts.get(host).and_then(|row| row.keys.as_ref());
        if keys.is_some_and(|keys| keys.serial == shown.serial && keys.spki == shown.spki) {
            return Ok(Change::NONE);
        }
        if state.may_return(host, shown, turn.now()) != Some(Return::Readmitted) {
            let accepted = "the first certificate that an enrolled host shows of the time between \
                            the backup and its restore";
            return Err(refuse(WrongState, "shown", &shown.serial, accepted));
        }
        let subject = CertificateSubject::Host(host.clone());
        revoke_certificates(state, &subject, Some(&shown.spki));
        if shown.not_after > turn.now() {
            let row = CertificateRecord {
                serial: shown.serial,
                subject,
                spki: shown.spki,
                issued_at: shown.issued_at,
                not_after: shown.not_after,
            };
            record(state, row, turn.now());
        }
        if let Some(keys) = state.hosts.get_mut(host).and_then(|row| row.keys.as_mut()) {
            (keys.serial, keys.spki) = (shown.serial, shown.spki);
        }
        if let Some(restored) = &mut state.restored {
            restored.readmitted.insert(host.clone());
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::CertificateSerial;
    use email_engine_protocol::id::Role;
    use email_engine_protocol::time::Timestamp;

    use crate::command::fixture::{Fleet, SECOND, host_id, host_token, recover, redeem, spki};
    use crate::command::{Command, Effect, IssueToken, ReadmitHost, RevokeCertificate};
    use crate::state::{Return, ShownCertificate};

    /// A fleet that was restored from a backup a minute old, and a certificate of the lost minute.
    fn restored() -> (Fleet, ShownCertificate) {
        let mut fleet = Fleet::with_identities(0);
        let shown = ShownCertificate {
            serial: CertificateSerial([70; 16]),
            spki: spki(70),
            issued_at: fleet.state.now.plus(20 * SECOND),
            not_after: fleet.state.now.plus(1000 * SECOND),
        };
        assert_eq!(fleet.refuse(readmit(&shown)).field, "shown", "not restored");
        fleet.wait(60 * SECOND);
        fleet.accept(recover(2, 2));
        (fleet, shown)
    }

    fn readmit(shown: &ShownCertificate) -> Command {
        Command::ReadmitHost(ReadmitHost {
            host: host_id("pmta1"),
            shown: shown.clone(),
        })
    }

    fn other(shown: &ShownCertificate) -> ShownCertificate {
        ShownCertificate {
            serial: CertificateSerial([71; 16]),
            spki: spki(71),
            ..shown.clone()
        }
    }

    #[test]
    fn a_host_comes_back_once_with_what_it_got_after_the_backup() {
        let (mut fleet, shown) = restored();
        let keys = |fleet: &Fleet| fleet.state.hosts[&host_id("pmta1")].keys.clone().unwrap();
        let before = keys(&fleet);
        assert_eq!(fleet.accept(readmit(&shown)).effect, Effect::Done);
        assert_eq!(keys(&fleet).serial, shown.serial);
        assert_eq!(keys(&fleet).report_key, before.report_key);
        assert!(fleet.state.certificates.contains_key(&shown.serial));
        assert!(fleet.state.revoked.contains(&before.serial));
        let entry = fleet.state.audit.last().unwrap();
        assert_eq!(entry.command, "readmit-host");
        assert_eq!(fleet.accept(readmit(&shown)).effect, Effect::Unchanged);
        let copy = other(&shown);
        assert_eq!(fleet.refuse(readmit(&copy)).field, "shown");
        let judged = fleet
            .state
            .may_return(&host_id("pmta1"), &copy, fleet.now());
        assert_eq!(judged, None, "it is told that it is a copy");
    }

    #[test]
    fn what_was_on_record_or_is_of_the_new_life_brings_nobody_back() {
        let (mut fleet, shown) = restored();
        let before_the_backup = ShownCertificate {
            not_after: fleet.state.restored.as_ref().unwrap().as_of,
            ..shown
        };
        fleet.refuse(readmit(&before_the_backup));
        let on_record = fleet.state.restored.as_ref().unwrap().on_record.clone();
        let replaced_since = ShownCertificate {
            serial: *on_record.first().unwrap(),
            ..shown
        };
        fleet.state.certificates.clear();
        let judged = |fleet: &Fleet, shown| {
            fleet
                .state
                .may_return(&host_id("pmta1"), shown, fleet.now())
        };
        assert_eq!(judged(&fleet, &replaced_since), None);
        let of_the_new_life = ShownCertificate {
            issued_at: fleet.now(),
            not_after: fleet.now().plus(SECOND),
            ..shown
        };
        fleet.wait(2 * SECOND);
        fleet.refuse(readmit(&of_the_new_life));
        // One that ended since, but was issued in the lost time, brings its host back.
        let ended = ShownCertificate {
            not_after: Timestamp(fleet.now().0 - SECOND),
            ..shown
        };
        fleet.accept(readmit(&ended));
        assert!(!fleet.state.certificates.contains_key(&ended.serial));
    }

    #[test]
    fn a_revoked_or_replaced_host_does_not_come_back() {
        let (fleet, shown) = restored();
        let mut revoked = fleet.clone();
        let keys = revoked.state.hosts[&host_id("pmta1")].keys.clone();
        let serial = keys.unwrap().serial;
        revoked.accept(Command::RevokeCertificate(RevokeCertificate { serial }));
        revoked.refuse(readmit(&shown));
        let mut replaced = fleet;
        replaced.accept(Command::IssueToken(IssueToken {
            replace: true,
            ..host_token("t9", "pmta1", Role::Powermta)
        }));
        replaced.accept(redeem("t9", 9));
        replaced.refuse(readmit(&shown));
    }

    #[test]
    fn a_host_that_came_after_the_backup_needs_a_token_and_is_not_revoked() {
        let (fleet, shown) = restored();
        let judged = fleet
            .state
            .may_return(&host_id("newcomer"), &shown, fleet.now());
        assert_eq!(judged, Some(Return::NeedsToken));
    }
}
