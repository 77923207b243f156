//! The coded unit of a source packet: what a code computes with.
//!
//! `[length u16][CRC-32 u32][contents]`, the contents being the recoverable header fields and the
//! payload. The length undoes the zeros that codes put behind short units (the ADUI of RFC 6865 §4.3);
//! the check tells accidents and bugs of codes, not forgery.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::record::Malformed;

use super::packet::Fragment;

/// Bytes in front of the contents.
pub(super) const HEADER_LEN: usize = 6;

/// The unit of the source packet with these fields and this payload.
pub(super) fn seal(fragment: &Fragment, payload: &[u8]) -> Bytes {
    let mut unit = BytesMut::with_capacity(HEADER_LEN + Fragment::LEN + payload.len());
    unit.put_u16((Fragment::LEN + payload.len()) as u16);
    unit.put_u32(0);
    fragment.encode(&mut unit);
    unit.put_slice(payload);
    let check = crc32fast::hash(&unit[HEADER_LEN..]);
    unit[2..HEADER_LEN].copy_from_slice(&check.to_be_bytes());
    unit.freeze()
}

/// The fields and the payload in a unit that a code recovered.
///
/// # Errors
/// The reason why it is no unit.
pub(super) fn open(unit: &Bytes) -> Result<(Fragment, Bytes), Malformed> {
    let mut rest = unit.clone();
    if rest.len() < HEADER_LEN {
        return Err(Malformed::Truncated);
    }
    let (len, check) = (usize::from(rest.get_u16()), rest.get_u32());
    if len > rest.len() {
        return Err(Malformed::Truncated);
    }
    let padding = rest.split_off(len);
    if crc32fast::hash(&rest) != check || padding.iter().any(|byte| *byte != 0) {
        return Err(Malformed::BadCheck);
    }
    let (fragment, payload) = Fragment::decode(rest)?;
    if payload.len() == fragment.payload_len() {
        Ok((fragment, payload))
    } else {
        Err(Malformed::InvalidField)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameId;

    fn fragment() -> Fragment {
        Fragment { frame: FrameId(3), index: 1, count: 2, size: 9, head: 0, captured: 7, lifetime: 8 }
    }

    #[test]
    fn a_unit_opens_to_what_was_sealed_with_zeros_behind_it_or_not() {
        let unit = seal(&fragment(), b"data");
        assert_eq!(open(&unit), Ok((fragment(), Bytes::from_static(b"data"))));
        let padded: Bytes = [&unit[..], &[0; 5]].concat().into();
        assert_eq!(open(&padded), Ok((fragment(), Bytes::from_static(b"data"))));
    }

    #[test]
    fn every_flipped_bit_of_a_unit_shows() {
        let unit: Vec<u8> = [&seal(&fragment(), b"data")[..], &[0; 5]].concat();
        for bit in 0..unit.len() * 8 {
            let mut damaged = unit.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&damaged.into()).is_err(), "bit {bit}");
        }
        assert_eq!(open(&Bytes::from_static(b"short")), Err(Malformed::Truncated));
    }
}
