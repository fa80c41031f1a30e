//! What must not leave an earlier configuration: addresses, mailboxes, and whatever its passwords and
//! keys are, wherever they stand.

use std::collections::BTreeSet;

use super::super::super::lint::Outline;

/// Shorter words are in too many others to be told apart.
const SHORTEST: usize = 4;
/// Most secrets that are looked for.
const MOST: usize = 1_000;
/// Parts of keywords whose values are secrets.
const KEYWORDS: [&str; 4] = ["password", "api-key", "auth-username", "certificate"];

/// The secrets of a configuration.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    secrets: BTreeSet<String>,
}

impl Scrub {
    /// Gathers the secrets of a configuration.
    pub(super) fn of(outline: &Outline<'_>) -> Self {
        let mut secrets = BTreeSet::new();
        for entry in outline.blocks.iter().flat_map(|block| &block.entries) {
            let keyword = entry.keyword.to_ascii_lowercase();
            let value = entry.text();
            if KEYWORDS.iter().any(|part| keyword.contains(part)) {
                secrets.extend(value.split_whitespace().map(plain));
                secrets.insert(plain(value));
            } else if keyword.ends_with("domain-key") {
                // The last part is the file of the key; selector and domain are public.
                secrets.extend(value.rsplit(',').next().map(plain));
            }
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // Paths of keys sort before words: of too many the passwords are looked for first.
        let (paths, words): (Vec<_>, Vec<_>) = secrets
            .into_iter()
            .partition(|secret| secret.starts_with('/'));
        let kept = words.into_iter().chain(paths).take(MOST);
        Self {
            secrets: kept.collect(),
        }
    }

    /// Why a text must not be shown or kept, if it must not.
    pub(super) fn refusal(&self, text: &str) -> Option<&'static str> {
        let text = plain(text);
        if has_ipv4(&text) || has_ipv6(&text) {
            return Some("it names an address");
        }
        if has_mailbox(&text) {
            return Some("it names a mailbox");
        }
        let mut secrets = self.secrets.iter();
        let secret = secrets.any(|secret| text.contains(secret.as_str()));
        secret.then_some("it holds what is a password or a key elsewhere in the configuration")
    }
}

/// A text as it means: without the escapes and brackets that expressions put around single signs.
fn plain(text: &str) -> String {
    let signs = text.trim().chars().filter(|c| !"\\[]\"'".contains(*c));
    signs.flat_map(char::to_lowercase).collect()
}

/// Four numbers with dots between them, or three and a dot whose first is large enough for a network.
fn has_ipv4(text: &str) -> bool {
    let runs = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    runs.filter(|run| run.len() >= 6).any(|run| {
        let numbers: Vec<Option<u8>> = run.split('.').map(|part| part.parse().ok()).collect();
        numbers.windows(4).any(|four| match *four {
            [Some(_), Some(_), Some(_), Some(_)] => true,
            [Some(first), Some(_), Some(_), None] => first >= 10,
            _ => false,
        })
    })
}

/// Two colons among hexadecimal digits, or beside one another.
fn has_ipv6(text: &str) -> bool {
    let mut runs = text.split(|c: char| !c.is_ascii_hexdigit() && c != ':');
    runs.any(|run| run.matches(':').count() >= 2)
}

fn has_mailbox(text: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._+-".contains(c);
    text.match_indices('@').any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(part);
        before && text[at + 1..].chars().next().is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_mailboxes_are_seen_through_escapes() {
        let scrub = Scrub::default();
        for bad in [
            "192.0.2.7",
            r"blocked 192\.0\.2\.7 again",
            "192[.]0[.]2[.]7",
            r"192\.0\.2\.\d+",
            r"from \[2001:db8::7\]",
            "::1",
            r"postmaster@example\.com",
        ] {
            assert!(scrub.refusal(bad).is_some(), "{bad}");
        }
        for good in [
            r"421 4\.7\.28",
            r"4\.7\.0 \[TS0[12]\]",
            "RTR:BL",
            r"https?:\/\/postmaster\.example\.com",
            r"\d+\.\d+\.\d+\.\d+",
            "code 5.7.515 and 4.7.650",
            "@ home",
        ] {
            assert_eq!(scrub.refusal(good), None, "{good}");
        }
    }
}
