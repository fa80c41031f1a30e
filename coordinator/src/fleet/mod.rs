//! The rules of the fleet: what must hold after every command, each as a function of its own that reads
//! the tables and trusts nothing else. And who of them gets how much of the mail: [`divide`], [`warmup`],
//! [`selection`]; and when a key is changed: [`rotation`]. And what becomes of
//! a listed identity: [`failover`].

mod alerts;
mod consistency;
pub mod failover;
mod invariants;
pub mod lifecycle;
pub mod listing;
pub mod rotation;
pub mod selection;
mod shares;
pub mod warmup;
pub mod window;

pub use alerts::alerts_are_told_to_their_own;
pub use consistency::{
    every_reference_leads_somewhere, needed_bodies_are_counted, the_lookup_matches_the_tables,
};
pub use invariants::{
    a_pool_has_one_tenant_and_one_host, every_change_is_audited, every_key_is_one_identitys,
    every_name_is_one_identitys, no_brand_domain_sends, only_active_and_warming_take_mail,
    replay_gives_the_same_bytes, tenants_share_nothing,
};

use failover::failover_follows;
pub use shares::{Share, divide, takes_mail};

use crate::state::FleetState;

/// Rows up to which the full sweep after each command costs little.
const SMALL: usize = 1_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant `{invariant}` is broken: {what}")]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What breaks it.
    pub what: String,
}

/// Whether the state is small enough for [`check`] after every command.
#[must_use]
pub fn is_small(state: &FleetState) -> bool {
    state.identities.len() + state.prepared_keys.len() + state.audit.len() <= SMALL
}

/// What must hold of that which hosts are given: 1 to 6. Linear in the fleet, for the planner, which
/// trusts no command to have kept it.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check_before_planning(state: &FleetState) -> Result<(), Violation> {
    every_name_is_one_identitys(state)?;
    tenants_share_nothing(state)?;
    no_brand_domain_sends(state)?;
    a_pool_has_one_tenant_and_one_host(state)?;
    only_active_and_warming_take_mail(state)?;
    every_key_is_one_identitys(state)
}

/// The full sweep.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(state: &FleetState) -> Result<(), Violation> {
    check_before_planning(state)?;
    every_change_is_audited(state)?;
    replay_gives_the_same_bytes(state)?;
    the_lookup_matches_the_tables(state)?;
    needed_bodies_are_counted(state)?;
    every_reference_leads_somewhere(state)?;
    alerts_are_told_to_their_own(state)?;
    failover_follows(state)
}
