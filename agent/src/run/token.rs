//! Where the join token comes from. It is a secret: a file, standard input or the environment, and
//! never an argument, which every user of the machine could read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use email_engine_protocol::join::{JoinToken, JoinTokenError};
use email_engine_protocol::limits;
use zeroize::Zeroizing;

/// The variable that may hold the token.
pub const VARIABLE: &str = "EMAIL_ENGINE_JOIN_TOKEN";

/// Why there is no usable token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// None was given.
    #[error(
        "this host is not enrolled and there is no join token: make one with `email-engine token \
         create --role ROLE --host HOST` and hand it over in a file (--join-token-file FILE, `-` \
         for standard input) or in {VARIABLE}"
    )]
    Absent,
    /// The file cannot be read.
    #[error("join token file {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a token.
    #[error("the join token from {origin} cannot be used: {source}")]
    Form {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        source: JoinTokenError,
    },
}

/// Reads the token from the named file, or else from the environment.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn read(file: Option<&Path>) -> Result<JoinToken, TokenError> {
    let environment = || std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let (origin, text) = match file {
        Some(path) => (path.display().to_string(), read_file(path)?),
        None => {
            let text = environment().ok_or(TokenError::Absent)?;
            (VARIABLE.to_owned(), Zeroizing::new(text))
        }
    };
    text.parse()
        .map_err(|source| TokenError::Form { origin, source })
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, TokenError> {
    // One more than the longest, so that a longer one is refused and not cut.
    let limit = limits::TOKEN_CHARS as u64 + 64;
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(TokenError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::{CaPin, RecoveryPin};
    use email_engine_protocol::id::{ClusterId, TokenId};
    use email_engine_protocol::join::{Admission, TrustPin};
    use email_engine_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn a_token_is_read_from_its_file_and_damage_never_shows_it() {
        let token = JoinToken {
            id: TokenId::new("t-1").unwrap(),
            cluster: ClusterId([1; 16]),
            ca_pin: CaPin([2; 32]),
            trust: TrustPin {
                recovery: RecoveryPin([3; 32]),
                plan_key_version: 1,
                epoch: 1,
            },
            endpoints: vec!["192.0.2.10:7443".to_owned()],
            admission: Admission::Node,
            expires_at: Timestamp(5),
            secret: [9; 32],
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let text = token.to_text();
        std::fs::write(&path, format!("{}\n", *text)).unwrap();
        assert_eq!(read(Some(&path)).unwrap(), token);
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        let error = read(Some(&path)).unwrap_err();
        assert!(matches!(error, TokenError::Form { .. }));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&text[8..40]), "{shown}");
    }
}
