//! Every decoder of the protocol: what travels, what is signed, what is sealed, what people type.

#![allow(
    clippy::unwrap_used,
    reason = "a target whose sample cannot be made has failed"
)]

mod sealed;
mod signed;
mod text;
mod wire;

use data_encoding::HEXLOWER;

/// The golden frames whose names begin so, without their lengths.
fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("../../../../protocol/tests/golden/v1.txt").lines();
    let named = lines.filter_map(|line| line.strip_prefix(prefix));
    named
        .map(|rest| {
            let hex = rest.rsplit(' ').next().unwrap();
            HEXLOWER.decode(hex.as_bytes()).unwrap()[4..].to_vec()
        })
        .collect()
}
