//! A new host redeems its token.

use ring::rand::SystemRandom;

use email_engine_protocol::enroll::{EnrollRefusal, EnrollReply, HostAdmission, HostEnrollment};
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::{Admission, hash_secret};
use email_engine_protocol::observed::Mode;

use super::{Refused, admission, authority, commit, entropy, not_issued, parse, unknown};
use crate::command::{Bearer, Command, RedeemToken};
use crate::pki::issue::Request;
use crate::pki::{Authority, Issued, Term};
use crate::push::dispatch::coordinators;
use crate::push::{Fleet, Push, now};
use crate::state::ClusterRecord;

/// Longest name of a machine that is kept for the audit.
const HOSTNAME_CHARS: usize = 253;

pub(super) async fn redeem<F: Fleet>(
    push: &Push<F>,
    enrollment: HostEnrollment,
) -> Result<EnrollReply, Refused> {
    let request = parse(&enrollment.request)?;
    let admitted = admission(push, &enrollment.token, &enrollment.secret, &request).await?;
    let Admission::Host { host, role } = admitted else {
        return Err(unknown());
    };
    let (record, authority) = authority(push)?;
    right_mode(&record, enrollment.mode)?;
    let random = SystemRandom::new();
    let term = Term::fresh(now(), &entropy(&random));
    let command = Command::RedeemToken(Box::new(RedeemToken {
        id: enrollment.token,
        secret: hash_secret(&enrollment.secret.0),
        spki: request.spki(),
        bearer: Bearer::Host {
            report_key: enrollment.report_key,
            sealing_key: enrollment.sealing_key,
            mode: enrollment.mode,
            serial: term.serial,
            not_after: term.not_after,
            hostname: enrollment.hostname.chars().take(HOSTNAME_CHARS).collect(),
        },
    }));
    commit(push, format!("host {host}"), "a machine enrols", command).await?;
    let issued = issue_current(push, &authority, &host, &request)?;
    tracing::info!(%host, serial = %issued.serial, "host enrolled");
    let plan_key = record
        .plan_keys
        .last_key_value()
        .map(|(_, key)| key.grant.clone())
        .ok_or_else(|| super::unavailable("the cluster has no plan key"))?;
    Ok(EnrollReply::Host(Box::new(HostAdmission {
        cluster: record.id,
        host,
        role,
        chain: issued.chain,
        root: record.root,
        recovery: record.recovery,
        plan_key,
        epoch: record.epoch,
        coordinators: push.fleet.view(coordinators),
    })))
}

/// Issues the certificate that the state has on record for this key. When the answer to an earlier
/// request was lost, that is the earlier one: same serial, same end, same key.
pub(super) fn issue_current<F: Fleet>(
    push: &Push<F>,
    authority: &Authority,
    host: &HostId,
    request: &Request,
) -> Result<Issued, Refused> {
    let term = current_term(push, host, request).ok_or_else(|| {
        let reason = format!("the key of host {host} was replaced meanwhile");
        (EnrollRefusal::Revoked, reason)
    })?;
    authority
        .issue_host(request, host, term)
        .map_err(not_issued)
}

/// Number and dates that the state has on record for the key of this request.
pub(in crate::push) fn current_term<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    request: &Request,
) -> Option<Term> {
    push.fleet.view(|state| {
        let keys = state.hosts.get(host)?.keys.as_ref()?;
        let record = state.certificates.get(&keys.serial)?;
        (keys.spki == request.spki()).then(|| Term::of(record.serial, record.not_after))
    })
}

fn right_mode(record: &ClusterRecord, mode: Mode) -> Result<(), Refused> {
    let reason = match (record.mode, mode) {
        (Mode::Real, Mode::Sandbox) => "a production cluster takes no sandboxes",
        (Mode::Sandbox, Mode::Real) => "a trial cluster takes no real machines",
        _ => return Ok(()),
    };
    Err((EnrollRefusal::WrongMode, reason.to_owned()))
}
