//! The records of all domains that somebody sees.

use std::collections::BTreeMap;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::{Wanted, gone, kept, wanted};
use crate::state::{FleetState, Identity};

/// A domain with its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDomain {
    /// The identity that it belongs to, or belonged to last.
    pub spec: IpSpec,
    /// Its records, those that stay of earlier keys included.
    pub wanted: Vec<Wanted>,
}

/// All domains whose records must be published, in order: of living identities, of those that drain (what
/// they send is judged by them), and of what is gone and still judged.
#[must_use]
pub fn of_fleet(
    state: &FleetState,
    sees: &dyn Fn(&TenantId) -> bool,
    now: Timestamp,
) -> Vec<OfDomain> {
    let mut kept = kept(state, sees, now, None);
    let mut all: BTreeMap<DomainName, OfDomain> = BTreeMap::new();
    let leaving = state.leaving.values().map(|leaving| &leaving.identity);
    let living = state.identities.values().map(|identity| &**identity);
    // What lives on is what counts of a name that drains somewhere as well: it comes last.
    let seen = leaving
        .chain(living)
        .filter(|identity| sees(&identity.spec.tenant));
    for identity in seen {
        let domain = identity.spec.domain.clone();
        all.insert(domain, of_identity(state, identity));
    }
    for one in all.values_mut() {
        one.wanted
            .extend(kept.remove(&one.spec.domain).into_iter().flatten());
    }
    // Of several that had the domain one after the other the last is who it was.
    for (_, departed) in gone(state, sees, now, None) {
        if let Some(wanted) = kept.remove(&departed.spec.domain) {
            let spec = departed.spec.clone();
            all.insert(spec.domain.clone(), OfDomain { spec, wanted });
        }
    }
    all.into_values().collect()
}

fn of_identity(state: &FleetState, identity: &Identity) -> OfDomain {
    let spec = identity.spec.clone();
    let host = state.hosts.get(&spec.host);
    let tenant = state.tenants.get(&spec.tenant);
    let wanted = tenant.map(|tenant| wanted(identity, tenant, host));
    OfDomain {
        spec,
        wanted: wanted.unwrap_or_default(),
    }
}
