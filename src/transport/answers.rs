//! Fresh repair packets for a receiver that asked for them (hybrid ARQ, type II), and when to make more.
//!
//! The receiver repeats in every feedback how many repair packets it misses of a block or window, and
//! which source packets it wants. Those that lie in no such block are asked for together, as one window
//! that lacks so many. What is under way already must not be made again: a range is answered anew only
//! once the fate of the last answer is known, or after a probe timeout, as a retransmission is.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::fec::{Encoder, Repair};
use crate::time::Time;

use super::feedback::Feedback;
use super::resend::Heard;
use super::window::expand;

/// The sender's book of answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Those that wait for the pacer.
    due: VecDeque<Due>,
    /// The ranges that were answered, oldest first.
    answered: VecDeque<Answered>,
    /// How many ranges were answered so far; they are numbered from 0.
    count: u64,
}

/// A fresh repair packet that waits for the pacer.
#[derive(Debug)]
struct Due {
    repair: Repair<Bytes>,
    /// The number of its range.
    answer: u64,
    /// When it is worth nothing any more.
    deadline: Time,
}

/// A range that was answered.
#[derive(Clone, Debug)]
struct Answered {
    number: u64,
    range: Range<u64>,
    /// Fresh repair packets over it that wait for the pacer.
    waiting: usize,
    /// The last one that left: its packet number, and when.
    sent: Option<(u64, Time)>,
}

/// What the receiver lacks: so many repair packets over a range.
#[derive(Clone, Debug, PartialEq)]
struct Ask {
    range: Range<u64>,
    missing: u16,
}

impl Answers {
    /// Takes what the receiver lacks; source packets below `next` have been sent, and `deadline` tells
    /// when one of them is worth nothing any more. The ranges for which fresh repair packets are under
    /// way, or soon will be.
    pub(super) fn handle_feedback(
        &mut self,
        heard: &Heard,
        next: u64,
        deadline: impl Fn(u64) -> Time,
        encoder: &mut dyn Encoder<Bytes>,
    ) -> Vec<Range<u64>> {
        self.answered.retain(|answered| !answered.is_settled(heard));
        let mut under_way: Vec<Range<u64>> =
            self.answered.iter().map(|answered| answered.range.clone()).collect();
        let mut asks: Vec<Ask> = deficits(heard.feedback, next).collect();
        asks.extend(wanted(heard.feedback, next, |esi| {
            under_way.iter().chain(asks.iter().map(|ask| &ask.range)).any(|range| range.contains(&esi))
        }));
        for Ask { range, missing } in asks {
            let overlaps = under_way.iter().any(|other| other.start < range.end && range.start < other.end);
            if overlaps || self.answered.len() == ANSWERED_MAX || self.due.len() >= DUE_MAX {
                continue;
            }
            let esis = range.start as u32..=(range.end - 1) as u32;
            let fresh = encoder.request_repair(heard.now, esis, missing);
            if let Some(covered) = covered(&fresh, next) {
                self.answer(fresh, covered.clone(), deadline(range.end - 1));
                under_way.push(covered);
            }
        }
        under_way
    }

    /// The next fresh repair packet that is in time if it arrives at `arrival`; it leaves at `now` as the
    /// packet `number`.
    pub(super) fn next_due(&mut self, number: u64, now: Time, arrival: Time) -> Option<Repair<Bytes>> {
        while let Some(Due { repair, answer, deadline }) = self.due.pop_front() {
            let in_time = deadline >= arrival;
            if let Some(answered) = self.answered.iter_mut().find(|answered| answered.number == answer) {
                answered.waiting -= 1;
                if in_time {
                    answered.sent = Some((number, now));
                }
            }
            if in_time {
                return Some(repair);
            }
        }
        None
    }

    /// Whether something waits for the pacer.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    fn answer(&mut self, fresh: Vec<Repair<Bytes>>, range: Range<u64>, deadline: Time) {
        let answer = self.count;
        self.count += 1;
        self.answered.push_back(Answered { number: answer, range, waiting: fresh.len(), sent: None });
        self.due.extend(fresh.into_iter().map(|repair| Due { repair, answer, deadline }));
    }
}

