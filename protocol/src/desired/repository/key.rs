//! What an armoured OpenPGP key holds (RFC 9580, sections 4 and 6), as far as it must be known that it is
//! public, whole, and nothing else. Whether it is any good is for the package tool to say.

use data_encoding::BASE64;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----\n";
/// Longest line that is written in armour.
const LINE: usize = 76;

const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;
const USER_ID: u8 = 13;
const PUBLIC_SUBKEY: u8 = 14;
const USER_ATTRIBUTE: u8 = 17;

/// Whether a text is one block of public keys. Apt's own reader wants the empty line, takes the first
/// block alone, and would pass over what stands before it.
pub(super) fn is_public(text: &str) -> bool {
    unarmoured(text).is_some_and(|bytes| holds_public_keys(&bytes))
}

fn unarmoured(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let (headers, body) = match inner.strip_prefix('\n') {
        Some(body) => ("", body),
        None => inner.split_once("\n\n")?,
    };
    if !headers.lines().all(is_header) {
        return None;
    }
    let mut lines: Vec<&str> = body.strip_suffix('\n')?.split('\n').collect();
    let checksum = lines.pop_if(|last| last.len() == 5 && last.starts_with('='));
    if !lines.iter().all(|line| (1..=LINE).contains(&line.len())) {
        return None;
    }
    let bytes = BASE64.decode(lines.concat().as_bytes()).ok()?;
    match checksum {
        None => Some(bytes),
        Some(sum) => {
            let sum = BASE64.decode(&sum.as_bytes()[1..]).ok()?;
            (sum == crc24(&bytes)).then_some(bytes)
        }
    }
}

/// `Comment: words`, as older tools write.
fn is_header(line: &str) -> bool {
    let name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let plain = |b: u8| b == b' ' || b.is_ascii_graphic();
    let parts = line.split_once(": ");
    line.len() <= LINE * 2
        && parts.is_some_and(|(key, value)| name(key) && value.bytes().all(plain))
}

fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut crc = 0x00b7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    let [_, high, middle, low] = crc.to_be_bytes();
    [high, middle, low]
}

fn holds_public_keys(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut is_first = true;
    while !rest.is_empty() {
        let Some((tag, behind)) = packet(rest) else {
            return false;
        };
        let fits = match tag {
            PUBLIC_KEY => true,
            SIGNATURE | USER_ID | PUBLIC_SUBKEY | USER_ATTRIBUTE => !is_first,
            // Private keys above all.
            _ => false,
        };
        if !fits {
            return false;
        }
        (rest, is_first) = (behind, false);
    }
    !is_first
}

/// What kind of packet begins here, and what comes behind it. Lengths that are told piece by piece, or
/// not at all, are not for keys.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (begin, rest) = bytes.split_first()?;
    if begin & 0x80 == 0 {
        return None;
    }
    let (tag, length, rest) = if begin & 0x40 == 0 {
        let octets = match begin & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        let (length, rest) = rest.split_at_checked(octets)?;
        ((begin >> 2) & 0x0f, number(length), rest)
    } else {
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=191 => (usize::from(short), rest),
            high @ 192..=223 => {
                let (low, rest) = rest.split_first()?;
                let length = (usize::from(high) - 192) * 256 + usize::from(*low) + 192;
                (length, rest)
            }
            255 => {
                let (length, rest) = rest.split_at_checked(4)?;
                (number(length), rest)
            }
            224..=254 => return None,
        };
        (begin & 0x3f, length, rest)
    };
    Some((tag, rest.split_at_checked(length)?.1))
}

fn number(octets: &[u8]) -> usize {
    octets
        .iter()
        .fold(0, |number, octet| (number << 8) | usize::from(*octet))
}
