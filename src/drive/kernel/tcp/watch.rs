//! What the segments of a connection are for, seen from outside as they enter the link.
//!
//! The model's sender knows what it sends; the kernel's does not tell. From the sequence numbers alone
//! each segment gets its class, and the stream of each direction is divided into source packets: the
//! first-time bytes of one segment each. A source packet arrives when the application at the other end
//! has read all of it, as in the [model](crate::tcp).
//!
//! | a segment | class | source packet |
//! | --- | --- | --- |
//! | SYN, SYN-ACK, the bare acknowledgment that answers it | handshake | |
//! | only new bytes, next in the stream | source | all of it |
//! | only bytes seen before | retransmission | |
//! | bytes seen before, and new ones behind them | retransmission | the new ones |
//! | new bytes, but some before them were never seen (lost between the socket and here) | source | all of it; those before belong to none, and are retransmissions when they come |
//! | further ahead than any window, or before a SYN | retransmission | none: it is no part of the stream |
//! | no bytes: acknowledgments, keep-alives, probes of a closed window, FIN, RST | feedback | |

use std::collections::VecDeque;

use etherparse::{Ipv4Slice, TcpSlice, ip_number};

use super::book::Book;
use crate::endpoint::{Class, Direction, Flow};
use crate::record::{Arrived, Event, Record, Sink};
use crate::time::Time;

/// Watches both directions of one connection.
#[derive(Debug)]
pub struct TcpWatch {
    flow: Flow,
    streams: [Stream; 2],
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is for.
    pub class: Class,
    /// The application's bytes in it.
    pub payload: u32,
}

/// The TCP segment in an IPv4 packet; none where it is something else, or a fragment, or broken.
pub fn parse(packet: &[u8]) -> Option<TcpSlice<'_>> {
    let packet = Ipv4Slice::from_slice(packet).ok()?;
    let payload = packet.payload();
    if payload.fragmented || payload.ip_number != ip_number::TCP {
        return None;
    }
    TcpSlice::from_slice(payload.payload).ok()
}

impl TcpWatch {
    /// A watch over the connection of session `flow`. `books` have the deadlines of what the server
    /// writes, and the client.
    pub fn new(flow: Flow, books: [Book; 2]) -> Self {
        Self { flow, streams: books.map(Stream::new) }
    }

    /// A segment that travels in `direction` enters the link.
    pub fn handle_segment(
        &mut self,
        now: Time,
        direction: Direction,
        segment: &TcpSlice<'_>,
        sink: &mut dyn Sink,
    ) -> Seen {
        let payload = segment.payload().len() as u32;
        let class = if segment.syn() {
            self.handle_syn(direction, segment);
            Class::Handshake
        } else if payload > 0 {
            let stream = &mut self.streams[direction as usize];
            let (class, source) = stream.handle_data(segment.sequence_number(), payload);
            if let Some((source, bytes)) = source {
                let event = Event::SourceSent { source, bytes };
                sink.record(&Record { at: now, flow: self.flow, direction, event });
            }
            class
        } else if segment.ack() && !segment.rst() && !segment.fin() && self.answers(direction, segment) {
            Class::Handshake
        } else {
            Class::Feedback
        };
        Seen { class, payload }
    }

    /// The application has read the stream that travels in `direction` up to the byte `position`.
    pub fn handle_read(&mut self, now: Time, direction: Direction, position: u64, sink: &mut dyn Sink) {
        let stream = &mut self.streams[direction as usize];
        while let Some(source) = stream.pop_read(position) {
            // As the model says it: a source packet is as late as the frame of its first byte.
            let deadline = stream.book.deadline(source.start);
            let event = Event::SourceArrived {
                source: source.number,
                bytes: source.bytes,
                by: Arrived::Delivered,
                in_time: deadline.is_none_or(|deadline| now <= deadline),
            };
            sink.record(&Record { at: now, flow: self.flow, direction, event });
        }
    }

    /// Both ends say where their streams begin.
    fn handle_syn(&mut self, direction: Direction, segment: &TcpSlice<'_>) {
        let stream = &mut self.streams[direction as usize];
        // A SYN that is sent again says the same; another one is of another connection.
        stream.origin.get_or_insert(segment.sequence_number().wrapping_add(1));
        stream.unanswered |= segment.ack();
    }