impl Answered {
    /// Whether nothing that was made for the range can still arrive.
    fn is_settled(&self, heard: &Heard) -> bool {
        let lost_or_here =
            |(number, at): (u64, Time)| heard.overtaken(number).is_some() || heard.now >= at + heard.timeout;
        self.waiting == 0 && self.sent.is_none_or(lost_or_here)
    }
}

/// The source packets that repair packets cover; a code may answer for a part of what was asked.
fn covered(fresh: &[Repair<Bytes>], next: u64) -> Option<Range<u64>> {
    let spans = fresh.iter().filter_map(|Repair { header, .. }| {
        let first = expand(header.first, next)?;
        Some(first..first + u64::from(header.count))
    });
    spans.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end))
}

/// Blocks and windows in which repair packets are missing; what cannot be is left out.
fn deficits(feedback: &Feedback, next: u64) -> impl Iterator<Item = Ask> {
    feedback.deficits.iter().filter_map(move |deficit| {
        let first = expand(deficit.first, next)?;
        let range = first..first + u64::from(deficit.count);
        let fits = range.end <= next && u64::from(deficit.count) <= RANGE_MAX;
        let missing = deficit.missing.min(deficit.count).min(ANSWERS_MAX) as u16;
        fits.then_some(Ask { range, missing })
    })
}

/// The source packets that are wanted and not `answered` otherwise, those near each other together.
fn wanted(feedback: &Feedback, next: u64, answered: impl Fn(u64) -> bool) -> Vec<Ask> {
    let floor = expand(feedback.floor, next).unwrap_or(next);
    let ranges = feedback.wanted.iter().filter_map(|wanted| {
        let first = expand(wanted.first, next)?;
        Some(first.max(floor)..next.min(first + u64::from(wanted.count)))
    });
    let mut asks: Vec<Ask> = Vec::new();
    for esi in ranges.flatten().take(RANGE_MAX as usize).filter(|&esi| !answered(esi)) {
        match asks.last_mut() {
            Some(ask) if esi >= ask.range.end && esi - ask.range.start < TOGETHER_MAX => {
                ask.range.end = esi + 1;
                ask.missing += 1;
            }
            _ => asks.push(Ask { range: esi..esi + 1, missing: 1 }),
        }
    }
    asks
}

/// The farthest that source packets are apart which are asked for together: a large frame.
const TOGETHER_MAX: u64 = 128;

/// The most ranges that are remembered; a receiver names fewer.
const ANSWERED_MAX: usize = 128;

/// The most fresh repair packets that one range is given at once: as many as a block of a code over
/// GF(2^8) has packets.
const ANSWERS_MAX: u32 = 255;

/// The most fresh repair packets that wait: half a second of 20 Mbit/s. Who asks for more is not answered
/// until these have left.
const DUE_MAX: usize = 1_024;

