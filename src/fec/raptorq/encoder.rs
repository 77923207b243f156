//! The sender's half of RaptorQ.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use ::raptorq::SourceBlockEncoder;
use bytes::Bytes;

use super::{Cut, information, symbol_length};
use crate::fec::block::UNIT_OVERHEAD;
use crate::fec::{Encoder, Flush, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol};
use crate::frame::FrameId;
use crate::time::Time;

/// The most source packets whose blocks the sender remembers to make fresh repair packets for: a second
/// of 40 Mbit/s.
const REMEMBERED_MAX: usize = 4_096;

/// The sender's half.
#[derive(Debug)]
pub(in crate::fec) struct RaptorQEncoder<S> {
    cut: Cut,
    /// The ESI of the first packet of the open block.
    first: u32,
    /// The frame that the open block began in.
    frame: FrameId,
    /// The packets of the open block.
    open: Vec<S>,
    /// When the open block is closed at the latest.
    deadline: Option<Time>,
    /// Blocks that were closed, the oldest first.
    remembered: VecDeque<Closed<S>>,
    ready: VecDeque<Repair<S>>,
}

/// A block that fresh repair packets can be made for.
#[derive(Debug)]
struct Closed<S> {
    first: u32,
    sources: Vec<S>,
    /// The row of the next repair packet.
    next: u16,
}

