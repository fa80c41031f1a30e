//! The table of certificates and the list of revoked ones.

use std::sync::Arc;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::time::Timestamp;

use crate::command::Rejection;
use crate::command::RejectionCode::{Duplicate, Invalid};
use crate::command::refuse::refuse;
use crate::state::{CertificateRecord, CertificateSubject, FleetState, Host};

/// Whether a certificate of this serial and end may be recorded for the subject.
pub(super) fn may_record(state: &FleetState, record: &CertificateRecord) -> Result<(), Rejection> {
    if record.not_after <= record.issued_at {
        let accepted = format!("an end after {}", record.issued_at);
        return Err(refuse(Invalid, "not_after", &record.not_after, accepted));
    }
    let known = state.certificates.get(&record.serial);
    let taken = known.is_some_and(|k| k.subject != record.subject || k.spki != record.spki);
    if taken || state.revoked.contains(&record.serial) {
        return Err(refuse(
            Duplicate,
            "serial",
            &record.serial,
            "a serial that was never used",
        ));
    }
    Ok(())
}

/// Records it; those that ended go, the list of revoked ones stays whole.
pub(in crate::command) fn record(
    state: &mut FleetState,
    record: CertificateRecord,
    now: Timestamp,
) {
    state.certificates.retain(|_, row| row.not_after > now);
    state.certificates.insert(record.serial, Arc::new(record));
}

/// Revokes what the subject has, but for the certificates of one key. A host's current certificate is
/// among them also when it has ended and its row is gone: who holds its key may renew past its end.
pub(in crate::command) fn revoke_certificates(
    state: &mut FleetState,
    subject: &CertificateSubject,
    except: Option<&ContentHash>,
) {
    let on_record = state
        .certificates
        .values()
        .filter(|row| row.subject == *subject && Some(&row.spki) != except)
        .map(|row| row.serial);
    let keys = match subject {
        CertificateSubject::Host(host) => state.live_host(host).and_then(|host| host.keys.as_ref()),
        CertificateSubject::Node(_) => None,
    };
    let current = keys.filter(|keys| Some(&keys.spki) != except);
    let ended: Vec<_> = on_record.chain(current.map(|keys| keys.serial)).collect();
    state.revoked.extend(ended);
}

/// Whose certificate this is. A host's current one is known by its serial also when its row is gone.
pub(super) fn subject_of(
    state: &FleetState,
    serial: &CertificateSerial,
) -> Option<CertificateSubject> {
    if let Some(row) = state.certificates.get(serial) {
        return Some(row.subject.clone());
    }
    let is_current = |host: &Host| {
        host.keys
            .as_ref()
            .is_some_and(|keys| keys.serial == *serial)
    };
    let mut hosts = state.live_hosts();
    let found = hosts.find(|(_, host)| is_current(host));
    found.map(|(id, _)| CertificateSubject::Host(id.clone()))
}

/// A row as it is recorded now.
pub(super) const fn row(
    subject: CertificateSubject,
    spki: ContentHash,
    serial: CertificateSerial,
    not_after: Timestamp,
    now: Timestamp,
) -> CertificateRecord {
    CertificateRecord {
        serial,
        subject,
        spki,
        issued_at: now,
        not_after,
    }
}
