//! What a diagnostic means, by `<bounce-category-patterns>` and the stock list.

use std::sync::LazyLock;

use crate::config::{Config, Expression};

/// By the enhanced status, as the shipped `config-defaults` does.
const STOCK: [(&str, &str); 14] = [
    (r"^[45]\.1\.[1346]", "bad-mailbox"),
    (r"^[45]\.1\.2", "bad-domain"),
    (r"^[45]\.1\.[78]", "invalid-sender"),
    (r"^[45]\.2\.0", "bad-mailbox"),
    (r"^[45]\.2\.1", "inactive-mailbox"),
    (r"^[45]\.2\.2", "quota-issues"),
    (r"^[45]\.3\.3|^[45]\.6\.|^[45]\.7\.7", "content-related"),
    (r"^[45]\.3\.5", "bad-configuration"),
    (r"^[45]\.4\.1", "no-answer-from-host"),
    (r"^[45]\.4\.2", "bad-connection"),
    (r"^[45]\.4\.[346]", "routing-errors"),
    (r"^[45]\.4\.7", "message-expired"),
    (r"^[45]\.5\.3|^[45]\.7\.[0-2]", "policy-related"),
    (r"^[45]\.5\.", "protocol-errors"),
];

static COMPILED: LazyLock<Vec<(Expression, &'static str)>> = LazyLock::new(|| {
    STOCK
        .iter()
        .filter_map(|(text, name)| Some((Expression::new(text).ok()?, *name)))
        .collect()
});

/// The first category whose pattern matches `status;diagnostic`; own patterns go first.
pub(crate) fn category(config: &Config, status: &str, diagnostic: &str) -> String {
    let subject = format!("{status};{diagnostic}");
    let own = config.bounce_categories.iter();
    own.map(|(pattern, name)| (pattern, name.as_str()))
        .chain(COMPILED.iter().map(|(pattern, name)| (pattern, *name)))
        .find(|(pattern, _)| pattern.matches(&subject))
        .map_or("other", |(_, name)| name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stock_pattern_is_an_expression() {
        assert_eq!(COMPILED.len(), STOCK.len());
    }
}
