//! The receiver's book of source packets: each one has exactly one fate, and this decides when.
//!
//! A source packet is missing once a packet shows that later ones were sent, and confirmed missing once
//! every packet up to that one has arrived or counts as lost. What follows depends on the policy:
//!
//! | policy | asked for again | given up |
//! | --- | --- | --- |
//! | never | not | once confirmed and beyond the code |
//! | deadline | once beyond the code, or when waiting longer for the code would make it late | as above when no answer can come in time; after asking, at the deadline |
//! | always | once beyond the code, at the latest a round trip after it was missed | when it leaves the window |
//!
//! The receiver asks and not the sender decides (SRT's `arq:onreq`), because only the receiver knows
//! what the code repaired. A code is beyond hope for a packet when its later repair packets no longer
//! reach back to it ([`Horizon`](super::horizon::Horizon)), or after its deadline and [`GRACE`].

use std::collections::VecDeque;
use std::ops::Range;

use crate::time::{Duration, Time};

use super::Retransmit;
use super::feedback::{Feedback, Wanted};
use super::window::Window;

/// The source packets of one direction.
#[derive(Debug)]
pub(super) struct Sources {
    retransmit: Retransmit,
    coded: bool,
    /// Those that have their fate; all below its start have.
    settled: Window,
    /// One above the last that is known to have been sent.
    next: u64,
    /// Missing packets, in the order in which they were missed; some may have come since.
    gaps: VecDeque<Gap>,
    /// How many of `gaps` are confirmed: always the first ones.
    confirmed: usize,
    /// When a confirmed gap is to be looked at again.
    due: Time,
    horizon: u64,
    wants_more: bool,
}

/// Source packets that were missed together.
#[derive(Debug)]
struct Gap {
    esis: Range<u64>,
    /// The packet that showed it.
    by: u64,
    noticed: Time,
    deadline: Time,
    /// Whether a code was at work when it was noticed.
    protected: bool,
    wanted: bool,
}

/// A packet that shows what was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Its number.
    pub(super) by: u64,
    pub(super) now: Time,
    /// The deadline of what is missing before it.
    pub(super) deadline: Time,
    /// Whether a code protects what leaves when it left.
    pub(super) protected: bool,
}

/// What the book must know of the rest of the receiver to decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) now: Time,
    /// Every packet number below has arrived or is lost.
    pub(super) settled: u64,
    /// The code can do nothing more for source packets below.
    pub(super) horizon: u64,
    pub(super) round_trip: Option<Duration>,
}

impl Sources {
    pub(super) fn new(retransmit: Retransmit, coded: bool) -> Self {
        Self {
            retransmit,
            coded,
            settled: Window::new(WINDOW),
            next: 0,
            gaps: VecDeque::new(),
            confirmed: 0,
            due: Time::NEVER,
            horizon: 0,
            wants_more: false,
        }
    }

    /// Everything below `end` has been sent, as a packet shows. Packets that leave the window are given
    /// up: they go to `lost`.
    pub(super) fn extend(&mut self, end: u64, shown: &Shown, lost: &mut Vec<u64>) {
        // One place more than `end` needs, for the packet that shows it.
        if end >= self.settled.end() {
            let start = end + 1 - WINDOW;
            lost.extend((self.settled.start()..start).filter(|esi| !self.settled.contains(*esi)));
            self.settled.slide_to(start);
            self.next = self.next.max(start);
            self.advance();
        }
        if end > self.next {
            let esis = self.next..end;
            self.next = end;
            if self.gaps.len() == GAPS_MAX {
                let oldest = self.gaps.pop_front().expect("GAPS_MAX is not zero");
                self.confirmed = self.confirmed.saturating_sub(1);
                self.give_up(oldest.esis, lost);
            }
            let Shown { by, now: noticed, deadline, protected } = *shown;
            self.gaps.push_back(Gap { esis, by, noticed, deadline, protected, wanted: false });
        }
    }

    /// Whether everything below `end` is known to have been sent, and there is room for the packet that
    /// comes next.
    pub(super) fn covers(&self, end: u64) -> bool {
        end <= self.next && end < self.settled.end()
    }

