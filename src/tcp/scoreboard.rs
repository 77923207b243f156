//! What the sender knows about each segment that is not yet cumulatively acknowledged.
//!
//! RFC 6675's scoreboard with Linux's counters (`packets_out`, `sacked_out`, `lost_out`,
//! `retrans_out`): the segments believed to be in the network are
//! outstanding − sacked − lost + retransmitted ([`Scoreboard::in_flight`]). A ring indexed by segment
//! number, a list of the ranges already sacked (so that an acknowledgment costs what is new in it and
//! not the length of its blocks), the lost ones in order of sequence, and the transmissions in order
//! of time for RACK.

use std::collections::{BTreeSet, VecDeque};

use crate::time::Time;

/// A segment that was sent and is not yet cumulatively acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) sequence: u64,
    pub(super) length: u32,
    /// When it was sent last.
    pub(super) sent_at: Time,
    /// The receiver has it, though not everything before it.
    pub(super) sacked: bool,
    /// It is believed lost; still so while its retransmission is under way.
    pub(super) lost: bool,
    /// A retransmission of it is under way.
    retransmitted: bool,
    /// It was sent more than once.
    pub(super) ever_retransmitted: bool,
    /// The delivery rate sampler's notes of when it was sent last.
    pub(super) delivery: DeliveryStamp,
}

impl Sent {
    /// A segment sent for the first time.
    pub(super) const fn new(sequence: u64, length: u32, now: Time, delivery: DeliveryStamp) -> Self {
        Self {
            sequence,
            length,
            sent_at: now,
            sacked: false,
            lost: false,
            retransmitted: false,
            ever_retransmitted: false,
            delivery,
        }
    }

    pub(super) const fn end(&self) -> u64 {
        self.sequence + self.length as u64
    }
}

/// What the connection had delivered when a segment was sent (the delivery rate estimation draft,
/// draft-cheng-iccrg-delivery-rate-estimation).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeliveryStamp {
    /// Segments delivered until then.
    pub(super) delivered: u64,
    /// When the last of them was.
    pub(super) delivered_at: Time,
    /// When the segment was sent whose delivery began this sampling interval.
    pub(super) first_sent_at: Time,
    /// Whether the application had nothing more to send.
    pub(super) app_limited: bool,
}

/// The segments from the first unacknowledged one to the last one sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Scoreboard {
    segments: VecDeque<Sent>,
    /// The number of the first of `segments`.
    first: u64,
    sacked: usize,
    lost: usize,
    retransmitted: usize,
    /// Disjoint ranges of segment numbers that are sacked, in order.
    sacked_ranges: Vec<(u64, u64)>,
    /// Lost and not under way again, in order of sequence.
    to_retransmit: BTreeSet<u64>,
    /// Every transmission in order of time; stale where the segment was sent again since.
    transmissions: VecDeque<(Time, u64)>,
}

impl Scoreboard {
    /// Adds the next segment, sent just now.
    pub(super) fn push(&mut self, sent: Sent) {
        self.transmissions.push_back((sent.sent_at, self.next_number()));
        self.segments.push_back(sent);
    }

    /// The number that the next new segment gets.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    /// Segments outstanding: sent and not cumulatively acknowledged.
    pub(super) fn outstanding(&self) -> usize {
        self.segments.len()
    }

    /// Segments that the receiver has beyond a hole.
    pub(super) const fn sacked(&self) -> usize {
        self.sacked
    }

    /// Segments believed lost.
    pub(super) const fn lost(&self) -> usize {
        self.lost
    }

    /// Retransmissions under way.
    pub(super) const fn retransmitted(&self) -> usize {
        self.retransmitted
    }

    /// Segments believed to be in the network.
    pub(super) fn in_flight(&self) -> usize {
        self.segments.len() + self.retransmitted - self.sacked - self.lost
    }

    /// The first unacknowledged segment.
    pub(super) fn front(&self) -> Option<&Sent> {
        self.segments.front()
    }

    /// The segment with this number, if it is outstanding.
    pub(super) fn get(&self, number: u64) -> Option<&Sent> {
        self.segments.get(number.checked_sub(self.first)? as usize)
    }

