//! Which identity sends the next mail of a tenant for a purpose, and which ones a whole campaign.
//!
//! [`Rotation`] is what one node remembers of one tenant and purpose: whose turn it is and what it gave out
//! lately. The rest comes from the applied state and the counts with every call, so that any node can answer.
//! Nodes do not know of each other's choices until agents report what was sent; until then an identity may
//! be given a little more than its quota, and the quotas of the application and of PowerMTA hold all the same.

mod cover;
mod rotation;
mod turns;

use std::net::IpAddr;

use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, Identity, Keys};

pub use cover::{Cover, cover};
pub use rotation::{Candidate, Rotation, Used};

/// Why nobody is chosen. Never does somebody with another purpose stand in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NobodyLeft {
    /// Nobody has this purpose.
    #[error(
        "tenant {tenant} has no identity for purpose {purpose} that is active or warming{stopped}"
    )]
    Purpose {
        /// Whose.
        tenant: TenantId,
        /// Which.
        purpose: &'static str,
        /// What is said of those that were stopped.
        stopped: String,
    },
    /// All have sent what they may today.
    #[error(
        "all {count} identities of tenant {tenant} for purpose {purpose} have used their day's quota; it \
         returns at {returns}"
    )]
    Quota {
        /// Whose.
        tenant: TenantId,
        /// Which.
        purpose: &'static str,
        /// How many.
        count: usize,
        /// When.
        returns: Timestamp,
    },
}

/// The word for a purpose.
#[must_use]
pub const fn purpose_word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Autoresponder => "autoresponder",
        Purpose::Marketing => "marketing",
        Purpose::Newsletter => "newsletter",
        Purpose::Notification => "notification",
        Purpose::Transactional => "transactional",
    }
}

/// The identities of a tenant for a purpose, in order of address, whatever their status.
pub fn of_purpose<'a>(
    state: &'a FleetState,
    tenant: &TenantId,
    purpose: Purpose,
) -> impl Iterator<Item = &'a Identity> {
    let addresses = state.lookup.purposes.get(tenant);
    let addresses = addresses.and_then(|purposes| purposes.get(&purpose));
    let found = |address: &IpAddr| state.identities.get(address).map(|found| &**found);
    addresses.into_iter().flat_map(Keys::iter).filter_map(found)
}

/// Those of them that may be chosen, with what each has used, as the caller knows it.
///
/// # Errors
/// When there is none, whatever its quota.
pub fn candidates(
    state: &FleetState,
    tenant: &TenantId,
    purpose: Purpose,
    used: impl Fn(IpAddr) -> Used,
) -> Result<Vec<Candidate>, NobodyLeft> {
    let all = of_purpose(state, tenant, purpose);
    let found: Vec<Candidate> = all
        .filter(|identity| identity.takes_mail() && identity.weight() > 0)
        .map(|identity| Candidate {
            address: identity.spec.address,
            weight: identity.weight(),
            quota: identity.daily_quota(),
            used: used(identity.spec.address),
        })
        .collect();
    if found.is_empty() {
        return Err(nobody(state, tenant, purpose));
    }
    Ok(found)
}

fn nobody(state: &FleetState, tenant: &TenantId, purpose: Purpose) -> NobodyLeft {
    let sends = |one: &&Identity| {
        let status = one.spec.status;
        matches!(status, IpStatus::Active | IpStatus::Warming)
    };
    let stopped = of_purpose(state, tenant, purpose).filter(sends).count();
    let stopped = match stopped {
        0 => String::new(),
        count => format!("; {count} are stopped (`email-engine explain ip ADDRESS` says why)"),
    };
    NobodyLeft::Purpose {
        tenant: tenant.clone(),
        purpose: purpose_word(purpose),
        stopped,
    }
}

/// When a day's quota returns: at the next midnight, UTC.
#[must_use]
pub fn returns_at(now: Timestamp) -> Timestamp {
    Timestamp(
        (now.0 / Timestamp::DAY)
            .saturating_add(1)
            .saturating_mul(Timestamp::DAY),
    )
}
