//! Frames: 4 bytes of length, big endian, then that many bytes of postcard. No IO.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_BYTES;

/// Why bytes are not a frame, or a value cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Announces or would need more than the cap.
    #[error("frame of {got} bytes is over the cap of {FRAME_BYTES}")]
    TooLarge {
        /// The announced or needed size.
        got: usize,
    },
    /// The payload is no message of this kind.
    #[error("frame does not decode: {0}")]
    Decode(postcard::Error),
    /// The payload is a message with something behind it.
    #[error("frame has {0} bytes behind its message")]
    Trailing(usize),
}

/// Encodes a message as a frame.
///
/// # Errors
/// When it is larger than the cap.
///
/// # Panics
/// Never for messages of this crate: each serialises.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame).expect("a message serialises");
    let length = frame.len() - 4;
    if length > FRAME_BYTES {
        return Err(FrameError::TooLarge { got: length });
    }
    let prefix = u32::try_from(length)
        .expect("the cap is below 4 GiB")
        .to_be_bytes();
    frame[..4].copy_from_slice(&prefix);
    Ok(frame)
}

/// Reads the length in front of a payload, refusing one over the cap before anything is allocated.
///
/// # Errors
/// When it is over the cap.
pub fn length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let got = u32::from_be_bytes(prefix) as usize;
    if got > FRAME_BYTES {
        Err(FrameError::TooLarge { got })
    } else {
        Ok(got)
    }
}

/// Decodes a payload: exactly one message, nothing behind it.
///
/// # Errors
/// When it is anything else.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(payload).map_err(FrameError::Decode)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(FrameError::Trailing(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_over_the_cap_is_refused_on_both_sides() {
        let big = vec![0u8; FRAME_BYTES + 1];
        assert!(matches!(encode(&big), Err(FrameError::TooLarge { .. })));
        assert_eq!(
            length([0xff; 4]),
            Err(FrameError::TooLarge { got: 0xffff_ffff })
        );
        assert_eq!(length([0, 0, 1, 0]), Ok(256));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let frame = encode(&7u8).unwrap();
        assert_eq!(decode::<u8>(&frame[4..]), Ok(7));
        assert_eq!(decode::<u8>(&[7, 0]), Err(FrameError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn any_payload_decodes_or_is_refused_without_panic(bytes: Vec<u8>) {
            let _ = decode::<crate::wire::v1::AgentMessage>(&bytes);
            let _ = decode::<crate::wire::v1::CoordinatorMessage>(&bytes);
            let _ = decode::<crate::enroll::EnrollRequest>(&bytes);
        }
    }
}
