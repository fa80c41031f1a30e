//! Who holds the machine says whom it may belong to: the token that is redeemed by the network half is shown to
//! the executor first, by somebody whom the network half cannot be.

use email_engine_protocol::join::JoinToken;

use super::{RunError, folders, token};
use crate::config::Config;
use crate::executor::ExecutorHandle;
use crate::halves::Trust;
use crate::host::Cabinet;
use crate::ledger::expected::{self, ExpectError, Expected, Unexpected};
use crate::ledger::{self, Ledger};

/// Takes the word of the join token that is set, as whoever runs the executor.
///
/// # Errors
/// When there is no usable token, it is not for this machine, or the executor's folder is not ours to write.
pub fn expect(config: &Config) -> Result<Expected, RunError> {
    let token = token::read(config.join_token_file.as_deref())?;
    let folder = config.executor_dir();
    let cabinet = Cabinet::open(&folder).map_err(|source| RunError::DataDir {
        path: folder,
        source,
    })?;
    // One that cannot be read is no word of a retirement, for the executor either.
    let page = Ledger::page_of(&cabinet).ok().flatten();
    if page.is_some_and(|page| page.retired) {
        // It was ended before it had forgotten the host. One that still runs forgets it at its end, and what
        // is said now with it.
        let _lock = folders::lock(&config.data_dir).map_err(|error| match error {
            RunError::AlreadyRunning(folder) => ExpectError::Retiring(folder).into(),
            other => other,
        })?;
        ledger::forget_all(&cabinet).map_err(ExpectError::from)?;
    }
    Ok(expected::expect(&cabinet, &token)?)
}

/// By whose word the executor believes a trust.
#[derive(Debug)]
pub(super) enum Witness {
    /// It is in this process: whoever starts it with a token has said so.
    Here(ExecutorHandle),
    /// It is another process, which was told by whoever that belongs to, or was not.
    There(Option<Expected>),
}

impl Witness {
    /// Whom the host may belong to.
    pub(super) fn expected(&self) -> Result<Expected, Unexpected> {
        match self {
            Self::Here(executor) => executor.expected(),
            Self::There(expected) => expected.clone().ok_or(Unexpected::Nobody),
        }
    }

    /// Whether a token may be redeemed: one whose trust the executor would refuse is not spent.
    pub(super) fn admits(&self, token: &JoinToken, pinned: Option<&Trust>) -> Result<(), RunError> {
        match (self, pinned) {
            (Self::Here(executor), _) => {
                executor.expect(token)?;
            }
            // Its trust stands, whatever it was told or was not: no other one is believed.
            (Self::There(_), Some(pinned)) => {
                let says = Expected::by(token).ok_or(ExpectError::NotForHosts)?;
                says.judge_pinned(pinned)?;
            }
            (Self::There(_), None) => self.expected()?.judge_token(token)?,
        }
        Ok(())
    }

    /// Whether a token that was refused before anybody was asked may yet be the one that is expected: what the
    /// executor was told is known here as it was when it was called.
    pub(super) fn may_be_told(&self, refused: &RunError, pinned: Option<&Trust>) -> bool {
        let is_early = matches!(
            refused,
            RunError::Unexpected(_) | RunError::OtherHost { .. }
        );
        is_early && pinned.is_none() && matches!(self, Self::There(_))
    }

    /// Whether the executor would believe the trust of an identity.
    pub(super) fn believes(&self, trust: &Trust) -> Result<(), Unexpected> {
        self.expected()?.judge(trust.clone()).map(drop)
    }

