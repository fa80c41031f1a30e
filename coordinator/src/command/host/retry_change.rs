//! `retry-change`.

use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{not_found, refuse};
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
        let Some(found) = state.live_host(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        if !found.takes_work() {
            let accepted = "a host that is not being retired";
            return Err(refuse(WrongState, "host", &self.host, accepted));
        }
        let attempts = state.attempts.entry(self.host.clone()).or_default();
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