    /// Whether a bare acknowledgment that travels in `direction` is the answer to a SYN-ACK: the first
    /// one that acknowledges nothing else.
    fn answers(&mut self, direction: Direction, segment: &TcpSlice<'_>) -> bool {
        let other = &mut self.streams[direction.reverse() as usize];
        other.origin == Some(segment.acknowledgment_number()) && std::mem::take(&mut other.unanswered)
    }
}

/// The stream of one direction.
#[derive(Debug)]
struct Stream {
    /// The sequence number of its first byte, once a SYN told.
    origin: Option<u32>,
    /// A SYN-ACK went this way and has not been answered.
    unanswered: bool,
    /// Every byte from here on is new.
    next: u64,
    /// Source packets so far.
    sources: u64,
    /// Those that have not been read, in order.
    unread: VecDeque<Source>,
    book: Book,
}

/// A source packet.
#[derive(Clone, Copy, Debug)]
struct Source {
    number: u64,
    /// Its first byte's place in the stream.
    start: u64,
    bytes: u32,
}

impl Stream {
    /// Unread source packets that are remembered: more than the largest window has full segments. A
    /// segment beyond that is no source packet.
    const UNREAD_MAX: usize = 1 << 20;
    /// The largest window that TCP can have (RFC 7323), in bytes.
    const WINDOW_MAX: u64 = 1 << 30;

    const fn new(book: Book) -> Self {
        Self { origin: None, unanswered: false, next: 0, sources: 0, unread: VecDeque::new(), book }
    }

    /// A segment with `length` bytes from this sequence number on: its class, and the number and the
    /// bytes of the source packet that it begins, if any.
    fn handle_data(&mut self, sequence: u32, length: u32) -> (Class, Option<(u64, u32)>) {
        let Some(start) = self.place(sequence) else { return (Class::Retransmission, None) };
        let (end, next) = (start + u64::from(length), self.next);
        if end <= next || start > next + Self::WINDOW_MAX {
            return (Class::Retransmission, None);
        }
        self.next = end;
        let class = if start < next { Class::Retransmission } else { Class::Source };
        let first = start.max(next);
        (class, self.push_source(first, (end - first) as u32))
    }

    fn push_source(&mut self, start: u64, bytes: u32) -> Option<(u64, u32)> {
        if self.unread.len() == Self::UNREAD_MAX {
            return None;
        }
        let number = self.sources;
        self.sources += 1;
        self.unread.push_back(Source { number, start, bytes });
        Some((number, bytes))
    }

    /// The next source packet, if all of it is before the byte `position`.
    fn pop_read(&mut self, position: u64) -> Option<Source> {
        let source = self.unread.front()?;
        if source.start + u64::from(source.bytes) > position {
            return None;
        }
        self.unread.pop_front()
    }

