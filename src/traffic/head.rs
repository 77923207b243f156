//! What the sending application tells the viewer in a frame's first bytes.
//!
//! | byte 0 | then, big-endian | meaning |
//! | --- | --- | --- |
//! | 0 | nothing | needs no other frame |
//! | 1 | 4 bytes: a frame's number | changes the picture that this frame left |
//! | 2 | 16 bytes: a bit per tile, tile 0 the lowest | overwrites these tiles |

use bytes::Bytes;

use crate::frame::{FrameId, Regions};
use crate::record::Malformed;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Needs no other frame: a whole picture, a key stroke, a piece of a download.
    Whole,
    /// Changes the picture that `reference` left.
    Delta {
        /// The frame before.
        reference: FrameId,
    },
    /// Overwrites these tiles and needs no other frame.
    Tiles(Regions),
}

impl Head {
    /// As bytes: 17 at most.
    pub(super) fn encode(self) -> Bytes {
        match self {
            Self::Whole => Bytes::from_static(&[0]),
            Self::Delta { reference } => {
                let [a, b, c, d] = reference.0.to_be_bytes();
                Bytes::copy_from_slice(&[1, a, b, c, d])
            }
            Self::Tiles(regions) => {
                let mut bytes = [2; 17];
                bytes[1..].copy_from_slice(&regions.0.to_be_bytes());
                Bytes::copy_from_slice(&bytes)
            }
        }
    }

    /// Reads a head; any byte string gives one or a reason.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (&kind, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        match kind {
            0 => Ok(Self::Whole),
            1 => {
                let number = rest.first_chunk().ok_or(Malformed::Truncated)?;
                Ok(Self::Delta { reference: FrameId(u32::from_be_bytes(*number)) })
            }
            2 => {
                let tiles = rest.first_chunk().ok_or(Malformed::Truncated)?;
                Ok(Self::Tiles(Regions(u128::from_be_bytes(*tiles))))
            }
            _ => Err(Malformed::UnknownKind),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frame;

    #[test]
    fn heads_come_back_as_they_were() {
        for head in [
            Head::Whole,
            Head::Delta { reference: FrameId(0x0102_0304) },
            Head::Tiles(Regions::NONE.with(0).with(127)),
        ] {
            let bytes = head.encode();
            assert!(bytes.len() <= Frame::HEAD_MAX);
            assert_eq!(Head::decode(&bytes), Ok(head));
            for end in 0..bytes.len() {
                assert_eq!(Head::decode(&bytes[..end]), Err(Malformed::Truncated));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_bytes_give_a_head_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(head) = Head::decode(&bytes) {
                prop_assert!(bytes.starts_with(&head.encode()));
            }
        }
    }
}