    /// Whether an identity is of another host than whoever holds the machine wants it to be by now.
    pub(super) fn is_over(&self, trust: &Trust) -> bool {
        let other =
            |expected: Expected| expected.cluster != trust.cluster || expected.host != trust.host;
        self.expected().is_ok_and(other)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::{CaPin, RecoveryPin};
    use email_engine_protocol::crypto::{Entropy, RecoveryKey, SigningKey};
    use email_engine_protocol::desired::PlanKeyGrant;
    use email_engine_protocol::id::{ClusterId, HostId, Role, TokenId};
    use email_engine_protocol::join::{Admission, TrustPin};
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::ledger::page::Page;

    fn token() -> JoinToken {
        JoinToken {
            id: TokenId::new("t-2").unwrap(),
            cluster: ClusterId([1; 16]),
            ca_pin: CaPin([2; 32]),
            trust: TrustPin {
                recovery: RecoveryPin([3; 32]),
                plan_key_version: 1,
                epoch: 1,
            },
            endpoints: vec!["192.0.2.1:7443".to_owned()],
            admission: Admission::Host {
                host: HostId::new("api1").unwrap(),
                role: Role::Api,
            },
            expires_at: Timestamp(5),
            secret: [9; 32],
        }
    }

    /// The trust that the token leads to.
    fn trust(recovery: &RecoveryKey) -> Trust {
        let cluster = ClusterId([1; 16]);
        let plan_key = recovery.signing_key().sign(&PlanKeyGrant {
            cluster,
            version: 1,
            key: SigningKey::from_seed([4; 32]).verifying_key(),
        });
        Trust {
            cluster,
            host: HostId::new("api1").unwrap(),
            role: Role::Api,
            recovery: recovery.public(),
            plan_key,
            epoch: 1,
        }
    }

    #[test]
    fn an_executor_that_has_its_trust_needs_no_word_for_a_token_of_the_same_and_no_other_is_spent()
    {
        let random = ring::rand::SystemRandom::new();
        let recovery = RecoveryKey::generate(&Entropy(&random));
        let trust = trust(&recovery);
        let of = |change: &dyn Fn(&mut JoinToken)| {
            let mut token = token();
            token.trust.recovery = trust.recovery.pin();
            change(&mut token);
            token
        };
        let untold = Witness::There(None);
        untold.admits(&of(&|_| {}), Some(&trust)).unwrap();
        let refused = untold.admits(&of(&|_| {}), None).unwrap_err();
        assert!(matches!(refused, RunError::Unexpected(_)), "{refused}");

        let admission = |host: &str, role| Admission::Host {
            host: HostId::new(host).unwrap(),
            role,
        };
        let others: [&dyn Fn(&mut JoinToken); 5] = [
            &|token| token.cluster = ClusterId([8; 16]),
            &|token| token.admission = admission("api2", Role::Api),
            &|token| token.admission = admission("api1", Role::Powermta),
            &|token| token.admission = Admission::Node,
            &|token| token.trust.recovery.0[0] ^= 1,
        ];
        for (number, other) in others.into_iter().enumerate() {
            let token = of(other);
            // Told of it: the trust that stands counts.
            let told = Witness::There(Expected::by(&token));
            let refused = told.admits(&token, Some(&trust)).unwrap_err();
            assert!(
                matches!(refused, RunError::Expect(_)),
                "{number}: {refused}"
            );
            assert!(!told.may_be_told(&refused, Some(&trust)), "{number}");
        }
    }

    #[test]
    fn a_retired_host_whose_executor_still_runs_is_named_as_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, token().to_text().as_bytes()).unwrap();
        let config = Config {
            data_dir: dir.path().join("data"),
            join_token_file: Some(file),
            ..Config::default()
        };
        let cabinet = Cabinet::open(&config.executor_dir()).unwrap();
        let mut ledger = Ledger::open(cabinet.clone()).unwrap();
        ledger.turn(|page: &mut Page| page.retired = true).unwrap();

        let runs = folders::lock(&config.data_dir).unwrap();
        let refused = expect(&config).unwrap_err();
        let words = refused.to_string();
        assert!(
            matches!(refused, RunError::Expect(ExpectError::Retiring(_))),
            "{words}"
        );
        for word in ["is retired", "within a minute", "systemctl stop"] {
            assert!(words.contains(word), "{words}");
        }
        assert_eq!(Expected::read(&cabinet).unwrap(), None);

        drop(runs);
        expect(&config).unwrap();
        assert_eq!(Expected::read(&cabinet).unwrap(), Expected::by(&token()));
        assert_eq!(Ledger::page_of(&cabinet).unwrap(), None);
    }
}
