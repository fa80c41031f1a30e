//! Applying proposals to the state.

use super::{Answer, BodyChange, Command, Effect, Outcome, Proposal, Rejection, RejectionCode};
use crate::state::FleetState;

impl FleetState {
    /// Applies one proposal.
    pub fn apply(&mut self, proposal: &Proposal) -> (Answer, Vec<BodyChange>) {
        let Command::CreateTenant(command) = &proposal.command else {
            let refused = Rejection {
                code: RejectionCode::Invalid,
                field: "command".into(),
                value: String::new(),
                accepted: "create-tenant".into(),
            };
            return (Err(refused), Vec::new());
        };
        self.revision += 1;
        self.now = proposal.now;
        let id = command.tenant.id.clone();
        self.tenants.insert(id, command.tenant.clone());
        let outcome = Outcome {
            revision: self.revision,
            effect: Effect::Done,
        };
        (Ok(outcome), Vec::new())
    }
}
