//! Fresh repair packets for a receiver that asked for them (hybrid ARQ, type II), and when to make more.
//!
//! The receiver repeats in every feedback how many repair packets it misses of a block or window. What
//! is under way already must not be made again: a range is answered anew only once the fate of the last
//! answer is known, or after a probe timeout, as a retransmission is.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use crate::fec::{Encoder, Repair};
use crate::time::Time;

use super::resend::Heard;
use super::window::expand;

/// The sender's book of answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Those that wait for the pacer, with the first source packet of their range.
    due: VecDeque<(u64, Repair<Bytes>)>,
    /// The ranges that were answered, by their first source packet.
    ranges: BTreeMap<u64, Answered>,
}

/// The last answer to a range.
#[derive(Clone, Copy, Debug)]
enum Answered {
    /// Some of it waits for the pacer.
    Due,
    /// Its last packet was sent.
    Sent { number: u64, at: Time },
}

impl Answers {
    /// Takes the receiver's deficits; source packets below `next` have been sent. The ranges for which
    /// fresh repair packets are under way, or soon will be.
    pub(super) fn handle_feedback(
        &mut self,
        heard: &Heard,
        next: u64,
        encoder: &mut dyn Encoder<Bytes>,
    ) -> Vec<Range<u64>> {
        if let Some(floor) = expand(heard.feedback.floor, next).filter(|floor| *floor <= next) {
            self.ranges
                .retain(|first, answered| matches!(answered, Answered::Due) || *first + RANGE_MAX > floor);
        }
        let mut answered = Vec::new();
        for deficit in &heard.feedback.deficits {
            let Some(first) = expand(deficit.first, next) else { continue };
            let range = first..first + u64::from(deficit.count);
            if range.end > next || u64::from(deficit.count) > RANGE_MAX {
                continue;
            }
            if self.is_settled(first, heard) {
                let last = deficit.first.wrapping_add(deficit.count - 1);
                let missing = deficit.missing.min(ANSWERS_MAX) as u16;
                let fresh = encoder.request_repair(heard.now, deficit.first..=last, missing);
                if fresh.is_empty() {
                    continue;
                }
                self.due.extend(fresh.into_iter().map(|repair| (first, repair)));
                self.ranges.insert(first, Answered::Due);
            }
            answered.push(range);
        }
        answered
    }

    /// The next fresh repair packet, which leaves at `now` as the packet `number`.
    pub(super) fn next_due(&mut self, number: u64, now: Time) -> Option<Repair<Bytes>> {
        let (first, repair) = self.due.pop_front()?;
        if self.due.iter().all(|(other, _)| *other != first) {
            self.ranges.insert(first, Answered::Sent { number, at: now });
        }
        Some(repair)
    }

    /// Whether something waits for the pacer.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether nothing that was sent for the range at `first` can still arrive.
    fn is_settled(&self, first: u64, heard: &Heard) -> bool {
        match self.ranges.get(&first) {
            None => true,
            Some(Answered::Due) => false,
            Some(Answered::Sent { number, at }) => {
                heard.overtaken(*number).is_some() || heard.now >= *at + heard.timeout
            }
        }
    }
}

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
    use crate::transport::feedback::{Deficit, Feedback};

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
        let range = 0..10;
        assert_eq!(hear(&mut answers, 0, 12), [range.clone()]);
        assert_eq!(hear(&mut answers, 1, 13), [range.clone()], "it waits for the pacer");
        let sent = |answers: &mut Answers, number| {
            answers.next_due(number, Time::from_millis(2)).map(|repair| repair.header.row)
        };
        assert_eq!([20, 21, 22].map(|number| sent(&mut answers, number)), [Some(1), Some(2), None]);
        assert_eq!(hear(&mut answers, 50, 23), [range.clone()], "the last one may still come");
        assert!(!answers.is_due());
        assert_eq!(hear(&mut answers, 51, 24), [range.clone()]);
        assert_eq!([25, 26, 27].map(|number| sent(&mut answers, number)), [Some(3), Some(4), None]);
        assert_eq!(hear(&mut answers, 203, 24), [range], "or a probe timeout is over");
        assert!(answers.is_due());
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
