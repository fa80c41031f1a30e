//! Addresses, ranges and listeners, in the short forms that the product takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses; one address is a range too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address as written.
    pub base: IpAddr,
    /// Bits that are fixed.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `192.0.2.1`, `192.0.2.0/24`, and the short `10/8` and `0/0`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        if prefix.is_some_and(|digits| !digits.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let base = match base.parse::<IpAddr>() {
            Ok(base) => base,
            Err(_) if prefix.is_some() => IpAddr::V4(short(base)?),
            Err(_) => return None,
        };
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) => digits.parse().ok().filter(|prefix| *prefix <= width)?,
            None => width,
        };
        Some(Self { base, prefix })
    }

    /// Whether it stands for every address.
    #[must_use]
    pub const fn is_everyone(&self) -> bool {
        self.prefix == 0
    }

    /// Whether it lies within the machine or a private network.
    #[must_use]
    pub fn is_private(&self) -> bool {
        const NETWORKS: [(Ipv4Addr, u8); 5] = [
            (Ipv4Addr::new(127, 0, 0, 0), 8),
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
            (Ipv4Addr::new(169, 254, 0, 0), 16),
        ];
        match self.base {
            IpAddr::V4(base) => NETWORKS.iter().any(|(network, prefix)| {
                let shift = 32 - u32::from(*prefix);
                self.prefix >= *prefix && base.to_bits() >> shift == network.to_bits() >> shift
            }),
            IpAddr::V6(base) => {
                let local = self.prefix >= 7 && base.segments()[0] & 0xfe00 == 0xfc00;
                let link = self.prefix >= 10 && base.segments()[0] & 0xffc0 == 0xfe80;
                local || link || (base == Ipv6Addr::LOCALHOST && self.prefix == 128)
            }
        }
    }

    /// Whether it stands for so many addresses of the outside that nobody knows them all: more than
    /// 256 of IPv4, more than one network of IPv6.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        let narrow = if self.base.is_ipv4() { 24 } else { 64 };
        self.prefix < narrow && !self.is_private()
    }
}

/// `10` of `10/8`: what is missing is zero.
fn short(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        match parts.next() {
            Some(part) => *octet = part.parse().ok()?,
            None => break,
        }
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Where mail is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// On these addresses.
    pub addresses: Cidr,
    /// On this port.
    pub port: u16,
}

impl Listener {
    /// Reads `192.0.2.1:25` and `0/0:25`; `0.0.0.0` stands for all addresses too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (addresses, port) = text.rsplit_once(':')?;
        let inner = addresses
            .strip_prefix('[')
            .and_then(|a| a.strip_suffix(']'));
        let addresses = Cidr::parse(inner.unwrap_or(addresses))?;
        let port = port.parse().ok()?;
        // Without brackets the port of an IPv6 address cannot be told from the address.
        (addresses.base.is_ipv4() || inner.is_some()).then_some(Self { addresses, port })
    }

    /// Whether it takes mail on every address of the machine.
    #[must_use]
    pub const fn is_everywhere(&self) -> bool {
        self.addresses.is_everyone() || self.addresses.base.is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read() {
        for (text, base, prefix) in [
            ("0/0", "0.0.0.0", 0),
            ("10/8", "10.0.0.0", 8),
            ("173.194/16", "173.194.0.0", 16),
            ("192.0.2.1", "192.0.2.1", 32),
            ("::1", "::1", 128),
            ("2001:db8::/32", "2001:db8::", 32),
        ] {
            let base = base.parse().unwrap();
            assert_eq!(Cidr::parse(text), Some(Cidr { base, prefix }), "{text}");
        }
        for bad in [
            "10",
            "1.2.3.4.5/8",
            "10/33",
            "a/8",
            "10/+8",
            "",
            "/",
            "mail1.example.com",
        ] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn private_and_wide_ranges_are_told_apart() {
        let cidr = |text| Cidr::parse(text).unwrap();
        for private in ["127.0.0.1", "10/8", "192.168.3.0/24", "::1", "fd00::/8"] {
            assert!(
                cidr(private).is_private() && !cidr(private).is_wide(),
                "{private}"
            );
        }
        for wide in [
            "0/0",
            "198/8",
            "192.0.2.0/23",
            "2001:db8::/32",
            "::/0",
            "10/7",
        ] {
            assert!(cidr(wide).is_wide(), "{wide}");
        }
        assert!(!cidr("192.0.2.0/24").is_wide());
    }

    #[test]
    fn listeners_have_an_address_and_a_port() {
        assert!(Listener::parse("0.0.0.0:2525").unwrap().is_everywhere());
        assert!(Listener::parse("0/0:25").unwrap().is_everywhere());
        assert!(!Listener::parse("192.0.2.1:25").unwrap().is_everywhere());
        assert_eq!(Listener::parse("[2001:db8::1]:25").unwrap().port, 25);
        for bad in [
            "192.0.2.1",
            ":25",
            "2001:db8::1:25",
            "192.0.2.1:70000",
            "a:25",
        ] {
            assert_eq!(Listener::parse(bad), None, "{bad}");
        }
    }
}
