//! Programs: a sample, and what is changed in it.

/// Longest program that is worth running.
pub const PROGRAM_BYTES: usize = 64;
/// Bytes of one change: what, where (two bytes, big endian), with which value.
const CHANGE_BYTES: usize = 4;
/// Most changes of one program: each takes the input further away from anything that decodes.
const CHANGES: usize = 8;
/// First byte of a program whose rest is the input itself.
const RAW: u8 = 0xff;

/// What texts are made of, and what breaks those who read them.
const WORDS: [&str; 24] = [
    "\"",
    "'''",
    "\n",
    "\r",
    "\t",
    "\0",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ":",
    ",",
    ".",
    "-1",
    "null",
    "18446744073709551616",
    "1e999",
    "é",
    "\u{2028}",
    "\\u0000",
    "../",
    "%00",
];

/// Numbers that lengths and counts go wrong at.
const EDGES: [u32; 8] = [
    0,
    1,
    0x7f,
    0x80,
    0xffff,
    0x0010_0001,
    0x7fff_ffff,
    0xffff_ffff,
];

/// The input that a program means: a sample with up to eight changes.
#[must_use]
pub fn mutate(samples: &[Vec<u8>], program: &[u8]) -> Vec<u8> {
    let Some((&pick, rest)) = program.split_first() else {
        return Vec::new();
    };
    if pick == RAW || samples.is_empty() {
        return rest.to_vec();
    }
    let mut input = samples[usize::from(pick) % samples.len()].clone();
    let Some((&count, changes)) = rest.split_first() else {
        return input;
    };
    for change in changes
        .chunks_exact(CHANGE_BYTES)
        .take(1 + usize::from(count) % CHANGES)
    {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]]));
        apply(&mut input, samples, change[0], at, change[3]);
    }
    input
}

fn apply(input: &mut Vec<u8>, samples: &[Vec<u8>], what: u8, at: usize, value: u8) {
    let at = at % (input.len() + 1);
    let end = (at + usize::from(value)).min(input.len());
    match what % 14 {
        0 => set(input, at, |old| old ^ (1 << (value % 8))),
        1 => set(input, at, |_| value),
        2 => set(input, at, |old| old.wrapping_add(value)),
        3 => input.insert(at, value),
        4 => drop(input.drain(at..end)),
        5 => input.truncate(at),
        6 => {
            let copy = input[at..end].to_vec();
            insert(input, at, &copy);
        }
        // The longest number that a varint can say, and one that is said longer than it need be.
        7 => insert(input, at, &[0xff; 9]),
        8 => overlong(input, at),
        9 => {
            let edge = EDGES[usize::from(value) % EDGES.len()];
            let bytes = if value >= 0x80 {
                edge.to_be_bytes()
            } else {
                edge.to_le_bytes()
            };
            for (offset, byte) in bytes.into_iter().enumerate() {
                set(input, at + offset, |_| byte);
            }
        }
        10 => {
            let other = &samples[usize::from(value) % samples.len()];
            let tail = other.get(at..).unwrap_or_default();
            input.truncate(at);
            input.extend_from_slice(tail);
        }
        11 => insert(
            input,
            at,
            WORDS[usize::from(value) % WORDS.len()].as_bytes(),
        ),
        12 => insert(
            input,
            at,
            &vec![*input.get(at).unwrap_or(&b'['); usize::from(value) * 8],
        ),
        _ => input[at..end].reverse(),
    }
}

fn set(input: &mut [u8], at: usize, new: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = new(*byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// Says a varint's byte with one byte more than it needs: the same value, other bytes.
fn overlong(input: &mut Vec<u8>, at: usize) {
    if let Some(byte) = input.get_mut(at)
        && *byte < 0x80
    {
        *byte |= 0x80;
        input.insert(at + 1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: [u8; 4]) -> Vec<u8> {
        let [what, high, low, value] = change;
        let samples = [b"first".to_vec(), b"another".to_vec()];
        mutate(&samples, &[0, 0, what, high, low, value])
    }

    #[test]
    fn each_change_does_what_it_says() {
        assert_eq!(changed([0, 0, 0, 0]), b"girst");
        assert_eq!(changed([1, 0, 4, b'!']), b"firs!");
        assert_eq!(changed([3, 0, 5, b'!']), b"first!");
        assert_eq!(changed([4, 0, 1, 3]), b"ft");
        assert_eq!(changed([5, 0, 2, 0]), b"fi");
        assert_eq!(changed([6, 0, 0, 2]), b"fifirst");
        assert_eq!(changed([7, 0, 0, 0])[..9], [0xff; 9]);
        assert_eq!(changed([8, 0, 0, 0]), b"\xe6\0irst");
        assert_eq!(changed([9, 0, 0, 0x87]), b"\xff\xff\xff\xfft");
        assert_eq!(changed([10, 0, 2, 1]), b"fiother");
        assert_eq!(changed([11, 0, 0, 0]), b"\"first");
        assert_eq!(changed([12, 0, 0, 1]), b"fffffffffirst");
        assert_eq!(changed([13, 0, 0, 2]), b"ifrst");
    }

    #[test]
    fn a_program_without_changes_is_its_sample_and_a_raw_one_is_itself() {
        let samples = [b"first".to_vec(), b"another".to_vec()];
        assert_eq!(mutate(&samples, &[1]), b"another");
        assert_eq!(mutate(&samples, &[RAW, 1, 2, 3]), [1, 2, 3]);
        assert_eq!(mutate(&samples, &[]), b"");
        for what in 0..=u8::MAX {
            for at in 0..10 {
                let _ = mutate(&samples, &[0, 1, what, 0, at, 255, what, 0, at, 255]);
            }
        }
    }
}
