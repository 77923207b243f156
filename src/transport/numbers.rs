//! The receiver's book of packet numbers: what arrived, what is missing, and what counts as lost.
//!
//! A missing packet counts as lost once enough later packets arrived or enough time passed since the
//! first of them (RFC 9002 §6.1 does so on the sender's side; here the receiver, who sees reordering
//! first, decides). Where a packet arrives after all, the tolerance was too small and grows, as in
//! RFC 8985 §6.2; its loss stays counted.

use std::collections::VecDeque;

use crate::record::{Event, Malformed};
use crate::time::{Duration, Time};

use super::Tolerance;
use super::feedback::{Feedback, Losses, Range};
use super::trace::Trace;
use super::window::{Window, expand};

/// The packet numbers of one direction.
#[derive(Debug)]
pub(super) struct Numbers {
    arrived: Window,
    /// One above the largest number that arrived.
    next: u64,
    /// Every number below is known to have arrived or to be lost.
    settled: u64,
    /// Consecutive losses just below `settled`.
    run: u32,
    /// Gaps at and above `settled`, lowest first: the number above the gap, and when that arrived.
    gaps: VecDeque<(u64, Time)>,
    tolerance: Tolerance,
    losses: Losses,
}

impl Numbers {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        Self {
            arrived: Window::new(WINDOW),
            next: 0,
            settled: 0,
            run: 0,
            gaps: VecDeque::new(),
            tolerance,
            losses: Losses::default(),
        }
    }

    /// Takes the number of a packet that arrived, and gives it in full; none for one that arrived
    /// before, or so long ago that nobody remembers. [`Numbers::settle`] then draws the conclusions.
    pub(super) fn insert(&mut self, trace: &mut Trace, low: u32) -> Result<Option<u64>, Malformed> {
        let number = expand(low, self.next).ok_or(Malformed::OutOfRange)?;
        if number >= self.next + JUMP_MAX {
            return Err(Malformed::OutOfRange);
        }
        if number >= self.arrived.end() {
            self.slide(trace, number + 1 - WINDOW);
        }
        if number < self.arrived.start() || !self.arrived.insert(number) {
            return Ok(None);
        }
        if number >= self.next {
            if number > self.next {
                self.gaps.push_back((number, trace.now));
            }
            self.next = number + 1;
        } else if number < self.settled {
            self.tolerance.widen(self.next - number);
        }
        Ok(Some(number))
    }

    /// Decides what can be decided by now.
    pub(super) fn settle(&mut self, trace: &mut Trace) {
        loop {
            let present = self.arrived.first_missing(self.settled).min(self.next);
            if present > self.settled {
                self.end_run(trace);
                self.expect(present - self.settled);
                self.settled = present;
            }
            while self.gaps.front().is_some_and(|(above, _)| *above <= self.settled) {
                self.gaps.pop_front();
            }
            let Some((_, noticed)) = self.gaps.front() else { return };
            let behind = self.next - self.settled > u64::from(self.tolerance.packets);
            if !behind && trace.now < *noticed + self.tolerance.time {
                return;
            }
            self.lose(1);
        }
    }

    /// When [`Numbers::settle`] has something to decide.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.gaps.front().map(|(_, noticed)| *noticed + self.tolerance.time)
    }

    /// Writes what arrived and what was lost into `feedback`.
    pub(super) fn describe(&self, feedback: &mut Feedback) {
        let Some(largest) = self.next.checked_sub(1) else { return };
        feedback.largest = largest as u32;
        let floor = self.arrived.start().max(self.next.saturating_sub(REACH));
        let mut run = self.arrived.run_down(largest, floor, true);
        feedback.run = run as u32;
        let mut below = largest + 1 - run;
        while below > floor && feedback.ranges.len() < Feedback::RANGES_MAX {
            let gap = self.arrived.run_down(below - 1, floor, false);
            below -= gap;
            if below == floor {
                break;
            }
            run = self.arrived.run_down(below - 1, floor, true);
            below -= run;
            feedback.ranges.push(Range { gap: gap as u32, run: run as u32 });
        }
        feedback.losses = self.losses;
    }

    /// Every number below is known to have arrived or to be lost.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// How many packets were lost, modulo 2^32.
    pub(super) fn lost(&self) -> u32 {
        self.losses.lost
    }

    /// Moves the window up to `start`: what is missing below it is lost.
    fn slide(&mut self, trace: &mut Trace, start: u64) {
        while self.settled < start.min(self.next) {
            if self.arrived.contains(self.settled) {
                self.end_run(trace);
                self.expect(1);
                self.settled += 1;
            } else {
                self.lose(1);
            }
        }
        self.lose(start.saturating_sub(self.settled));
        self.arrived.slide_to(start);
    }

    fn lose(&mut self, count: u64) {
        self.expect(count);
        self.settled += count;
        self.run = self.run.saturating_add(count as u32);
        self.losses.lost = self.losses.lost.wrapping_add(count as u32);
    }

    fn expect(&mut self, count: u64) {
        self.losses.expected = self.losses.expected.wrapping_add(count as u32);
    }

    fn end_run(&mut self, trace: &mut Trace) {
        if self.run > 0 {
            trace.tell(Event::LossRun { length: self.run });
            self.losses.count_run(self.run);
            self.run = 0;
        }
    }
}

