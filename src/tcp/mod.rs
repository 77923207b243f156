//! A TCP connection that carries frames, as fair to today's Linux as a model can be.
//!
//! Two ends of one connection, sans-IO, with what decides goodput and delay under loss in Linux 6.18:
//! a SACK scoreboard, RACK, tail loss probes, proportional rate reduction, Linux's timeout, CUBIC with
//! its Reno-friendly region, HyStart, BBR, acknowledgments driven by the reader, window validation.
//! `tests/kernel.rs` holds it to measurements of that kernel. In reading order:
//! [`Segment`] · stream (frames in bytes) · receiver · sender (scoreboard, round trip, RACK,
//! reduction) · [`Congestion`].
//!
//! | | Linux | here |
//! | --- | --- | --- |
//! | segmentation offload | sends bursts of several segments | single segments |
//! | timers | ticks of 4 ms | exact |
//! | buffers | grow by autotuning | fixed, and large enough for the path |
//! | interactive mode | delays acknowledgments of a two-way exchange | none |
//! | F-RTO | finds needless timeouts without timestamps too | by timestamps only (Eifel) |
//! | closing, urgent data, PAWS, Fast Open | yes | no: a connection lasts as long as its session |

mod congestion;
mod ecn;
pub(crate) mod queue;
mod rack;
mod receiver;
mod reduction;
mod round_trip;
mod scoreboard;
mod segment;
mod sender;
mod stream;

use std::collections::VecDeque;

pub(crate) use self::congestion::BbrModel;
pub use self::congestion::Congestion;
pub use self::ecn::Flags;
use self::ecn::Notification;
use self::receiver::Receiver;
pub use self::segment::{Handshake, SackBlocks, Segment};
use self::sender::{Outgoing, Sender};
use self::stream::{Book, Reader, Writer};
use crate::endpoint::{
    Arrival, Class, Direction, Ecn, Endpoint, Flow, FrameEvent, FrameTransport, Stale, Transmit,
};
use crate::frame::{Frame, FrameId};
use crate::record::{Arrived, Event, Record, Sink};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// How a connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What decides how much may be in the network.
    pub congestion: Congestion,
    /// The largest IP packet in bytes; 53 at least, so that a segment carries a byte.
    pub mtu: u16,
    /// What happens to frames that would come too late.
    pub stale: Stale,
    /// Unsent bytes in the socket below which the application writes the next frame
    /// (`TCP_NOTSENT_LOWAT`), so that what waits can still be dropped.
    pub not_sent_low: ByteSize,
    /// Segments that may leave before the first acknowledgment (RFC 6928: 10).
    pub initial_window: u32,
    /// Bytes that the receiver holds beyond a hole.
    pub receive_buffer: ByteSize,
    /// Whether both ends take part in explicit congestion notification (RFC 3168). Off by default, as in
    /// Linux for connections that it opens.
    pub ecn: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            mtu: 1500,
            stale: Stale::Keep,
            not_sent_low: ByteSize::new(16_384),
            initial_window: 10,
            // Half of Linux's default limit, tcp_rmem[2] = 32 MB: the other half is overhead.
            receive_buffer: ByteSize::new(16 << 20),
            ecn: false,
        }
    }
}

/// The two ends of a connection of session `flow`: the server's, which sends down, and the client's,
/// which opens it.
pub fn connection(config: &Config, flow: Flow, seed: Seed) -> [End; 2] {
    let [down, up] = [Book::default(), Book::default()];
    let end = |direction, writes: &Book, reads: &Book| {
        End::new(
            config,
            flow,
            direction,
            seed,
            Writer::new(config.stale, config.not_sent_low.get(), writes.clone()),
            Reader::new(reads.clone()),
        )
    };
    [end(Direction::Down, &down, &up), end(Direction::Up, &up, &down)]
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server waits for a client.
    Listen,
    /// A segment of the handshake is out, or about to leave where `sent_at` is none.
    Opening { sent_at: Option<Time>, tries: u32 },
    /// Data flows.
    Established,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    flow: Flow,
    /// The direction in which this end sends.
    direction: Direction,
    phase: Phase,
    /// The client's answer to the server's agreement has to leave.
    confirm: bool,
    ecn: Notification,
    sender: Sender,
    receiver: Receiver,
    writer: Writer,
    reader: Reader,
    events: VecDeque<FrameEvent>,
}

impl End {
    /// The wait for the other end's part of the handshake (RFC 6298), doubled with every try.
    const OPENING_TIMEOUT: Duration = Duration::from_secs(1);

