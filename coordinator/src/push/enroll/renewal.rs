//! A host whose certificate is past its end, or whose clock is broken: its current key signs this
//! connection's exporter. A key that was replaced already has a second user, who is refused and
//! named.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;

use email_engine_protocol::enroll::{
    EnrollRefusal, EnrollReply, ExpiredRenewal, HostAdmission, renewal_message,
};
use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use super::host::issue_current;
use super::{Refused, authority, commit, entropy, malformed, parse, unavailable};
use crate::command::{Command, RenewCertificate};
use crate::pki::issue::Request;
use crate::pki::{Credential, Peer, Term, verify};
use crate::push::dispatch::coordinators;
use crate::push::{Fleet, Push, door, now};
use crate::state::{CertificateSubject, FleetState, HostLifecycle, Return};

pub(super) async fn renew<F: Fleet>(
    push: &Push<F>,
    renewal: &ExpiredRenewal,
    exporter: &[u8; 32],
) -> Result<EnrollReply, Refused> {
    if renewal.certificate.len() > limits::CERTIFICATE_BYTES {
        return Err(malformed("the certificate is too large"));
    }
    let request = parse(&renewal.request)?;
    let (record, authority) = authority(push)?;
    let leaf = CertificateDer::from(renewal.certificate.as_slice());
    let (root, intermediate) = (authority.root(), authority.intermediate());
    let credential = verify::past_end(record.id, root, intermediate, &leaf).map_err(malformed)?;
    let message = renewal_message(exporter, &renewal.request);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &credential.point)
        .verify(&message, &renewal.proof)
        .map_err(|_| malformed("the proof is not by the certificate's key on this connection"))?;
    let Peer::Host(host) = &credential.peer else {
        return Err(malformed("only hosts renew here"));
    };
    push.fleet.linearize().await.map_err(unavailable)?;
    let shown = credential.shown();
    match push
        .fleet
        .view(|state| state.may_return(host, &shown, now()))
    {
        None => {}
        Some(Return::NeedsToken) => return Err(unavailable(door::NEEDS_TOKEN)),
        Some(Return::Readmitted) => door::readmit(push, host, shown)
            .await
            .map_err(unavailable)?,
    }
    let role = push
        .fleet
        .view(|state| judge(state, host, &credential, &request))?;
    let term = Term::fresh(now(), push.certificate_life, &entropy(&SystemRandom::new()));
    let command = Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Host(host.clone()),
        current_spki: credential.spki,
        spki: request.spki(),
        serial: term.serial,
        not_after: term.not_after,
    });
    let actor = format!("host {host}");
    commit(push, actor, "renews past its end", command).await?;
    let issued = issue_current(push, &authority, host, &request)?;
    tracing::info!(%host, serial = %issued.serial, "certificate renewed past its end");
    let plan_key = record.plan_keys.last_key_value();
    let plan_key = plan_key
        .map(|(_, key)| key.grant.clone())
        .ok_or_else(|| unavailable("the cluster has no plan key"))?;
    Ok(EnrollReply::Host(Box::new(HostAdmission {
        cluster: record.id,
        host: host.clone(),
        role,
        chain: issued.chain,
        root: record.root,
        recovery: record.recovery,
        plan_key,
        epoch: record.epoch,
        coordinators: push.fleet.view(coordinators),
    })))
}

/// Renewals of one host within an hour. Each is an entry in the log, and an agent asks for one in
/// days.
const RENEWALS: usize = 12;
/// What a host that renews too often is told.
pub(in crate::push) const TOO_OFTEN: &str = "this host renewed too often of late";

/// Whether a host has had so many certificates of late that it gets no further one now.
pub(in crate::push) fn renews_too_often(state: &FleetState, host: &HostId, now: Timestamp) -> bool {
    let subject = CertificateSubject::Host(host.clone());
    let certificates = state.certificates.values();
    let fresh = certificates
        .filter(|row| row.subject == subject && now.since(row.issued_at) < Timestamp::HOUR)
        .count();
    fresh >= RENEWALS
}

fn judge(
    state: &FleetState,
    host: &HostId,
    credential: &Credential,
    request: &Request,
) -> Result<Role, Refused> {
    let refuse = |reason: String| Err((EnrollRefusal::Revoked, reason));
    if state.revoked.contains(&credential.serial) {
        return refuse(format!("certificate {} is revoked", credential.serial));
    }
    let Some(row) = state.hosts.get(host) else {
        return refuse(format!("host {host} is not declared"));
    };
    let living = matches!(
        row.lifecycle,
        HostLifecycle::Enrolled | HostLifecycle::Retiring { .. }
    );
    let Some(keys) = row.keys.as_ref().filter(|_| living) else {
        return refuse(format!("host {host} is not enrolled"));
    };
    if renews_too_often(state, host, now()) {
        return Err(unavailable(TOO_OFTEN));
    }
    if credential.spki == request.spki() {
        return Err(malformed("a renewal must bring a new key"));
    }
    if keys.spki == credential.spki || keys.spki == request.spki() {
        Ok(row.spec.role)
    } else {
        tracing::warn!(%host, shown = %credential.serial, current = %keys.serial, "a second user of an old key: is the machine a copy?");
        refuse(format!(
            "the key of host {host} was replaced by another machine: is this one a copy?"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use email_engine_protocol::bytes::{CertificateSerial, ContentHash};

    use super::*;
    use crate::state::CertificateRecord;

    #[test]
    fn a_host_that_renews_without_end_waits_an_hour_and_no_other_does() {
        let (busy, calm) = (HostId::new("a").unwrap(), HostId::new("b").unwrap());
        let mut state = FleetState::default();
        let at = Timestamp(10 * Timestamp::HOUR);
        for number in 0..RENEWALS {
            assert!(!renews_too_often(&state, &busy, at));
            let serial = CertificateSerial([u8::try_from(number).unwrap(); 16]);
            let record = CertificateRecord {
                serial,
                subject: CertificateSubject::Host(busy.clone()),
                spki: ContentHash::of(&serial.0),
                issued_at: at,
                not_after: at.plus(Timestamp::DAY),
            };
            state.certificates.insert(serial, Arc::new(record));
        }
        assert!(renews_too_often(&state, &busy, at));
        assert!(!renews_too_often(&state, &calm, at));
        assert!(!renews_too_often(&state, &busy, at.plus(Timestamp::HOUR)));
    }
}
