//! What becomes of a life when an identity is added, comes back, or is declared anew.

use std::collections::BTreeSet;

use email_engine_protocol::api::{Cause, Check, IpSpec, IpStatus, Phase};
use email_engine_protocol::time::Timestamp;

use super::{refused, remember};
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::refuse;
use crate::command::verb::Turn;
use crate::command::{AddIdentity, ChangeIdentity, Rejection};
use crate::fleet::lifecycle::{Standing, declare};
use crate::fleet::listing::preflight;
use crate::state::{Declared, FleetState, Identity, Life};

/// The life of a new identity, and where it stands. One that is declared to stand elsewhere than on the
/// bench is a running installation that is taken over: no preflight is asked of what sends already, and its
/// history says who declared it. One whose address left in quarantine is in quarantine.
pub(in crate::command::identity) fn begin(
    state: &FleetState,
    add: &AddIdentity,
    turn: &Turn<'_>,
) -> Result<(IpSpec, Life), Rejection> {
    let mut spec = add.ip.clone();
    let mut life = enters(add, turn.now())?;
    let on_the_bench = spec.status == IpStatus::Standby && spec.phase == Phase::Week1;
    let (from, cause) = match (hold(state, &mut spec, &mut life, turn.now()), on_the_bench) {
        (true, _) => (Some(IpStatus::Retiring), Cause::Returned),
        (false, true) => (None, Cause::Added),
        (false, false) => (None, Cause::Declared),
    };
    let at = (state.revision + 1, turn);
    remember(&mut life, &spec, from, cause, BTreeSet::new(), at);
    Ok((spec, life))
}

fn enters(add: &AddIdentity, now: Timestamp) -> Result<Life, Rejection> {
    let spec = &add.ip;
    if spec.reserve && spec.status != IpStatus::Active {
        let accepted = "false, or status active: an identity is kept in reserve while it is active";
        return Err(refuse(Invalid, "reserve", &spec.reserve, accepted));
    }
    Ok(Life {
        said: add.said,
        ..Life::new(spec, now)
    })
}

/// Whoever was out when it left is out, as it was then: a list does not forget who was removed and added.
fn hold(state: &FleetState, spec: &mut IpSpec, life: &mut Life, now: Timestamp) -> bool {
    let held = state.held.of(spec.address, now);
    let Some((out, since)) = held.and_then(|held| held.quarantine.clone()) else {
        return false;
    };
    (spec.status, spec.reserve) = (IpStatus::Quarantine, false);
    (life.quarantine, life.since, life.sent_ever) = (Some(out), since, true);
    true
}

/// It was removed and had not gone yet: it is what it was, and stands where it is declared to. What it
/// reached stays its own, unless another phase is said.
pub(in crate::command::identity) fn resume(
    state: &FleetState,
    was: &Identity,
    add: &AddIdentity,
    turn: &Turn<'_>,
) -> Result<(IpSpec, Life), Rejection> {
    let mut spec = add.ip.clone();
    let entered = enters(add, turn.now())?;
    let sends = |spec: &IpSpec| matches!(spec.status, IpStatus::Active | IpStatus::Warming);
    let idle_from = match sends(&was.spec) || sends(&spec) {
        true => entered.idle_from,
        false => was.life.idle_from,
    };
    let before = was.life.clone();
    let mut life = Life {
        history: before.history,
        forgotten: before.forgotten,
        checks: before.checks,
        last_sent: before.last_sent,
        sent_ever: before.sent_ever,
        idle_from,
        ..entered
    };
    forget_checks(&mut life, &was.spec, &spec);
    let is_held = hold(state, &mut spec, &mut life, turn.now());
    if is_held || add.said.phase.is_none() {
        spec.phase = was.warmup.phase;
    }
    if spec.status == IpStatus::Warming {
        spec.phase = spec.phase.min(Phase::Week6);
    }
    let at = (state.revision + 1, turn);
    let cause = Cause::Returned;
    let from = Some(IpStatus::Retiring);
    remember(&mut life, &spec, from, cause, BTreeSet::new(), at);
    Ok((spec, life))
}

/// An identity that is there is declared to stand elsewhere: by an edge that an operator may take, or not
/// at all. What the file said of it in its own words is what was said last.
pub(in crate::command::identity) fn redeclare(
    state: &FleetState,
    current: &Identity,
    change: &ChangeIdentity,
    turn: &Turn<'_>,
) -> Result<(IpSpec, Life), Rejection> {
    let spec = &change.ip;
    let (was, wanted) = (Declared::of(&current.spec), Declared::of(spec));
    let (mut spec, mut life) = (spec.clone(), current.life.clone());
    life.said = life.said.with(change.said);
    forget_checks(&mut life, &current.spec, &spec);
    if was == wanted {
        return Ok((spec, life));
    }
    let standing = Standing::of(current);
    let preflight = preflight(state, current, &life.checks, turn.now());
    let turned = declare(&standing, wanted, turn.now(), &preflight);
    turned
        .map_err(|refusal| refused(&refusal))?
        .standing
        .put(&mut spec, &mut life);
    let (from, at) = (Some(was.status), (state.revision + 1, turn));
    remember(&mut life, &spec, from, Cause::Declared, BTreeSet::new(), at);
    Ok((spec, life))
}

/// What was seen of another name, key or host says nothing of this one.
fn forget_checks(life: &mut Life, was: &IpSpec, is: &IpSpec) {
    let names = |spec: &IpSpec| {
        let IpSpec {
            domain, hostname, ..
        } = spec;
        (domain.clone(), hostname.clone())
    };
    if names(was) != names(is) {
        use Check::{A, Dmarc, Ptr, Spf};
        life.checks
            .retain(|check, _| !matches!(check, A | Dmarc | Ptr | Spf));
    }
    if (&was.domain, &was.selector) != (&is.domain, &is.selector) {
        life.checks.remove(&Check::Dkim);
    }
    if was.host != is.host {
        life.checks.remove(&Check::Address);
    }
}
