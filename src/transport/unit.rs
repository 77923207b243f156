//! What a code protects of a source packet: the recoverable header fields and the payload, as a unit.

use bytes::Bytes;

use crate::fec::unit;
use crate::record::Malformed;

use super::packet::Fragment;

/// The unit of the source packet with these fields and this payload.
pub(super) fn seal(fragment: &Fragment, payload: &[u8]) -> Bytes {
    let mut fields = [0; Fragment::LEN];
    fragment.encode(&mut &mut fields[..]);
    unit::seal(&[&fields, payload])
}

/// The fields and the payload in a unit that a code recovered.
///
/// # Errors
/// The reason why it is no unit of a source packet.
pub(super) fn open(symbol: &Bytes) -> Result<(Fragment, Bytes), Malformed> {
    let (fragment, payload) = Fragment::decode(unit::open(symbol)?)?;
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

    #[test]
    fn a_unit_gives_back_the_fields_and_the_payload_and_nothing_else_is_one() {
        let fragment =
            Fragment { frame: FrameId(3), index: 1, count: 2, size: 9, head: 0, captured: 7, lifetime: 8 };
        assert_eq!(open(&seal(&fragment, b"data")), Ok((fragment, Bytes::from_static(b"data"))));
        // The second of two pieces of 9 bytes has 4.
        assert_eq!(open(&seal(&fragment, b"dat")), Err(Malformed::Truncated));
        assert_eq!(open(&seal(&fragment, b"data!")), Err(Malformed::InvalidField));
        assert_eq!(open(&unit::seal(&[b"short"])), Err(Malformed::Truncated));
    }
}
