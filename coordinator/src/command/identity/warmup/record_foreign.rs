//! `record-foreign-plans`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{HostId, VmtaName};
use email_engine_protocol::limits;
use email_engine_protocol::observed::CLAIM_CHARS;

use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, ForeignPlan};

/// See [`Command::RecordForeignPlans`](crate::command::Command::RecordForeignPlans).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordForeignPlans {
    /// A tenant's MailWizz host.
    pub host: HostId,
    /// All that its MailWizz has on servers of ours: what each is called there, by virtual MTA.
    pub plans: BTreeMap<VmtaName, String>,
}

impl Verb for RecordForeignPlans {
    fn name(&self) -> &'static str {
        "record-foreign-plans"
    }

    fn object(&self) -> String {
        let names = self.plans.keys().take(10).map(ToString::to_string);
        let names = names.collect::<Vec<_>>().join(", ");
        match self.plans.len() {
            0 => format!("host {}: none", self.host),
            many => format!("host {}: {many}, of {names}", self.host),
        }
    }

    /// What was seen at first keeps its time. A host of no tenant has nothing to say of anybody's.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let host = state.live_host(&self.host);
        if host.is_none_or(|host| host.spec.tenant.is_none()) {
            return Err(not_found("host", &self.host, "MailWizz host of a tenant"));
        }
        at_most("plans", self.plans.len(), limits::STATUSES_PER_REPORT)?;
        if let Some(long) = self
            .plans
            .values()
            .find(|plan| plan.chars().count() > CLAIM_CHARS)
        {
            let accepted = format!("at most {CLAIM_CHARS} characters");
            return Err(refuse(Invalid, "plans", long, accepted));
        }
        let known = state
            .foreign_plans
            .get(&self.host)
            .cloned()
            .unwrap_or_default();
        let entered = |(vmta, plan): (&VmtaName, &String)| {
            let same = known.get(vmta).filter(|known| known.plan == *plan);
            let since = same.map_or_else(|| turn.now(), |known| known.since);
            let plan = plan.clone();
            (vmta.clone(), ForeignPlan { plan, since })
        };
        let plans: BTreeMap<_, _> = self.plans.iter().map(entered).collect();
        if plans == known {
            return Ok(Change::NONE);
        }
        if plans.is_empty() {
            state.foreign_plans.remove(&self.host);
        } else {
            state.foreign_plans.insert(self.host.clone(), plans);
        }
        Ok(Change::DONE)
    }
}