impl Tolerance {
    /// A packet arrived after it had been taken for lost, `behind` packets behind the newest.
    fn widen(&mut self, behind: u64) {
        let packets = u32::try_from(behind).unwrap_or(u32::MAX).min(TOLERANCE_PACKETS_MAX);
        if packets > self.packets {
            self.packets = packets;
        } else {
            // The number of packets would have been enough, so it was the time that ran out.
            self.time = (self.time + self.time / 2).min(TOLERANCE_TIME_MAX.max(self.time));
        }
    }
}

/// How far back arrivals are remembered, in packets: 160 ms at a gigabit per second.
pub(crate) const WINDOW: u64 = 1 << 14;

/// How far back feedback tells of arrivals, in packets: more than are under way on most paths. What is
/// older matters to nobody, because what the receiver wants it asks for.
const REACH: u64 = 1 << 10;

/// The farthest that a packet number may be ahead of the last: 10 minutes at 100,000 packets a second,
/// longer than any outage that a session survives.
pub(crate) const JUMP_MAX: u64 = 1 << 26;

/// Reordering by more packets than this is left to the time: a higher bound would only delay the
/// detection of losses on paths that reorder that much.
const TOLERANCE_PACKETS_MAX: u32 = 256;

/// Reordering by more time than this counts as loss: a screen cannot wait longer.
const TOLERANCE_TIME_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::super::trace::tests::traced;
    use super::*;

    fn tolerance() -> Tolerance {
        Tolerance { packets: 3, time: Duration::from_millis(10) }
    }

    /// Feeds `numbers` at 1 ms each and returns the lengths of the runs of losses.
    fn runs(numbers: &mut Numbers, arrivals: &[u32]) -> Vec<u32> {
        let mut lengths = Vec::new();
        for (at, low) in arrivals.iter().enumerate() {
            let (_, records) = traced(Time::from_millis(at as u64), |trace| {
                assert!(numbers.insert(trace, *low).is_ok());
                numbers.settle(trace);
            });
            lengths.extend(records.iter().filter_map(|record| match record.event {
                Event::LossRun { length } => Some(length),
                _ => None,
            }));
        }
        lengths
    }

    #[test]
    fn a_gap_is_lost_after_enough_packets_or_enough_time() {
        let mut numbers = Numbers::new(tolerance());
        assert!(runs(&mut numbers, &[0, 1, 4, 5]).is_empty(), "two packets behind is within the tolerance");
        assert_eq!(runs(&mut numbers, &[6, 7]), [2]);

        let mut numbers = Numbers::new(tolerance());
        assert!(runs(&mut numbers, &[0, 2]).is_empty());
        let due = numbers.poll_timeout().unwrap();
        assert_eq!(due, Time::from_millis(11), "noticed at 1 ms, tolerated for 10 ms");
        let (_, records) = traced(due, |trace| numbers.settle(trace));
        assert_eq!(records.len(), 1);
        assert_eq!((numbers.settled(), numbers.poll_timeout()), (3, None));
    }

    #[test]
    fn reordering_within_the_tolerance_is_no_loss_and_beyond_it_widens_it() {
        let mut numbers = Numbers::new(tolerance());
        assert!(runs(&mut numbers, &[0, 2, 3, 1, 4]).is_empty());
        assert_eq!(runs(&mut numbers, &[6, 7, 8, 9, 10, 5]), [1], "five behind is too much");
        assert!(runs(&mut numbers, &[12, 13, 14, 15, 11]).is_empty(), "but the next time it is not");
    }

    #[test]
    fn duplicates_and_forgotten_numbers_are_not_new() {
        let mut numbers = Numbers::new(tolerance());
        let mut insert = |low| {
            traced(Time::ZERO, |trace| {
                let number = numbers.insert(trace, low);
                numbers.settle(trace);
                number
            })
            .0
        };
        assert_eq!(insert(0), Ok(Some(0)));
        assert_eq!(insert(0), Ok(None));
        assert_eq!(insert(40_000), Ok(Some(40_000)));
        assert_eq!(insert(1), Ok(None));
        assert_eq!(insert(1 << 27), Err(Malformed::OutOfRange));
        assert_eq!(insert(u32::MAX), Err(Malformed::OutOfRange));
        // 1 to 39,999 were lost in one run, counted without walking through them twice.
        assert_eq!(insert(40_004), Ok(Some(40_004)));
        assert_eq!(numbers.losses.lost, 39_999 + 1);
    }

    #[test]
    fn feedback_lists_what_arrived_from_the_largest_down() {
        let mut numbers = Numbers::new(tolerance());
        runs(&mut numbers, &[0, 1, 2, 5, 6, 9]);
        let mut feedback = Feedback::default();
        numbers.describe(&mut feedback);
        assert_eq!((feedback.largest, feedback.run), (9, 1));
        assert_eq!(feedback.ranges, [Range { gap: 2, run: 2 }, Range { gap: 2, run: 3 }]);
    }
}
