//! The bytes that frames are filled with: pieces of one prepared buffer, which every end can compute.

use std::sync::OnceLock;

use bytes::Bytes;
use rand::Rng;

use crate::endpoint::Flow;
use crate::frame::{Frame, FrameId};
use crate::rng::Seed;

use super::packet::Fragment;

/// The payload of the piece `fragment` of `frame`: its head, where it is the first piece, then filler.
///
/// Only a first piece that begins with a head is copied.
pub(crate) fn payload(flow: Flow, frame: &Frame, fragment: &Fragment) -> Bytes {
    let filler = expected(flow, fragment);
    if fragment.head == 0 {
        return Bytes::from_static(filler);
    }
    let mut payload = Vec::with_capacity(filler.len());
    payload.extend_from_slice(&frame.head);
    payload.extend_from_slice(&filler[frame.head.len()..]);
    payload.into()
}

/// Whether `payload`, which is as long as the piece `fragment` must be, has the bytes that were sent,
/// as far as this end can know them: the head is the application's.
pub(super) fn matches(flow: Flow, fragment: &Fragment, payload: &[u8]) -> bool {
    let head = usize::from(fragment.head);
    payload[head..] == expected(flow, fragment)[head..]
}

fn expected(flow: Flow, fragment: &Fragment) -> &'static [u8] {
    bytes(offset(flow, fragment.frame, fragment.index), fragment.payload_len())
}

/// The filler of `length` bytes, at most [`PIECE_MAX`], from `place` (below [`OFFSETS`]) in the buffer.
pub(crate) fn bytes(place: usize, length: usize) -> &'static [u8] {
    static BUFFER: OnceLock<Vec<u8>> = OnceLock::new();
    let buffer = BUFFER.get_or_init(|| {
        // The seed is fixed: both ends must have the same bytes whatever the run's seed.
        let mut filler = vec![0; OFFSETS as usize + PIECE_MAX];
        Seed(0).stream("transport/filler").at(0).fill_bytes(&mut filler);
        filler
    });
    &buffer[place..place + length.min(PIECE_MAX)]
}

/// Where in the buffer a piece begins. Odd factors give neighbors in any of the three numbers
/// different offsets, so that swapped packets show.
fn offset(flow: Flow, frame: FrameId, index: u16) -> usize {
    let mixed = (frame.0.wrapping_mul(0x9e37_79b1))
        .wrapping_add(u32::from(index).wrapping_mul(0x85eb_ca77))
        .wrapping_add(u32::from(flow.0).wrapping_mul(0xc2b2_ae3d));
    (mixed >> (32 - OFFSETS.trailing_zeros())) as usize
}

/// How many places a piece can begin at.
pub(crate) const OFFSETS: u32 = 1 << 20;

/// The longest piece: no UDP datagram is longer.
pub(crate) const PIECE_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(frame: u32, index: u16) -> Fragment {
        let size = 10_000;
        Fragment { frame: FrameId(frame), index, count: 10, size, head: 0, captured: 0, lifetime: 0 }
    }

    #[test]
    fn swapped_packets_do_not_match() {
        let piece = |flow, frame, index| expected(Flow(flow), &fragment(frame, index));
        for (flow, frame, index) in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 9), (0, 2, 7), (3, 1, 4)] {
            assert!(!matches(Flow(0), &fragment(0, 0), piece(flow, frame, index)));
            assert!(matches(Flow(flow), &fragment(frame, index), piece(flow, frame, index)));
        }
    }

    #[test]
    fn the_head_replaces_the_first_bytes_of_the_first_piece_only() {
        let head = Bytes::from_static(b"head");
        let frame = Frame {
            id: FrameId(7),
            captured: Default::default(),
            deadline: Default::default(),
            priority: Default::default(),
            size: 10_000,
            head,
        };
        let first = Fragment::of(&frame, 0, 10);
        let bytes = payload(Flow(0), &frame, &first);
        assert_eq!((&bytes[..4], bytes.len()), (&b"head"[..], 1000));
        assert!(matches(Flow(0), &first, &bytes));
        assert_eq!(
            payload(Flow(0), &frame, &Fragment::of(&frame, 1, 10)),
            expected(Flow(0), &fragment(7, 1))
        );
    }
}
