//! Parity in two dimensions: every packet is in a row and in a column, and each has a parity packet.
//!
//! Source packets fill a matrix of `columns` times `rows`, row by row. What a row cannot repair its
//! columns may, and what they repair may complete the row, and so on. All losses of up to three source
//! packets come back, and four do unless they are the corners of a rectangle. At small independent
//! loss e the residual loss is about e³ + (columns·rows − 1)·e⁴: a packet lost with both its parity
//! packets, or as one of a rectangle (parity packets count as its corners).
//!
//! A row's parity packet follows its last packet. Any burst up to `columns` + 1 packets is repaired. The
//! parity packets of columns:
//! - even: follow the matrix, all together.
//! - staircase: each column is closed a row later than the one before it (after `rows` columns the next
//!   stairs begin), so that repair packets come one by one instead of in a heap. Then bursts may be
//!   ⌊`columns` / `rows`⌋ packets longer, as so many of them are parity packets; not in the first matrix
//!   and where all is closed.
//!
//! Sources: SMPTE 2022-1, RFC 8627 (section 6.3.4 has the iteration), SRT's packet filter
//! (`fec,cols:10,rows:5,layout:staircase`).
//!
//! | here | elsewhere |
//! | --- | --- |
//! | with stairs, a column's parity packet leaves a row after its last packet | SRT sends it at once, so that a burst of `rows` + 3 packets may be too much |
//! | the first columns of stairs are cut short | SRT leaves packets above the first stairs to their rows |
//! | even columns' parity packets follow the matrix | SRT sends each behind its last packet, SMPTE over the next matrix |
//! | a pause may close a matrix early | it is always full |

use std::collections::VecDeque;

use super::block::{BLOCK_MAX, BlockDecoder, MATRIX_MAX, UNIT_OVERHEAD};
use super::scheme::{InvalidScheme, within};
use super::{Encoder, Flush, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol};
use crate::time::{Duration, Time};

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xor2d {
    columns: u8,
    rows: u8,
    layout: Layout,
    pause: Option<Duration>,
}

/// When columns are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All at once, at the end of the matrix.
    Even,
    /// One after the other.
    Staircase,
}

impl Xor2d {
    /// A matrix of `columns` times `rows` (both 2 to 254) source packets. When nothing is sent for
    /// `pause`, all that is open is closed early, and a new matrix begins; without it, rows and columns
    /// wait until they are full.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range, or the matrix has more than 4096 packets.
    pub fn new(
        columns: u32,
        rows: u32,
        layout: Layout,
        pause: Option<Duration>,
    ) -> Result<Self, InvalidScheme> {
        let most = BLOCK_MAX as u32 - 1;
        let (columns, rows) = (within("columns", columns, 2..=most)?, within("rows", rows, 2..=most)?);
        within("columns times rows", columns * rows, 4..=MATRIX_MAX)?;
        Ok(Self { columns: columns as u8, rows: rows as u8, layout, pause })
    }

    /// Source packets of a row.
    pub const fn columns(self) -> u8 {
        self.columns
    }

    /// Source packets of a column.
    pub const fn rows(self) -> u8 {
        self.rows
    }

    /// When columns are closed.
    pub const fn layout(self) -> Layout {
        self.layout
    }

    /// After what pause all that is open is closed.
    pub const fn pause(self) -> Option<Duration> {
        self.pause
    }

