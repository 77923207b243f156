//! What is told of stream bytes in records: the simulator's bookkeeping, of which nothing is on the wire.
//!
//! A source packet is what one packet carries of one stream for the first time. quinn-proto may cut the
//! same bytes otherwise when it sends them again, so both ends of a connection share a book of who has
//! sent what, as those of the TCP model do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::record::{Arrived, Event};
use crate::time::Time;
use crate::transport::trace::Trace;

/// The book of one direction, which both ends have.
pub(super) type SharedBook = Rc<RefCell<Book>>;

/// The source packets of one direction that have no fate yet, by stream.
#[derive(Debug, Default)]
pub(super) struct Book {
    streams: BTreeMap<u64, Entry>,
    next: u64,
}

/// A stream with a frame in it.
#[derive(Debug)]
struct Entry {
    deadline: Time,
    /// In the order of the stream, without gaps.
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    number: u64,
    /// Where in the stream it ends; it begins where the one before it ends.
    end: u64,
    bytes: u32,
    /// How many of them have not arrived.
    missing: u32,
}

impl Book {
    /// The next `bytes` of a stream are sent for the first time, of a frame with this deadline.
    pub(super) fn send(&mut self, trace: &mut Trace, stream: u64, deadline: Time, bytes: u32) {
        let entry = self.streams.entry(stream).or_insert_with(|| Entry { deadline, sources: Vec::new() });
        let start = entry.sources.last().map_or(0, |last| last.end);
        let number = self.next;
        self.next += 1;
        entry.sources.push(Source { number, end: start + u64::from(bytes), bytes, missing: bytes });
        trace.tell(Event::SourceSent { source: number, bytes });
    }

    /// So many bytes of a stream from `offset` on arrived; no byte comes twice.
    pub(super) fn arrive(&mut self, trace: &mut Trace, stream: u64, offset: u64, length: u64) {
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        let in_time = trace.now <= entry.deadline;
        let (mut from, end) = (offset, offset + length);
        let first = entry.sources.partition_point(|source| source.end <= from);
        for source in &mut entry.sources[first..] {
            if from == end {
                break;
            }
            let until = source.end.min(end);
            source.missing -= (until - from) as u32;
            from = until;
            if source.missing == 0 {
                let Source { number, bytes, .. } = *source;
                let by = Arrived::Delivered;
                trace.tell(Event::SourceArrived { source: number, bytes, by, in_time });
            }
        }
    }

    /// Nothing more of a stream arrives: what is missing of it is lost.
    pub(super) fn close(&mut self, trace: &mut Trace, stream: u64) {
        let sources = self.streams.remove(&stream).map(|entry| entry.sources).unwrap_or_default();
        for source in sources.iter().filter(|source| source.missing > 0) {
            trace.tell(Event::SourceLost { source: source.number });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Direction, Flow};
    use crate::record::Record;

    #[test]
    fn a_source_arrives_when_all_of_its_bytes_have_in_whatever_pieces() {
        let (mut book, mut records) = (Book::default(), Vec::<Record>::new());
        let now = Time::from_millis(5);
        let mut trace = Trace { now, flow: Flow(0), direction: Direction::Down, sink: &mut records };
        let deadline = Time::from_millis(4);
        book.send(&mut trace, 2, Time::NEVER, 100);
        book.send(&mut trace, 6, deadline, 50);
        book.send(&mut trace, 2, Time::NEVER, 100);
        book.send(&mut trace, 2, Time::NEVER, 100);
        book.arrive(&mut trace, 2, 150, 120);
        book.arrive(&mut trace, 2, 0, 150);
        book.arrive(&mut trace, 6, 0, 50);
        book.close(&mut trace, 2);
        book.close(&mut trace, 6);
        assert!(book.streams.is_empty());
        let fates: Vec<_> = records
            .iter()
            .filter_map(|record| match record.event {
                Event::SourceArrived { source, in_time, .. } => Some((source, Some(in_time))),
                Event::SourceLost { source } => Some((source, None)),
                _ => None,
            })
            .collect();
        assert_eq!(fates, [(0, Some(true)), (2, Some(true)), (1, Some(false)), (3, None)]);
    }
}
