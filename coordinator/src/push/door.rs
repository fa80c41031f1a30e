//! Who is let in, by what the whole cluster knows. A machine of ours that is told that it is revoked
//! stops for good, so that word is never given on a state that may be behind; and a host whose
//! certificate a restore forgot is let in again.

use rustls_pki_types::CertificateDer;

use email_engine_protocol::id::HostId;
use email_engine_protocol::wire::{Refusal, RefusalCode};

use super::{Fleet, Push, now, proposal};
use crate::command::{Command, ReadmitHost};
use crate::pki::{self, Admitted, Credential, Denied};
use crate::state::{FleetState, Return, ShownCertificate};

/// What a host is told that enrolled after the backup.
pub(super) const NEEDS_TOKEN: &str = "this cluster was restored from a backup that is older than this host's \
                           enrolment: declare the host and give it a new join token";

/// Why somebody stays outside, and what it is told of that; strangers are told nothing.
pub(super) type TurnedAway = (Denied, Option<Refusal>);

/// Judges a new connection.
pub(super) async fn judge<F: Fleet>(
    push: &Push<F>,
    alpn: &[u8],
    chain: &[CertificateDer<'_>],
) -> Result<Admitted, TurnedAway> {
    let look = |state: &FleetState| pki::admit(alpn, chain, state, now());
    let denied = match push.fleet.view(look) {
        Ok(admitted) => return Ok(admitted),
        Err(denied) => denied,
    };
    if !denied.is_told() {
        return Err((denied, None));
    }
    if let Err(unsure) = caught_up(push).await {
        return Err((denied, Some(unsure)));
    }
    let denied = match push.fleet.view(look) {
        Ok(admitted) => return Ok(admitted),
        Err(denied) => denied,
    };
    let returning = push.fleet.view(|state| pki::returning(chain, state, now()));
    let told = match returning {
        None => refusal(RefusalCode::Revoked, denied.to_string()),
        Some((_, _, Return::NeedsToken)) => refusal(RefusalCode::Busy, NEEDS_TOKEN.to_owned()),
        Some((host, shown, Return::Readmitted)) => match readmit(push, &host, shown).await {
            Ok(()) => match push.fleet.view(look) {
                Ok(admitted) => return Ok(admitted),
                Err(denied) => refusal(RefusalCode::Busy, denied.to_string()),
            },
            Err(reason) => refusal(RefusalCode::Busy, reason),
        },
    };
    Err((denied, Some(told)))
}

/// Whether an open session may stay.
pub(super) async fn remains<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    credential: &Credential,
) -> Result<(), Refusal> {
    let look = |state: &FleetState| pki::remains(host, credential, state, now());
    if push.fleet.view(look).is_ok() {
        return Ok(());
    }
    caught_up(push).await?;
    push.fleet.view(look).map_err(|denied| match denied {
        Denied::Dates { .. } => refusal(RefusalCode::Busy, denied.to_string()),
        _ => refusal(RefusalCode::Revoked, denied.to_string()),
    })
}

/// Makes a certificate of the time that a restore lost the host's current one.
pub(super) async fn readmit<F: Fleet>(
    push: &Push<F>,
    host: &HostId,
    shown: ShownCertificate,
) -> Result<(), String> {
    tracing::warn!(%host, serial = %shown.serial, "its certificate is of the time that the restore lost: it is let in again");
    let command = Command::ReadmitHost(ReadmitHost {
        host: host.clone(),
        shown,
    });
    let reason = "its certificate is newer than the backup that was restored";
    let proposal = proposal(&push.fleet, format!("host {host}"), reason, command);
    match push.fleet.propose(proposal).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(rejection)) => Err(rejection.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// This node knows all that was committed; if it cannot find out, another may.
async fn caught_up<F: Fleet>(push: &Push<F>) -> Result<(), Refusal> {
    let read = push.fleet.linearize().await;
    read.map_err(|error| refusal(RefusalCode::NoLeader, error.to_string()))
}

fn refusal(code: RefusalCode, reason: String) -> Refusal {
    let comes_again = matches!(code, RefusalCode::Busy | RefusalCode::NoLeader);
    Refusal {
        code,
        reason,
        retry_after_millis: comes_again.then_some(1000),
    }
}
