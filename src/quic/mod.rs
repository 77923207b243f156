//! QUIC (RFC 9000, RFC 9002) as quinn-proto does it: what a remote desktop could use today instead of TCP or a
//! protocol of its own.
//!
//! A frame is a stream of its own, so that no frame waits for another to be delivered, or it is cut into
//! unreliable datagrams (RFC 9221). Requests for a refresh are streams in either case. In reading order:
//! [`Packet`] · setup (settings, plaintext in TLS's place, congestion control, clock) · streams · datagrams ·
//! incoming · contents (what is in a packet) · book (what is told of it).
//!
//! | | quinn | here |
//! | --- | --- | --- |
//! | encryption | TLS 1.3 | none, in messages and packets of the same sizes |
//! | BBR | its own, unpaced, of random phase | that of our TCP, paced |
//! | pacing | bursts of 10 packets and more at 5/4 of a window a round trip | the same; BBR at its own rate |
//! | path MTU | searched for | known |
//! | windows of flow control | bounded | larger than any frame |
//! | migration, resumption, 0-RTT, closing | yes | no: a connection lasts as long as its session |
//!
//! Everything it draws at random comes from the seed, so that runs repeat to the byte; its CUBIC uses the
//! platform's cube root, which may differ in the last bit from one platform to another.

mod book;
mod clock;
mod congestion;
mod contents;
mod datagrams;
mod incoming;
mod packet;
mod plaintext;
mod setup;
mod streams;

use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint as Quinn, Event as Happened,
    StreamEvent,
};

use self::book::SharedBook;
use self::clock::{duration, instant, time};
use self::congestion::Coupling;
use self::contents::{Content, contents};
use self::datagrams::DatagramSender;
use self::incoming::Incoming;
pub use self::packet::Packet;
use self::streams::{Carried, StreamSender};
use crate::endpoint::{
    Arrival, Class, Direction, Ecn, Endpoint, Flow, FrameEvent, FrameTransport, Stale, Transmit,
};
use crate::frame::{Frame, FrameId};
use crate::record::{Event, Malformed, Sink};
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Time};
use crate::transport::pacer::Pacer;
use crate::transport::trace::Trace;
use crate::units::{Bitrate, ByteSize};

/// How a connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What decides how much may be in the network.
    pub congestion: Congestion,
    /// What frames become.
    pub mapping: Mapping,
    /// What happens to frames that would come too late.
    pub stale: Stale,
    /// Whether such frames are given up also where some of them was sent, by RESET_STREAM: before what is left
    /// of them or what was lost of them is sent. On streams only.
    pub resets: bool,
    /// The largest IP packet in bytes; from [`Config::MTU_MIN`] to [`Config::MTU_MAX`].
    pub mtu: u16,
}

impl Config {
    /// The least MTU in bytes of IPv4: UDP payloads of 1200 bytes (RFC 9000, section 14).
    pub const MTU_MIN: u16 = 1200 + packet::IP_UDP_HEADER;
    /// The largest packet: a jumbo frame's. quinn-proto could not write lengths above 16,383.
    pub const MTU_MAX: u16 = 9000;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            mapping: Mapping::default(),
            stale: Stale::Keep,
            resets: false,
            mtu: 1500,
        }
    }
}

/// Which congestion control a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Additive increase, half on a loss (RFC 9002, section 7).
    NewReno,
    /// A cubic function of the time since the last loss (RFC 9438): the default of most implementations.
    #[default]
    Cubic,
    /// A model of the path's bandwidth and round trip, version 1.
    Bbr,
}

impl Congestion {
    /// The name that scenarios use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewReno => "new-reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

/// What frames become in QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// A stream each: what is lost is sent again.
    #[default]
    Streams,
    /// Datagrams: what is lost is lost.
    Datagrams,
}

/// The two ends of a connection of session `flow`: the server's, which sends down, and the client's, which
/// opens it.
pub fn connection(config: &Config, flow: Flow, seed: Seed) -> [End; 2] {
    let [down, up] = [SharedBook::default(), SharedBook::default()];
    [
        End::new(config, flow, Direction::Down, seed, [&down, &up]),
        End::new(config, flow, Direction::Up, seed, [&up, &down]),
    ]
}

/// One end of a connection.
pub struct End {
    config: Config,
    flow: Flow,
    /// The direction in which this end sends.
    direction: Direction,
    quinn: Quinn,
    /// None at the server before the client has said anything, and at the client before it is called.
    connection: Option<(ConnectionHandle, Connection)>,
    stream: Stream,
    coupling: Coupling,
    streams: StreamSender,
    /// Where frames are no streams.
    datagrams: Option<DatagramSender>,
    incoming: Incoming,
    pacer: Pacer,
    /// The round trip told last; none before one was measured.
    round_trip: Option<Duration>,
    /// What happened to frames that this end sends.
    events: VecDeque<FrameEvent>,
    /// When this end wants to be called next.
    timeout: Option<Time>,
    /// Kept for its memory.
    buffer: Vec<u8>,
}

