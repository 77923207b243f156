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
    /// Those that wait for the pacer, with the first source packet of their range.
    due: VecDeque<(u64, Repair<Bytes>)>,
    /// The ranges that were answered, oldest first.
    answered: VecDeque<Answered>,
}

/// A range that was answered.
#[derive(Clone, Debug)]
struct Answered {
    range: Range<u64>,
    /// When its last packet left, and as which number; none while some of it waits for the pacer.
    sent: Option<(u64, Time)>,
}

/// What the receiver lacks: so many repair packets over a range.
#[derive(Clone, Debug, PartialEq)]
struct Ask {
    range: Range<u64>,
    missing: u16,
}

impl Answers {
    /// Takes what the receiver lacks; source packets below `next` have been sent. The ranges for which
    /// fresh repair packets are under way, or soon will be.
    pub(super) fn handle_feedback(
        &mut self,
        heard: &Heard,
        next: u64,
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
            if under_way.iter().any(|other| other.start < range.end && range.start < other.end) {
                continue;
            }
            let esis = range.start as u32..=(range.end - 1) as u32;
            let fresh = encoder.request_repair(heard.now, esis, missing);
            if fresh.is_empty() {
                continue;
            }
            if self.answered.len() == ANSWERED_MAX {
                self.answered.pop_front();
            }
            self.due.extend(fresh.into_iter().map(|repair| (range.start, repair)));
            self.answered.push_back(Answered { range: range.clone(), sent: None });
            under_way.push(range);
        }
        under_way
    }

    /// The next fresh repair packet, which leaves at `now` as the packet `number`.
    pub(super) fn next_due(&mut self, number: u64, now: Time) -> Option<Repair<Bytes>> {
        let (first, repair) = self.due.pop_front()?;
        if self.due.iter().all(|(other, _)| *other != first)
            && let Some(answered) = self.answered.iter_mut().rev().find(|one| one.range.start == first)
        {
            answered.sent = Some((number, now));
        }
        Some(repair)
    }

    /// Whether something waits for the pacer.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Answered {
    /// Whether nothing that was sent for the range can still arrive.
    fn is_settled(&self, heard: &Heard) -> bool {
        self.sent
            .is_some_and(|(number, at)| heard.overtaken(number).is_some() || heard.now >= at + heard.timeout)
    }
}

/// Blocks and windows in which repair packets are missing; what cannot be is left out.
fn deficits(feedback: &Feedback, next: u64) -> impl Iterator<Item = Ask> {
    feedback.deficits.iter().filter_map(move |deficit| {
        let first = expand(deficit.first, next)?;
        let range = first..first + u64::from(deficit.count);
        let fits = range.end <= next && u64::from(deficit.count) <= RANGE_MAX;
        fits.then_some(Ask { range, missing: deficit.missing.min(ANSWERS_MAX) as u16 })
    })
}

/// The source packets that are wanted and not `answered` otherwise, those near each other together.
fn wanted(feedback: &Feedback, next: u64, answered: impl Fn(u64) -> bool) -> Vec<Ask> {
    let mut asks: Vec<Ask> = Vec::new();
    for wanted in &feedback.wanted {
        let Some(first) = expand(wanted.first, next) else { continue };
        for esi in (first..next.min(first + u64::from(wanted.count))).take(RANGE_MAX as usize) {
            if answered(esi) {
                continue;
            }
            match asks.last_mut() {
                Some(ask) if esi >= ask.range.end && esi - ask.range.start < TOGETHER_MAX => {
                    ask.range.end = esi + 1;
                    ask.missing += 1;
                }
                _ => asks.push(Ask { range: esi..esi + 1, missing: 1 }),
            }
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

/// The most source packets that a range may span: more than any window or block here has.
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
            let first = *range.start();
            let mut fresh = |_| {
                self.rows += 1;
                let header = RepairHeader { first, count: 10, row: self.rows, parameter: 0 };
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
            answers.handle_feedback(&heard(&feedback, now, largest), 20, &mut code)
        };
        let whole = vec![Range { start: 0, end: 10 }];
        assert_eq!(hear(&mut answers, 0, 12), whole);
        assert_eq!(hear(&mut answers, 1, 13), whole, "it waits for the pacer");
        let sent = |answers: &mut Answers, number| {
            answers.next_due(number, Time::from_millis(2)).map(|repair| repair.header.row)
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
        let under_way = answers.handle_feedback(&heard(&feedback, 0, 700), 800, &mut code);
        assert_eq!(under_way, [10..20, 3..8, 600..601]);
        assert_eq!(answers.due.len(), 1 + 3 + 1);
    }

    #[test]
    fn a_range_that_was_not_sent_or_is_too_long_is_not_answered() {
        let (mut answers, mut code) = (Answers::default(), Rateless { rows: 0 });
        let deficit = |first, count| Deficit { first, count, missing: 1 };
        let deficits = vec![deficit(15, 6), deficit(0, 5_000), deficit(u32::MAX, 2)];
        let feedback = Feedback { deficits, ..Feedback::default() };
        assert!(answers.handle_feedback(&heard(&feedback, 0, 12), 20, &mut code).is_empty());
        assert!(!answers.is_due());
    }
}