    fn new(
        config: &Config,
        flow: Flow,
        direction: Direction,
        seed: Seed,
        writer: Writer,
        reader: Reader,
    ) -> Self {
        let segment_bytes = u32::from(config.mtu) - segment::HEADERS;
        let stream = seed.stream("tcp/bbr").part(u64::from(flow.0) << 1 | direction as u64);
        let controller = config.congestion.controller(segment_bytes, stream);
        let phase = match direction {
            Direction::Down => Phase::Listen,
            Direction::Up => Phase::Opening { sent_at: None, tries: 0 },
        };
        Self {
            flow,
            direction,
            phase,
            confirm: false,
            ecn: Notification::new(config.ecn),
            sender: Sender::new(segment_bytes, config.initial_window, controller),
            receiver: Receiver::new(segment_bytes, config.receive_buffer.get() as u32),
            writer,
            reader,
            events: VecDeque::new(),
        }
    }

    fn record(&self, at: Time, direction: Direction, event: Event, sink: &mut dyn Sink) {
        sink.record(&Record { at, flow: self.flow, direction, event });
    }

    fn handle_handshake(&mut self, now: Time, segment: &Segment) {
        self.ecn.negotiate(segment);
        match (segment.handshake, self.phase) {
            (Handshake::Syn, Phase::Listen | Phase::Opening { .. }) => {
                self.phase = Phase::Opening { sent_at: None, tries: 0 };
            }
            (Handshake::SynAck, Phase::Opening { .. }) => {
                self.establish(now, segment);
                self.confirm = true;
            }
            // The server did not get our answer.
            (Handshake::SynAck, _) => self.confirm = true,
            // Whatever the client sends next says that it is there.
            (Handshake::Done, Phase::Opening { .. }) => self.establish(now, segment),
            _ => {}
        }
    }

    fn establish(&mut self, now: Time, segment: &Segment) {
        self.phase = Phase::Established;
        self.sender.handshake_done(now, now.since(segment.echo), segment.window);
    }

    fn receive(&mut self, now: Time, segment: &Segment, sink: &mut dyn Sink) {
        let (timeout, smoothed) = (self.sender.retransmission_timeout(), self.sender.smoothed_round_trip());
        self.receiver.arrive(now, segment, timeout, smoothed);
        let direction = self.direction.reverse();
        while let Some(read) = self.receiver.read() {
            let in_time = self.reader.deadline().is_none_or(|deadline| now <= deadline);
            let event = Event::SourceArrived {
                source: read.number,
                bytes: read.length,
                by: Arrived::Delivered,
                in_time,
            };
            self.record(now, direction, event, sink);
            while let Some(event) = self.reader.poll(self.receiver.next()) {
                if let FrameEvent::Delivered(delivered) = &event {
                    self.record(now, direction, Event::FrameComplete { frame: delivered.id }, sink);
                }
                self.events.push_back(event);
            }
        }
    }

    /// Moves frames into the socket as far as its low-water mark allows.
    fn write(&mut self, now: Time, sink: &mut dyn Sink) {
        let least = self.sender.least_round_trip();
        let arrival = Stale::arrival(now, least, self.sender.has_outstanding() || self.unsent() > 0);
        let (flow, direction, events) = (self.flow, self.direction, &mut self.events);
        self.writer.write(arrival, self.sender.next(), |frame| {
            let event = Event::FrameDropped { frame, begun: false };
            sink.record(&Record { at: now, flow, direction, event });
            events.push_back(FrameEvent::Dropped(frame));
        });
    }

    fn unsent(&self) -> u64 {
        self.writer.written() - self.sender.next()
    }

    fn open(&mut self, now: Time) -> Option<Transmit<Segment>> {
        let Phase::Opening { sent_at: None, tries } = self.phase else { return None };
        self.phase = Phase::Opening { sent_at: Some(now), tries: tries + 1 };
        let handshake = match self.direction {
            Direction::Up => Handshake::Syn,
            Direction::Down => Handshake::SynAck,
        };
        Some(self.segment(now, Class::Handshake, handshake, None))
    }