impl End {
    /// Bytes of a full packet that are not the application's: header, tag, and the header of a frame.
    const OVERHEAD: u64 = 36;

    fn new(
        config: &Config,
        flow: Flow,
        direction: Direction,
        seed: Seed,
        [writes, reads]: [&SharedBook; 2],
    ) -> Self {
        let stream = seed.stream("quic").part(u64::from(flow.0) << 1 | direction as u64);
        let coupling = Coupling::default();
        let payload_max = config.mtu.saturating_sub(packet::IP_UDP_HEADER);
        let datagrams = || DatagramSender::new(flow, config.stale, payload_max);
        Self {
            flow,
            direction,
            quinn: setup::endpoint(config, direction, &coupling, stream),
            connection: None,
            stream,
            coupling,
            streams: StreamSender::new(config, u64::from(payload_max), SharedBook::clone(writes)),
            datagrams: (config.mapping == Mapping::Datagrams).then(datagrams),
            incoming: Incoming::new(flow, SharedBook::clone(reads)),
            pacer: Pacer::default(),
            round_trip: None,
            events: VecDeque::new(),
            timeout: (direction == Direction::Up).then_some(Time::ZERO),
            buffer: Vec::new(),
            config: config.clone(),
        }
    }

    /// A trace of what travels towards this end.
    fn arriving<'a>(&self, now: Time, sink: &'a mut dyn Sink) -> Trace<'a> {
        Trace { now, flow: self.flow, direction: self.direction.reverse(), sink }
    }

    /// A trace of what travels from this end.
    fn leaving<'a>(&self, now: Time, sink: &'a mut dyn Sink) -> Trace<'a> {
        Trace { now, flow: self.flow, direction: self.direction, sink }
    }

    /// The client opens the connection when it is called for the first time.
    fn connect(&mut self, now: Time) {
        if self.connection.is_none() && self.direction == Direction::Up {
            let client = setup::client(&self.config, &self.coupling, self.stream);
            let peer = setup::peer(self.direction);
            self.timeout = None;
            // Versions, addresses and ids are ours, so that nothing can be wrong with them.
            self.connection = self.quinn.connect(instant(now), client, peer, "server").ok();
        }
    }

    /// Lets quinn-proto's two halves tell each other what they have to, and takes what they tell us.
    fn settle(&mut self, now: Time, sink: &mut dyn Sink) {
        let (mut arriving, direction) = (self.arriving(now, sink), self.direction);
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.quinn.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Happened::Stream(StreamEvent::Finished { id }) => self.streams.finished(id),
                Happened::Stream(event) => {
                    self.incoming.handle_stream_event(&mut arriving, connection, &event);
                }
                Happened::DatagramReceived => self.incoming.handle_datagrams(&mut arriving, connection),
                _ => {}
            }
        }
        let round_trip = Some(connection.rtt()).filter(|&rtt| rtt != setup::INITIAL_ROUND_TRIP).map(duration);
        if round_trip.is_some() && round_trip != self.round_trip {
            self.round_trip = round_trip;
            arriving.direction = direction;
            round_trip.into_iter().for_each(|measured| arriving.tell(Event::RoundTrip(measured)));
        }
    }

    /// When what leaves now arrives at the earliest, as far as this end can know ([`Stale`]).
    fn arrival(&self, now: Time) -> Time {
        let Some(((_, connection), round_trip)) = self.connection.as_ref().zip(self.round_trip) else {
            return now;
        };
        let under_way = match &self.datagrams {
            None => self.streams.is_under_way(),
            Some(datagrams) => now <= datagrams.last_sent() + round_trip,
        };
        Stale::arrival(now, Some(duration(connection.min_rtt())), under_way)
    }

    /// The next datagram of the connection, in the buffer; how it is marked.
    fn poll_quinn(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Ecn> {
        let (arrival, mut leaving) = (self.arrival(now), self.leaving(now, sink));
        let (_, connection) = self.connection.as_mut()?;
        self.streams.fill(&mut leaving, connection, arrival, &mut self.events);
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.fill(&mut leaving, connection, arrival, &mut self.events);
        }
        self.buffer.clear();
        self.coupling.hold(self.pacer.ready_at() > now);
        let transmit = connection.poll_transmit(instant(now), 1, &mut self.buffer);
        self.coupling.hold(false);
        Some(transmit?.ecn.map_or(Ecn::NotEct, from_quinn))
    }

    /// The datagram in the buffer leaves: what it is for, and what it carries.
    fn send(&mut self, now: Time, sink: &mut dyn Sink) -> Packet {
        let (arrival, mut leaving) = (self.arrival(now), self.leaving(now, sink));
        let (mut carried, mut sets_up) = (Carried::default(), false);
        let read = contents(&self.buffer, setup::ID_LEN, |content| match content {
            Content::Stream { stream, offset, length } => {
                self.streams.sent(&mut leaving, (stream, offset, length), arrival, &mut carried);
            }
            Content::Datagram(piece) => {
                if let Some(datagrams) = &mut self.datagrams {
                    datagrams.sent(&mut leaving, piece, &mut carried);
                }
            }
            Content::SetUp => sets_up = true,
        });
        debug_assert!(read.is_some(), "quinn-proto sends what RFC 9000 describes");
        let class = match carried {
            Carried { first: 1.., .. } => Class::Source,
            Carried { again: 1.., .. } => Class::Retransmission,
            _ if sets_up => Class::Handshake,
            _ => Class::Feedback,
        };
        let datagram = BytesMut::from(&self.buffer[..]).freeze();
        Packet { datagram, class, payload: carried.first + carried.again }
    }

    /// The rate at which data leaves; none where the window alone decides.
    fn pacing_rate(&self) -> Option<Bitrate> {
        let (_, connection) = self.connection.as_ref()?;
        connection.congestion_state().metrics().pacing_rate.map(Bitrate::from_bps)
    }

    /// Notes when this end wants to be called next.
    fn set_timeout(&mut self, now: Time) {
        let Some((_, connection)) = &mut self.connection else { return };
        let paced = Some(self.pacer.ready_at()).filter(|&at| at > now);
        let quinn = connection.poll_timeout().map(time);
        self.timeout = Time::earliest([quinn, paced, self.incoming.poll_timeout()]);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("config", &self.config)
            .field("flow", &self.flow)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl Endpoint for End {
    type Packet = Packet;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Packet>, sink: &mut dyn Sink) {
        let datagram = arrival.packet.datagram;
        let datagram = datagram.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let (peer, ecn) = (setup::peer(self.direction), to_quinn(arrival.ecn));
        let mut answer = Vec::new();
        match self.quinn.handle(instant(now), peer, None, ecn, datagram, &mut answer) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.connection.is_none() => {
                self.connection = self.quinn.accept(incoming, instant(now), &mut answer, None).ok();
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.quinn.ignore(incoming),
            // Only what makes no sense to the other end is answered without a connection.
            Some(DatagramEvent::Response(_)) => {
                self.arriving(now, sink).tell(Event::Malformed(Malformed::UnknownKind));
            }
            None => {}
        }
        self.settle(now, sink);
        self.set_timeout(now);
    }

    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        self.connect(now);
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(instant(now));
        }
        self.incoming.settle(&mut self.arriving(now, sink));
        self.settle(now, sink);
        self.set_timeout(now);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Packet>> {
        let Some(ecn) = self.poll_quinn(now, sink) else {
            self.set_timeout(now);
            return None;
        };
        let packet = self.send(now, sink);
        // What carries no data is neither paced nor charged, as with TCP.
        if packet.payload > 0 {
            self.pacer.charge(now, self.pacing_rate(), packet.datagram.len() as u32);
        }
        Some(Transmit { packet, ecn })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.timeout
    }
}

