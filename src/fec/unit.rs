//! The coded unit of a source packet: what codes compute with in its place.
//!
//! ```text
//! [length: u16][check: u32][contents …][zeros up to the longest unit of the block]
//! ```
//!
//! Both numbers are big-endian; the check is the CRC-32 of length and contents. As in the coded units
//! of RFC 6865 and RFC 8681 (ADUI), neither the fields nor the zeros travel with source packets: the
//! receiver builds the unit of a packet that arrived anew, and a repair symbol is as long as the
//! longest unit it protects. A linear code gives the fields the same coefficients as the contents, so
//! that a recovered unit says itself how long the packet was.
//!
//! | here | RFC 6865, RFC 8681 |
//! | --- | --- |
//! | 4 bytes of check | none |
//! | no flow identifier | 1 byte: several flows share a block |
//!
//! # What the check promises
//!
//! A recovered unit is valid only if its length fits, all bytes behind the contents are zero, and the
//! check matches. That catches accidents (headers mixed up, bytes that changed on the way) and bugs of
//! decoders. It is no protection from forgery: whoever can send repair packets can make them fit, and
//! only authenticated encryption helps. And the check is linear, like the codes: the plain XOR of an
//! odd number of valid units of one length passes it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::record::Malformed;

/// The bytes of a unit before its contents.
pub const OVERHEAD: usize = 6;

/// The unit of a packet whose contents, what travels in it, are these `pieces` one after the other.
///
/// # Panics
///
/// If the contents are longer than 65,535 bytes: more than fits any UDP datagram.
pub fn seal(pieces: &[&[u8]]) -> Bytes {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let field = u16::try_from(length).expect("contents fit a UDP datagram").to_be_bytes();
    let mut unit = BytesMut::with_capacity(OVERHEAD + length);
    unit.put_slice(&field);
    unit.put_u32(check(field, pieces));
    for piece in pieces {
        unit.put_slice(piece);
    }
    unit.freeze()
}

/// The contents of a recovered unit, perhaps with zeros behind it.
///
/// # Errors
///
/// [`Malformed::BadCheck`] where this is no unit.
pub fn open(symbol: &Bytes) -> Result<Bytes, Malformed> {
    let (length, rest) = symbol.split_first_chunk::<2>().ok_or(Malformed::BadCheck)?;
    let (expected, rest) = rest.split_first_chunk::<4>().ok_or(Malformed::BadCheck)?;
    let (contents, padding) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(Malformed::BadCheck)?;
    let valid =
        padding.iter().all(|&byte| byte == 0) && check(*length, &[contents]).to_be_bytes() == *expected;
    valid.then(|| symbol.slice_ref(contents)).ok_or(Malformed::BadCheck)
}

/// The length is under the check too, or else a symbol of zeros would be the unit of a packet
/// without contents.
fn check(length: [u8; 2], pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_unit_opens_to_its_contents_whatever_zeros_follow(
            contents in prop::collection::vec(any::<u8>(), 0..200), zeros in 0_usize..50
        ) {
            let padded = [&seal(&[&contents])[..], &vec![0; zeros]].concat();
            prop_assert_eq!(open(&padded.into()), Ok(contents.into()));
        }

        #[test]
        fn any_change_of_one_byte_is_noticed(
            contents in prop::collection::vec(any::<u8>(), 0..200), zeros in 0_usize..5,
            place: prop::sample::Index, change in 1_u8..
        ) {
            let mut padded = [&seal(&[&contents])[..], &vec![0; zeros]].concat();
            *place.get_mut(&mut padded) ^= change;
            prop_assert_eq!(open(&padded.into()), Err(Malformed::BadCheck));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = open(&bytes.into());
        }
    }

    #[test]
    fn the_layout_stays_as_it_is() {
        // 0x1ef2c023 is the CRC-32 of 00 03 'a' 'b' 'c', by an independent implementation.
        assert_eq!(seal(&[b"a", b"bc"])[..], [0, 3, 0x1e, 0xf2, 0xc0, 0x23, b'a', b'b', b'c']);
    }

    #[test]
    fn zeros_are_no_unit() {
        assert_eq!(open(&Bytes::from_static(&[0; 20])), Err(Malformed::BadCheck));
        assert_eq!(open(&Bytes::new()), Err(Malformed::BadCheck));
    }
}