    /// One past the highest segment that is sacked; the first outstanding one where none is.
    pub(super) fn highest_sacked(&self) -> u64 {
        self.sacked_ranges.last().map_or(self.first, |range| range.1)
    }

    /// Takes the next segment that lies wholly below `acknowledgment` off the board.
    pub(super) fn acknowledge(&mut self, acknowledgment: u64) -> Option<(u64, Sent)> {
        if self.segments.front()?.end() > acknowledgment {
            return None;
        }
        let sent = self.segments.pop_front()?;
        let number = self.first;
        self.first += 1;
        self.sacked -= usize::from(sent.sacked);
        self.lost -= usize::from(sent.lost);
        self.retransmitted -= usize::from(sent.retransmitted);
        if sent.lost {
            self.to_retransmit.remove(&number);
        }
        self.forget_ranges();
        Some((number, sent))
    }

    /// Marks what the block from byte `start` to `end` covers as sacked and calls `newly` with each
    /// segment that was not before.
    pub(super) fn sack(&mut self, (start, end): (u64, u64), mut newly: impl FnMut(u64, &Sent)) {
        let place = |byte| self.segments.partition_point(|sent| sent.sequence < byte) as u64;
        let covered = (self.first + place(start), self.first + place(end));
        if covered.0 >= covered.1 || self.segments.front().is_none_or(|sent| end <= sent.sequence) {
            return;
        }
        let from = self.sacked_ranges.partition_point(|range| range.1 < covered.0);
        let (mut to, mut merged, mut next) = (from, covered, covered.0);
        while let Some(&(first, past)) = self.sacked_ranges.get(to)
            && first <= covered.1
        {
            (next..first).for_each(|number| self.sack_one(number, &mut newly));
            next = next.max(past);
            merged = (merged.0.min(first), merged.1.max(past));
            to += 1;
        }
        (next..covered.1).for_each(|number| self.sack_one(number, &mut newly));
        self.sacked_ranges.splice(from..to, [merged]);
    }

    fn sack_one(&mut self, number: u64, newly: &mut impl FnMut(u64, &Sent)) {
        let sent = &mut self.segments[(number - self.first) as usize];
        newly(number, sent);
        self.sacked += 1;
        sent.sacked = true;
        if std::mem::take(&mut sent.lost) {
            self.lost -= 1;
            self.to_retransmit.remove(&number);
        }
        self.retransmitted -= usize::from(std::mem::take(&mut sent.retransmitted));
    }

    /// Drops what lies below the first outstanding segment from the list of ranges.
    fn forget_ranges(&mut self) {
        if self.sacked_ranges.first().is_some_and(|range| range.1 <= self.first) {
            self.sacked_ranges.remove(0);
        }
    }

    /// Marks a segment as lost, or its retransmission if that is under way; whether it was the latter.
    pub(super) fn mark_lost(&mut self, number: u64) -> bool {
        let sent = &mut self.segments[(number - self.first) as usize];
        debug_assert!(!sent.sacked, "what the receiver has is not lost");
        let retransmission = std::mem::take(&mut sent.retransmitted);
        self.retransmitted -= usize::from(retransmission);
        self.lost += usize::from(!sent.lost);
        sent.lost = true;
        self.to_retransmit.insert(number);
        retransmission
    }

    /// The lost segment that is to be sent again first.
    pub(super) fn next_to_retransmit(&self) -> Option<u64> {
        self.to_retransmit.first().copied()
    }

    /// Notes that a segment is sent again now, lost or (as a probe) not; returns it as it is now.
    pub(super) fn retransmit(&mut self, number: u64, now: Time, delivery: DeliveryStamp) -> &Sent {
        self.to_retransmit.remove(&number);
        self.transmissions.push_back((now, number));
        let sent = &mut self.segments[(number - self.first) as usize];
        self.retransmitted += usize::from(!sent.retransmitted);
        sent.retransmitted = true;
        sent.ever_retransmitted = true;
        sent.sent_at = now;
        sent.delivery = delivery;
        sent
    }