    fn opening_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Opening { sent_at: None, .. } => Some(Time::ZERO),
            Phase::Opening { sent_at: Some(at), tries } => {
                Some(at + Self::OPENING_TIMEOUT * (1 << (tries - 1).min(6)))
            }
            Phase::Listen | Phase::Established => None,
        }
    }

    fn segment(
        &mut self,
        now: Time,
        class: Class,
        handshake: Handshake,
        data: Option<Outgoing>,
    ) -> Transmit<Segment> {
        let acknowledgment = self.receiver.acknowledge();
        let (number, sequence, length) =
            data.map_or((0, self.sender.next(), 0), |data| (data.number, data.sequence, data.length));
        let packet = Segment {
            class,
            sequence,
            length,
            number,
            acknowledgment: acknowledgment.acknowledgment,
            sack: acknowledgment.sack,
            duplicate: acknowledgment.duplicate,
            window: acknowledgment.window,
            sent_at: now,
            echo: acknowledgment.echo,
            handshake,
            ecn: self.ecn.flags(handshake),
        };
        Transmit { packet, ecn: Ecn::NotEct }
    }

    fn data(&mut self, now: Time, outgoing: Outgoing, sink: &mut dyn Sink) -> Transmit<Segment> {
        let class = if outgoing.retransmission { Class::Retransmission } else { Class::Source };
        if class == Class::Source {
            let event = Event::SourceSent { source: outgoing.number, bytes: outgoing.length };
            self.record(now, self.direction, event, sink);
        }
        let mut transmit = self.segment(now, class, Handshake::Done, Some(outgoing));
        // What is sent again is not marked, or who forges a mark could not be told (RFC 3168, 6.1.5).
        if class == Class::Source && self.ecn.is_agreed() {
            transmit.packet.ecn.reduced = self.sender.take_reduced();
            transmit.ecn = Ecn::Ect0;
        }
        transmit
    }
}

impl Endpoint for End {
    type Packet = Segment;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Segment>, sink: &mut dyn Sink) {
        let segment = arrival.packet;
        self.receiver.note_echo(&segment);
        self.handle_handshake(now, &segment);
        if segment.handshake != Handshake::Done || self.phase != Phase::Established {
            return;
        }
        if let Some(round_trip) = self.sender.acknowledge(now, &segment) {
            self.record(now, self.direction, Event::RoundTrip(round_trip), sink);
        }
        if segment.length > 0 {
            if self.ecn.arrive(&segment, arrival.ecn) {
                self.receiver.acknowledge_at_once();
            }
            self.receive(now, &segment, sink);
        }
    }

    fn handle_timeout(&mut self, now: Time, _: &mut dyn Sink) {
        if let Phase::Opening { sent_at: Some(_), tries } = self.phase
            && self.opening_timeout().is_some_and(|at| at <= now)
        {
            self.phase = Phase::Opening { sent_at: None, tries };
        }
        self.receiver.handle_timeout(now);
        self.sender.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Segment>> {
        if self.phase != Phase::Established {
            return self.open(now);
        }
        if std::mem::take(&mut self.confirm) {
            return Some(self.segment(now, Class::Handshake, Handshake::Done, None));
        }
        self.write(now, sink);
        if let Some(outgoing) = self.sender.poll(now, self.unsent()) {
            return Some(self.data(now, outgoing, sink));
        }
        self.receiver
            .wants_to_acknowledge()
            .then(|| self.segment(now, Class::Feedback, Handshake::Done, None))
    }

    fn poll_timeout(&self) -> Option<Time> {
        if self.phase != Phase::Established {
            return self.opening_timeout();
        }
        let pacing = self.sender.waits_for_pacing(self.unsent()).then(|| self.sender.paced_until());
        Time::earliest([self.sender.timeout(), self.receiver.timeout(), pacing])
    }
}

