//! Verbs about what becomes of listed identities. Each is judged here, by the state and the rules of
//! [`crate::fleet::failover`]: whoever proposes it, and however many do, it happens once and only while it is
//! right. A leader that acts after its time proposes what is not taken.

mod brake;
mod breaker;
mod freeze;
mod promote;
mod record_held;
mod restrain;
mod search;
mod take_out;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

pub use brake::{PullBrake, ReleaseBrake};
pub use breaker::{OpenBreaker, ReleaseBreaker};
pub use freeze::{FreezeFailover, ThawFailover};
pub use promote::{Asked, PromoteIdentity};
pub use record_held::{RecordHeldCampaigns, ToldCampaign};
pub use restrain::RestrainIdentities;
pub use search::NoteSearch;
pub(crate) use search::is_to_be_said;
pub use take_out::TakeOut;

use crate::alerts::rules::{Event, IdentityEvent, Line, ListHit, Listing, OfIdentity, Remedy};
use crate::command::Rejection;
use crate::command::refuse::{not_found, text};
use crate::state::{FleetState, ListingEvent};

/// Most identities of one command.
pub(crate) const TOGETHER: usize = 1_000;
/// Most lists of one look.
const LISTS: usize = 64;
/// Campaigns that an alert of a listing names; one of their own names more.
const CAMPAIGNS: usize = 10;

/// Whether somebody said why, of a tenant that is there.
fn is_said(state: &FleetState, tenant: &TenantId, reason: &str) -> Result<(), Rejection> {
    text("reason", reason)?;
    match state.tenants.contains_key(tenant) {
        true => Ok(()),
        false => Err(not_found("tenant", tenant, "tenant")),
    }
}

/// People are told that lists have an identity, and what becomes of its mail.
fn tell_listed(state: &mut FleetState, event: &ListingEvent, remedy: Remedy, now: Timestamp) {
    let out = state
        .identities
        .get(&event.address)
        .and_then(|identity| identity.life.quarantine.as_ref());
    let until = out.map_or(event.at, crate::fleet::lifecycle::earliest_release);
    let lists = event.lists.iter().map(|(list, hit)| ListHit {
        list: Line::said(list),
        codes: hit.codes.iter().map(Line::said).collect(),
        meaning: Line::new(&hit.meaning),
    });
    let listed = state.identities.get(&event.address);
    let held = listed.into_iter().flat_map(|one| state.held_with(one));
    let campaigns = held.take(CAMPAIGNS).map(|(_, one)| one.label()).collect();
    let listing = Listing {
        lists: lists.collect(),
        remedy,
        until,
        campaigns,
    };
    tell(state, event.address, OfIdentity::Listed(listing), now);
}

fn tell(state: &mut FleetState, address: IpAddr, what: OfIdentity, now: Timestamp) {
    let Some(identity) = state.identities.get(&address) else {
        return;
    };
    let domain = identity.spec.domain.clone();
    let event = IdentityEvent {
        address,
        domain,
        what,
    };
    state.raise(Event::Identity(Box::new(event)), now);
}

/// Brings a tenant's identities in step with its breaker.
fn settle(state: &mut FleetState, tenant: &TenantId) {
    let own = state.identities_of(tenant);
    let wrong = own.filter_map(|identity| {
        let spec = &identity.spec;
        let paused = state.failover.pauses(tenant, spec.purpose);
        (identity.restraint.breaker != paused).then_some((spec.address, paused))
    });
    for (address, paused) in wrong.collect::<Vec<_>>() {
        if let Some(identity) = state.identities.get_mut(&address) {
            std::sync::Arc::make_mut(identity).restraint.breaker = paused;
        }
    }
}