impl<S: Symbol> RaptorQEncoder<S> {
    pub(super) fn new(cut: Cut) -> Self {
        Self {
            cut,
            first: 0,
            frame: FrameId::default(),
            open: Vec::new(),
            deadline: None,
            remembered: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    fn close(&mut self) {
        self.deadline = None;
        if self.open.is_empty() {
            return;
        }
        let sources = std::mem::take(&mut self.open);
        let repair = self.cut.repair_for(sources.len()) as u16;
        let mut closed = Closed { first: self.first, sources, next: 0 };
        self.ready.extend(closed.make(repair));
        self.remembered.push_back(closed);
        let mut total: usize = self.remembered.iter().map(|block| block.sources.len()).sum();
        while total > REMEMBERED_MAX
            && let Some(oldest) = self.remembered.pop_front()
        {
            total -= oldest.sources.len();
        }
    }
}

impl<S: Symbol> Closed<S> {
    /// The next `count` repair packets, fewer where the rows are used up; none where the symbols are
    /// longer than any datagram.
    fn make(&mut self, count: u16) -> Vec<Repair<S>> {
        let contents: Vec<Bytes> = self.sources.iter().map(Symbol::to_bytes).collect();
        let Some(length) = symbol_length(&contents) else { return Vec::new() };
        let count = count.min(u16::MAX - self.next);
        let mut data = Vec::with_capacity(contents.len() * length);
        for (index, bytes) in contents.iter().enumerate() {
            data.extend_from_slice(bytes);
            data.resize((index + 1) * length, 0);
        }
        let encoder = SourceBlockEncoder::new(0, &information(contents.len(), length), &data);
        let packets = encoder.repair_packets(u32::from(self.next), u32::from(count));
        let header = RepairHeader {
            first: self.first,
            count: self.sources.len() as u16,
            row: self.next,
            parameter: 0,
        };
        self.next += count;
        let repairs = packets.into_iter().zip(header.row..).map(|(packet, row)| Repair {
            header: RepairHeader { row, ..header },
            symbol: S::from_bytes(packet.split().1.into()),
        });
        repairs.collect()
    }
}

impl<S: Symbol> Encoder<S> for RaptorQEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn protects(&self) -> bool {
        self.cut.repair_for(1) > 0
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        let by_frame = matches!(self.cut, Cut::Frames { .. });
        // A frame that was given up half way has no last packet.
        if by_frame && meta.frame != self.frame {
            self.close();
        }
        if self.open.is_empty() {
            (self.first, self.frame) = (meta.esi, meta.frame);
            if let Cut::Packets { flush, .. } = self.cut {
                self.deadline = flush.map(|flush| now + flush);
            }
        }
        self.open.push(symbol.clone());
        if self.open.len() == self.cut.sources_max() as usize || by_frame && meta.frame_end {
            self.close();
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, why: Flush) {
        if why == Flush::Shutdown || matches!(self.cut, Cut::Frames { .. }) {
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
        self.cut = self.cut.adjusted(steps);
    }

    /// The next rows of the block: the code is rateless.
    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        let is_meant = |block: &&mut Closed<S>| block.first == *range.start() && block.last() == *range.end();
        let block = self.remembered.iter_mut().find(is_meant);
        // No more can be missing than there are source packets.
        block.map_or_else(Vec::new, |block| block.make(count.min(block.sources.len() as u16)))
    }

    fn handle_ack(&mut self, esi: u32) {
        while self.remembered.front().is_some_and(|block| block.last() <= esi) {
            self.remembered.pop_front();
        }
    }
}

impl<S> Closed<S> {
    fn last(&self) -> u32 {
        self.first + (self.sources.len() as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::RaptorQ;
    use super::*;
    use crate::fec::conformance::meta;
    use crate::time::Duration;

    fn code(source: u32, repair: u32) -> RaptorQ {
        RaptorQ::per_packets(source, repair, None).unwrap()
    }

    fn push(encoder: &mut RaptorQEncoder<()>, esis: std::ops::Range<u32>) {
        for esi in esis {
            encoder.push_source(Time::from_millis(u64::from(esi)), &meta(esi), &());
        }
    }

    /// First, count and row of the repair packets that are ready.
    fn ready(encoder: &mut RaptorQEncoder<()>) -> Vec<(u32, u16, u16)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        all.map(|Repair { header: h, .. }| (h.first, h.count, h.row)).collect()
    }

    #[test]
    fn a_request_is_answered_with_rows_that_were_not_sent() {
        let mut encoder = code(10, 2).encoder::<()>();
        push(&mut encoder, 0..25);
        assert_eq!(ready(&mut encoder), [(0, 10, 0), (0, 10, 1), (10, 10, 0), (10, 10, 1)]);
        let mut rows = |range, count| -> Vec<u16> {
            let fresh = encoder.request_repair(Time::ZERO, range, count);
            fresh.iter().map(|repair| repair.header.row).collect()
        };
        assert_eq!(rows(10..=19, 2), [2, 3]);
        assert_eq!(rows(10..=19, u16::MAX), (4..14).collect::<Vec<_>>(), "more cannot be missing");
        assert!(rows(20..=24, 1).is_empty(), "the block is still open");
        assert!(rows(9..=19, 1).is_empty(), "there is no such block");
        encoder.handle_ack(19);
        assert!(encoder.request_repair(Time::ZERO, 10..=19, 1).is_empty(), "it was acknowledged");
    }

    #[test]
    fn a_step_of_repair_is_a_packet_of_a_block_or_a_tenth_of_a_frame() {
        let mut encoder = code(10, 2).encoder::<()>();
        encoder.adjust_repair(1);
        push(&mut encoder, 0..10);
        assert_eq!(ready(&mut encoder).len(), 3);
        encoder.adjust_repair(i8::MIN);
        push(&mut encoder, 10..20);
        assert_eq!((ready(&mut encoder), encoder.protects()), (vec![], false));
        let mut encoder = RaptorQ::per_frame(30, 0).unwrap().encoder::<()>();
        encoder.adjust_repair(2);
        // By `meta`, frames of 1, 2, 3 and 4 packets.
        push(&mut encoder, 0..10);
        assert_eq!(ready(&mut encoder).len(), 1 + 1 + 2 + 2);
    }

    #[test]
    fn the_timer_closes_a_block_with_repair_packets_in_proportion() {
        let flush = Some(Duration::from_millis(8));
        let mut encoder = RaptorQ::per_packets(10, 3, flush).unwrap().encoder::<()>();
        push(&mut encoder, 0..4);
        assert_eq!(encoder.poll_timeout(), flush.map(|flush| Time::ZERO + flush));
        encoder.handle_timeout(Time::from_millis(8));
        assert_eq!(ready(&mut encoder), [(0, 4, 0), (0, 4, 1)]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn a_frame_is_one_block_and_has_its_percentage_or_the_minimum() {
        // By `meta`, frames of 1, 2, 3, … packets.
        let mut encoder = RaptorQ::per_frame(50, 1).unwrap().encoder::<()>();
        push(&mut encoder, 0..6);
        assert_eq!(ready(&mut encoder), [(0, 1, 0), (1, 2, 0), (3, 3, 0), (3, 3, 1)]);
        push(&mut encoder, 6..8);
        encoder.flush(Time::ZERO, Flush::FrameEnd);
        assert_eq!(ready(&mut encoder), [(6, 2, 0)], "a frame that was given up");
    }

    #[test]
    fn what_is_remembered_keeps_to_its_bound() {
        let mut encoder = code(100, 1).encoder::<()>();
        push(&mut encoder, 0..20_000);
        let kept: usize = encoder.remembered.iter().map(|block| block.sources.len()).sum();
        assert!((REMEMBERED_MAX - 100..=REMEMBERED_MAX).contains(&kept));
        assert_eq!(encoder.remembered.back().map(Closed::last), Some(19_999));
    }
}
