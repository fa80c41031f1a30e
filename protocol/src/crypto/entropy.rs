//! The caller's source of randomness, in the form that `hpke` asks for.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// A cryptographic random source that somebody else owns; the system's, or a seeded one in tests.
pub struct Entropy<'a>(pub &'a dyn ring::rand::SecureRandom);

impl std::fmt::Debug for Entropy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl Entropy<'_> {
    /// `N` random bytes.
    ///
    /// # Panics
    /// When the system has no randomness: no key made without it would be a key.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.0
            .fill(&mut out)
            .expect("the system's random source answers once it is seeded");
        out
    }
}

impl TryRng for Entropy<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0
            .fill(out)
            .expect("the system's random source answers once it is seeded");
        Ok(())
    }
}

impl TryCryptoRng for Entropy<'_> {}
