//! What becomes of a life when an identity is added, comes back, or is declared anew.

use std::collections::BTreeSet;

use email_engine_protocol::api::{Cause, Check, IpSpec, IpStatus, Phase};

use super::{refused, remember};
use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::refuse;
use crate::command::verb::Turn;
use crate::fleet::lifecycle::{Preflight, Standing, declare};
use crate::state::{Declared, FleetState, Identity, Life};

/// The life of a new identity. One that is declared to stand elsewhere than on the bench is a running
/// installation that is taken over: no preflight is asked of what sends already, and its history says who
/// declared it.
pub(in crate::command::identity) fn begin(
    state: &FleetState,
    spec: &IpSpec,
    turn: &Turn<'_>,
) -> Result<Life, Rejection> {
    if spec.reserve && spec.status != IpStatus::Active {
        let accepted = "false, or status active: an identity is kept in reserve while it is active";
        return Err(refuse(Invalid, "reserve", &spec.reserve, accepted));
    }
    let mut life = Life::new(spec, turn.now());
    let on_the_bench = spec.status == IpStatus::Standby && spec.phase == Phase::Week1;
    let cause = match on_the_bench {
        true => Cause::Added,
        false => Cause::Declared,
    };
    let at = (state.revision + 1, turn);
    remember(&mut life, spec, None, cause, BTreeSet::new(), at);
    Ok(life)
}

/// It was removed and had not gone yet: it is what it was. Whoever is out stays out: a list does not
/// forget who was removed and added.
pub(in crate::command::identity) fn resume(
    state: &FleetState,
    was: &Identity,
    spec: &IpSpec,
    turn: &Turn<'_>,
) -> Result<(IpSpec, Life), Rejection> {
    let mut spec = spec.clone();
    let mut life = was.life.clone();
    let declared = Declared::of(&spec);
    if was.spec.status == IpStatus::Quarantine {
        spec.status = was.spec.status;
        spec.reserve = false;
    } else {
        life = Life {
            history: life.history,
            forgotten: life.forgotten,
            checks: life.checks,
            last_sent: life.last_sent,
            sent_ever: life.sent_ever,
            ..begin(state, &spec, turn)?
        };
    }
    life.declared = declared;
    let at = (state.revision + 1, turn);
    let cause = Cause::Returned;
    let from = Some(IpStatus::Retiring);
    remember(&mut life, &spec, from, cause, BTreeSet::new(), at);
    Ok((spec, life))
}

/// An identity that is there is declared to stand elsewhere: by an edge that an operator may take, or not
/// at all.
pub(in crate::command::identity) fn redeclare(
    state: &FleetState,
    current: &Identity,
    spec: &IpSpec,
    turn: &Turn<'_>,
) -> Result<(IpSpec, Life), Rejection> {
    let (was, wanted) = (Declared::of(&current.spec), Declared::of(spec));
    let (mut spec, mut life) = (spec.clone(), current.life.clone());
    forget_checks(&mut life, &current.spec, &spec);
    if was == wanted {
        return Ok((spec, life));
    }
    let standing = Standing::of(current);
    let preflight = Preflight::of(&life.checks, turn.now());
    let turned = declare(&standing, wanted, turn.now(), &preflight);
    turned
        .map_err(|refusal| refused(&refusal))?
        .standing
        .put(&mut spec, &mut life);
    // Only what is said anew is what was said last.
    let said = &mut life.declared;
    if wanted.status != was.status {
        said.status = wanted.status;
    }
    if wanted.phase != was.phase {
        said.phase = wanted.phase;
    }
    if wanted.reserve != was.reserve {
        said.reserve = wanted.reserve;
    }
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
