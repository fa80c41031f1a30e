//! Addresses of repositories, so plain that two of them can be compared letter by letter: without a user,
//! a question, an escape, or a way out of a folder.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::is_web_name;

/// What dnf itself fills in.
const VARIABLES: [&str; 3] = ["$basearch", "$releasever", "$arch"];

/// Whether packages may be fetched from this address. The variables of dnf may stand in its path.
#[must_use]
pub fn is_repository_uri(uri: &str) -> bool {
    let rest = uri
        .strip_prefix("https://")
        .or_else(|| uri.strip_prefix("http://"));
    let Some(rest) = rest.filter(|_| uri.len() <= 512) else {
        return false;
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    is_authority(authority) && is_path(path)
}

fn is_path(path: &str) -> bool {
    let mut plain = path.strip_suffix('/').unwrap_or(path).to_owned();
    for variable in VARIABLES {
        plain = plain.replace(variable, "x");
    }
    path.is_empty() || plain.split('/').all(is_part)
}

/// One name between slashes.
pub(super) fn is_part(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-._~+".contains(&b);
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(inner)
}

fn is_authority(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((six, port)) = rest.split_once(']') else {
            return false;
        };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        // In the one form that it is written in, so that no other stands for it.
        let is_it = |address: &Ipv6Addr| address.to_string() == six;
        return is_port && six.parse().is_ok_and(|address| is_it(&address));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host = is_web_name(host) || host == "localhost" || host.parse::<Ipv4Addr>().is_ok();
    is_host && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    digits && port.parse::<u16>().is_ok()
}
