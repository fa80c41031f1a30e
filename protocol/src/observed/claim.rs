//! What somebody else put into a row that is ours, and that is theirs to take out.

use std::fmt;
use std::str::FromStr;

/// The reason that a row's status gives for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// In which column.
    pub column: String,
    /// What stands there, cut to [`CLAIM_CHARS`] characters of one line.
    pub value: String,
}

/// Longest value that is told, in characters.
pub const CLAIM_CHARS: usize = 40;

const BEFORE: &str = "column ";
const BETWEEN: &str = " holds ";
const AFTER: &str = ", which somebody else set: it is theirs to take out";

impl Claim {
    /// Of a column's bytes.
    #[must_use]
    pub fn new(column: &str, seen: &[u8]) -> Self {
        let text = String::from_utf8_lossy(seen);
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self {
            column: column.to_owned(),
            value: plain.take(CLAIM_CHARS).collect(),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEFORE}{}{BETWEEN}{}{AFTER}", self.column, self.value)
    }
}

/// It is another reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no claim on a column")]
pub struct NoClaim;

impl FromStr for Claim {
    type Err = NoClaim;

    fn from_str(text: &str) -> Result<Self, NoClaim> {
        let inner = text
            .strip_prefix(BEFORE)
            .and_then(|rest| rest.strip_suffix(AFTER));
        let (column, value) = inner
            .and_then(|rest| rest.split_once(BETWEEN))
            .ok_or(NoClaim)?;
        let (column, value) = (column.to_owned(), value.to_owned());
        Ok(Self { column, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_reasons_are_none() {
        for text in ["", "missing", "daily_quota differ", "column a holds b"] {
            assert_eq!(text.parse::<Claim>(), Err(NoClaim), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_again(column in "[a-z_]{1,20}", seen in prop::collection::vec(any::<u8>(), 0..99)) {
            let claim = Claim::new(&column, &seen);
            prop_assert!(claim.value.chars().count() <= CLAIM_CHARS);
            prop_assert_eq!(claim.to_string().parse(), Ok(claim));
        }
    }
}
