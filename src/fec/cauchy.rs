//! The code behind Reed–Solomon blocks, on plain buffers: for those who cut blocks themselves.
//!
//! The coefficient of source j in repair packet i is 1 / (x(i) + y(j)) with x = 255, 254, … and
//! y = 0, 1, …, which are different as long as a block has at most 255 packets. All square parts of such a
//! matrix (Cauchy's) can be inverted, and dividing columns by a number keeps that: divided by their first
//! elements they make the first row all ones, so that one repair packet is parity. No coefficient
//! depends on the size of the block, so all blocks share one table.
//!
//! Blömer, Kalfane, Karp, Karpinski, Luby, Zuckerman: "An XOR-based erasure-resilient coding scheme",
//! ICSI TR-95-048.

use super::block::BLOCK_MAX;
use super::gf256::{self, Kernel};
use super::matrix::recovery;
use super::scheme::{InvalidScheme, within};

/// All coefficients, row by row. Those that no block has, since it would be too long, mean nothing.
static COEFFICIENTS: [[u8; BLOCK_MAX]; BLOCK_MAX] = coefficients();

/// The coefficients of the repair packet `row`, below 255.
pub(super) fn row(row: usize) -> &'static [u8; BLOCK_MAX] {
    &COEFFICIENTS[row]
}

/// A block of `source` packets from which `repair` more are computed, so that any `source` of them are enough.
///
/// Making one costs nothing: blocks of different sizes may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cauchy {
    source: usize,
    repair: usize,
    kernel: Kernel,
}

/// Why missing packets cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// There are fewer repair packets than sources are missing.
    #[error("{missing} source packets are missing, and only {repairs} repair packets are there")]
    TooFew {
        /// Missing source packets.
        missing: usize,
        /// Repair packets that arrived.
        repairs: usize,
    },
    /// A repair packet has a row that the block does not have, or two have the same.
    #[error("repair packets must be different ones, below {repair}")]
    Rows {
        /// Repair packets of the block.
        repair: usize,
    },
}

impl Cauchy {
    /// `source` and `repair` packets, at least 1 and together at most 255.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(source: u32, repair: u32) -> Result<Self, InvalidScheme> {
        let most = BLOCK_MAX as u32;
        let (source, repair) =
            (within("source", source, 1..=most - 1)?, within("repair", repair, 1..=most - 1)?);
        within("source plus repair", source + repair, 2..=most)?;
        Ok(Self { source: source as usize, repair: repair as usize, kernel: gf256::active() })
    }

    /// The same with these instructions instead of the fastest ones.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// Writes the repair packets. Sources may have different lengths and count as extended by zeros; repair
    /// packets are at least as long as the longest one.
    ///
    /// # Panics
    ///
    /// If there are more or fewer sources or repair packets than the block has, or a repair packet is too
    /// short.
    pub fn encode<O: AsMut<[u8]>>(&self, sources: &[&[u8]], repairs: &mut [O]) {
        assert_eq!((sources.len(), repairs.len()), (self.source, self.repair), "the packets of a block");
        let mut matrix = Vec::with_capacity(self.repair * self.source);
        COEFFICIENTS[..self.repair].iter().for_each(|row| matrix.extend_from_slice(&row[..self.source]));
        self.kernel.combine(&matrix, sources, repairs);
    }

    /// Computes the missing sources, in their order, into `recovered`: as many buffers, at least as long as
    /// the longest packet. `sources` has a place for each source of the block, empty where it is missing, and
    /// `repairs` are repair packets with their rows, of which only as many are used as are needed. What a
    /// source was extended by comes back as zeros.
    ///
    /// # Errors
    ///
    /// Where the repair packets are not enough, or not the block's.
    ///
    /// # Panics
    ///
    /// If there are more or fewer places than the block has sources, or more or fewer buffers than missing
    /// ones, or one is too short.
    pub fn recover<O: AsMut<[u8]>>(
        &self,
        sources: &[Option<&[u8]>],
        repairs: &[(usize, &[u8])],
        recovered: &mut [O],
    ) -> Result<(), Undecodable> {
        assert_eq!(sources.len(), self.source, "a place for each source of the block");
        let lost = sources.iter().filter(|source| source.is_none()).count();
        let used =
            repairs.get(..lost).ok_or(Undecodable::TooFew { missing: lost, repairs: repairs.len() })?;
        let foreign = Undecodable::Rows { repair: self.repair };
        if used.iter().any(|&(row, _)| row >= self.repair) {
            return Err(foreign);
        }
        let (mut missing, mut known) = (Vec::with_capacity(lost), Vec::with_capacity(self.source));
        let mut terms = Vec::with_capacity(self.source);
        terms.extend(used.iter().map(|(_, symbol)| *symbol));
        for (column, source) in sources.iter().enumerate() {
            match source {
                Some(contents) => {
                    known.push(column);
                    terms.push(*contents);
                }
                None => missing.push(column),
            }
        }
        let rows = used.iter().map(|&(index, _)| &row(index)[..]);
        let matrix = recovery(rows, &missing, &known).ok_or(foreign)?;
        self.kernel.combine(&matrix, &terms, recovered);
        Ok(())
    }
}

