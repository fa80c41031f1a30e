//! Since when a value is known; a directive may be older than what it takes.

use super::super::version::Since;
use super::kind::Kind;
use super::quantity::{Rate, parse_rate, parse_volume_rate};

/// The words of a choice, each with since when it is one.
pub(super) fn choices(words: &'static str) -> impl Iterator<Item = (&'static str, Since)> {
    words.split('|').map(|word| match word.split_once('@') {
        Some((word, since)) => (word, Since::named(since).unwrap_or(Since::Later)),
        None => (word, Since::V4_5),
    })
}

impl Kind {
    /// Since when a text is a value of this kind; what nothing calls new counts as 4.5's. A multiple of
    /// a unit is told by [`Self::rate`].
    #[must_use]
    pub fn since(self, text: &str) -> Since {
        match self {
            Self::Choice(words) => {
                let mut known = choices(words).filter(|(word, _)| word.eq_ignore_ascii_case(text));
                known.next().map_or(Since::V4_5, |(_, since)| since)
            }
            // A later revision of the guide takes an address on the web.
            Self::IncludePath if text.starts_with("http://") || text.starts_with("https://") => {
                Since::Later
            }
            _ => Since::V4_5,
        }
    }

    /// The rate that a text is, of messages or of bytes.
    #[must_use]
    pub fn rate(self, text: &str) -> Option<Rate> {
        match self {
            Self::Rate => parse_rate(text),
            Self::VolumeRate => parse_volume_rate(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_younger_than_its_directive() {
        let kind = Kind::Choice("smtp|pipe|http-delivery@5.0");
        assert_eq!(kind.since("pipe"), Since::V4_5);
        assert_eq!(kind.since("HTTP-delivery"), Since::V5_0);
        assert_eq!(kind.check("http-delivery"), Ok(()));
        let accepted = "one of smtp, pipe, http-delivery".to_owned();
        assert_eq!(kind.check("http-delivery@5.0"), Err(accepted));
        assert_eq!(
            Kind::IncludePath.since("https://example.com/a"),
            Since::Later
        );
        assert_eq!(Kind::IncludePath.since("/etc/pmta/a"), Since::V4_5);
    }
}
