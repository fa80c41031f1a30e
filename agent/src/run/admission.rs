//! How the host comes by its identity: the one on disk, or a new one by a join token.
//!
//! An identity holds for the executor's keys that it was given for. When the executor has others,
//! because its folder was lost or replaced, the cluster would believe none of its reports and its
//! secrets would stay closed: then the host is enrolled anew with a token made by
//! `token create --replace`, which is waited for; meanwhile the cluster is told why, as often as it is
//! logged.
//!
//! The executor believes no other trust than the one that it was told to expect (`expect`), so no token is
//! spent on another one.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::{Admission, JoinToken};

use super::expect::Witness;
use super::token::{self, TokenError};
use super::{RunError, Task, mode, with_causes};
use crate::config::Config;
use crate::halves::{ExecutorKeys, Trust};
use crate::identity::{Identity, IdentityError, IdentityStore};
use crate::ledger::expected::ExpectError;
use crate::link::enroll::{Enrollment, enroll};
use crate::link::hold;
use crate::link::{ExecutorSide, LinkEnd};

/// Between two looks for a token that brings the host back.
const LOOK: Duration = Duration::from_secs(5);
/// Between two lines that say the same.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Why there is no identity: an end that was asked for, or a failure.
#[derive(Debug)]
pub(super) enum Stop {
    Link(LinkEnd),
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance<'a> {
    pub(super) config: &'a Config,
    pub(super) task: Task,
    pub(super) store: &'a IdentityStore,
    /// The executor's keys.
    pub(super) keys: ExecutorKeys,
    /// The trust that the executor has pinned.
    pub(super) pinned: Option<&'a Trust>,
    /// By whose word it would pin one.
    pub(super) witness: &'a Witness,
}

impl Entrance<'_> {
    /// The host's identity, which is enrolled if need be.
    pub(super) async fn identity(self, side: &mut ExecutorSide) -> Result<Identity, Stop> {
        let Some(identity) = self.known()? else {
            let token = token::read(self.config.join_token_file.as_deref())?;
            check_token(self.pinned, &token)?;
            return self.join(&token, side).await;
        };
        // An executor of another host is refused by whoever asked, and no token spent on it.
        let ours = same_host(self.pinned, &identity.trust).is_ok();
        if ours && identity.executor != self.keys {
            return self.regain(&identity, side).await;
        }
        if self.pinned.is_none() {
            self.witness.believes(&identity.trust)?;
        }
        Ok(identity)
    }

    /// The identity on disk, unless it is of a life that is over.
    fn known(self) -> Result<Option<Identity>, IdentityError> {
        let identity = self.store.load()?;
        let trust = identity.as_ref().map(|identity| &identity.trust);
        if let Some(trust) = trust.filter(|_| self.pinned.is_none())
            && self.witness.is_over(trust)
        {
            tracing::warn!(host = %trust.host, cluster = %trust.cluster, "a former identity is forgotten");
            self.store.forget()?;
            return Ok(None);
        }
        Ok(identity)
    }

    async fn join(self, token: &JoinToken, side: &mut ExecutorSide) -> Result<Identity, Stop> {
        self.witness.admits(token, self.pinned)?;
        let enrollment = Enrollment {
            keys: self.keys,
            mode: mode(self.config),
            hostname: sysinfo::System::host_name().unwrap_or_default(),
            reconnect_max: self.config.reconnect_max(),
        };
        tracing::info!(token = %token.id, cluster = %token.cluster, "enrolling");
        match side.during(enroll(token, &enrollment, self.store)).await {
            Ok(identity) => Ok(identity?),
            Err(end) => Err(Stop::Link(end)),
        }
    }

    /// Enrols anew for the executor's new keys, as soon as there is a token for it.
    async fn regain(self, known: &Identity, side: &mut ExecutorSide) -> Result<Identity, Stop> {
        let former = &known.trust;
        let mut from = self.config.join_token_file.as_deref();
        let mut refused: Option<TokenId> = None;
        let mut reason = String::new();
        let mut said = Said::default();
        loop {
            let mut is_early = false;
            match token::read(from) {
                // Shown again and again, it would be taken for a stolen one.
                Ok(token) if refused.as_ref() == Some(&token.id) => {}
                Ok(token) => match self.show(former, &token, side).await {
                    Ok(identity) => {
                        tracing::warn!(host = %former.host, "enrolled anew with other keys");
                        return Ok(identity);
                    }
                    Err(Stop::Link(end)) => return Err(Stop::Link(end)),
                    Err(Stop::Failed(error)) => {
                        reason = with_causes(&error);
                        is_early = self.witness.may_be_told(&error, self.pinned);
                        refused = (!is_early).then_some(token.id);
                    }
                },
                Err(error) if is_absent(&error) => "there is no join token".clone_into(&mut reason),
                Err(error) => reason = with_causes(&error),
            }
            let lost = self.keys_lost(former, reason.clone());
            if self.task == Task::Enroll {
                return Err(lost.into());
            }
            if said.is_due(&reason, Instant::now()) {
                tracing::error!("{lost}");
                let reason = lost.to_string();
                let told = hold::tell(self.store, known, &reason);
                side.during(told).await.map_err(Stop::Link)?;
            }
            if is_early {
                // Called anew, as if it had gone, the executor says whom it expects by then. Not more often than
                // the reason is to be read.
                let pause = SAY_AGAIN.min(self.config.reconnect_max());
                let slept = side.during(tokio::time::sleep(pause)).await;
                slept.map_err(Stop::Link)?;
                tracing::info!("whom the executor expects is asked anew");
                return Err(Stop::Link(LinkEnd::ExecutorGone));
            }
            // Standard input has nothing more to say.
            from = from.filter(|path| *path != Path::new("-"));
            let pause = LOOK.min(self.config.reconnect_max());
            let slept = side.during(tokio::time::sleep(pause)).await;
            slept.map_err(Stop::Link)?;
        }
    }

    async fn show(
        self,
        former: &Trust,
        token: &JoinToken,
        side: &mut ExecutorSide,
    ) -> Result<Identity, Stop> {
        check_token(Some(former), token)?;
        self.join(token, side).await
    }

    fn keys_lost(self, former: &Trust, reason: String) -> RunError {
        let file = self.config.join_token_file.as_deref();
        let way = match file.filter(|path| *path != Path::new("-")) {
            _ if matches!(self.witness, Witness::There(_)) => {
                "run `email-engine-bootstrap agent --join-file FILE` with it as root".to_owned()
            }
            Some(file) => format!("put it into {}: it is taken up by itself", file.display()),
            None => format!(
                "start the agent with it, in a file (--join-token-file FILE) or in {}",
                token::VARIABLE
            ),
        };
        RunError::KeysLost {
            folder: self.config.executor_dir(),
            host: former.host.clone(),
            role: former.role,
            way,
            reason,
        }
    }
}