    pub(super) fn encoder<S: Symbol>(self) -> Xor2dEncoder<S> {
        Xor2dEncoder {
            scheme: self,
            row: Line::new(0),
            columns: vec![Line::new(1); usize::from(self.columns)],
            waiting: vec![None; usize::from(self.columns)],
            filled: 0,
            pause_ends: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::crossed(usize::from(self.columns), usize::from(self.rows))
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct Xor2dEncoder<S> {
    scheme: Xor2d,
    /// The open row.
    row: Line<S>,
    /// The open columns.
    columns: Vec<Line<S>>,
    /// For each column the parity packet that waits for its turn.
    waiting: Vec<Option<Repair<S>>>,
    /// How many source packets there were since the first matrix began, or began anew.
    filled: usize,
    /// When a pause is long enough to close all that is open.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

/// An open row or column.
#[derive(Clone, Debug)]
struct Line<S> {
    /// 0 for a row, 1 for a column: the row number in the headers of parity packets.
    direction: u16,
    first: u32,
    latest: u32,
    sources: Vec<S>,
}

impl<S: Symbol> Line<S> {
    const fn new(direction: u16) -> Self {
        Self { direction, first: 0, latest: 0, sources: Vec::new() }
    }

    fn push(&mut self, esi: u32, symbol: &S) {
        if self.sources.is_empty() {
            self.first = esi;
        }
        self.latest = esi;
        self.sources.push(symbol.clone());
    }

    /// The parity packet over what is there; none over nothing.
    fn close(&mut self) -> Option<Repair<S>> {
        if self.sources.is_empty() {
            return None;
        }
        let terms: Vec<&S> = self.sources.iter().collect();
        let symbol = S::combine(&vec![1; terms.len()], &terms).pop()?;
        self.sources.clear();
        let count = (self.latest - self.first + 1) as u16;
        let header = RepairHeader { first: self.first, count, row: self.direction, parameter: 1 };
        Some(Repair { header, symbol })
    }
}

impl<S: Symbol> Xor2dEncoder<S> {
    /// The columns that are done when the source packet at this place is in.
    fn close_columns(&mut self, row: usize, column: usize) {
        let (width, height) = (self.columns.len(), usize::from(self.scheme.rows));
        match self.scheme.layout {
            Layout::Even if (row + 1).is_multiple_of(height) && column + 1 == width => {
                self.ready.extend(self.columns.iter_mut().filter_map(Line::close));
            }
            Layout::Even => {}
            Layout::Staircase => {
                self.ready.extend(self.waiting[column].take());
                if (row + 1) % height == column % height {
                    self.waiting[column] = self.columns[column].close();
                }
            }
        }
    }

    /// Closes all that is open. Columns' parity packets continue their turns, so that a burst does not
    /// hit a column twice.
    fn close(&mut self) {
        self.ready.extend(self.row.close());
        let width = self.columns.len();
        for column in (self.filled..self.filled + width).map(|turn| turn % width) {
            self.ready.extend(self.waiting[column].take());
            self.ready.extend(self.columns[column].close());
        }
        self.filled = 0;
        self.pause_ends = None;
    }
}

impl<S: Symbol> Encoder<S> for Xor2dEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        let width = self.columns.len();
        let (row, column) = (self.filled / width, self.filled % width);
        self.filled += 1;
        self.row.push(meta.esi, symbol);
        self.columns[column].push(meta.esi, symbol);
        if column + 1 == width {
            self.ready.extend(self.row.close());
        }
        self.close_columns(row, column);
        self.pause_ends = self.scheme.pause.map(|pause| now + pause);
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, why: Flush) {
        if why == Flush::Shutdown {
            self.close();
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.pause_ends
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.pause_ends.is_some_and(|end| end <= now) {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fec::conformance::{Wire, decode, encode, meta};

    /// The packets of a session of `count` source packets without a timer.
    fn wire(scheme: Xor2d, count: u32) -> Vec<Wire<()>> {
        encode(&mut scheme.encoder(), count, |_| ())
    }

    fn matrix(columns: u32, rows: u32, layout: Layout) -> Xor2d {
        Xor2d::new(columns, rows, layout, None).unwrap()
    }

    /// The source packets that are missing for good when packets at these places are lost.
    fn missing(scheme: Xor2d, wire: &[Wire<()>], lost: impl Fn(usize) -> bool) -> BTreeSet<u32> {
        let heard = wire.iter().enumerate().filter(|(place, _)| !lost(*place)).map(|(_, packet)| packet);
        let (known, _) = decode(&mut scheme.decoder(), heard);
        let sources = wire.iter().filter_map(|packet| Some(packet.source()?.0));
        sources.filter(|esi| !known.contains_key(esi)).collect()
    }

    /// Direction, first and count of the parity packets that are ready.
    fn headers(encoder: &mut Xor2dEncoder<()>) -> Vec<(u16, u32, u16)> {
        let ready = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        ready.map(|Repair { header: h, .. }| (h.row, h.first, h.count)).collect()
    }

    /// How many source packets there are before each parity packet of a column, since the one before it.
    fn gaps(wire: &[Wire<()>]) -> Vec<usize> {
        let mut gaps = vec![0];
        for packet in wire {
            *gaps.last_mut().unwrap() += usize::from(packet.source().is_some());
            if packet.repairs().iter().any(|repair| repair.header.row == 1) {
                gaps.push(0);
            }
        }
        gaps.pop();
        gaps
    }

    #[test]
    fn up_to_three_source_packets_come_back_and_four_unless_they_are_a_rectangle() {
        let scheme = matrix(4, 3, Layout::Even);
        let wire = wire(scheme, 12);
        let place = |esi| wire.iter().position(|packet| *packet == Wire::Source(esi, ())).unwrap();
        let places: Vec<usize> = (0..12).map(place).collect();
        for pattern in (0..1_u32 << 12).filter(|pattern| pattern.count_ones() <= 4) {
            let lost: Vec<u32> = (0..12).filter(|esi| pattern >> esi & 1 == 1).collect();
            let rows: BTreeSet<u32> = lost.iter().map(|esi| esi / 4).collect();
            let columns: BTreeSet<u32> = lost.iter().map(|esi| esi % 4).collect();
            let is_rectangle = lost.len() == 4 && rows.len() == 2 && columns.len() == 2;
            let missing =
                missing(scheme, &wire, |place| lost.iter().any(|&esi| places[esi as usize] == place));
            assert_eq!(missing.len(), if is_rectangle { 4 } else { 0 }, "{lost:?}");
        }
    }

    #[test]
    fn the_residual_loss_begins_as_its_closed_form_says() {
        // Of all ways to lose w of the n packets of a matrix, those in which a given source packet stays
        // missing: with w = 3 only the one with both its parity packets, with w = 4 the same with any
        // other packet, and one for each other source packet: their rectangle.
        let scheme = matrix(3, 2, Layout::Even);
        let (wire, n) = (wire(scheme, 6), 11);
        assert_eq!(wire.len(), n);
        let mut ways = [0; 5];
        for pattern in (0..1_u32 << n).filter(|pattern| pattern.count_ones() <= 4) {
            let missing = missing(scheme, &wire, |place| pattern >> place & 1 == 1);
            ways[pattern.count_ones() as usize] += missing.len();
        }
        assert_eq!(ways, [0, 0, 0, 6, 6 * ((n - 3) + (6 - 1))]);
    }

    #[test]
    fn bursts_are_repaired_up_to_the_bound_and_stairs_raise_it() {
        for (columns, rows) in [(10, 5), (4, 4), (5, 2), (7, 3), (4, 6)] {
            for layout in [Layout::Even, Layout::Staircase] {
                let scheme = matrix(columns, rows, layout);
                // Four matrices, and one that ends in the middle of its second row.
                let wire = wire(scheme, columns * rows * 4 + columns * 3 / 2);
                let repairs = |length: u32, starts: std::ops::Range<usize>| {
                    starts.into_iter().all(|start| {
                        let burst = start..start + length as usize;
                        missing(scheme, &wire, |place| burst.contains(&place)).is_empty()
                    })
                };
                assert!(repairs(columns + 1, 0..wire.len()), "{columns}x{rows} {layout:?}");
                // Behind the first matrix and a row, and three rows and ten packets before the end.
                let [from, to] = [columns * (rows + 1), columns * 3 + 10].map(|count| count as usize);
                let steady = || from..wire.len() - to;
                let longer = columns + 1 + columns / rows;
                match layout {
                    Layout::Even => assert!(!repairs(columns + 2, steady()), "{columns}x{rows}"),
                    Layout::Staircase => assert!(repairs(longer, steady()), "{columns}x{rows}"),
                }
            }
        }
    }

    #[test]
    fn a_staircase_spreads_the_parity_packets_that_even_columns_send_in_a_heap() {
        let (even, stairs) = (matrix(10, 5, Layout::Even), matrix(10, 5, Layout::Staircase));
        // Without the last matrix, which is closed in the middle.
        let heap = gaps(&wire(even, 200)[..150]);
        assert_eq!(heap[1..10], [0; 9]);
        let spread = gaps(&wire(stairs, 200)[..150]);
        assert!(spread.iter().all(|&gap| gap > 0), "{spread:?}");
        // One for five source packets, two columns of different stairs side by side now and then.
        assert!(spread.windows(2).all(|two| two[0] + two[1] >= 5), "{spread:?}");
    }

    #[test]
    fn a_pause_closes_what_is_open_and_a_new_matrix_begins() {
        let pause = Some(Duration::from_millis(8));
        for layout in [Layout::Even, Layout::Staircase] {
            let scheme = Xor2d::new(4, 3, layout, pause).unwrap();
            let mut encoder = scheme.encoder::<()>();
            for esi in 0..6 {
                encoder.push_source(Time::ZERO, &meta(esi), &());
            }
            // The second column of the stairs is closed after one row.
            let before: &[_] = match layout {
                Layout::Even => &[(0, 0, 4)],
                Layout::Staircase => &[(0, 0, 4), (1, 1, 1)],
            };
            assert_eq!(headers(&mut encoder), before);
            assert_eq!(encoder.poll_timeout(), Some(Time::from_millis(8)));
            encoder.handle_timeout(Time::from_millis(7));
            assert_eq!(headers(&mut encoder), []);
            encoder.handle_timeout(Time::from_millis(8));
            // The turn is with the third column.
            let columns = match layout {
                Layout::Even => vec![(1, 2, 1), (1, 3, 1), (1, 0, 5), (1, 1, 5)],
                Layout::Staircase => vec![(1, 2, 1), (1, 3, 1), (1, 0, 5), (1, 5, 1)],
            };
            assert_eq!(headers(&mut encoder), [vec![(0, 4, 2)], columns].concat());
            assert_eq!(encoder.poll_timeout(), None);
        }
    }

    #[test]
    fn a_header_is_of_a_row_or_of_a_column_or_refused() {
        use crate::fec::Decoder;
        use crate::record::Malformed;
        let mut decoder = matrix(4, 3, Layout::Even).decoder::<()>();
        let header = |row, count, parameter| RepairHeader { first: 0, count, row, parameter };
        for (header, expected) in [
            (header(0, 4, 1), Ok(())),
            (header(1, 9, 1), Ok(())),
            (header(0, 5, 1), Err(Malformed::InvalidField)),
            (header(1, 8, 1), Err(Malformed::InvalidField)),
            (header(1, 13, 1), Err(Malformed::InvalidField)),
            (header(2, 4, 1), Err(Malformed::InvalidField)),
            (header(0, 4, 2), Err(Malformed::InvalidField)),
            (header(0, 3, 1), Err(Malformed::InvalidField)),
        ] {
            assert_eq!(decoder.push_repair(Time::ZERO, &header, &()), expected, "{header:?}");
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        let new = |columns, rows| Xor2d::new(columns, rows, Layout::Even, None);
        assert!(new(1, 4).is_err() && new(4, 1).is_err() && new(255, 2).is_err() && new(2, 255).is_err());
        assert!(new(64, 64).is_ok() && new(65, 64).is_err());
    }
}
