//! What a tenant's MailWizz does by itself with servers of ours.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::WarmupReason;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::Identity;
use crate::state::FleetState;

/// A warm-up plan of its own on the server of an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignPlan {
    /// Its number there.
    pub plan: String,
    /// Since when the fleet knows of it.
    pub since: Timestamp,
}

impl FleetState {
    /// What a MailWizz of its tenant does that an identity's warm-up may not go on beside, and since when the fleet
    /// knows of it.
    #[must_use]
    pub fn warmup_obstacle(&self, identity: &Identity) -> Option<(Timestamp, WarmupReason)> {
        let spec = &identity.spec;
        let is_own = |id: &HostId| {
            let host = self.hosts.get(id);
            host.is_some_and(|host| host.spec.tenant.as_ref() == Some(&spec.tenant))
        };
        let mut unlimited = self.unlimited.iter();
        if let Some((host, since)) = unlimited.find(|(host, _)| is_own(host)) {
            let host = host.clone();
            return Some((*since, WarmupReason::NoQuotas { host }));
        }
        self.foreign_plans.iter().find_map(|(host, plans)| {
            let ForeignPlan { plan, since } = plans.get(&spec.vmta)?;
            is_own(host).then(|| {
                let (host, plan) = (host.clone(), plan.clone());
                (*since, WarmupReason::ForeignPlan { host, plan })
            })
        })
    }
}
