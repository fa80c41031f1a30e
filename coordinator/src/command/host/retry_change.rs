//! `retry-change`.

use super::check::at_work;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RetryChange};
use crate::state::FleetState;

impl Verb for RetryChange {
    fn name(&self) -> &'static str {
        "retry-change"
    }

    fn object(&self) -> String {
        format!("host {}", self.host)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_work(state, "host", &self.host)?;
        let attempts = state.attempts.or_default(&self.host);
        *attempts = attempts.wrapping_add(1);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, host_id};
    use crate::command::{Command, RejectionCode, RetryChange};

    fn retry(host: &str) -> Command {
        let host = host_id(host);
        Command::RetryChange(RetryChange { host })
    }

    #[test]
    fn every_word_is_a_further_attempt() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(retry("pmta1"));
        fleet.accept(retry("pmta1"));
        assert_eq!(fleet.state.attempts[&host_id("pmta1")], 2);
        assert_eq!(fleet.refuse(retry("nowhere")).code, RejectionCode::NotFound);
    }
}