impl FrameTransport for End {
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink) {
        let taken = match &mut self.datagrams {
            Some(datagrams) => datagrams.offer(frame),
            None => self.streams.offer(frame),
        };
        if let Err(Frame { id: frame, .. }) = taken {
            self.leaving(now, sink).tell(Event::FrameDropped { frame, begun: false });
            self.events.push_back(FrameEvent::Dropped(frame));
        }
    }

    fn backlog(&self) -> ByteSize {
        let datagrams = self.datagrams.as_ref().map_or(0, DatagramSender::backlog);
        ByteSize::new(self.streams.backlog() + datagrams)
    }

    /// BBR's bandwidth, or a window a round trip; without what packets have around the data.
    fn rate_estimate(&self) -> Option<Bitrate> {
        let ((_, connection), round_trip) = self.connection.as_ref().zip(self.round_trip)?;
        let window = ByteSize::new(connection.congestion_state().window());
        let rate = self.coupling.bandwidth().unwrap_or_else(|| Bitrate::of(window, round_trip));
        let packet = u64::from(self.config.mtu.saturating_sub(packet::IP_UDP_HEADER)).max(Self::OVERHEAD);
        Some(rate.mul_f64((packet - Self::OVERHEAD) as f64 / packet as f64))
    }

    fn poll_event(&mut self) -> Option<FrameEvent> {
        self.incoming.poll_event().or_else(|| self.events.pop_front())
    }

    fn request_refresh(&mut self, _now: Time, frame: FrameId) {
        self.streams.request_refresh(frame);
    }
}

const fn from_quinn(ecn: EcnCodepoint) -> Ecn {
    match ecn {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

const fn to_quinn(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

#[cfg(test)]
mod tests;