/// The most source packets that a range may span, and that one feedback may want: more than any window or
/// block here has.
const RANGE_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::{Flush, Overhead, Protect, RepairHeader, SourceMeta};
    use crate::time::Duration;
    use crate::transport::feedback::{Deficit, Wanted};

    /// A code that can always make more.
    #[derive(Debug)]
    struct Rateless {
        rows: u16,
    }

    impl Encoder<Bytes> for Rateless {
        fn overhead(&self) -> Overhead {
            Overhead::default()
        }

        fn push_source(&mut self, _: Time, _: &SourceMeta, _: &Bytes) -> Protect<Bytes> {
            Protect::Send(Vec::new())
        }

        fn poll_repair(&mut self, _: Time) -> Option<Repair<Bytes>> {
            None
        }

        fn flush(&mut self, _: Time, _: Flush) {}

        fn request_repair(
            &mut self,
            _: Time,
            range: std::ops::RangeInclusive<u32>,
            count: u16,
        ) -> Vec<Repair<Bytes>> {
            let (first, last) = range.into_inner();
            let mut fresh = |_| {
                self.rows += 1;
                let count = (last - first + 1) as u16;
                let header = RepairHeader { first, count, row: self.rows, parameter: 0 };
                Repair { header, symbol: Bytes::from_static(b"x") }
            };
            (0..count).map(&mut fresh).collect()
        }
    }

    fn heard(feedback: &Feedback, now: u64, largest: u64) -> Heard<'_> {
        let timeout = Duration::from_millis(200);
        Heard { now: Time::from_millis(now), feedback, largest, tolerance: 3, timeout }
    }

    #[test]
    fn a_range_is_answered_again_only_when_the_last_answer_has_its_fate() {
        let (mut answers, mut code) = (Answers::default(), Rateless { rows: 0 });
        let deficits = vec![Deficit { first: 0, count: 10, missing: 2 }];
        let feedback = Feedback { deficits, ..Feedback::default() };
        let mut hear = |answers: &mut Answers, now, largest| {
            answers.handle_feedback(&heard(&feedback, now, largest), 20, |_| Time::NEVER, &mut code)
        };
        let whole = vec![Range { start: 0, end: 10 }];
        assert_eq!(hear(&mut answers, 0, 12), whole);
        assert_eq!(hear(&mut answers, 1, 13), whole, "it waits for the pacer");
        let sent = |answers: &mut Answers, number| {
            answers.next_due(number, Time::from_millis(2), Time::ZERO).map(|repair| repair.header.row)
        };
        assert_eq!([20, 21, 22].map(|number| sent(&mut answers, number)), [Some(1), Some(2), None]);
        assert_eq!(hear(&mut answers, 50, 23), whole, "the last one may still come");
        assert!(!answers.is_due());
        assert_eq!(hear(&mut answers, 51, 24), whole);
        assert_eq!([25, 26, 27].map(|number| sent(&mut answers, number)), [Some(3), Some(4), None]);
        assert_eq!(hear(&mut answers, 203, 24), whole, "or a probe timeout is over");
        assert!(answers.is_due());
    }

    #[test]
    fn source_packets_that_are_wanted_near_each_other_are_asked_for_together() {
        let (mut answers, mut code) = (Answers::default(), Rateless { rows: 0 });
        let want = |first, count| Wanted { first, count };
        let deficits = vec![Deficit { first: 10, count: 10, missing: 1 }];
        let wanted = vec![want(3, 2), want(7, 1), want(12, 1), want(600, 1)];
        let feedback = Feedback { deficits, wanted, ..Feedback::default() };
        let under_way = answers.handle_feedback(&heard(&feedback, 0, 700), 800, |_| Time::NEVER, &mut code);
        assert_eq!(under_way, [10..20, 3..8, 600..601]);
        assert_eq!(answers.due.len(), 1 + 3 + 1);
    }

    #[test]
    fn answers_are_bounded_and_leave_out_what_would_be_late() {
        let (mut answers, mut code) = (Answers::default(), Rateless { rows: 0 });
        let deficits = (0..16).map(|place| Deficit { first: 100 * place, count: 100, missing: 9_999 });
        let feedback = Feedback { deficits: deficits.collect(), ..Feedback::default() };
        let deadline = |esi| Time::from_millis(esi / 100);
        for now in 0..100 {
            answers.handle_feedback(&heard(&feedback, now, 1_700), 1_800, deadline, &mut code);
        }
        assert_eq!(answers.due.len(), 1_100, "as many as a range has source packets, for eleven of them");
        let sent = answers.next_due(2_000, Time::from_millis(5), Time::from_millis(10));
        assert_eq!(sent.map(|repair| repair.header.first), Some(1_000), "the others are late");
        assert_eq!(answers.due.len(), 99);
    }

    #[test]
    fn a_range_that_was_not_sent_or_is_too_long_is_not_answered() {
        let (mut answers, mut code) = (Answers::default(), Rateless { rows: 0 });
        let deficit = |first, count| Deficit { first, count, missing: 1 };
        let deficits = vec![deficit(15, 6), deficit(0, 5_000), deficit(u32::MAX, 2)];
        let feedback = Feedback { deficits, ..Feedback::default() };
        assert!(answers.handle_feedback(&heard(&feedback, 0, 12), 20, |_| Time::NEVER, &mut code).is_empty());
        assert!(!answers.is_due());
    }
}
