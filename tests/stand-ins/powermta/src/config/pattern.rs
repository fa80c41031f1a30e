//! What a domain, an address or a reply is compared with.

use std::fmt;
use std::net::IpAddr;

use fancy_regex::{Regex, RegexBuilder};
use ipnet::IpNet;

use super::named::cidr;

/// A back-tracking expression may not hold up a queue for ever.
const BACKTRACKS: usize = 1_000_000;

/// A regular expression: case-insensitive unless it says `(?-i)`.
#[derive(Clone)]
pub struct Expression {
    text: String,
    regex: Regex,
}

impl Expression {
    /// Compiles what stands between the slashes.
    ///
    /// # Errors
    ///
    /// When the expression is not one; the text says where.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(&format!("(?i){}", text.replace("\\/", "/")))
            .backtrack_limit(BACKTRACKS)
            .build()
            .map_err(|error| format!("invalid regular expression: {error}"))?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// An expression that cannot be decided within its bound does not match.
    pub fn matches(&self, subject: &str) -> bool {
        self.regex.is_match(subject).unwrap_or(false)
    }

    /// What stood between the slashes.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}/", self.text)
    }
}

/// `*`, `host.tld`, `*.host.tld`, `[*.]host.tld`, `[ip/mask]`, or a queue such as `x.rollup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainPattern {
    /// `[ip/mask]`: address literals within.
    Addresses(IpNet),
    /// `*`.
    All,
    /// `host.tld`.
    Exact(String),
    /// `*.host.tld`: only what is below.
    SubDomains(String),
    /// `[*.]host.tld`: the domain and what is below.
    WithSubDomains(String),
}

impl DomainPattern {
    /// Reads a pattern; `None` when it is none.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(domain) = text.strip_prefix("[*.]") {
            return is_domain(domain).then(|| Self::WithSubDomains(domain.to_owned()));
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return is_domain(domain).then(|| Self::SubDomains(domain.to_owned()));
        }
        if let Some(literal) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return cidr(literal).map(Self::Addresses);
        }
        // Queues of the product itself: `{bounce}`, `{sparkpost}`, `{feedbackLoop}`.
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        is_domain(inner.unwrap_or(&text)).then_some(Self::Exact(text))
    }

    /// Whether a queue's domain is meant.
    pub fn matches(&self, domain: &str) -> bool {
        let domain = domain.to_lowercase();
        match self {
            Self::All => true,
            Self::Exact(exact) => *exact == domain,
            Self::SubDomains(parent) => is_below(&domain, parent),
            Self::WithSubDomains(parent) => *parent == domain || is_below(&domain, parent),
            Self::Addresses(network) => domain
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|literal| literal.trim_start_matches("ipv6:").parse::<IpAddr>().ok())
                .is_some_and(|address| network.contains(&address)),
        }
    }

    /// Larger wins, whatever the order in the file.
    pub fn specificity(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Addresses(network) => 1 + usize::from(network.prefix_len()),
            Self::SubDomains(parent) | Self::WithSubDomains(parent) => 1 + parent.len(),
            Self::Exact(_) => usize::MAX,
        }
    }
}

fn is_below(domain: &str, parent: &str) -> bool {
    domain
        .strip_suffix(parent)
        .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// Letters of any alphabet, digits, `-` and `_` between dots.
pub(super) fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        })
}

/// Whether `*` in the pattern can stand for what the text has in its place.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut rest: Vec<_> = parts.collect();
    let Some(last) = rest.pop() else {
        return left.is_empty();
    };
    for part in rest {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> DomainPattern {
        DomainPattern::read(text).unwrap()
    }

    #[test]
    fn patterns_mean_what_the_guide_says() {
        assert!(pattern("*").matches("a.example"));
        assert!(!pattern("*.a.example").matches("a.example"));
        assert!(pattern("*.a.example").matches("b.a.example"));
        assert!(!pattern("*.a.example").matches("ba.example"));
        assert!(pattern("[*.]a.example").matches("A.example"));
        assert!(pattern("[192.0.2.0/24]").matches("[192.0.2.7]"));
        assert!(pattern("x.rollup").matches("x.rollup"));
        for wrong in ["", "a b", "a..b", "{", "a,b", "$x"] {
            assert_eq!(DomainPattern::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_more_specific_than_any_wildcard() {
        let order = ["*", "*.example", "[*.]a.example", "b.a.example"];
        let values: Vec<_> = order.map(|text| pattern(text).specificity()).into();
        assert!(values.is_sorted_by(|a, b| a < b), "{values:?}");
    }

    #[test]
    fn expressions_ignore_case_until_told_otherwise() {
        assert!(
            Expression::new(r"^Contact@X\.example$")
                .unwrap()
                .matches("contact@x.EXAMPLE")
        );
        assert!(!Expression::new("(?-i)ABC").unwrap().matches("abc"));
        assert!(Expression::new(r"a(?!b)").unwrap().matches("ac"));
        assert!(Expression::new("(").is_err());
    }
}
