//! Where the join token comes from. It is a secret: its text is kept no longer than it is needed,
//! and shown nowhere.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use email_engine_protocol::join::{JoinToken, JoinTokenError};
use email_engine_protocol::limits;
use zeroize::Zeroizing;

/// The variable that may hold the token.
pub const VARIABLE: &str = "EMAIL_ENGINE_JOIN_TOKEN";

/// The text of a token as it was given, whatever it is worth.
#[derive(Clone)]
pub struct TokenText(Zeroizing<String>);

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(redacted)")
    }
}

impl FromStr for TokenText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not a token.
    #[error("the join token from {origin} cannot be used: {source}")]
    Form {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        source: JoinTokenError,
    },
    /// Its file cannot be read.
    #[error("join token file {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The token that was handed over as an argument, in a file (`-`: standard input) or by environment;
/// nothing when none was.
///
/// # Errors
/// When one was and cannot be used.
pub fn read(
    argument: Option<&TokenText>,
    file: Option<&Path>,
    environment: Option<String>,
) -> Result<Option<JoinToken>, TokenError> {
    let (origin, text) = if let Some(text) = argument {
        ("--join".to_owned(), text.0.clone())
    } else if let Some(path) = file {
        (path.display().to_string(), read_file(path)?)
    } else if let Some(text) = environment.filter(|text| !text.is_empty()) {
        (VARIABLE.to_owned(), Zeroizing::new(text))
    } else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|source| TokenError::Form { origin, source })
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, TokenError> {
    // More than the longest, so that a longer one is refused and not cut.
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
    use super::*;

    #[test]
    fn a_text_that_is_no_token_is_never_shown() {
        let text: TokenText = "eejoin1.secretsecret".parse().unwrap();
        let error = read(Some(&text), None, None).unwrap_err();
        let shown = format!("{text:?} {error} {error:?}");
        assert!(
            shown.contains("--join") && !shown.contains("secret"),
            "{shown}"
        );
        assert!(read(None, None, Some(String::new())).unwrap().is_none());
        let error = read(None, None, Some("x".to_owned())).unwrap_err();
        assert!(error.to_string().contains(VARIABLE), "{error}");
    }
}
