//! The sender's half of block codes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::history::History;
use super::{Shape, UNIT_OVERHEAD};
use crate::fec::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::time::Time;

/// The sender's half for blocks closed by count or time. The ends of frames do not close them.
#[derive(Debug)]
pub(in crate::fec) struct BlockEncoder<S> {
    shape: Shape,
    /// The source packets of the open matrix, and those that fresh repair packets may be asked for.
    history: History<S>,
    /// When the open matrix is closed at the latest.
    deadline: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> BlockEncoder<S> {
    pub(in crate::fec) fn new(shape: Shape) -> Self {
        let history = History::new(shape.coefficients, shape.columns);
        Self { shape, history, deadline: None, ready: VecDeque::new() }
    }

    /// Closes the blocks of the matrix. Their repair packets continue the turns of the columns, so that
    /// a burst as long as there are columns hits each block at most once, wherever it falls.
    fn close(&mut self) {
        let (columns, filled, before) = (self.shape.columns, self.history.open_len(), self.ready.len());
        for column in (filled..filled + columns).map(|turn| turn % columns).filter(|&turn| turn < filled) {
            let sources = (filled - column).div_ceil(columns);
            let repair = self.shape.repair_for(sources);
            self.history.close(column, sources, repair, &mut self.ready);
        }
        if columns > 1 {
            self.ready.make_contiguous()[before..].sort_by_key(|repair| repair.header.row);
        }
        self.history.close_rest();
        self.deadline = None;
    }
}

impl<S: Symbol> Encoder<S> for BlockEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn protects(&self) -> bool {
        self.shape.repair > 0
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        if self.history.open_len() == 0 {
            self.deadline = self.shape.flush.map(|flush| now + flush);
        }
        self.history.push(meta.esi, symbol);
        if self.history.open_len() == self.shape.columns * self.shape.rows {
            self.close();
        }
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
        self.deadline
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    fn adjust_repair(&mut self, steps: i8) {
        self.shape.adjust(steps);
    }

    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.history.request(&range, count)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.history.acknowledge(esi);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::block::{Coefficients, Partial};
    use crate::fec::conformance::meta;
    use crate::time::Duration;

    /// An encoder of (4, 2) blocks in two columns, with a timer of 8 ms.
    fn encoder() -> BlockEncoder<()> {
        let flush = Some(Duration::from_millis(8));
        let (coefficients, partial) = (Coefficients::Cauchy, Partial::Proportional);
        BlockEncoder::new(Shape { columns: 2, rows: 4, repair: 2, coefficients, flush, partial })
    }

    fn push(encoder: &mut BlockEncoder<()>, esis: std::ops::Range<u32>) {
        for esi in esis {
            encoder.push_source(Time::from_millis(u64::from(esi)), &meta(esi), &());
        }
    }

    /// First, count, row and number of the repair packets that are ready.
    fn ready(encoder: &mut BlockEncoder<()>) -> Vec<(u32, u16, u16, u8)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        all.map(|Repair { header: h, .. }| (h.first, h.count, h.row, h.parameter)).collect()
    }

    #[test]
    fn a_full_matrix_is_closed_at_once() {
        let mut encoder = encoder();
        push(&mut encoder, 0..7);
        assert_eq!(ready(&mut encoder), []);
        push(&mut encoder, 7..8);
        assert_eq!(ready(&mut encoder), [(0, 7, 0, 2), (1, 7, 0, 2), (0, 7, 1, 2), (1, 7, 1, 2)]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn the_timer_counts_from_the_first_packet_and_the_header_tells_what_the_block_has() {
        let mut encoder = encoder();
        push(&mut encoder, 0..3);
        assert_eq!(encoder.poll_timeout(), Some(Time::from_millis(8)));
        encoder.handle_timeout(Time::from_millis(7));
        assert_eq!(ready(&mut encoder), []);
        encoder.handle_timeout(Time::from_millis(8));
        // The turn is with the second column; each keeps the code rate of 2 to 1.
        assert_eq!(ready(&mut encoder), [(1, 1, 0, 1), (0, 3, 0, 1)]);
        push(&mut encoder, 3..11);
        assert_eq!(ready(&mut encoder)[0], (3, 7, 0, 2), "the next matrix begins with the next packet");
    }

    #[test]
    fn repair_packets_can_be_added_and_taken_away_block_by_block() {
        let mut encoder = encoder();
        let mut rows = |steps, esis| {
            encoder.adjust_repair(steps);
            push(&mut encoder, esis);
            ready(&mut encoder).len() / 2
        };
        assert_eq!(rows(1, 0..8), 3);
        assert_eq!(rows(-2, 8..16), 1);
        assert_eq!(rows(i8::MIN, 16..24), 0);
        assert_eq!((rows(2, 24..32), encoder.protects()), (2, true));
        encoder.adjust_repair(i8::MIN);
        assert!(!encoder.protects());
        // 4 source packets leave room for 251.
        (0..3).for_each(|_| encoder.adjust_repair(i8::MAX));
        assert_eq!(encoder.shape.repair, 251);
    }

    #[test]
    fn parity_has_one_repair_packet_whatever_is_asked_for() {
        let (coefficients, partial) = (Coefficients::Ones, Partial::Proportional);
        let shape = Shape { columns: 1, rows: 4, repair: 1, coefficients, flush: None, partial };
        let mut encoder = BlockEncoder::<()>::new(shape);
        encoder.adjust_repair(3);
        assert_eq!(encoder.shape, shape);
    }

    #[test]
    fn only_the_end_of_the_session_closes_a_block_early() {
        let mut encoder = encoder();
        push(&mut encoder, 0..1);
        encoder.flush(Time::ZERO, Flush::FrameEnd);
        assert_eq!(ready(&mut encoder), []);
        encoder.flush(Time::ZERO, Flush::Shutdown);
        assert_eq!(ready(&mut encoder), [(0, 1, 0, 1)]);
        encoder.flush(Time::ZERO, Flush::Shutdown);
        assert_eq!(ready(&mut encoder), []);
    }
}
