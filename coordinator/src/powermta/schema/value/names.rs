//! Names, addresses, hosts and lists.

/// Parts between commas, without blanks around them. An empty text has one empty part.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Names that open with a brace: the product's own.
pub const RESERVED_NAMES: [&str; 6] = [
    "{auth}",
    "{bounce}",
    "{default}",
    "{pickup}",
    "{sparkpost}",
    "{transmissions-api}",
];

/// A name of a virtual MTA, list or source. What opens with a brace is the product's own.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !"{}<>\"\\,;=".contains(c);
    // The empty text clears what was inherited.
    text.chars().all(plain) || RESERVED_NAMES.contains(&text)
}

pub(super) fn is_macro(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn is_address(text: &str) -> bool {
    let good = |c: char| !c.is_whitespace() && !"<>{},;\"".contains(c);
    text.is_empty()
        || text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && text.chars().all(good)
}

/// A host name, never an address.
pub(super) fn is_host(text: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || "-._".contains(c);
    !text.is_empty()
        && text.chars().all(good)
        && text.parse::<std::net::IpAddr>().is_err()
        && !text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// What picks domains; a `$` is a macro.
pub(super) fn is_domain_pattern(text: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || "-._*[]/:$".contains(c);
    !text.is_empty() && text.chars().all(good) || text == "{sparkpost}"
}

pub(super) fn is_identity(text: &str) -> bool {
    matches!(text, "sender-or-from" | "strict-from")
        || text.strip_prefix('@').is_some_and(is_domain_pattern)
        || is_address(text)
        || text.contains('.') && is_domain_pattern(text)
}

pub(super) fn is_access(text: &str) -> bool {
    matches!(
        text,
        "none" | "monitor" | "monitor,deny-logs" | "operator" | "admin"
    )
}

pub(super) fn is_api_key(text: &str) -> bool {
    (32..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn is_privacy(text: &str) -> bool {
    matches!(
        text,
        "retain" | "redact" | "siphash" | "siphash-hexkey" | "hmac-sha256" | "hmac-sha256-hexkey"
    )
}

pub(super) fn is_signals(text: &str) -> bool {
    match text.split_once(',') {
        None => is_name(text),
        Some((on, account)) => {
            on == "true"
                && account
                    .strip_prefix("subaccount=")
                    .is_some_and(|n| n.parse::<u32>().is_ok())
        }
    }
}

/// Hosts by `,` within and `;` between levels of preference.
pub(super) fn are_routes(text: &str) -> bool {
    text.split([',', ';']).map(str::trim).all(|route| {
        let good = |c: char| c.is_alphanumeric() || "-._:[]$".contains(c);
        !route.is_empty() && route.chars().all(good)
    })
}