const fn coefficients() -> [[u8; BLOCK_MAX]; BLOCK_MAX] {
    let mut table = [[0; BLOCK_MAX]; BLOCK_MAX];
    let mut row = 0;
    while row < BLOCK_MAX {
        let mut column = 0;
        while column < BLOCK_MAX {
            // The first element of the column is 1 / (255 + y), and one divides by it.
            let (x, y) = ((255 - row) as u8, column as u8);
            table[row][column] = gf256::mul(255 ^ y, gf256::inv(x ^ y));
            column += 1;
        }
        row += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_is_parity() {
        assert!(row(0).iter().take(254).all(|&coefficient| coefficient == 1));
    }

    #[test]
    fn no_coefficient_of_a_block_is_zero() {
        for (index, row) in COEFFICIENTS.iter().enumerate() {
            assert!(row[..BLOCK_MAX - 1 - index].iter().all(|&coefficient| coefficient != 0));
        }
    }

    /// Sources of different lengths, the first one the longest.
    fn sources(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| (0..100 - i).map(|j| (i * 89 + j * 151 + i * j) as u8).collect()).collect()
    }

    #[test]
    fn as_many_sources_come_back_as_there_are_repair_packets_with_every_kernel() {
        for (source, repair) in [(1, 1), (4, 1), (10, 3), (6, 9), (50, 10)] {
            for kernel in gf256::available() {
                let block = Cauchy::new(source as u32, repair as u32).unwrap().with_kernel(kernel);
                let sources = sources(source);
                let contents: Vec<&[u8]> = sources.iter().map(|source| &source[..]).collect();
                let mut repairs = vec![[0xa5; 100]; repair];
                block.encode(&contents, &mut repairs);
                // The last ones are lost, and the last repair packets come first.
                let lost = source.min(repair);
                let arrived: Vec<_> =
                    (0..source).map(|i| (i < source - lost).then(|| &sources[i][..])).collect();
                let repairs: Vec<_> =
                    repairs.iter().enumerate().rev().map(|(row, symbol)| (row, &symbol[..])).collect();
                let mut recovered = vec![[0x5a; 100]; lost];
                block.recover(&arrived, &repairs, &mut recovered).unwrap();
                for (recovered, source) in recovered.iter().zip(&sources[source - lost..]) {
                    let (contents, padding) = recovered.split_at(source.len());
                    assert_eq!(contents, &source[..], "{source:?} and {repair}, {kernel}");
                    assert!(padding.iter().all(|&byte| byte == 0));
                }
            }
        }
    }

    #[test]
    fn repair_packets_that_are_too_few_or_not_the_blocks_are_refused() {
        let block = Cauchy::new(3, 2).unwrap();
        let mut recovered = [[0; 4]; 2];
        let arrived = [Some(&[1, 2][..]), None, None];
        let mut recover = |rows: &[usize]| {
            let repairs: Vec<_> = rows.iter().map(|&row| (row, &[3, 4][..])).collect();
            block.recover(&arrived, &repairs, &mut recovered)
        };
        assert_eq!(recover(&[0]), Err(Undecodable::TooFew { missing: 2, repairs: 1 }));
        assert_eq!(recover(&[0, 2]), Err(Undecodable::Rows { repair: 2 }));
        assert_eq!(recover(&[1, 1]), Err(Undecodable::Rows { repair: 2 }));
        assert_eq!(recover(&[1, 0]), Ok(()));
    }

    #[test]
    fn nothing_is_computed_where_nothing_is_missing() {
        let block = Cauchy::new(1, 1).unwrap();
        assert_eq!(block.recover(&[Some(&[1])], &[], &mut [[0; 1]; 0]), Ok(()));
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Cauchy::new(0, 1).is_err() && Cauchy::new(1, 0).is_err());
        assert!(Cauchy::new(250, 6).is_err() && Cauchy::new(250, 5).is_ok());
    }
}
