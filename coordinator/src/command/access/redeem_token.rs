//! `redeem-token`.
//!
//! A lost reply strands nobody: the bearer may repeat its token with the same key within the token's
//! life. A host that repeats has been issued another certificate, which is recorded too; a node that
//! repeats is told the number that it has. Unknown token, wrong secret and wrong kind of bearer are not
//! told apart, so that nothing can be guessed.

use email_engine_protocol::join::Admission;

use super::refuse_token::named;
use super::{redeem_host, redeem_node};
use crate::command::RejectionCode::{TokenExpired, TokenUnknown, TokenUsed};
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Bearer, RedeemToken, Rejection};
use crate::state::{FleetState, Token, TokenState, TokenUse};

impl Verb for RedeemToken {
    fn name(&self) -> &'static str {
        "redeem-token"
    }

    fn object(&self) -> String {
        format!("token {} by {}", self.id, named(&self.shown()))
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let token = self.usable(state, turn)?.clone();
        match (&token.admission, &self.bearer) {
            (Admission::Host { host, role }, Bearer::Host { .. }) => {
                redeem_host::redeem(state, self, &token, (host, *role), turn)
            }
            (Admission::Node, Bearer::Node { .. }) => {
                redeem_node::redeem(state, self, &token, turn)
            }
            _ => Err(self.unknown()),
        }
    }
}

impl RedeemToken {
    /// Who shows it.
    pub(super) fn shown(&self) -> TokenUse {
        let machine = match &self.bearer {
            Bearer::Host { hostname, .. } => hostname,
            Bearer::Node { raft_endpoint, .. } => raft_endpoint,
        };
        TokenUse::new(self.spki, machine, &self.from)
    }

    /// The token, when its secret, its end and its use allow this bearer.
    fn usable<'a>(&self, state: &'a FleetState, turn: &Turn<'_>) -> Result<&'a Token, Rejection> {
        let token = state.tokens.get(&self.id).ok_or_else(|| self.unknown())?;
        if token.secret != self.secret {
            return Err(self.unknown());
        }
        match &token.state {
            TokenState::Revoked => {
                let accepted = "a token that was not taken back";
                return Err(refuse(TokenUsed, "token", &self.id, accepted));
            }
            TokenState::Redeemed { spki, .. } if *spki != self.spki => {
                let accepted = format!(
                    "the key that redeemed it, {spki}; this one is {}",
                    self.spki
                );
                return Err(refuse(TokenUsed, "token", &self.id, accepted));
            }
            TokenState::Redeemed { .. } | TokenState::Open => {}
        }
        if turn.now() > token.expires_at {
            let accepted = format!(
                "a token within its life; this one ended {}",
                token.expires_at
            );
            return Err(refuse(TokenExpired, "token", &self.id, accepted));
        }
        Ok(token)
    }

