//! Which source packets make a block, as the headers of its repair packets say.

use super::{BLOCK_MAX, Coefficients};
use crate::fec::RepairHeader;
use crate::record::Malformed;

/// The source packets of a block: `first`, `first + stride`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) sources: u32,
    pub(super) stride: u32,
    /// The repair packets that were sent with the block; more may have been asked for.
    pub(super) repair: u8,
}

impl Span {
    pub(super) fn esis(self) -> impl DoubleEndedIterator<Item = u32> + Clone {
        (0..self.sources).map(move |column| self.first + column * self.stride)
    }

    pub(super) fn last(self) -> u32 {
        self.first + (self.sources - 1) * self.stride
    }

    pub(super) fn contains(self, esi: u32) -> bool {
        (self.first..=self.last()).contains(&esi) && (esi - self.first).is_multiple_of(self.stride)
    }

    pub(super) fn column(self, esi: u32) -> usize {
        ((esi - self.first) / self.stride) as usize
    }
}

/// What the blocks of a code look like at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Every source packet is in one block.
    Single { extent: Extent, repair_max: u8, coefficients: Coefficients },
    /// Every source packet is in a block along its row and in one along its column, each with one
    /// repair packet. `row` of its header says which: 0 for the row, 1 for the column.
    Crossed([Extent; 2]),
}

/// How far the blocks of one direction reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The distance of a block's source packets.
    pub(super) stride: u32,
    /// The most source packets of a block.
    pub(super) sources_max: u32,
}

impl Extent {
    /// How far the last source packet of a block is from the first one at most.
    pub(super) const fn reach(self) -> u32 {
        self.stride * (self.sources_max - 1)
    }
}

impl Layout {
    pub(super) const fn coefficients(&self) -> Coefficients {
        match self {
            Self::Single { coefficients, .. } => *coefficients,
            Self::Crossed(_) => Coefficients::Ones,
        }
    }

    pub(super) fn extents(&self) -> &[Extent] {
        match self {
            Self::Single { extent, .. } => std::slice::from_ref(extent),
            Self::Crossed(extents) => extents,
        }
    }

    /// Reads a header: which packets make the block, or what cannot be.
    pub(super) fn span(&self, header: &RepairHeader) -> Result<Span, Malformed> {
        let extent = match self {
            Self::Single { extent, .. } => extent,
            Self::Crossed(extents) => extents.get(usize::from(header.row)).ok_or(Malformed::InvalidField)?,
        };
        let reach = u32::from(header.count).checked_sub(1).ok_or(Malformed::InvalidField)?;
        let sources = reach / extent.stride + 1;
        let fits = reach.is_multiple_of(extent.stride)
            && sources <= extent.sources_max
            && self.has_row(header, sources as usize);
        if !fits {
            return Err(Malformed::InvalidField);
        }
        header.first.checked_add(reach).ok_or(Malformed::OutOfRange)?;
        Ok(Span { first: header.first, sources, stride: extent.stride, repair: header.parameter })
    }

    /// Whether a block of `sources` source packets may have the repair packet of the header. Rows of a
    /// Cauchy matrix go on behind those that were sent with the block, for receivers that ask.
    fn has_row(&self, header: &RepairHeader, sources: usize) -> bool {
        let (row, repair) = (usize::from(header.row), header.parameter);
        match *self {
            Self::Single { repair_max, coefficients, .. } => {
                repair <= repair_max
                    && sources + usize::from(repair) <= BLOCK_MAX
                    && match coefficients {
                        Coefficients::Ones => row < usize::from(repair),
                        Coefficients::Cauchy => sources + row < BLOCK_MAX,
                    }
            }
            Self::Crossed(_) => repair == 1,
        }
    }
}