impl FrameTransport for End {
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink) {
        if let Err(frame) = self.writer.offer(frame) {
            self.record(now, self.direction, Event::FrameDropped { frame: frame.id, begun: false }, sink);
            self.events.push_back(FrameEvent::Dropped(frame.id));
        }
    }

    fn backlog(&self) -> ByteSize {
        ByteSize::new(self.writer.queued().get() + self.unsent())
    }

    fn rate_estimate(&self) -> Option<Bitrate> {
        self.sender.rate_estimate()
    }

    fn poll_event(&mut self) -> Option<FrameEvent> {
        self.events.pop_front()
    }

    fn request_refresh(&mut self, _: Time, frame: FrameId) {
        self.writer.request_refresh(frame);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::frame::{Delivered, Priority};
    use crate::record::Discard;

    /// Two ends 25 ms apart. The n-th segment that the server or the client sends (handshake included)
    /// is lost where `lost` or `lost_by_client` says so.
    pub(super) struct Pair {
        ends: [End; 2],
        under_way: Vec<(Time, usize, Arrival<Segment>)>,
        now: Time,
        pub(super) sent: Vec<(Time, Segment)>,
        events: Vec<(Time, FrameEvent)>,
        lost: fn(usize) -> bool,
        lost_by_client: fn(usize) -> bool,
        sent_by_client: usize,
        /// Which of the server's segments are marked, where they may be.
        pub(super) marked: fn(usize) -> bool,
    }

    impl Pair {
        pub(super) fn new(config: &Config, lost: fn(usize) -> bool) -> Self {
            let ends = connection(config, Flow(0), Seed(1));
            Self {
                ends,
                under_way: Vec::new(),
                now: Time::ZERO,
                sent: Vec::new(),
                events: Vec::new(),
                lost,
                lost_by_client: |_| false,
                sent_by_client: 0,
                marked: |_| false,
            }
        }

        pub(super) fn offer(&mut self, id: u32, size: u32, deadline: Time) {
            let (id, head) = (FrameId(id), Bytes::from_static(b"head"));
            let frame = Frame { id, captured: self.now, deadline, priority: Priority::Delta, size, head };
            self.ends[0].offer(self.now, frame, &mut Discard);
        }

        /// When the last event was.
        pub(super) fn finished(&self) -> Time {
            self.events.last().map_or(Time::NEVER, |&(at, _)| at)
        }

        pub(super) fn run_until(&mut self, end: Time) {
            loop {
                for number in 0..2 {
                    while let Some(transmit) = self.ends[number].poll_transmit(self.now, &mut Discard) {
                        let lost = if number == 0 {
                            self.sent.push((self.now, transmit.packet.clone()));
                            (self.lost)(self.sent.len() - 1)
                        } else {
                            self.sent_by_client += 1;
                            (self.lost_by_client)(self.sent_by_client - 1)
                        };
                        let Transmit { packet, mut ecn } = transmit;
                        if ecn == Ecn::Ect0 && number == 0 && (self.marked)(self.sent.len() - 1) {
                            ecn = Ecn::Ce;
                        }
                        if !lost {
                            let at = self.now + Duration::from_millis(25);
                            self.under_way.push((at, 1 - number, Arrival { packet, ecn }));
                        }
                    }
                    while let Some(event) = self.ends[number].poll_event() {
                        self.events.push((self.now, event));
                    }
                }
                let arrival = self.under_way.iter().map(|&(at, ..)| at).min();
                let timeouts = self.ends.iter().filter_map(End::poll_timeout);
                let Some(next) = timeouts.chain(arrival).min().filter(|&next| next <= end) else { break };
                self.now = next.max(self.now);
                match self.under_way.iter().position(|&(at, ..)| at == self.now) {
                    Some(place) => {
                        let (_, to, arrival) = self.under_way.remove(place);
                        self.ends[to].handle_packet(self.now, arrival, &mut Discard);
                    }
                    None => self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now, &mut Discard)),
                }
            }
            self.now = end;
        }

        /// When each frame arrived whole, in ms.
        fn arrivals(&self) -> Vec<(u32, u64)> {
            let arrival = |(at, event): &(Time, FrameEvent)| match event {
                FrameEvent::Delivered(Delivered { id, .. }) => Some((id.0, at.as_micros() / 1000)),
                _ => None,
            };
            self.events.iter().filter_map(arrival).collect()
        }
    }

    #[test]
    fn frames_arrive_whole_and_in_order_after_the_handshake() {
        let mut pair = Pair::new(&Config::default(), |_| false);
        pair.offer(0, 3000, Time::NEVER);
        pair.offer(1, 100, Time::NEVER);
        pair.run_until(Time::from_secs(1));
        // SYN, SYN-ACK and ACK take three one-way delays, the data a fourth.
        assert_eq!(pair.arrivals(), [(0, 100), (1, 100)]);
        let delivered = Delivered { id: FrameId(0), size: 3000, head: Bytes::from_static(b"head") };
        assert_eq!(pair.events[0].1, FrameEvent::Delivered(delivered));
    }

    #[test]
    fn a_lost_segment_holds_up_everything_behind_it_for_a_round_trip() {
        // Segment 1 is the first with data; the three behind it tell of its loss.
        let mut pair = Pair::new(&Config::default(), |n| n == 1);
        for id in 0..4 {
            pair.offer(id, 1440, Time::NEVER);
        }
        pair.run_until(Time::from_secs(1));
        assert_eq!(pair.arrivals(), [(0, 150), (1, 150), (2, 150), (3, 150)]);
    }

    #[test]
    fn a_lost_tail_is_probed_after_two_round_trips_and_not_after_a_timeout() {
        let mut pair = Pair::new(&Config::default(), |n| n == 3);
        for id in 0..3 {
            pair.offer(id, 1440, Time::NEVER);
        }
        pair.run_until(Time::from_secs(2));
        let arrivals = pair.arrivals();
        // The acknowledgment of the first two at 125 ms, then 2 · srtt + margin for one outstanding.
        assert_eq!(&arrivals[..2], [(0, 100), (1, 100)]);
        assert!((250..=500).contains(&arrivals[2].1), "{arrivals:?}");
    }

    #[test]
    fn a_path_that_is_dead_is_tried_again_with_doubled_timeouts() {
        let mut pair = Pair::new(&Config::default(), |n| (1..=5).contains(&n));
        pair.offer(0, 100, Time::NEVER);
        pair.run_until(Time::from_secs(20));
        let data: Vec<_> = pair.sent.iter().filter(|(_, s)| s.length > 0).map(|&(at, _)| at).collect();
        let gaps: Vec<_> = data.windows(2).map(|pair| pair[1].since(pair[0]).as_millis_f64()).collect();
        assert_eq!(data.len(), 6);
        // After the probe, which counts as no timeout, each wait is twice the one before.
        assert!(gaps[2..].windows(2).all(|pair| (pair[1] / pair[0] - 2.0).abs() < 0.1), "{gaps:?}");
        assert_eq!(pair.arrivals().len(), 1);
    }

    #[test]
    fn a_receiver_without_room_stops_the_sender_and_not_the_clock() {
        let config = Config { receive_buffer: ByteSize::new(20_000), ..Config::default() };
        // With a hole at the front everything behind it fills the receiver's buffer.
        let mut pair = Pair::new(&config, |n| n == 20);
        for id in 0..20 {
            pair.offer(id, 20_000, Time::NEVER);
        }
        pair.run_until(Time::from_secs(10));
        assert_eq!(pair.arrivals().len(), 20);
        let beyond = pair.sent.iter().filter(|(_, segment)| segment.length > 0);
        assert!(beyond.count() < 300, "every byte is sent about once");
    }

    #[test]
    fn a_lost_handshake_costs_a_second() {
        let mut pair = Pair::new(&Config::default(), |n| n == 0);
        pair.offer(0, 100, Time::NEVER);
        pair.run_until(Time::from_secs(3));
        assert_eq!(pair.arrivals(), [(0, 1100)]);
    }

    #[test]
    fn a_stale_frame_is_dropped_unless_it_was_begun() {
        let config = Config { stale: Stale::Drop, ..Config::default() };
        let mut pair = Pair::new(&config, |_| false);
        pair.run_until(Time::from_secs(1));
        let deadline = pair.now + Duration::from_millis(60);
        // Twenty frames of 20 kB take several round trips out of slow start.
        for id in 0..20 {
            pair.offer(id, 20_000, deadline);
        }
        pair.run_until(Time::from_secs(3));
        let dropped = pair.events.iter().filter(|(_, event)| matches!(event, FrameEvent::Dropped(_))).count();
        assert!(dropped > 0 && !pair.arrivals().is_empty());
        assert_eq!(dropped + pair.arrivals().len(), 20, "each frame has one fate");
        assert_eq!(pair.ends[0].backlog(), ByteSize::ZERO);
    }

    #[test]
    fn a_lost_answer_of_the_handshake_does_not_make_every_frame_look_stale() {
        let config = Config { stale: Stale::Drop, ..Config::default() };
        let mut pair = Pair::new(&config, |_| false);
        pair.lost_by_client = |n| n == 1;
        pair.run_until(Time::from_millis(500));
        // What the client says next is taken for its answer, so that the round trip seems to be 500 ms.
        pair.ends[1].request_refresh(pair.now, FrameId(0));
        pair.run_until(Time::from_millis(600));
        for id in 0..30 {
            pair.offer(id, 100, pair.now + Duration::from_millis(100));
            pair.run_until(pair.now + Duration::from_millis(33));
        }
        // Only a frame that comes while the first is under way is judged by the wrong round trip.
        assert!(pair.arrivals().len() >= 29, "{:?}", pair.events);
    }

    #[test]
    fn a_refresh_request_reaches_the_other_application_once() {
        let mut pair = Pair::new(&Config::default(), |_| false);
        pair.run_until(Time::from_secs(1));
        pair.ends[1].request_refresh(pair.now, FrameId(7));
        pair.run_until(Time::from_secs(2));
        assert_eq!(pair.events, [(Time::from_millis(1025), FrameEvent::RefreshRequested(FrameId(7)))]);
    }

    #[test]
    fn a_full_queue_drops_the_new_frame() {
        let mut pair = Pair::new(&Config::default(), |_| false);
        for id in 0..5000 {
            pair.offer(id, 100, Time::NEVER);
        }
        assert_eq!(pair.ends[0].poll_event(), Some(FrameEvent::Dropped(FrameId(4096))));
    }
}
