//! Verbs about the warm-up: what the evidence of a day came to, and what operators say.

mod pause;
mod record_foreign;
mod record_quotas;
mod resume;
mod stop;
mod tick;

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::{WarmupPlan, WarmupSettings};
use email_engine_protocol::time::Timestamp;

pub use pause::PauseWarmup;
pub use record_foreign::RecordForeignPlans;
pub use record_quotas::RecordQuotas;
pub use resume::ResumeWarmup;
pub use stop::StopWarmup;
pub use tick::{TickWarmup, Ticked};

use crate::alerts::rules::{Event, IdentityEvent, OfIdentity};
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{not_found, refuse};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity};

/// Most lines that are given as reasons, and most receivers that are told apart.
const REASONS: usize = 8;
const GROUPS: usize = 100;

/// An identity that takes mail, or would if it were not stopped: the others have no warm-up that could be
/// slowed.
fn sending(state: &FleetState, address: IpAddr) -> Result<&Arc<Identity>, Rejection> {
    use email_engine_protocol::api::IpStatus::{Active, Warming};
    let Some(identity) = state.identities.get(&address) else {
        return Err(not_found("address", &address, "identity"));
    };
    if !matches!(identity.spec.status, Active | Warming) {
        let accepted = "an identity that is active or warming";
        return Err(refuse(WrongState, "address", &address, accepted));
    }
    Ok(identity)
}

/// People are told of an identity that is there.
pub(in crate::command::identity) fn tell(
    state: &mut FleetState,
    address: IpAddr,
    what: OfIdentity,
    now: Timestamp,
) {
    let Some(identity) = state.identities.get(&address) else {
        return;
    };
    let event = IdentityEvent {
        address,
        domain: identity.spec.domain.clone(),
        what,
    };
    state.raise(Event::Identity(Box::new(event)), now);
}

/// Changes the plan of an identity that is there.
fn change(
    state: &mut FleetState,
    address: IpAddr,
    change: impl FnOnce(&mut WarmupPlan, &WarmupSettings),
) {
    let tenant = state
        .identities
        .get(&address)
        .map(|it| it.spec.tenant.clone());
    let settings = tenant.map(|tenant| warmup::settings_of(state, &tenant));
    if let (Some(identity), Some(settings)) = (state.identities.get_mut(&address), settings) {
        change(&mut Arc::make_mut(identity).warmup, &settings);
    }
}
