//! Sending addresses that an interface has beside its own.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::names;
use super::super::{ConfigError, Resource};
use crate::limits;

const INTERFACE: &str =
    "an interface's name: letters, digits, '.', '_' and '-', at most 15 characters";
const COUNT: &str = "1 to 4096 addresses in order, each once";
const ADDRESS: &str = "an address of a host: not unspecified, loopback, multicast, broadcast, link-local or \
     IPv4 written as IPv6";

/// Addresses on one interface, each for itself alone (/32, /128): they change no route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpAddressSpec {
    /// Its name; the interface of the default route when absent.
    pub interface: Option<String>,
    /// The addresses, in order.
    pub addresses: Vec<IpAddr>,
}

pub(super) fn check(resource: &Resource, spec: &IpAddressSpec) -> Result<(), ConfigError> {
    if let Some(name) = &spec.interface {
        names::check(resource, "interface", name, is_interface(name), INTERFACE)?;
    }
    for address in &spec.addresses {
        let (text, good) = (address.to_string(), is_host(address));
        names::check(resource, "addresses", &text, good, ADDRESS)?;
    }
    let count = spec.addresses.len();
    let is_sorted = spec.addresses.is_sorted_by(|one, next| one < next);
    let good = is_sorted && (1..=limits::ADDRESSES_PER_INTERFACE).contains(&count);
    names::check(
        resource,
        "addresses",
        &format!("{count} of them"),
        good,
        COUNT,
    )
}

/// `all` and `default` are folders beside those of interfaces.
fn is_interface(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=15).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['.', '-'])
        && !["all", "default"].contains(&name)
}

const fn is_host(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            !(four.is_unspecified()
                || four.is_loopback()
                || four.is_multicast()
                || four.is_broadcast()
                || four.is_link_local())
        }
        IpAddr::V6(six) => {
            !(six.is_unspecified()
                || six.is_loopback()
                || six.is_multicast()
                || six.is_unicast_link_local()
                || six.to_ipv4_mapped().is_some())
        }
    }
}
