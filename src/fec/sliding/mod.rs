//! What all codes with sliding windows share (RFC 8406: convolutional codes).
//!
//! A repair packet is a linear combination of the source packets in a window, and every repair packet
//! has a window of its own: the windows overlap, and no block ends anywhere. The coefficients come from
//! the header of the repair packet alone, by a [`Rule`], so that one receiver serves every code and
//! every schedule of its sender.

mod decoder;
mod encoder;
mod system;

use std::fmt::Debug;

pub(super) use decoder::WindowDecoder;
pub(super) use encoder::WindowEncoder;

use super::RepairHeader;
use super::tinymt32;

/// How the coefficients of a repair packet follow from its header.
pub(super) trait Rule: Copy + Debug + Send + 'static {
    /// Whether a sender may write such a header. The range of source packets is checked elsewhere.
    fn accepts(self, header: &RepairHeader) -> bool;

    /// The coefficients of the source packets `first`, `first` + 1, … of the header, without end.
    fn coefficients(self, header: &RepairHeader) -> impl Iterator<Item = u8>;
}

/// The rule of RFC 8681: `row` is the repair key, `parameter` the density threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RandomLinear;

impl Rule for RandomLinear {
    fn accepts(self, header: &RepairHeader) -> bool {
        header.parameter <= tinymt32::FULL
    }

    fn coefficients(self, header: &RepairHeader) -> impl Iterator<Item = u8> {
        tinymt32::coefficients(header.row, header.parameter)
    }
}

/// The rule of streaming codes: as [`RandomLinear`] at full density, except that deferred packets have
/// no part in a repair packet unless they are among the first `parameter` packets of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deferring {
    /// How many of a hundred packets are deferred, 0 to 100.
    pub(super) percent: u8,
}

impl Deferring {
    /// Whether a source packet is deferred. Deferred ones are spread evenly over all, and both ends know
    /// them by their ESI.
    pub(super) fn defers(self, esi: u32) -> bool {
        let before = |esi: u64| esi * u64::from(self.percent) / 100;
        before(u64::from(esi) + 1) > before(u64::from(esi))
    }
}

impl Rule for Deferring {
    fn accepts(self, header: &RepairHeader) -> bool {
        u16::from(header.parameter) <= header.count
    }

    fn coefficients(self, header: &RepairHeader) -> impl Iterator<Item = u8> {
        let (first, whole) = (header.first, u32::from(header.parameter));
        let all = tinymt32::coefficients(header.row, tinymt32::FULL).zip(0_u32..);
        all.map(move |(coefficient, place)| {
            let out = place >= whole && self.defers(first.wrapping_add(place));
            if out { 0 } else { coefficient }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deferred_packets_have_their_share_and_are_spread_evenly() {
        for percent in [0, 1, 20, 33, 50, 99, 100] {
            let deferring = Deferring { percent };
            for from in [0, 7, 1_000] {
                let deferred = (from..from + 100).filter(|&esi| deferring.defers(esi)).count();
                assert_eq!(deferred, usize::from(percent));
            }
            assert_eq!((0..10).filter(|&esi| deferring.defers(esi)).count(), usize::from(percent) / 10);
        }
    }

    #[test]
    fn a_streaming_repair_packet_leaves_deferred_packets_out_behind_its_oldest_frame() {
        let deferring = Deferring { percent: 50 };
        let header = RepairHeader { first: 10, count: 8, row: 7, parameter: 3 };
        let coefficients: Vec<u8> = deferring.coefficients(&header).take(8).collect();
        let expected = [true, true, true, false, true, false, true, false];
        assert_eq!(coefficients.iter().map(|&c| c != 0).collect::<Vec<_>>(), expected);
        assert!(deferring.accepts(&header));
        assert!(!deferring.accepts(&RepairHeader { parameter: 9, ..header }));
    }
}
