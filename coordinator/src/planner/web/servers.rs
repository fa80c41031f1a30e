//! Delivery servers that take no mail, for the campaigns of a tenant's MailWizz.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::{TenantId, VmtaName};
use serde::Serialize;

use crate::state::{FleetState, Identity, ListingEvent, Search};

/// Most places that one took after another.
const HEIRS: usize = 32;

/// They are called after virtual MTAs.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::planner) struct ServerValues {
    /// Those that take no new mail, for a while or for good.
    out: BTreeSet<VmtaName>,
    /// Those among them that do not come back soon, listed or on their way out of the fleet, and whose place
    /// nobody is sought for any more: they leave campaigns that others send.
    lost: BTreeSet<VmtaName>,
    /// Who takes mail in the place of one that is lost.
    heirs: BTreeMap<VmtaName, VmtaName>,
}

impl ServerValues {
    /// Those of a tenant.
    pub(in crate::planner) fn of(state: &FleetState, tenant: &TenantId) -> Self {
        let mut values = Self::default();
        // By address; the last event of an address is the one that counts.
        let own = state.failover.events.iter();
        let own = own.filter(|(_, event)| event.tenant == *tenant);
        let last: BTreeMap<IpAddr, &ListingEvent> =
            own.map(|(_, event)| (event.address, &**event)).collect();
        for identity in state.identities_of(tenant) {
            if identity.takes_mail() {
                continue;
            }
            let name = &identity.spec.vmta;
            values.out.insert(name.clone());
            if !is_lost(identity) {
                continue;
            }
            let search = behind(&last, identity).map(|event| &event.search);
            let heir = heir(state, tenant, identity, &last);
            if search.is_none_or(|search| !search.is_open()) && heir != Heir::Waits {
                values.lost.insert(name.clone());
            }
            if let Heir::Is(heir) = heir {
                values.heirs.insert(name.clone(), heir.clone());
            }
        }
        values
    }
}

/// Who took a place.
#[derive(Debug, PartialEq, Eq)]
enum Heir<'a> {
    /// It takes mail.
    Is(&'a VmtaName),
    /// It takes none for a while: until it does, what is lost stays where it is.
    Waits,
    /// Nobody that is there.
    Nobody,
}

/// The event by which an identity is out now, if it was one: what was done about an earlier one is over.
fn behind<'a>(
    last: &BTreeMap<IpAddr, &'a ListingEvent>,
    identity: &Identity,
) -> Option<&'a ListingEvent> {
    let event = *last.get(&identity.spec.address)?;
    event.is_behind(identity).then_some(event)
}

const fn is_lost(identity: &Identity) -> bool {
    matches!(
        identity.spec.status,
        IpStatus::Quarantine | IpStatus::Retiring
    )
}

/// Who took its place; where that one is lost as well, who took that one's.
fn heir<'a>(
    state: &'a FleetState,
    tenant: &TenantId,
    lost: &Identity,
    last: &BTreeMap<IpAddr, &ListingEvent>,
) -> Heir<'a> {
    let mut out = lost;
    for _ in 0..HEIRS {
        let search = behind(last, out).map(|event| &event.search);
        let Some(Search::Replaced { by, .. }) = search else {
            return Heir::Nobody;
        };
        let next = state.identities.get(by);
        let Some(next) = next.filter(|next| next.spec.tenant == *tenant) else {
            return Heir::Nobody;
        };
        if next.takes_mail() {
            return Heir::Is(&next.spec.vmta);
        }
        if !is_lost(next) {
            return Heir::Waits;
        }
        out = next;
    }
    Heir::Nobody
}
