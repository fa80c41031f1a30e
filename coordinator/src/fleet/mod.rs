//! The rules of the fleet: what must hold after every command, each as a function of its own that reads
//! the tables and trusts nothing else. And who of them gets how much of the mail: [`divide`], [`warmup`],
//! [`selection`]; and when a key is changed: [`rotation`]. And what becomes of
//! a listed identity: [`failover`].

mod alerts;
mod consistency;
pub mod failover;
mod invariants;
mod keys;
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
    a_pool_has_one_tenant_and_one_host, every_change_is_audited, every_name_is_one_identitys,
    no_brand_domain_sends, only_active_and_warming_take_mail, replay_gives_the_same_bytes,
    tenants_share_nothing,
};

use failover::failover_follows;
pub use keys::every_key_is_one_identitys;
use keys::every_other_secret_is_its_owners;
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
/// trusts no command to have kept it. What reads no other tables than in `held`, a state in which all of this
/// held, is not looked at again.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check_before_planning(
    held: Option<&FleetState>,
    state: &FleetState,
) -> Result<(), Violation> {
    let same = |is_same: fn(&FleetState, &FleetState) -> bool| {
        held.is_some_and(|held| is_same(held, state))
    };
    let identities = same(|was, is| was.identities.is_copy_of(&is.identities));
    let names = identities && same(|was, is| was.leaving.is_copy_of(&is.leaving));
    let hosts = same(|was, is| was.hosts.is_copy_of(&is.hosts));
    let tenants = same(|was, is| was.tenants.is_copy_of(&is.tenants));
    let pools = same(|was, is| was.pools.is_copy_of(&is.pools));
    let secrets = same(|was, is| {
        was.secrets.is_copy_of(&is.secrets)
            && was.prepared_keys.is_copy_of(&is.prepared_keys)
            && was
                .submission_certificates
                .is_copy_of(&is.submission_certificates)
    });
    type Check = fn(&FleetState) -> Result<(), Violation>;
    let checks: [(bool, Check); 5] = [
        (names, every_name_is_one_identitys),
        (names && hosts && tenants, tenants_share_nothing),
        (names && tenants, no_brand_domain_sends),
        (
            identities && hosts && pools,
            a_pool_has_one_tenant_and_one_host,
        ),
        (identities, only_active_and_warming_take_mail),
    ];
    let mut due = checks.iter().filter(|(is_same, _)| !is_same);
    due.try_for_each(|(_, check)| check(state))?;
    match held {
        Some(_) if names && hosts && tenants && secrets => Ok(()),
        Some(held) if names => every_other_secret_is_its_owners(held, state),
        _ => every_key_is_one_identitys(state),
    }
}

/// The full sweep.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(state: &FleetState) -> Result<(), Violation> {
    check_before_planning(None, state)?;
    every_change_is_audited(state)?;
    replay_gives_the_same_bytes(state)?;
    the_lookup_matches_the_tables(state)?;
    needed_bodies_are_counted(state)?;
    every_reference_leads_somewhere(state)?;
    alerts_are_told_to_their_own(state)?;
    failover_follows(state)
}
