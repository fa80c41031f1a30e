//! The way back from addresses to names. It is set by whoever gave the addresses, block by block.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use email_engine_protocol::api::{Pointer, PointerBlock};

use super::{Data, OfDomain};

/// The name below which an address leads back.
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = String::new();
            for byte in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 0xf, byte >> 4));
            }
            name.push_str("ip6.arpa");
            name
        }
    }
}

/// Longest blocks in which providers delegate the way back, and in which their pages show it.
const BLOCK_V4: u8 = 24;
const BLOCK_V6: u8 = 64;

/// Which name each address must lead back to, by block of addresses.
#[must_use]
pub fn blocks(domains: &[OfDomain]) -> Vec<PointerBlock> {
    let mut blocks: BTreeMap<IpNet, BTreeMap<IpAddr, Pointer>> = BTreeMap::new();
    for one in domains {
        for wanted in &one.wanted {
            let Data::Ptr(name) = &wanted.data else {
                continue;
            };
            let address = one.spec.address;
            let bits = if address.is_ipv4() {
                BLOCK_V4
            } else {
                BLOCK_V6
            };
            let block = IpNet::new_assert(address, bits).trunc();
            let pointer = Pointer {
                address,
                reverse: wanted.name.clone(),
                name: name.clone(),
            };
            blocks.entry(block).or_default().insert(address, pointer);
        }
    }
    let blocks = blocks.into_iter();
    blocks
        .map(|(block, pointers)| PointerBlock {
            block: block.to_string(),
            pointers: pointers.into_values().collect(),
        })
        .collect()
}
