//! A token lets a host's agent in.

use email_engine_protocol::id::{HostId, Role};

use super::certificate::{may_record, record, revoke_certificates, row};
use crate::command::RejectionCode::{Duplicate, Invalid, TokenUsed, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn};
use crate::command::{Bearer, RedeemToken, Rejection};
use crate::state::{
    CertificateRecord, CertificateSubject, FleetState, Host, HostKeys, HostLifecycle, Token,
    TokenState,
};

/// Longest name of a machine, in bytes.
const HOSTNAME_BYTES: usize = 255;

pub(super) fn redeem(
    state: &mut FleetState,
    redeem: &RedeemToken,
    token: &Token,
    (id, role): (&HostId, Role),
    turn: &Turn<'_>,
) -> Result<Change, Rejection> {
    let (keys, certificate) = shown(redeem, id, turn)?;
    let Some(host) = state.live_host(id).filter(|host| host.spec.role == role) else {
        return Err(not_found("host", id, "host of the token's role"));
    };
    let is_repeat = matches!(token.state, TokenState::Redeemed { .. });
    may_enroll(state, host, token, &keys)?;
    fits_cluster(state, &keys)?;
    is_no_other_hosts(state, id, &keys)?;
    may_record(state, &certificate)?;
    if is_repeat && state.certificates.contains_key(&keys.serial) {
        return Ok(Change::NONE);
    }
    let subject = CertificateSubject::Host(id.clone());
    revoke_certificates(state, &subject, Some(&keys.spki));
    record(state, certificate, turn.now());
    if !is_repeat {
        state.outcomes.remove(id);
    }
    if let Some(token) = state.tokens.get_mut(&redeem.id) {
        token.used_by = Some(redeem.shown());
        token.state = TokenState::Redeemed {
            spki: keys.spki,
            node: None,
        };
    }
    if let Some(host) = state.hosts.get_mut(id) {
        host.lifecycle = HostLifecycle::Enrolled;
        host.keys = Some(keys);
    }
    Ok(Change::DONE)
}

/// What the bearer showed.
fn shown(
    redeem: &RedeemToken,
    id: &HostId,
    turn: &Turn<'_>,
) -> Result<(HostKeys, CertificateRecord), Rejection> {
    let Bearer::Host {
        report_key,
        sealing_key,
        mode,
        serial,
        not_after,
        hostname,
    } = &redeem.bearer
    else {
        unreachable!("the caller matched a host")
    };
    at_most("hostname", hostname.len(), HOSTNAME_BYTES)?;
    let keys = HostKeys {
        serial: *serial,
        spki: redeem.spki,
        report_key: *report_key,
        sealing_key: *sealing_key,
        mode: *mode,
        enrolled_at: turn.now(),
    };
    let subject = CertificateSubject::Host(id.clone());
    Ok((
        keys,
        row(subject, redeem.spki, *serial, *not_after, turn.now()),
    ))
}

fn may_enroll(
    state: &FleetState,
    host: &Host,
    token: &Token,
    keys: &HostKeys,
) -> Result<(), Rejection> {
    let id = &host.spec.id;
    if matches!(token.state, TokenState::Redeemed { .. }) {
        let is_current = host.keys.as_ref().is_some_and(|current| {
            current.spki == keys.spki && !state.revoked.contains(&current.serial)
        });
        if is_current {
            return Ok(());
        }
        let accepted = "a new token: the key that this one let in was replaced or revoked since";
        return Err(refuse(TokenUsed, "token", &token.id, accepted));
    }
    match host.lifecycle {
        HostLifecycle::Declared => Ok(()),
        HostLifecycle::Enrolled if token.replace || is_same_machine(state, host, keys) => Ok(()),
        HostLifecycle::Enrolled => {
            let accepted = "a host without an agent, or a token that may replace it";
            Err(refuse(WrongState, "host", id, accepted))
        }
        HostLifecycle::Retiring { .. } | HostLifecycle::Retired => Err(refuse(
            WrongState,
            "host",
            id,
            "a host that is not being retired",
        )),
    }
}

/// The machine that has the identity shows a further token: it lost the answer to an earlier one. That
/// replaces nobody, and uses the token up.
fn is_same_machine(state: &FleetState, host: &Host, shown: &HostKeys) -> bool {
    host.keys.as_ref().is_some_and(|current| {
        current.spki == shown.spki
            && current.report_key == shown.report_key
            && current.sealing_key == shown.sealing_key
            && !state.revoked.contains(&current.serial)
    })
}

/// A production cluster refuses sandboxes, and the other way round.
fn fits_cluster(state: &FleetState, keys: &HostKeys) -> Result<(), Rejection> {
    let wanted = state.cluster.as_ref().map(|cluster| cluster.mode);
    if wanted.is_none_or(|wanted| wanted == keys.mode) {
        return Ok(());
    }
    let got = format!("{:?}", keys.mode).to_lowercase();
    Err(refuse(
        Invalid,
        "mode",
        &got,
        "an agent of the cluster's own mode",
    ))
}

/// A copied agent would show another host's keys.
fn is_no_other_hosts(state: &FleetState, id: &HostId, keys: &HostKeys) -> Result<(), Rejection> {
    let clone = state.live_hosts().find(|(other, host)| {
        *other != id
            && host.keys.as_ref().is_some_and(|theirs| {
                theirs.spki == keys.spki
                    || theirs.report_key == keys.report_key
                    || theirs.sealing_key == keys.sealing_key
            })
    });
    clone.map_or(Ok(()), |(other, _)| {
        let accepted = format!("keys of its own; host {other} has these: was it copied?");
        Err(refuse(Duplicate, "spki", &keys.spki, accepted))
    })
}
