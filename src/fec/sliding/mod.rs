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
