//! Addresses, networks, listeners and other things that a line names.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::pattern::is_domain;
use super::quantity::digits;

/// `192.0.2.1`, `10/8`, `173.194/16`, `0/0`, `2001:db8::/32`.
pub(super) fn cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text
        .split_once('/')
        .map_or((text, None), |(address, length)| (address, Some(length)));
    let whole = length.is_none();
    let address = match address.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) if whole => return None,
        Err(_) => IpAddr::V4(short_address(address)?),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => u8::try_from(digits(length)?).ok()?,
    };
    IpNet::new(address, length).ok()
}

/// Missing octets are zero: `10` is `10.0.0.0`.
fn short_address(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    for (count, part) in text.split('.').enumerate() {
        *octets.get_mut(count)? = u8::try_from(digits(part)?).ok()?;
    }
    Some(Ipv4Addr::from(octets))
}

/// `CIDR:PORT`; an IPv6 network stands in brackets.
pub(super) fn cidr_port(text: &str) -> Option<(IpNet, u16)> {
    let (network, port) = text.rsplit_once(':')?;
    let network = network
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(network);
    let port = u16::try_from(digits(port)?).ok().filter(|&port| port > 0)?;
    Some((cidr(network)?, port))
}

/// A local part, `@`, and a domain; no blanks and no second `@`.
pub(super) fn is_address(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        let local_fits = !local.is_empty()
            && local.len() <= 64
            && !local.contains(|c: char| c.is_whitespace() || c == '@' || c == '<' || c == '>');
        local_fits && (is_domain(domain) || domain.starts_with('['))
    })
}

/// Names of virtual MTAs, pools, lists and sources.
pub(super) fn is_name(text: &str) -> bool {
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or(text);
    !inner.is_empty()
        && inner.len() <= 255
        && inner
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_networks_are_legal_and_short_addresses_are_not() {
        assert_eq!(cidr("10/8"), "10.0.0.0/8".parse().ok());
        assert_eq!(cidr("173.194/16"), "173.194.0.0/16".parse().ok());
        assert_eq!(cidr("0/0"), "0.0.0.0/0".parse().ok());
        assert_eq!(cidr("::1"), "::1/128".parse().ok());
        for wrong in ["10", "10/33", "1.2.3.4.5/8", "mail.example", "1.2.3/x"] {
            assert_eq!(cidr(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_listener_needs_its_port() {
        assert_eq!(cidr_port("0.0.0.0:2525").map(|(_, port)| port), Some(2525));
        assert_eq!(
            cidr_port("[2001:db8::1]:25").map(|(_, port)| port),
            Some(25)
        );
        for wrong in ["192.0.2.1", "192.0.2.1:0", "192.0.2.1:70000"] {
            assert_eq!(cidr_port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_and_names() {
        assert!(is_address("contact@mail1.example.com"));
        assert!(!is_address("contact"));
        assert!(!is_address("a b@x.example"));
        assert!(is_name("vmta-mail1"));
        assert!(is_name("{auth}"));
        assert!(!is_name("a,b"));
    }
}