    /// The place of a sequence number in the stream: of all that wrap to it the nearest to the next
    /// byte. None before the stream has begun.
    fn place(&self, sequence: u32) -> Option<u64> {
        let next = self.origin?.wrapping_add(self.next as u32);
        let distance = sequence.wrapping_sub(next).cast_signed();
        self.next.checked_add_signed(i64::from(distance))
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Ledger;

    /// A segment as an IPv4 packet; `flags` are letters.
    fn packet(sequence: u32, acknowledgment: u32, flags: &str, payload: &[u8]) -> Vec<u8> {
        let mut builder =
            PacketBuilder::ipv4([198, 18, 0, 1], [198, 18, 0, 2], 64).tcp(3224, 40_000, sequence, 65_535);
        for flag in flags.chars() {
            builder = match flag {
                'S' => builder.syn(),
                'A' => builder.ack(acknowledgment),
                'F' => builder.fin(),
                'R' => builder.rst(),
                _ => panic!("no such flag"),
            };
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).unwrap();
        bytes
    }

    /// A connection whose streams begin at these sequence numbers, seen from the handshake on.
    struct Watched {
        watch: TcpWatch,
        books: [Book; 2],
        ledger: Ledger,
        records: Vec<Record>,
        now: Time,
    }

    impl Watched {
        const SERVER: u32 = u32::MAX - 5000;
        const CLIENT: u32 = 77;

        fn new() -> Self {
            let books = [Book::default(), Book::default()];
            let watch = TcpWatch::new(Flow(3), books.clone());
            let (ledger, records) = (Ledger::default(), Vec::new());
            Self { watch, books, ledger, records, now: Time::ZERO }
        }

        fn established() -> Self {
            let mut watched = Self::new();
            assert_eq!(watched.see(Direction::Up, Self::CLIENT, 0, "S", &[]), (Class::Handshake, 0));
            let (server, client) = (Self::SERVER, Self::CLIENT + 1);
            assert_eq!(watched.see(Direction::Down, server, client, "SA", &[]), (Class::Handshake, 0));
            assert_eq!(watched.see(Direction::Up, client, server + 1, "A", &[]), (Class::Handshake, 0));
            watched
        }

        fn see(
            &mut self,
            direction: Direction,
            sequence: u32,
            acknowledgment: u32,
            flags: &str,
            payload: &[u8],
        ) -> (Class, u32) {
            let bytes = packet(sequence, acknowledgment, flags, payload);
            let segment = parse(&bytes).unwrap();
            let sink = &mut (&mut self.ledger, &mut self.records);
            let seen = self.watch.handle_segment(self.now, direction, &segment, sink);
            (seen.class, seen.payload)
        }

        /// The server sends the bytes from `start` to `end` of its stream.
        fn data(&mut self, start: u64, end: u64) -> Class {
            let sequence = (Self::SERVER + 1).wrapping_add(start as u32);
            let payload = vec![1; (end - start) as usize];
            self.see(Direction::Down, sequence, Self::CLIENT + 1, "A", &payload).0
        }

        fn read(&mut self, position: u64) {
            let sink = &mut (&mut self.ledger, &mut self.records);
            self.watch.handle_read(self.now, Direction::Down, position, sink);
        }

        fn arrived(&self) -> Vec<(u64, u32, bool)> {
            let arrival = |record: &Record| match record.event {
                Event::SourceArrived { source, bytes, in_time, .. } => Some((source, bytes, in_time)),
                _ => None,
            };
            self.records.iter().filter_map(arrival).collect()
        }
    }

    #[test]
    fn only_the_first_answer_to_a_syn_ack_belongs_to_the_handshake() {
        let mut watched = Watched::established();
        let (client, server) = (Watched::CLIENT + 1, Watched::SERVER + 1);
        let mut bare = |acknowledgment| watched.see(Direction::Up, client, acknowledgment, "A", &[]).0;
        // The first is what a receiver says that misses the first segment.
        assert_eq!([bare(server), bare(server + 100)], [Class::Feedback; 2]);
        let again = watched.see(Direction::Down, Watched::SERVER, client, "SA", &[]).0;
        let answer = watched.see(Direction::Up, client, server, "A", &[]).0;
        assert_eq!([again, answer], [Class::Handshake; 2]);
    }

    #[test]
    fn new_bytes_are_source_and_old_ones_retransmission() {
        let mut watched = Watched::established();
        let classes = [(0, 1000), (1000, 2448), (1000, 2448), (0, 1000), (500, 1500)]
            .map(|(start, end)| watched.data(start, end));
        use Class::{Retransmission, Source};
        assert_eq!(classes, [Source, Source, Retransmission, Retransmission, Retransmission]);
        watched.read(999);
        assert_eq!(watched.arrived(), []);
        watched.read(2448);
        assert_eq!(watched.arrived(), [(0, 1000, true), (1, 1448, true)]);
    }

    #[test]
    fn new_bytes_behind_old_ones_are_a_source_packet_of_their_own() {
        let mut watched = Watched::established();
        watched.data(0, 1000);
        assert_eq!(watched.data(500, 1500), Class::Retransmission);
        watched.read(1500);
        assert_eq!(watched.arrived(), [(0, 1000, true), (1, 500, true)]);
    }

    #[test]
    fn bytes_that_were_lost_before_the_link_belong_to_no_source_packet() {
        let mut watched = Watched::established();
        assert_eq!([watched.data(1000, 2000), watched.data(0, 1000)], [Class::Source, Class::Retransmission]);
        watched.read(2000);
        assert_eq!(watched.arrived(), [(0, 1000, true)]);
    }

    #[test]
    fn segments_without_bytes_of_the_stream_are_feedback_or_no_source() {
        let mut watched = Watched::established();
        watched.data(0, 1000);
        let (server, client) = (Watched::SERVER + 1, Watched::CLIENT + 1);
        // A keep-alive without and with its byte, a reset, an end, and something beyond every window.
        let mut see = |place: i32, flags, payload: &[u8]| {
            let sequence = server.wrapping_add_signed(place);
            watched.see(Direction::Down, sequence, client, flags, payload).0
        };
        use Class::{Feedback, Retransmission};
        assert_eq!(see(999, "A", &[]), Feedback);
        assert_eq!(see(999, "A", &[0]), Retransmission);
        assert_eq!(see(1000, "R", &[]), Feedback);
        assert_eq!(see(1000, "FA", &[]), Feedback);
        assert_eq!(see(1000 + (1 << 30) + 1, "A", &[0]), Retransmission);
        assert_eq!(see(-1_000_000, "A", &[0]), Retransmission);
        watched.read(u64::MAX);
        assert_eq!(watched.arrived().len(), 1);
    }

    #[test]
    fn what_comes_before_the_handshake_is_no_part_of_the_stream() {
        let mut watched = Watched::new();
        assert_eq!(watched.data(0, 1000), Class::Retransmission);
        assert_eq!(watched.see(Direction::Up, 5, 5, "A", &[]), (Class::Feedback, 0));
        assert!(watched.records.is_empty());
    }

    #[test]
    fn a_source_packet_is_as_late_as_the_frame_of_its_first_byte() {
        let mut watched = Watched::established();
        watched.books[0].enter(1500, Some(Time::from_millis(100)));
        watched.books[0].enter(3000, Some(Time::from_millis(300)));
        for start in [0, 1000, 2000] {
            watched.data(start, start + 1000);
        }
        watched.now = Time::from_millis(101);
        watched.read(3000);
        assert_eq!(watched.arrived(), [(0, 1000, false), (1, 1000, false), (2, 1000, true)]);
    }

    #[test]
    fn what_is_no_segment_of_ours_is_told_apart() {
        let good = packet(1, 2, "A", b"data");
        assert_eq!(parse(&good).unwrap().payload(), b"data");
        for end in 0..40 {
            assert!(parse(&good[..end]).is_none(), "cut at {end}");
        }
        let mut udp = Vec::new();
        PacketBuilder::ipv4([198, 18, 0, 1], [198, 18, 0, 2], 64).udp(1, 2).write(&mut udp, b"x").unwrap();
        assert!(parse(&udp).is_none());
    }

    proptest! {
        #[test]
        fn every_source_packet_is_settled_once_however_segments_are_cut_and_sent_again(
            steps in prop::collection::vec((1_u64..3000, prop::option::of((0_u64..5000, 1_u64..5000))), 1..80),
        ) {
            let mut watched = Watched::established();
            let (mut sent, mut read) = (0, 0);
            for (length, again) in steps {
                watched.data(sent, sent + length);
                sent += length;
                if let Some((back, length)) = again {
                    // Sent again from somewhere before, perhaps with new bytes behind it.
                    let start = sent.saturating_sub(back);
                    watched.data(start, start + length);
                    sent = sent.max(start + length);
                    read = start.max(read);
                    watched.read(read);
                }
            }
            watched.read(sent);
            let arrived = watched.arrived();
            prop_assert!(arrived.iter().map(|a| a.0).eq(0..arrived.len() as u64));
            prop_assert_eq!(arrived.iter().map(|a| u64::from(a.1)).sum::<u64>(), sent);
            let account = watched.ledger.sources(Flow(3), Direction::Down);
            prop_assert_eq!((account.sent, account.open()), (arrived.len() as u64, 0));
            prop_assert_eq!(watched.ledger.close([]), Ok(()));
        }
    }
}