    /// The source packet `esi` is here: whether it had no fate yet.
    pub(super) fn settle(&mut self, esi: u64) -> bool {
        if esi < self.settled.start() || !self.settled.insert(esi) {
            return false;
        }
        self.next = self.next.max(esi + 1);
        if esi == self.settled.start() {
            self.advance();
        }
        true
    }

    /// When `esi` was first seen to be missing, if it was.
    pub(super) fn missing_since(&self, esi: u64) -> Option<Time> {
        self.gaps.iter().rev().find(|gap| gap.esis.contains(&esi)).map(|gap| gap.noticed)
    }

    /// Decides what can be decided by now; what is given up goes to `lost`.
    pub(super) fn decide(&mut self, view: &View, lost: &mut Vec<u64>) {
        while self.gaps.front().is_some_and(|gap| gap.esis.end <= self.settled.start()) {
            self.gaps.pop_front();
            self.confirmed = self.confirmed.saturating_sub(1);
        }
        if view.now >= self.due || view.horizon > self.horizon {
            self.horizon = view.horizon;
            self.due = Time::NEVER;
            let mut place = 0;
            while place < self.confirmed {
                if self.decide_gap(place, view, lost) {
                    place += 1;
                } else {
                    self.confirmed -= 1;
                }
            }
        }
        while self.gaps.get(self.confirmed).is_some_and(|gap| gap.by <= view.settled) {
            if self.decide_gap(self.confirmed, view, lost) {
                self.confirmed += 1;
            }
        }
    }

