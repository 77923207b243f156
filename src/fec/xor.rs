//! Parity: one XOR over several packets repairs one loss among them.
//!
//! Row: one parity packet over each run of consecutive packets; repair is near, but a burst of two is
//! too much. Interleaved: packets take turns in `columns` blocks, so that any burst up to `columns`
//! packets hits each block once, for `columns` times the wait (where time closes a matrix in its first
//! row, up to as many packets as it has). Residual loss of a block of k at
//! independent loss e: e·(1 − (1 − e)^k).
//!
//! Sources: RFC 5109, RFC 8627 (1-D non-interleaved and interleaved), SMPTE 2022-1.
//!
//! | here | RFC 8627 and SMPTE 2022-1 |
//! | --- | --- |
//! | the length is in the coded unit | a length-recovery field in the header |
//! | parity packets follow their matrix at once, in the turns of the columns | SMPTE spreads them over the next matrix |
//! | a matrix may be closed early by time | it is always full |

use super::Symbol;
use super::block::{BLOCK_MAX, BlockDecoder, BlockEncoder, Coefficients, MATRIX_MAX, Partial, Shape};
use super::scheme::{InvalidScheme, within};
use crate::time::Duration;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xor {
    columns: u8,
    rows: u8,
    flush: Option<Duration>,
}

impl Xor {
    /// One parity packet over each `source` (1 to 254) consecutive source packets, or over fewer where
    /// the first one has waited for `flush`; they wait for ever without it.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn row(source: u32, flush: Option<Duration>) -> Result<Self, InvalidScheme> {
        let rows = within("source", source, 1..=BLOCK_MAX as u32 - 1)? as u8;
        Ok(Self { columns: 1, rows, flush })
    }

    /// A matrix of `columns` (1 to 255) times `rows` (1 to 254) source packets, filled row by row, with
    /// a parity packet for each column; `flush` as in [`Xor::row`].
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range, or the matrix has more than 4096 packets.
    pub fn interleaved(columns: u32, rows: u32, flush: Option<Duration>) -> Result<Self, InvalidScheme> {
        let columns = within("columns", columns, 1..=255)?;
        let rows = within("rows", rows, 1..=BLOCK_MAX as u32 - 1)?;
        within("columns times rows", columns * rows, 1..=MATRIX_MAX)?;
        Ok(Self { columns: columns as u8, rows: rows as u8, flush })
    }

    /// How many blocks take turns; 1 without interleaving.
    pub const fn columns(self) -> u8 {
        self.columns
    }

    /// How many source packets a parity packet covers.
    pub const fn rows(self) -> u8 {
        self.rows
    }

    /// How long the first packet of a matrix waits for the last.
    pub const fn flush(self) -> Option<Duration> {
        self.flush
    }

    pub(super) fn encoder<S: Symbol>(self) -> BlockEncoder<S> {
        BlockEncoder::new(Shape {
            columns: usize::from(self.columns),
            rows: usize::from(self.rows),
            repair: 1,
            coefficients: Coefficients::Ones,
            flush: self.flush,
            partial: Partial::Proportional,
        })
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::new(Coefficients::Ones, usize::from(self.columns), usize::from(self.rows), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{Wire, decode, encode};
    use crate::fec::reed_solomon::PerPackets;

    #[test]
    fn an_interleaved_matrix_survives_any_burst_as_long_as_it_has_columns() {
        // Two full matrices, and one that ends in the middle of its second row.
        let xor = Xor::interleaved(5, 3, None).unwrap();
        let wire = encode::<()>(&mut xor.encoder(), 37, |_| ());
        for start in 0..wire.len() {
            let arrived = wire.iter().enumerate().filter(|(i, _)| !(start..start + 5).contains(i));
            let heard: Vec<&Wire<()>> = arrived.map(|(_, packet)| packet).collect();
            let (known, _) = decode(&mut xor.decoder(), heard);
            assert_eq!(known.len(), 37, "a burst from {start} on");
        }
    }

    #[test]
    fn a_parity_packet_is_the_xor_of_its_packets() {
        let xor = Xor::row(3, None).unwrap();
        let wire = encode(&mut xor.encoder(), 3, |esi| bytes::Bytes::from(vec![1 << esi; 4 - esi as usize]));
        let Some(Wire::Repair(parity)) = wire.last() else { panic!("no parity packet") };
        assert_eq!(parity.symbol[..], [7, 7, 3, 1]);
    }

    #[test]
    fn parity_over_a_row_is_reed_solomon_with_one_repair_packet() {
        let symbol = |esi| bytes::Bytes::from(vec![esi as u8; esi as usize % 9]);
        let parity = encode(&mut Xor::row(10, None).unwrap().encoder(), 35, symbol);
        let block = PerPackets::new(10, 1, None).unwrap();
        assert_eq!(parity, encode(&mut block.encoder(), 35, symbol));
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Xor::row(0, None).is_err() && Xor::row(255, None).is_err());
        assert!(Xor::interleaved(0, 4, None).is_err() && Xor::interleaved(4, 0, None).is_err());
        assert!(Xor::interleaved(255, 254, None).is_err());
    }
}
