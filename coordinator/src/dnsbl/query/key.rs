//! What opens a list: a label of the name that it is asked for, and a secret.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key of a list. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct QueryKey(String);

/// A text that is no key. What it was is not said: it may be one but for a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: 1 to 63 letters, digits and '-', as it stands in the name that is asked for")]
pub struct KeyError;

impl QueryKey {
    /// Checks and takes a key. DNS compares names without case, so that case cannot matter to a list.
    ///
    /// # Errors
    /// When it could not stand in a name.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let good = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if good {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(KeyError)
        }
    }

    /// The key itself: for the wire and the seal alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_label_and_is_never_printed() {
        for bad in ["", "a.b", "a b", "a_b", "é", &"a".repeat(64)] {
            let error = QueryKey::new(bad).unwrap_err();
            assert!(bad.len() < 3 || !error.to_string().contains(bad), "{error}");
        }
        let key = QueryKey::new("AbC-9").unwrap();
        assert_eq!(key.reveal(), "abc-9");
        assert_eq!(format!("{key:?}"), "QueryKey(redacted)");
    }
}
