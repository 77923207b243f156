//! What happened at one end of a trial: noted there, told to the other end, and believed by it within limits.

use crate::drive::live::SocketReport;
use crate::drive::message::{Message, Progress};
use crate::drive::timing::Timing;
use crate::endpoint::{Class, Direction, Flow};
use crate::record::{Event, Record};
use crate::time::Time;

/// The most records of one half: some 600 MB.
pub(super) const RECORDS_MAX: usize = 1 << 23;

/// The most characters of what the other end says in its own words.
const READABLE_MAX: usize = 300;

/// What happened at one end.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) records: Vec<Record>,
    /// The last one counts, as of all that is no record.
    pub(super) clock: Option<Message>,
    pub(super) timing: Timing,
    pub(super) under_way: Vec<(Flow, Direction, Class)>,
    pub(super) report: SocketReport,
    progress: Progress,
}

/// What can have happened in a trial at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// When it ends.
    pub(super) end: Time,
    /// How many flows it has.
    pub(super) flows: usize,
}

impl Side {
    pub(super) fn note(&mut self, message: Message) {
        match message {
            // One more than there may be says that there were too many.
            Message::Record(record) if !self.is_full() => {
                self.follow(&record);
                self.records.push(record);
            }
            Message::Clock(_) => self.clock = Some(message),
            Message::Timing(timing) => self.timing = timing,
            Message::Closed { under_way } => self.under_way = under_way,
            _ => {}
        }
    }

    /// What has come to this end so far, where it is the person's.
    pub(super) const fn progress(&self) -> Progress {
        self.progress
    }

    fn follow(&mut self, record: &Record) {
        let progress = &mut self.progress;
        progress.at = record.at;
        match record.event {
            _ if record.direction == Direction::Up => {}
            Event::FrameComplete { .. } => progress.frames += 1,
            Event::FrameLost { .. } => progress.lost += 1,
            Event::SourceArrived { bytes, .. } => progress.bytes += u64::from(bytes),
            _ => {}
        }
    }

    /// Whether there were more records than are kept.
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() > RECORDS_MAX
    }
}

impl Limits {
    /// Whether what the other end tells can have happened. What is wrong within these limits shows in the
    /// ledger; what is not would take memory or time without end to measure.
    pub(super) fn allow(&self, message: &Message) -> bool {
        match message {
            Message::Record(record) => self.allow_record(record),
            Message::Closed { under_way } => {
                under_way.iter().all(|(flow, ..)| usize::from(flow.0) < self.flows)
            }
            _ => true,
        }
    }

    fn allow_record(&self, record: &Record) -> bool {
        let number = match record.event {
            Event::PacketSent(info)
            | Event::PacketDuplicated(info)
            | Event::PacketDropped(info, _)
            | Event::PacketDelivered(info, _) => info.index,
            Event::SourceSent { source, .. }
            | Event::SourceArrived { source, .. }
            | Event::SourceLost { source }
            | Event::Miscoded { source } => source,
            _ => 0,
        };
        // Each packet of the other half has a record of its own.
        let known = number <= 2 * RECORDS_MAX as u64;
        known && record.at <= self.end && usize::from(record.flow.0) < self.flows
    }
}

/// The words of the other end, fit to be printed: not too many, and without what would command a terminal.
pub(super) fn readable(words: &str) -> String {
    words.chars().take(READABLE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PacketInfo;

    const LIMITS: Limits = Limits { end: Time::from_secs(60), flows: 3 };

    fn record(at: Time, flow: u16, index: u64) -> Message {
        let event = Event::PacketSent(PacketInfo { index, class: Class::Source, size: 1228, payload: 1172 });
        Message::Record(Record { at, flow: Flow(flow), direction: Direction::Down, event })
    }

    #[test]
    fn what_cannot_have_happened_is_not_believed() {
        assert!(LIMITS.allow(&record(LIMITS.end, 2, 100_000)));
        for wrong in [
            record(Time::NEVER, 2, 0),
            record(Time::ZERO, 3, 0),
            record(Time::ZERO, 0, u64::MAX),
            Message::Closed { under_way: vec![(Flow(3), Direction::Up, Class::Source)] },
        ] {
            assert!(!LIMITS.allow(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_comes_down_is_progress() {
        let mut side = Side::default();
        let by = crate::record::Arrived::Delivered;
        let arrived = Event::SourceArrived { source: 0, bytes: 1000, by, in_time: true };
        let frame = crate::frame::FrameId(0);
        let events = [arrived, arrived, Event::FrameComplete { frame }, Event::FrameLost { frame }];
        for (at, direction) in [(1, Direction::Down), (2, Direction::Up)] {
            for event in events {
                let record = Record { at: Time::from_secs(at), flow: Flow(0), direction, event };
                side.note(Message::Record(record));
            }
        }
        assert_eq!(side.progress(), Progress { at: Time::from_secs(2), frames: 1, lost: 1, bytes: 2000 });
    }

    #[test]
    fn words_of_the_other_end_command_no_terminal() {
        assert_eq!(readable("no port\u{1b}[2J\r\nfree"), "no port [2J  free");
        assert_eq!(readable(&"ü".repeat(1 << 20)).chars().count(), READABLE_MAX);
    }
}
