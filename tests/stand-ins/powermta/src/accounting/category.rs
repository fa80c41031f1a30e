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

    fn config() -> Config {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("config");
        let text = "log-file /x/log\n<spool /x>\n</spool>\n\
                    <bounce-category-patterns>\n/mailbox .* moved/ bad-mailbox\n\
                    /^5\\.7\\.1;.*quota/ quota-issues\n</bounce-category-patterns>\n";
        std::fs::write(&file, text).unwrap();
        Config::read(&file).unwrap()
    }

    /// The stock names by status; x stands for a temporary and a final failure alike.
    const STATUSES: [(&str, &str); 17] = [
        ("bad-configuration", "3.5"),
        ("bad-connection", "4.2"),
        ("bad-domain", "1.2"),
        ("bad-mailbox", "1.1 1.3 1.4 1.6 2.0"),
        ("content-related", "3.3 6.0 6.1 6.3 7.7"),
        ("inactive-mailbox", "2.1"),
        ("invalid-sender", "1.7 1.8"),
        ("message-expired", "4.7"),
        ("no-answer-from-host", "4.1"),
        (
            "other",
            "0.0 1.0 1.5 2.3 2.4 3.0 3.1 3.2 3.4 4.0 4.5 7.3 7.5",
        ),
        ("policy-related", "5.3 7.0 7.1 7.2"),
        ("protocol-errors", "5.0 5.1 5.2 5.4 5.5"),
        ("quota-issues", "2.2"),
        ("routing-errors", "4.3 4.4 4.6"),
        // By words alone, of which the stand-in knows none.
        ("relaying-issues", ""),
        ("spam-related", ""),
        ("virus-related", ""),
    ];

    #[test]
    fn each_status_has_the_stock_category() {
        let config = config();
        for (name, statuses) in STATUSES {
            for status in statuses.split_whitespace() {
                for class in [4, 5] {
                    let status = format!("{class}.{status}");
                    assert_eq!(category(&config, &status, "smtp;550 no"), name, "{status}");
                }
            }
        }
    }

    #[test]
    fn own_patterns_go_before_the_stock_ones_and_see_status_and_diagnostic() {
        let of = |status: &str, diagnostic: &str| category(&config(), status, diagnostic);
        assert_eq!(of("5.4.4", "smtp;550 mailbox has moved"), "bad-mailbox");
        assert_eq!(of("5.7.1", "smtp;550 over quota"), "quota-issues");
        assert_eq!(of("5.7.1", "smtp;550 no"), "policy-related");
    }

    #[test]
    fn every_stock_pattern_is_an_expression() {
        assert_eq!(COMPILED.len(), STOCK.len());
    }
}