    fn unknown(&self) -> Rejection {
        refuse(
            TokenUnknown,
            "token",
            &self.id,
            "an open token of this cluster with its secret",
        )
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::SecretHash;
    use email_engine_protocol::id::{NodeId, Role};
    use email_engine_protocol::observed::Mode;

    use crate::command::fixture::{
        Fleet, SECOND, host_id, host_token, node_token, redeem, redeem_node, redemption, spki,
    };
    use crate::command::{Bearer, Command, Effect, RejectionCode, RetireHost, RevokeCertificate};
    use crate::state::HostLifecycle;

    fn with_token() -> Fleet {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(Command::IssueToken(host_token(
            "t1",
            "pmta1",
            Role::Powermta,
        )));
        fleet
    }

    #[test]
    fn a_host_is_let_in_with_its_keys_and_certificate() {
        let mut fleet = with_token();
        fleet.accept(redeem("t1", 1));
        let host = &fleet.state.hosts[&host_id("pmta1")];
        assert_eq!(host.lifecycle, HostLifecycle::Enrolled);
        let keys = host.keys.as_ref().unwrap();
        assert_eq!(keys.spki, spki(1));
        assert_eq!(fleet.state.certificates[&keys.serial].spki, spki(1));
    }

    #[test]
    fn the_same_key_may_repeat_within_the_tokens_life_and_another_key_may_not() {
        let mut fleet = with_token();
        fleet.accept(redeem("t1", 1));
        assert_eq!(fleet.accept(redeem("t1", 1)).effect, Effect::Unchanged);
        let rejection = fleet.refuse(redeem("t1", 2));
        assert_eq!(rejection.code, RejectionCode::TokenUsed);
        fleet.wait(3601 * SECOND);
        assert_eq!(
            fleet.refuse(redeem("t1", 1)).code,
            RejectionCode::TokenExpired
        );
    }

    #[test]
    fn a_repeat_with_another_certificate_records_that_one_too() {
        let mut fleet = with_token();
        fleet.accept(redeem("t1", 1));
        let mut again = redemption("t1", 1);
        if let Bearer::Host { serial, .. } = &mut again.bearer {
            serial.0 = [77; 16];
        }
        fleet.accept(Command::RedeemToken(Box::new(again)));
        assert_eq!(fleet.state.certificates.len(), 2);
        assert!(fleet.state.revoked.is_empty());
    }

    #[test]
    fn a_revoked_host_does_not_come_back_by_repeating_its_token() {
        let mut fleet = with_token();
        fleet.accept(redeem("t1", 1));
        let serial = fleet.state.hosts[&host_id("pmta1")]
            .keys
            .as_ref()
            .unwrap()
            .serial;
        fleet.accept(Command::RevokeCertificate(RevokeCertificate { serial }));
        assert_eq!(fleet.refuse(redeem("t1", 1)).code, RejectionCode::TokenUsed);
    }

    #[test]
    fn wrong_secret_unknown_token_and_wrong_kind_are_not_told_apart() {
        let mut fleet = with_token();
        let mut wrong = redemption("t1", 1);
        wrong.secret = SecretHash([0; 32]);
        let mut texts = Vec::new();
        for command in [Command::RedeemToken(Box::new(wrong)), redeem_node("t1", 1)] {
            let rejection = fleet.refuse(command);
            assert_eq!(rejection.code, RejectionCode::TokenUnknown);
            texts.push(rejection.to_string());
        }
        texts.push(
            fleet
                .refuse(redeem("t9", 1))
                .to_string()
                .replace("t9", "t1"),
        );
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    }

    #[test]
    fn a_late_token_and_a_sandbox_in_a_real_cluster_are_refused() {
        let mut fleet = with_token();
        let mut real = redemption("t1", 1);
        if let Bearer::Host { mode, .. } = &mut real.bearer {
            *mode = Mode::Real;
        }
        let rejection = fleet.refuse(Command::RedeemToken(Box::new(real)));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::Invalid, "mode")
        );
        fleet.wait(3601 * SECOND);
        assert_eq!(
            fleet.refuse(redeem("t1", 1)).code,
            RejectionCode::TokenExpired
        );
    }

    #[test]
    fn a_replaced_host_keeps_its_target_and_loses_its_old_certificate() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        let old = fleet.state.hosts[&host_id("pmta1")].keys.clone().unwrap();
        let mut token = host_token("t2", "pmta1", Role::Powermta);
        token.replace = true;
        fleet.accept(Command::IssueToken(token));
        fleet.accept(redeem("t2", 2));
        assert!(fleet.state.revoked.contains(&old.serial));
        assert!(fleet.state.targets.contains_key(&host_id("pmta1")));
        // Whoever holds the first token cannot take the host back with it.
        assert_eq!(fleet.refuse(redeem("t0", 1)).code, RejectionCode::TokenUsed);
    }

    #[test]
    fn a_key_of_one_host_is_not_another_hosts_key() {
        let mut fleet = Fleet::with_identities(0);
        fleet.declare("pmta2", Role::Powermta, 2);
        fleet.accept(Command::IssueToken(host_token(
            "t2",
            "pmta2",
            Role::Powermta,
        )));
        assert_eq!(fleet.refuse(redeem("t2", 1)).code, RejectionCode::Duplicate);
    }

    #[test]
    fn a_host_on_its_way_out_lets_nobody_in() {
        let mut fleet = Fleet::with_identities(0);
        let host = host_id("pmta1");
        let grace_millis = 5;
        fleet.accept(Command::RetireHost(RetireHost { host, grace_millis }));
        assert_eq!(fleet.refuse(redeem("t0", 1)).code, RejectionCode::TokenUsed);
    }

    #[test]
    fn nodes_get_numbers_that_were_never_used_and_a_repeat_gets_the_same() {
        let mut fleet = Fleet::founded();
        for (at, number) in [(1, 2), (2, 3)] {
            let token = format!("n{at}");
            fleet.accept(Command::IssueToken(node_token(&token)));
            let first = fleet.accept(redeem_node(&token, at));
            assert_eq!(first.effect, Effect::Node(NodeId(number)));
            let again = fleet.accept(redeem_node(&token, at));
            assert_eq!(
                (again.effect, again.revision),
                (first.effect, first.revision)
            );
        }
    }

    #[test]
    fn a_node_that_does_not_support_the_clusters_version_stays_out() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::IssueToken(node_token("n1")));
        let Command::RedeemToken(mut redeem) = redeem_node("n1", 1) else {
            unreachable!("that is what it makes")
        };
        if let Bearer::Node {
            supports_version, ..
        } = &mut redeem.bearer
        {
            *supports_version = 0;
        }
        let rejection = fleet.refuse(Command::RedeemToken(redeem));
        assert_eq!(rejection.code, RejectionCode::Version);
    }
}
