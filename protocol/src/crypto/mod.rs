//! Signatures over exact bytes, and secrets sealed to one host's key.
//!
//! Ed25519 (RFC 8032) from `ring`, HPKE (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305) from
//! `hpke`. Random bytes come from a source that the caller passes in.

mod entropy;
mod recovery;
mod seal;
mod sign;

pub use entropy::Entropy;
pub use recovery::{RecoveryKey, RecoveryKeyError, RecoveryPublic};
pub use seal::{HpkeStream, OpenError, Sealed, SealedSecret, SealingKey, open_stream, seal_stream};
pub use sign::{Signable, Signed, SigningKey, VerifyError};