/// When what is wrong is said: at once, and the same again only once a minute.
#[derive(Debug, Default)]
struct Said {
    last: Option<(Instant, String)>,
}

impl Said {
    fn is_due(&mut self, reason: &str, now: Instant) -> bool {
        let due = self.last.as_ref().is_none_or(|(at, said)| {
            said != reason || now.saturating_duration_since(*at) >= SAY_AGAIN
        });
        if due {
            self.last = Some((now, reason.to_owned()));
        }
        due
    }
}

/// Whether somebody came to join a machine anew with nothing that could.
pub(super) fn has_nothing_new(error: &RunError) -> bool {
    match error {
        RunError::Token(error) => is_absent(error),
        RunError::Expect(ExpectError::Spent { .. }) => true,
        _ => false,
    }
}

fn is_absent(error: &TokenError) -> bool {
    match error {
        TokenError::Absent => true,
        TokenError::Read { source, .. } => source.kind() == ErrorKind::NotFound,
        TokenError::Form { .. } => false,
    }
}

/// A token for another host is not spent on this machine.
fn check_token(pinned: Option<&Trust>, token: &JoinToken) -> Result<(), RunError> {
    let (Some(pinned), Admission::Host { host, .. }) = (pinned, &token.admission) else {
        return Ok(());
    };
    if pinned.cluster == token.cluster && pinned.host == *host {
        return Ok(());
    }
    Err(RunError::OtherHost {
        pinned: format!("{} of cluster {}", pinned.host, pinned.cluster),
        other: format!("{host} of cluster {}", token.cluster),
    })
}

/// Whether the executor belongs to the host that the identity is for.
pub(super) fn same_host(pinned: Option<&Trust>, ours: &Trust) -> Result<(), RunError> {
    let name = |trust: &Trust| format!("{} of cluster {}", trust.host, trust.cluster);
    match pinned {
        Some(pinned) if name(pinned) != name(ours) => Err(RunError::OtherHost {
            pinned: name(pinned),
            other: name(ours),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_something_else_at_once() {
        let begin = Instant::now();
        let mut said = Said::default();
        let mut lines = 0;
        for second in (0..600).step_by(5) {
            let now = begin + Duration::from_secs(second);
            lines += u32::from(said.is_due("there is no join token", now));
        }
        assert_eq!(lines, 10);
        let now = begin + Duration::from_secs(596);
        assert!(said.is_due("the token ended", now));
        assert!(!said.is_due("the token ended", now));
    }
}