    /// The transmission under way that was made longest ago: when, and of which segment.
    pub(super) fn oldest_transmission(&mut self) -> Option<(Time, u64)> {
        while let Some(&(at, number)) = self.transmissions.front() {
            let current = self
                .get(number)
                .is_some_and(|sent| sent.sent_at == at && !sent.sacked && (!sent.lost || sent.retransmitted));
            if current {
                return Some((at, number));
            }
            self.transmissions.pop_front();
        }
        None
    }

    /// The numbers of all outstanding segments, in order of sequence.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.next_number()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn board(segments: u64) -> Scoreboard {
        let mut board = Scoreboard::default();
        for number in 0..segments {
            board.push(Sent::new(number * 100, 100, Time::from_millis(number), DeliveryStamp::default()));
        }
        board
    }

    fn sack(board: &mut Scoreboard, block: (u64, u64)) -> Vec<u64> {
        let mut newly = Vec::new();
        board.sack(block, |number, _| newly.push(number));
        newly
    }

    #[test]
    fn only_what_is_new_in_a_block_is_reported() {
        let mut board = board(10);
        assert_eq!(sack(&mut board, (300, 500)), [3, 4]);
        assert_eq!(sack(&mut board, (700, 800)), [7]);
        assert_eq!(sack(&mut board, (200, 900)), [2, 5, 6, 8]);
        assert_eq!(sack(&mut board, (200, 900)), [0_u64; 0]);
        assert_eq!((board.sacked(), board.in_flight(), board.highest_sacked()), (7, 3, 9));
    }

    #[test]
    fn a_lost_segment_leaves_the_network_until_it_is_sent_again() {
        let mut board = board(4);
        assert!(!board.mark_lost(1));
        assert_eq!((board.lost(), board.in_flight(), board.next_to_retransmit()), (1, 3, Some(1)));
        board.retransmit(1, Time::from_millis(50), DeliveryStamp::default());
        assert_eq!((board.lost(), board.in_flight(), board.next_to_retransmit()), (1, 4, None));
        assert!(board.mark_lost(1), "now its retransmission is lost");
        assert_eq!((board.lost(), board.in_flight(), board.next_to_retransmit()), (1, 3, Some(1)));
        assert_eq!(board.acknowledge(200).map(|(number, _)| number), Some(0));
        assert_eq!(board.acknowledge(200).map(|(number, _)| number), Some(1));
        assert_eq!(board.acknowledge(250).map(|(number, _)| number), None);
        assert_eq!((board.lost(), board.in_flight(), board.next_to_retransmit()), (0, 2, None));
    }

    #[test]
    fn transmissions_come_in_the_order_of_time() {
        let mut board = board(3);
        board.mark_lost(0);
        assert_eq!(board.oldest_transmission(), Some((Time::from_millis(1), 1)));
        board.retransmit(0, Time::from_millis(9), DeliveryStamp::default());
        sack(&mut board, (100, 300));
        assert_eq!(board.oldest_transmission(), Some((Time::from_millis(9), 0)));
    }

    proptest! {
        #[test]
        fn counters_agree_with_the_segments(steps in prop::collection::vec((0_u8..4, 0_u64..30, 1_u64..8), 0..60)) {
            let mut board = board(30);
            for (what, number, length) in steps {
                let live = board.get(number).is_some_and(|sent| !sent.sacked);
                match what {
                    0 => { sack(&mut board, (number * 100, (number + length) * 100)); }
                    1 => while board.acknowledge(number * 50).is_some() {},
                    2 if live => { board.mark_lost(number); }
                    3 if live => { board.retransmit(number, Time::from_secs(1), DeliveryStamp::default()); }
                    _ => {}
                }
                let count = |f: fn(&Sent) -> bool| board.segments.iter().filter(|sent| f(sent)).count();
                prop_assert_eq!(board.sacked(), count(|sent| sent.sacked));
                prop_assert_eq!(board.lost(), count(|sent| sent.lost));
                prop_assert_eq!(board.retransmitted(), count(|sent| sent.retransmitted));
                prop_assert_eq!(board.to_retransmit.len(), count(|sent| sent.lost && !sent.retransmitted));
                prop_assert_eq!(board.in_flight(),
                    count(|sent| !sent.sacked && (!sent.lost || sent.retransmitted))
                        + count(|sent| !sent.lost && sent.retransmitted));
            }
        }
    }
}
