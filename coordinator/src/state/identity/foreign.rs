//! Warm-up plans that a tenant's MailWizz runs by itself on servers of ours.

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::Identity;
use crate::state::FleetState;

/// One on the server of an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignPlan {
    /// Its number there.
    pub plan: String,
    /// Since when the fleet knows of it.
    pub since: Timestamp,
}

impl FleetState {
    /// The plan that a MailWizz of its tenant has for an identity, and the host that it is on.
    #[must_use]
    pub fn foreign_plan(&self, identity: &Identity) -> Option<(&HostId, &ForeignPlan)> {
        let spec = &identity.spec;
        self.foreign_plans.iter().find_map(|(id, plans)| {
            let host = self.hosts.get(id)?;
            let is_own = host.spec.tenant.as_ref() == Some(&spec.tenant);
            Some((id, plans.get(&spec.vmta).filter(|_| is_own)?))
        })
    }
}
