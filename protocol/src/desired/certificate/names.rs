//! What web servers, groups and the directories of ACME servers may be called.

/// Whether a certificate may be asked for under this name.
#[must_use]
pub fn is_web_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(label)
        // An address is no name.
        && !last.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_group(name: &str) -> bool {
    let begins = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let inner = |b: u8| begins(b) || b.is_ascii_digit() || b == b'-';
    name.len() <= 32 && name.bytes().next().is_some_and(begins) && name.bytes().all(inner)
}

/// The host of a directory, with its port when the address has one. Nothing when the address is none.
#[must_use]
pub fn directory_host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").filter(|_| url.len() <= 512)?;
    let (authority, path) = rest.split_once('/')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    if !path.bytes().all(plain) {
        return None;
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
        digits && port.parse::<u16>().is_ok_and(|port| port != 443)
    };
    let is_host = is_web_name(host) || host == "localhost";
    (is_host && port.is_none_or(is_port)).then_some(authority)
}