    /// When [`Sources::decide`] has something to decide, if nothing arrives.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        (self.due < Time::NEVER).then_some(self.due)
    }

    /// Whether something is wanted that was not wanted when this was last asked.
    pub(super) fn take_wants_more(&mut self) -> bool {
        std::mem::take(&mut self.wants_more)
    }

    /// Whether anything is wanted.
    pub(super) fn wants_any(&self) -> bool {
        self.gaps.iter().take(self.confirmed).any(|gap| gap.wanted && self.is_open(&gap.esis))
    }

    /// Writes what is wanted, and below what nothing is, into `feedback`.
    pub(super) fn describe(&self, feedback: &mut Feedback) {
        feedback.floor = self.settled.start() as u32;
        for gap in self.gaps.iter().take(self.confirmed).filter(|gap| gap.wanted) {
            let mut esi = gap.esis.start.max(self.settled.start());
            while esi < gap.esis.end && feedback.wanted.len() < Feedback::WANTED_MAX {
                let first = self.first_open(esi);
                let end =
                    (first..gap.esis.end).find(|esi| self.settled.contains(*esi)).unwrap_or(gap.esis.end);
                if first < end {
                    feedback.wanted.push(Wanted { first: first as u32, count: (end - first) as u32 });
                }
                esi = end.max(first);
            }
        }
    }

    /// Whether anything wanted lies in `range`.
    pub(super) fn wants_within(&self, range: &Range<u64>) -> bool {
        let overlap = |gap: &Gap| {
            let start = gap.esis.start.max(range.start).max(self.settled.start());
            start < gap.esis.end.min(range.end) && self.first_open(start) < gap.esis.end.min(range.end)
        };
        self.gaps.iter().take(self.confirmed).any(|gap| gap.wanted && overlap(gap))
    }

    /// Every source packet below has its fate.
    pub(super) fn floor(&self) -> u64 {
        self.settled.start()
    }

    /// One above the last source packet that is known to have been sent.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Decides on one gap that is confirmed: whether it stays open.
    fn decide_gap(&mut self, place: usize, view: &View, lost: &mut Vec<u64>) -> bool {
        let gap = &self.gaps[place];
        if !self.is_open(&gap.esis) {
            self.gaps.remove(place);
            return false;
        }
        let (want_at, lost_at) = self.schedule(gap, view);
        let gap = &mut self.gaps[place];
        if view.now >= want_at && !gap.wanted {
            gap.wanted = true;
            self.wants_more = true;
            return self.decide_gap(place, view, lost);
        }
        if view.now >= lost_at {
            let esis = gap.esis.clone();
            self.gaps.remove(place);
            self.give_up(esis, lost);
            return false;
        }
        self.due = self.due.min(if gap.wanted { lost_at } else { want_at.min(lost_at) });
        true
    }

    /// When a confirmed gap is to be wanted and when it is to be given up, as things stand.
    fn schedule(&self, gap: &Gap, view: &View) -> (Time, Time) {
        let beyond_code = if !self.coded || view.horizon >= gap.esis.end {
            Time::ZERO
        } else if gap.deadline == Time::NEVER {
            gap.noticed + GRACE * 5
        } else {
            gap.deadline.max(gap.noticed + GRACE)
        };
        let round_trip = view.round_trip.unwrap_or(Duration::ZERO);
        // Waiting for the code must not cost more time than asking would have, and a code that rests need
        // not be waited for.
        let patience = if gap.protected { beyond_code.min(gap.noticed + round_trip) } else { Time::ZERO };
        match self.retransmit {
            Retransmit::Never => (Time::NEVER, beyond_code),
            Retransmit::Always => (patience, Time::NEVER),
            Retransmit::Deadline if gap.wanted => {
                let late = gap.deadline + Duration::from_nanos(1);
                (Time::NEVER, late.max(beyond_code))
            }
            Retransmit::Deadline if view.now + round_trip <= gap.deadline => {
                // A quarter of the round trip is left for jitter.
                let last_call = gap.deadline.saturating_sub(round_trip + round_trip / 4);
                (patience.min(last_call), Time::NEVER)
            }
            Retransmit::Deadline => (Time::NEVER, beyond_code),
        }
    }

    fn give_up(&mut self, esis: Range<u64>, lost: &mut Vec<u64>) {
        for esi in esis.start.max(self.settled.start())..esis.end {
            if self.settled.insert(esi) {
                lost.push(esi);
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        self.settled.slide_to(self.settled.first_missing(self.settled.start()));
    }

    fn is_open(&self, esis: &Range<u64>) -> bool {
        self.first_open(esis.start.max(self.settled.start())) < esis.end
    }

    fn first_open(&self, from: u64) -> u64 {
        if from < self.settled.end() { self.settled.first_missing(from) } else { from }
    }
}

/// How far back a source packet may still come, in packets. The sender remembers as many.
pub(super) const WINDOW: u64 = 1 << 13;

/// The most gaps that are kept apart; one more, and the oldest is given up.
const GAPS_MAX: usize = 1024;

/// How long a code may take for a packet that was missed when it was late already. Repair packets
/// follow within a frame or two: 100 ms are three frames of a slow screen. Five times that where there
/// is no deadline at all.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn view(now: u64, settled: u64) -> View {
        View { now: ms(now), settled, horizon: 0, round_trip: Some(RTT) }
    }

    fn shown(by: u64, now: u64, deadline: u64) -> Shown {
        Shown { by, now: ms(now), deadline: ms(deadline), protected: true }
    }

    /// Packet 0 arrived, 1 and 2 are missing with a deadline at 100 ms, 3 arrived at 10 ms.
    fn missing(retransmit: Retransmit, coded: bool) -> Sources {
        let (mut sources, mut lost) = (Sources::new(retransmit, coded), Vec::new());
        assert!(sources.settle(0));
        sources.extend(3, &shown(3, 10, 100), &mut lost);
        assert!(sources.settle(3) && !sources.settle(3));
        sources.decide(&view(10, 1), &mut lost);
        assert!(lost.is_empty(), "not before the packet numbers are settled");
        sources
    }

    fn decide(sources: &mut Sources, view: View) -> Vec<u64> {
        let mut lost = Vec::new();
        sources.decide(&view, &mut lost);
        lost
    }

    #[test]
    fn without_code_and_retransmission_what_is_confirmed_missing_is_lost_at_once() {
        let mut sources = missing(Retransmit::Never, false);
        assert_eq!(decide(&mut sources, view(12, 3)), [1, 2]);
        assert_eq!((sources.floor(), sources.poll_timeout()), (4, None));
        assert!(!sources.settle(1), "a packet has one fate only");
    }

    #[test]
    fn a_packet_a_whole_window_ahead_of_the_oldest_open_one_has_that_given_up() {
        let (mut sources, mut lost) = (Sources::new(Retransmit::Always, false), Vec::new());
        for esi in 1..WINDOW + 2 {
            if !sources.covers(esi) {
                sources.extend(esi, &shown(esi, 10, 100), &mut lost);
            }
            assert!(sources.settle(esi), "{esi}");
        }
        assert_eq!(lost, [0]);
    }

    #[test]
    fn a_code_is_waited_for_until_it_has_moved_on_or_time_is_up() {
        let mut sources = missing(Retransmit::Never, true);
        assert!(decide(&mut sources, view(12, 3)).is_empty());
        assert!(decide(&mut sources, View { horizon: 2, ..view(13, 3) }).is_empty());
        assert_eq!(decide(&mut sources, View { horizon: 3, ..view(13, 3) }), [1, 2]);

        let mut sources = missing(Retransmit::Never, true);
        assert!(decide(&mut sources, view(12, 3)).is_empty());
        // Missed at 10 ms, deadline at 100 ms: the grace of 100 ms ends later.
        assert_eq!(sources.poll_timeout(), Some(ms(110)));
        assert_eq!(decide(&mut sources, view(110, 3)), [1, 2]);
    }

    #[test]
    fn under_a_deadline_a_packet_is_asked_for_only_while_an_answer_can_be_in_time() {
        let mut sources = missing(Retransmit::Deadline, false);
        assert!(decide(&mut sources, view(60, 3)).is_empty());
        assert!(sources.take_wants_more() && sources.wants_any());
        assert!(decide(&mut sources, view(100, 3)).is_empty(), "the answer may come at the deadline itself");
        let after = View { now: ms(100) + Duration::from_nanos(1), ..view(100, 3) };
        assert_eq!(sources.poll_timeout(), Some(after.now));
        assert_eq!(decide(&mut sources, after), [1, 2]);

        let mut sources = missing(Retransmit::Deadline, false);
        assert_eq!(decide(&mut sources, view(61, 3)), [1, 2], "61 + 40 ms is past the deadline");
        assert!(!sources.take_wants_more());
    }

    #[test]
    fn with_a_code_a_packet_is_asked_for_when_waiting_longer_would_cost_too_much() {
        let mut sources = missing(Retransmit::Deadline, true);
        decide(&mut sources, view(12, 3));
        assert!(!sources.wants_any());
        // 100 ms less a round trip and a quarter is 50 ms, and so is 10 ms plus a round trip.
        assert_eq!(sources.poll_timeout(), Some(ms(50)));
        decide(&mut sources, view(50, 3));
        assert!(sources.wants_any());

        let mut sources = missing(Retransmit::Deadline, true);
        decide(&mut sources, View { horizon: 3, ..view(12, 3) });
        assert!(sources.wants_any(), "the code has moved on: at once");
    }

    #[test]
    fn with_a_code_at_rest_a_packet_is_asked_for_at_once() {
        let (mut sources, mut lost) = (Sources::new(Retransmit::Deadline, true), Vec::new());
        assert!(sources.settle(0));
        sources.extend(3, &Shown { protected: false, ..shown(3, 10, 100) }, &mut lost);
        assert!(sources.settle(3));
        decide(&mut sources, view(12, 3));
        assert!(sources.wants_any() && sources.wants_within(&(0..2)) && sources.wants_within(&(2..9)));
        assert!(!sources.wants_within(&(0..1)) && !sources.wants_within(&(3..9)));
    }

    #[test]
    fn a_recovery_ends_the_asking() {
        let mut sources = missing(Retransmit::Always, false);
        decide(&mut sources, view(12, 3));
        let mut feedback = Feedback::default();
        sources.describe(&mut feedback);
        assert_eq!(feedback.wanted, [Wanted { first: 1, count: 2 }]);
        assert_eq!(sources.missing_since(2), Some(ms(10)));
        assert!(sources.settle(1) && sources.settle(2));
        assert!(!sources.wants_any());
        assert_eq!(sources.floor(), 4);
    }

    #[test]
    fn what_leaves_the_window_is_given_up_whatever_the_policy() {
        let mut sources = missing(Retransmit::Always, false);
        decide(&mut sources, view(12, 3));
        let mut lost = Vec::new();
        sources.extend(WINDOW + 2, &shown(9, 20, 120), &mut lost);
        assert_eq!(lost, [1, 2]);
        sources.extend(3 * WINDOW, &shown(10, 20, 120), &mut lost);
        assert_eq!(lost.len() as u64, 2 * WINDOW - 1, "0 to 2 WINDOW but 0 and 3");
        assert_eq!(sources.floor(), 2 * WINDOW + 1);
    }
}
