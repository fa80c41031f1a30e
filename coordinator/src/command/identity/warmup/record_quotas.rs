//! `record-quotas`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{HostId, Role};

use crate::command::Rejection;
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, Host};

/// See [`Command::RecordQuotas`](crate::command::Command::RecordQuotas).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordQuotas {
    /// A tenant's MailWizz host.
    pub host: HostId,
    /// Whether its MailWizz counts what its servers send, and stops at their quotas.
    pub kept: bool,
}

impl Verb for RecordQuotas {
    fn name(&self) -> &'static str {
        "record-quotas"
    }

    fn object(&self) -> String {
        let Self { host, kept } = self;
        format!("host {host}: {}", if *kept { "kept" } else { "not kept" })
    }

    /// What is known keeps its time.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let is_its = |host: &Host| host.spec.role == Role::Mailwizz && host.spec.tenant.is_some();
        if !state.live_host(&self.host).is_some_and(is_its) {
            return Err(not_found("host", &self.host, "MailWizz host of a tenant"));
        }
        if self.kept != state.unlimited.contains_key(&self.host) {
            return Ok(Change::NONE);
        }
        if self.kept {
            state.unlimited.remove(&self.host);
        } else {
            state.unlimited.insert(self.host.clone(), turn.now());
        }
        Ok(Change::DONE)
    }
}
