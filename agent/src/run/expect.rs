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
        let _lock = folders::lock(&config.data_dir)?;
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
    pub(super) fn admits(&self, token: &JoinToken) -> Result<(), RunError> {
        match self {
            Self::Here(executor) => {
                executor.expect(token)?;
                Ok(())
            }
            Self::There(_) => Ok(self.expected()?.judge_token(token)?),
        }
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
