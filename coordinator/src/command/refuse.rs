//! Wording of refusals, and the checks of plain values that several verbs share.

use std::fmt::Display;
use std::net::IpAddr;

use super::{Rejection, RejectionCode};
use crate::command::RejectionCode::{Invalid, Limit, NotFound};

/// Longest value that a refusal repeats, in characters.
const VALUE_CHARS: usize = 120;
/// Longest name or label for people, in characters.
pub(crate) const TEXT_CHARS: usize = 200;

/// A refusal.
pub(crate) fn refuse(
    code: RejectionCode,
    field: impl Into<String>,
    value: &dyn Display,
    accepted: impl Into<String>,
) -> Rejection {
    Rejection {
        code,
        field: field.into(),
        value: cut(&value.to_string(), VALUE_CHARS),
        accepted: accepted.into(),
    }
}

pub(crate) fn not_found(field: &str, value: &dyn Display, what: &str) -> Rejection {
    refuse(
        NotFound,
        field,
        value,
        format!("the name of an existing {what}"),
    )
}

/// The text up to a number of characters.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Text for people: shown in tables and written into files of other programs, where a line break
/// would begin a new directive.
pub(crate) fn text(field: &str, value: &str) -> Result<(), Rejection> {
    if value.is_empty() || value.chars().count() > TEXT_CHARS || value.chars().any(char::is_control)
    {
        let accepted = format!("1 to {TEXT_CHARS} characters without control characters");
        return Err(refuse(Invalid, field, &value, accepted));
    }
    Ok(())
}

/// One DNS label in lower case.
pub(crate) fn label(field: &str, value: &str) -> Result<(), Rejection> {
    let good = (1..=63).contains(&value.len())
        && !value.starts_with('-')
        && !value.ends_with('-')
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        return Ok(());
    }
    let accepted = "one DNS label: 1 to 63 lower-case letters, digits and '-', not at its ends";
    Err(refuse(Invalid, field, &value, accepted))
}

/// Host name or address, and port.
pub(crate) fn endpoint(field: &str, value: &str) -> Result<(), Rejection> {
    let good = value.len() <= 300
        && value.bytes().all(|b| b.is_ascii_graphic())
        && value
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good {
        return Ok(());
    }
    let accepted = "host name or address, and port, such as 192.0.2.10:7443";
    Err(refuse(Invalid, field, &value, accepted))
}

/// At most so many.
pub(crate) fn at_most(field: &str, got: usize, limit: usize) -> Result<(), Rejection> {
    if got <= limit {
        return Ok(());
    }
    Err(refuse(Limit, field, &got, format!("at most {limit}")))
}

/// An address that mail can be sent from: one host's own, reachable from elsewhere.
pub(crate) fn sending_address(field: &str, address: IpAddr) -> Result<(), Rejection> {
    let unusable = match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0 || v4.octets()[0] >= 224 || v4.is_loopback() || v4.is_link_local()
        }
        // An IPv4 address in IPv6 clothes would be the same address a second time.
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some()
        }
    };
    if unusable {
        let accepted = "a unicast address that is not unspecified, loopback, link-local, reserved or \
                        IPv4-mapped";
        return Err(refuse(Invalid, field, &address, accepted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_send() {
        for good in ["192.0.2.1", "2001:db8::1"] {
            assert!(
                sending_address("address", good.parse().unwrap()).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "0.0.0.0",
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:192.0.2.1",
        ] {
            assert!(
                sending_address("address", bad.parse().unwrap()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_text_with_a_line_break_is_refused_and_shown_escaped_once() {
        let refusal = text("name", "a\nb").unwrap_err();
        assert_eq!((refusal.code, refusal.value.as_str()), (Invalid, "a\nb"));
        let shown = refusal.to_string();
        assert!(shown.contains(r#""a\nb""#), "escaped once: {shown}");
        assert!(text("name", &"a".repeat(201)).is_err());
        assert!(text("name", "Ünïcode is fine").is_ok());
    }

    #[test]
    fn end_points_have_a_host_and_a_port() {
        for good in [
            "192.0.2.10:7443",
            "[2001:db8::1]:7443",
            "node1.example.com:1",
        ] {
            assert!(endpoint("e", good).is_ok(), "{good}");
        }
        for bad in ["", "192.0.2.10", ":7443", "a b:1", "host:99999"] {
            assert!(endpoint("e", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn selectors_are_lower_case_labels() {
        assert!(label("selector", "mail2").is_ok());
        for bad in ["", "Mail", "a.b", "-a", "a-", "a_b"] {
            assert!(label("selector", bad).is_err(), "{bad}");
        }
    }
}
