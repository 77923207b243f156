//! The records of both halves of a trial become one sequence.

use std::iter::Peekable;

use crate::record::{Event, Record};
use crate::time::Time;

/// The records of both halves, each in the order in which they happened, in one order of time.
///
/// The clocks of two machines agree only so well, so something may seem to arrive before it was sent. What
/// a record is about comes before it all the same; it then happened at the time of that, and not earlier.
pub(super) fn merge(one: Vec<Record>, other: Vec<Record>) -> impl Iterator<Item = Record> {
    Merge {
        halves: [one.into_iter().peekable(), other.into_iter().peekable()],
        begun: Vec::new(),
        last: Time::ZERO,
    }
}

struct Merge<I: Iterator<Item = Record>> {
    halves: [Peekable<I>; 2],
    /// What has been sent in each flow and direction.
    begun: Vec<[Begun; 2]>,
    last: Time,
}

/// The numbers below which everything has been told of.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    sources: u64,
    frames: u64,
}

/// What a record is about, by its number.
enum About {
    Source(u64),
    Frame(u64),
}

impl<I: Iterator<Item = Record>> Iterator for Merge<I> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let [one, other] = self.halves.each_mut().map(|half| half.peek().copied());
        let first = usize::from(match (one, other) {
            (Some(one), Some(other)) => other.at < one.at,
            (one, _) => one.is_none(),
        });
        // Where each waits for the other, nothing is right, and the ledger says so.
        let waits = [one, other].map(|record| record.is_none_or(|record| !self.may_follow(&record)));
        let half = if waits[first] && !waits[1 - first] { 1 - first } else { first };
        let mut record = self.halves[half].next()?;
        record.at = record.at.max(self.last);
        self.last = record.at;
        self.note(&record);
        Some(record)
    }
}

impl<I: Iterator<Item = Record>> Merge<I> {
    /// Whether what the record is about has been told of.
    fn may_follow(&self, record: &Record) -> bool {
        let begun = self.begun.get(usize::from(record.flow.0));
        let begun = begun.map(|both| both[record.direction as usize]).unwrap_or_default();
        match ended(&record.event) {
            Some(About::Source(source)) => source < begun.sources,
            Some(About::Frame(frame)) => frame < begun.frames,
            None => true,
        }
    }

    fn note(&mut self, record: &Record) {
        let flow = usize::from(record.flow.0);
        if self.begun.len() <= flow {
            self.begun.resize_with(flow + 1, Default::default);
        }
        let begun = &mut self.begun[flow][record.direction as usize];
        match record.event {
            Event::SourceSent { source, .. } => begun.sources = begun.sources.max(source.saturating_add(1)),
            Event::FrameCaptured { frame, .. } => begun.frames = begun.frames.max(u64::from(frame.0) + 1),
            _ => {}
        }
    }
}

/// What has come to the other end, or is given up there.
fn ended(event: &Event) -> Option<About> {
    match *event {
        Event::SourceArrived { source, .. } | Event::SourceLost { source } => Some(About::Source(source)),
        Event::FrameComplete { frame }
        | Event::FrameDecoded { frame }
        | Event::FrameUndecodable { frame }
        | Event::FrameLost { frame } => Some(About::Frame(u64::from(frame.0))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{Direction, Flow};
    use crate::record::Arrived;

    fn record(at: u64, event: Event) -> Record {
        Record { at: Time::from_micros(at), flow: Flow(2), direction: Direction::Down, event }
    }

    fn sent(at: u64, source: u64) -> Record {
        record(at, Event::SourceSent { source, bytes: 100 })
    }

    fn arrived(at: u64, source: u64) -> Record {
        record(at, Event::SourceArrived { source, bytes: 100, by: Arrived::Delivered, in_time: true })
    }

    #[test]
    fn what_arrived_by_a_clock_that_is_behind_follows_what_was_sent() {
        let merged: Vec<_> =
            merge(vec![sent(10, 0), sent(20, 1)], vec![arrived(8, 0), arrived(19, 1)]).collect();
        assert_eq!(merged, [sent(10, 0), arrived(10, 0), sent(20, 1), arrived(20, 1)]);
    }

    #[test]
    fn what_was_never_sent_holds_nothing_up() {
        let merged: Vec<_> = merge(vec![arrived(1, 5), sent(2, 0)], vec![arrived(1, 9)]).collect();
        assert_eq!(merged.len(), 3);
    }

    proptest! {
        #[test]
        fn every_record_comes_once_in_an_order_in_which_it_can_have_happened(
            steps in prop::collection::vec((0_u64..100, 0_u64..100), 0..50),
            offset in 0_u64..500,
        ) {
            let mut now = 1000;
            let (mut one, mut other, mut latest) = (Vec::new(), Vec::new(), 0);
            for (source, (gap, way)) in (0..).zip(&steps) {
                now += gap;
                one.push(sent(now, source));
                latest = latest.max(now + way);
                // The other clock is behind.
                other.push(arrived(latest - offset, source));
            }
            let merged: Vec<_> = merge(one, other).collect();
            prop_assert_eq!(merged.len(), 2 * steps.len());
            prop_assert!(merged.is_sorted_by_key(|record| record.at));
            let mut open = 0;
            for record in merged {
                match record.event {
                    Event::SourceSent { source, .. } => open = source + 1,
                    Event::SourceArrived { source, .. } => prop_assert!(source < open),
                    _ => prop_assert!(false),
                }
            }
        }
    }
}
