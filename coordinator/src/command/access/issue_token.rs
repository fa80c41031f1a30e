//! `issue-token`.

use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

use crate::command::RejectionCode::{AlreadyExists, Invalid, WrongRole, WrongState};
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{IssueToken, Rejection};
use crate::state::{FleetState, HostLifecycle, Token, TokenState};

/// Shortest and longest life of a token.
const TTL_MILLIS: std::ops::RangeInclusive<u64> = 5 * Timestamp::SECOND..=7 * Timestamp::DAY;
/// How long a token is listed after its end.
const LISTED_MILLIS: u64 = 7 * Timestamp::DAY;
/// Most tokens that are listed.
const TOKENS: usize = 10_000;

impl Verb for IssueToken {
    fn name(&self) -> &'static str {
        "issue-token"
    }

    fn object(&self) -> String {
        match &self.admission {
            Admission::Host { host, role } => format!("token {} for {role} host {host}", self.id),
            Admission::Node => format!("token {} for a node", self.id),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let now = turn.now();
        let is_listed = |token: &Token| now.since(token.expires_at) <= LISTED_MILLIS;
        if state.tokens.get(&self.id).is_some_and(is_listed) {
            let accepted = "a token id that is not in use";
            return Err(refuse(AlreadyExists, "id", &self.id, accepted));
        }
        if !TTL_MILLIS.contains(&self.ttl_millis) {
            let accepted = "5000 (five seconds) to 604800000 (seven days)";
            return Err(refuse(Invalid, "ttl_millis", &self.ttl_millis, accepted));
        }
        if let Admission::Host { host, role } = &self.admission {
            self.host_can_join(state, host, *role)?;
        }
        let listed = state
            .tokens
            .values()
            .filter(|token| is_listed(token))
            .count();
        at_most("tokens", listed + 1, TOKENS)?;
        state.tokens.retain(|_, token| is_listed(token));
        let token = Token {
            id: self.id.clone(),
            secret: self.secret,
            admission: self.admission.clone(),
            replace: self.replace,
            created_at: now,
            expires_at: now.plus(self.ttl_millis),
            state: TokenState::Open,
            used_by: None,
            refused: Vec::new(),
        };
        state.tokens.insert(self.id.clone(), token);
        Ok(Change::DONE)
    }
}

impl IssueToken {
    fn host_can_join(&self, state: &FleetState, id: &HostId, role: Role) -> Result<(), Rejection> {
        let Some(host) = state.live_host(id) else {
            return Err(not_found("admission.host", id, "host; declare it first"));
        };
        if host.spec.role != role {
            let accepted = format!(
                "{}, the role that the host was declared with",
                host.spec.role
            );
            return Err(refuse(WrongRole, "admission.role", &role, accepted));
        }
        match host.lifecycle {
            HostLifecycle::Declared => Ok(()),
            HostLifecycle::Enrolled if self.replace => Ok(()),
            HostLifecycle::Enrolled => {
                let accepted = "a host without an agent, or `replace` to end this agent's identity";
                Err(refuse(WrongState, "admission.host", id, accepted))
            }
            HostLifecycle::Retiring { .. } | HostLifecycle::Retired => {
                let accepted = "a host that is not being retired";
                Err(refuse(WrongState, "admission.host", id, accepted))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::Role;

    use crate::command::fixture::{Fleet, SECOND, host_token};
    use crate::command::{Command, IssueToken, RejectionCode};

    fn issue(change: impl FnOnce(&mut IssueToken)) -> Command {
        let mut token = host_token("t1", "pmta1", Role::Powermta);
        change(&mut token);
        Command::IssueToken(token)
    }

    #[test]
    fn several_tokens_may_be_open_for_one_host_but_each_id_is_its_own() {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(issue(|_| {}));
        fleet.accept(Command::IssueToken(host_token(
            "t2",
            "pmta1",
            Role::Powermta,
        )));
        assert_eq!(
            fleet.refuse(issue(|_| {})).code,
            RejectionCode::AlreadyExists
        );
    }

    #[test]
    fn its_life_is_a_few_seconds_to_a_week() {
        let mut fleet = Fleet::with_declared_host();
        for bad in [0, 4_999, 604_800_001] {
            let rejection = fleet.refuse(issue(|token| token.ttl_millis = bad));
            assert_eq!(
                (rejection.code, &*rejection.field),
                (RejectionCode::Invalid, "ttl_millis")
            );
        }
    }

    #[test]
    fn the_host_is_declared_with_that_role() {
        let mut fleet = Fleet::with_declared_host();
        let unknown = Command::IssueToken(host_token("t1", "nobody", Role::Powermta));
        assert_eq!(fleet.refuse(unknown).code, RejectionCode::NotFound);
        let wrong = Command::IssueToken(host_token("t1", "pmta1", Role::Api));
        assert_eq!(fleet.refuse(wrong).code, RejectionCode::WrongRole);
    }

    #[test]
    fn a_host_with_an_agent_needs_the_word_replace() {
        let mut fleet = Fleet::with_identities(0);
        let token = |replace| {
            let mut token = host_token("t9", "pmta1", Role::Powermta);
            token.replace = replace;
            Command::IssueToken(token)
        };
        assert_eq!(fleet.refuse(token(false)).code, RejectionCode::WrongState);
        fleet.accept(token(true));
    }

    #[test]
    fn tokens_are_listed_for_a_week_after_their_end() {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(issue(|_| {}));
        let day = 86_400 * SECOND;
        for _ in 0..9 {
            fleet.wait(day - SECOND);
            fleet.accept(fleet.stock(1));
        }
        fleet.accept(Command::IssueToken(host_token(
            "t2",
            "pmta1",
            Role::Powermta,
        )));
        assert_eq!(fleet.state.tokens.len(), 1);
    }
}
