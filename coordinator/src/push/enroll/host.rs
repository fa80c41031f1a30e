//! A new host redeems its token. Repeating that with the same key gives the certificate that is on
//! record already, and no log entry, while that one has more than half of its life before it.

use std::net::SocketAddr;

use ring::rand::SystemRandom;

use email_engine_protocol::enroll::{EnrollRefusal, EnrollReply, HostAdmission, HostEnrollment};
use email_engine_protocol::id::HostId;
use email_engine_protocol::join::{Admission, hash_secret};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use super::{Refused, admission, authority, commit, entropy, not_issued, parse, unknown};
use crate::command::{Bearer, Command, RedeemToken};
use crate::pki::issue::Request;
use crate::pki::{Authority, Issued, Term};
use crate::push::dispatch::coordinators;
use crate::push::{Fleet, Push, now};
use crate::state::{CertificateRecord, ClusterRecord, FleetState, HostLifecycle, TokenState};

/// Longest name of a machine that is kept for the audit.
const HOSTNAME_CHARS: usize = 253;

pub(super) async fn redeem<F: Fleet>(
    push: &Push<F>,
    enrollment: HostEnrollment,
    from: SocketAddr,
) -> Result<EnrollReply, Refused> {
    let request = parse(&enrollment.request)?;
    let admitted = admission(push, &enrollment.token, &enrollment.secret, &request, from).await?;
    let Admission::Host { host, role } = admitted else {
        return Err(unknown());
    };
    let (record, authority) = authority(push)?;
    right_mode(&record, enrollment.mode)?;
    if !is_repeat(push, &host, &enrollment, &request).await? {
        let asked = (&host, &request);
        commit_redemption(push, asked, enrollment, from).await?;
    }
    let issued = issue_current(push, &authority, &host, &request)?;
    tracing::info!(%host, serial = %issued.serial, %from, "host enrolled");
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

async fn commit_redemption<F: Fleet>(
    push: &Push<F>,
    (host, request): (&HostId, &Request),
    enrollment: HostEnrollment,
    from: SocketAddr,
) -> Result<(), Refused> {
    let random = SystemRandom::new();
    let term = Term::fresh(now(), push.certificate_life, &entropy(&random));
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
        from: from.to_string(),
    }));
    commit(push, format!("host {host}"), "a machine enrols", command).await?;
    Ok(())
}

/// Whether this is the bearer of before, whose certificate is still good for long. It lost the answer,
/// or starts again: the state has all that the answer needs.
async fn is_repeat<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    enrollment: &HostEnrollment,
    request: &Request,
) -> Result<bool, Refused> {
    let look = |state: &FleetState| repeats(state, host, enrollment, request, now());
    if !push.fleet.view(look) {
        return Ok(false);
    }
    // This node may be behind, and the host revoked or replaced meanwhile.
    push.fleet.linearize().await.map_err(super::unavailable)?;
    Ok(push.fleet.view(look))
}

fn repeats(
    state: &FleetState,
    host: &HostId,
    enrollment: &HostEnrollment,
    request: &Request,
    now: Timestamp,
) -> bool {
    // Another token than the one that let it in is not used yet: whoever has it could still use it.
    let used = TokenState::Redeemed {
        spki: request.spki(),
        node: None,
    };
    let token = state.tokens.get(&enrollment.token);
    if token.is_none_or(|token| token.state != used) {
        return false;
    }
    let Some(host) = state.hosts.get(host) else {
        return false;
    };
    let Some(keys) = host.keys.as_ref().filter(|keys| {
        host.lifecycle == HostLifecycle::Enrolled
            && keys.spki == request.spki()
            && keys.report_key == enrollment.report_key
            && keys.sealing_key == enrollment.sealing_key
            && keys.mode == enrollment.mode
            && !state.revoked.contains(&keys.serial)
    }) else {
        return false;
    };
    let record = state.certificates.get(&keys.serial);
    record.is_some_and(|record| is_young(record, now))
}

/// More than half of its life is before it.
pub(super) fn is_young(record: &CertificateRecord, now: Timestamp) -> bool {
    now < Timestamp(record.issued_at.0.midpoint(record.not_after.0))
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
        (keys.spki == request.spki()).then(|| Term::recorded(record))
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
