//! Why a letter did not arrive, or why nobody knows.

/// What is to become of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The channel is well and wants to be left alone for a while.
    #[error("{what}; it asks to wait {wait_millis} ms")]
    Asked {
        /// How long.
        wait_millis: u64,
        /// What it said.
        what: String,
    },
    /// It is tried again.
    #[error("{what}")]
    Later {
        /// What went wrong.
        what: String,
    },
    /// What stands in the letter is refused, and will be the next time.
    #[error("{what}")]
    Refused {
        /// What it said.
        what: String,
    },
}

impl Failure {
    pub(super) fn later(what: impl Into<String>) -> Self {
        Self::Later { what: what.into() }
    }

    pub(super) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }
}

/// Why no channel can be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// Of the machine.
    #[error("alerts cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Of the library.
    #[error("alerts cannot set up HTTP: {0}")]
    Http(#[from] reqwest::Error),
}
