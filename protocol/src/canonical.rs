//! Decoding where a hash or a signature names the bytes: one value, one form.
//!
//! postcard itself takes numbers that are said longer than they need be, and ignores what stands behind
//! a value. Then one state would have several digests, and who compares bytes would tell apart what
//! is the same.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes bytes that are exactly what encoding the value gives.
///
/// # Errors
/// When they are anything else.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    let value: T = postcard::from_bytes(bytes)?;
    let again = zeroize::Zeroizing::new(postcard::to_stdvec(&value)?);
    if **again == *bytes {
        Ok(value)
    } else {
        Err(postcard::Error::DeserializeBadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_number_and_a_trailing_byte_are_refused() {
        assert_eq!(decode::<u64>(&[5]), Ok(5));
        assert_eq!(postcard::from_bytes::<u64>(&[0x85, 0]), Ok(5));
        assert!(decode::<u64>(&[0x85, 0]).is_err());
        assert!(decode::<u64>(&[5, 0]).is_err());
    }
}
