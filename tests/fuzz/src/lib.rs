//! Fuzzing of everything that reads bytes or text from outside.
//!
//! A target is a test beside its decoder, made with [`fuzz!`]: golden samples and a property. The same
//! test serves twice.
//!
//! - `cargo test` (so `tests/run`, on stable Rust) runs each target a bounded number of times on random
//!   programs of changes. A failure prints its seed and the shortest program that was found;
//!   `BOLERO_RANDOM_SEED=SEED cargo test NAME` repeats it, `BOLERO_RANDOM_ITERATIONS=N` asks for more.
//! - `cargo bolero test --package PACKAGE --toolchain nightly --sanitizer NONE TEST` (after `cargo install
//!   cargo-bolero` and `source deploy/toolchain/env.sh && prebuilt`) runs one under libFuzzer, guided by
//!   coverage, until it is stopped or `-T 60s` are over. Nothing here is `unsafe`, so no sanitizer is
//!   needed. What falls over is kept in `__fuzz__/` beside the test and run again by `cargo test`.
//!
//! The engine's input is not what the decoder reads: it is a *program* (`mutate`) that picks a sample
//! and changes it. Random bytes alone end at the first length or tag; a changed sample gets deep.

mod mutate;

pub use allocation_counter;
pub use bolero;
pub use mutate::{PROGRAM_BYTES, mutate};

/// Runs of one target in an ordinary test.
pub const RUNS: usize = 1500;

/// Runs of a target that does elliptic curves, which take 50 ms each in an unoptimised build.
pub const SLOW_RUNS: usize = 40;

/// Bytes that a decoder may hold at once beside what grows with its input. serde reserves up to 1 MiB
/// for one list because of a length that it merely read, and lists nest.
const RESERVED_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes that it may hold per byte of input: one byte can stand for an empty string in a list.
const BYTES_PER_INPUT_BYTE: u64 = 512;

/// Runs a property on changed samples.
///
/// `fuzz!(samples, property)`: `samples` is a `Vec<Vec<u8>>`, `property` a `fn(&[u8]) -> bool` that
/// says whether the input was accepted, and panics when something does not hold. Every sample itself
/// must be accepted: a target that refuses everything shows nothing.
#[macro_export]
macro_rules! fuzz {
    ($samples:expr, $property:expr) => {
        $crate::fuzz!($samples, $property, $crate::RUNS)
    };
    ($samples:expr, $property:expr, $runs:expr) => {{
        let samples: Vec<Vec<u8>> = $samples;
        let property: fn(&[u8]) -> bool = $property;
        assert!(!samples.is_empty(), "a target needs samples");
        for (at, sample) in samples.iter().enumerate() {
            assert!(property(sample), "sample {at} is refused: {sample:02x?}");
        }
        $crate::bolero::check!()
            .with_iterations($runs)
            .with_max_len($crate::PROGRAM_BYTES)
            .for_each(|program: &[u8]| $crate::judge(&samples, program, property));
    }};
}

/// Runs a property once, within its budget of memory.
///
/// # Panics
/// When the property does, or when it needs more memory than its input justifies.
pub fn judge(samples: &[Vec<u8>], program: &[u8], property: fn(&[u8]) -> bool) {
    let input = mutate(samples, program);
    let used = allocation_counter::measure(|| {
        property(&input);
    });
    let allowed = RESERVED_BYTES + BYTES_PER_INPUT_BYTE * input.len() as u64;
    assert!(
        used.bytes_max <= allowed,
        "{} bytes were held for an input of {} bytes, at most {allowed} are allowed",
        used.bytes_max,
        input.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "bytes were held for an input of")]
    fn a_decoder_that_believes_a_length_is_caught() {
        let greedy = |input: &[u8]| {
            let claimed = input.first().copied().unwrap_or_default();
            std::hint::black_box(vec![0_u8; usize::from(claimed) << 20]).len() > 1
        };
        judge(&[vec![200]], &[0], greedy);
    }

    #[test]
    #[should_panic(expected = "sample 0 is refused")]
    fn a_target_whose_samples_are_refused_is_no_target() {
        fuzz!(vec![b"x".to_vec()], |_| false);
    }

    #[test]
    #[should_panic(expected = "test failed")]
    fn a_decoder_that_panics_on_one_changed_byte_is_found() {
        fuzz!(
            vec![b"sample".to_vec()],
            |input| {
                assert!(input.get(3) != Some(&b'?'), "found");
                true
            },
            200_000
        );
    }
}
