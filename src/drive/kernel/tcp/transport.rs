//! One end of a kernel connection as a transport of frames.
//!
//! The same application as the model's: the queue above the socket is the very same, with its bound, its
//! low-water mark and its rule for stale frames. Packets are the kernel's business, so that
//! [`Endpoint::poll_transmit`] writes into the socket, has never a packet, and
//! [`Endpoint::handle_timeout`] may be called whenever the socket is ready.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::Socket;

use super::super::sys::{self, TcpInfo};
use super::socket::{self, SocketError};
use super::stream::{Outgoing, Parser};
use super::tap::Tap;
use crate::drive::datagram::Datagram;
use crate::drive::message::TcpSample;
use crate::endpoint::{Arrival, Direction, Endpoint, Flow, FrameEvent, FrameTransport, Stale, Transmit};
use crate::frame::{Frame, FrameId};
use crate::record::{Event, Malformed, Record, Sink};
use crate::tcp::queue::{Message, Queue};
use crate::tcp::{Config, Congestion};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// One end of a TCP connection of the kernel.
#[derive(Debug)]
pub struct KernelTcp {
    flow: Flow,
    /// The direction in which this end sends.
    direction: Direction,
    congestion: Congestion,
    stale: Stale,
    not_sent_low: u64,
    phase: Phase,
    queue: Queue,
    /// The message that is partly in the socket.
    begun: Option<Outgoing>,
    /// Bytes written into the socket so far, `begun` counted whole.
    written: u64,
    parser: Parser,
    buffer: Box<[u8]>,
    events: VecDeque<FrameEvent>,
    sample_at: Option<Time>,
    tap: Tap,
}

/// How far the connection is.
#[derive(Debug)]
enum Phase {
    /// The server waits for a client.
    Listening(Rc<Socket>),
    /// The client opens the connection when it is called for the first time.
    Closed(Rc<Socket>, SocketAddr),
    /// The client waits for the server's agreement.
    Opening(Rc<Socket>),
    /// Data flows.
    Established(Rc<Socket>),
    /// The connection is over before its session is.
    Broken,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the TCP connection broke: {0}")]
    System(#[from] io::Error),
    #[error("the TCP connection was closed by the other end")]
    Closed,
    #[error("the TCP stream cannot be understood: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl KernelTcp {
    /// How often the kernel is asked how the connection does.
    const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
    /// Bytes that one call of the system reads, and how many calls in a row: with the other sessions
    /// waiting, and the relay's queue behind them, a mebibyte is a millisecond at most.
    const READ_BYTES: usize = 64 << 10;
    const READS_MAX: usize = 16;

    /// The server's end, which sends down and listens on `address` in the namespace of the calling
    /// thread. The handshake begins when the client's end is driven.
    ///
    /// # Errors
    /// [`SocketError`] where the contender cannot be had here.
    pub fn server(config: &Config, flow: Flow, address: SocketAddr) -> Result<Self, SocketError> {
        let socket = Rc::new(socket::listening(config, address)?);
        Ok(Self::new(config, flow, Direction::Down, Phase::Listening(socket)))
    }

    /// The client's end, which sends up. Its socket is in the namespace of the calling thread; it
    /// connects to the server's `address` when it is called for the first time.
    ///
    /// # Errors
    /// [`SocketError`] where the contender cannot be had here.
    pub fn client(config: &Config, flow: Flow, address: SocketAddr) -> Result<Self, SocketError> {
        let socket = Rc::new(socket::prepared(config, address)?);
        Ok(Self::new(config, flow, Direction::Up, Phase::Closed(socket, address)))
    }

    fn new(config: &Config, flow: Flow, direction: Direction, phase: Phase) -> Self {
        let end = Self {
            flow,
            direction,
            congestion: config.congestion,
            stale: config.stale,
            not_sent_low: config.not_sent_low.get(),
            phase,
            queue: Queue::new(config.stale),
            begun: None,
            written: 0,
            parser: Parser::default(),
            buffer: vec![0; Self::READ_BYTES].into(),
            events: VecDeque::new(),
            sample_at: None,
            tap: Tap::default(),
        };
        end.tell_driver();
        end
    }

    /// What the driver has to know of this end.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// The connection, once data flows.
    fn connection(&self) -> Option<Rc<Socket>> {
        match &self.phase {
            Phase::Established(socket) => Some(socket.clone()),
            _ => None,
        }
    }

    fn record(&self, at: Time, direction: Direction, event: Event, sink: &mut dyn Sink) {
        sink.record(&Record { at, flow: self.flow, direction, event });
    }

    /// Takes the handshake as far as it goes now.
    fn open(&mut self, now: Time) -> Result<(), Failure> {
        let established = match &self.phase {
            Phase::Listening(listener) => match listener.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(true)?;
                    socket::check_congestion(&socket, self.congestion.name())?;
                    Some(Rc::new(socket))
                }
                // The second is a client that has gone again (accept(2)).
                Err(error) if is_passing(&error) || error.kind() == ErrorKind::ConnectionAborted => None,
                Err(error) => return Err(error.into()),
            },
            Phase::Closed(socket, address) => {
                let socket = socket.clone();
                match socket.connect(&(*address).into()) {
                    Ok(()) => Some(socket),
                    Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                        self.phase = Phase::Opening(socket);
                        None
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Phase::Opening(socket) => match socket.take_error()? {
                Some(error) => return Err(error.into()),
                None => socket.peer_addr().is_ok().then(|| socket.clone()),
            },
            Phase::Established(_) | Phase::Broken => None,
        };
        if let Some(socket) = established {
            self.phase = Phase::Established(socket);
            self.sample_at = Some(now);
        }
        Ok(())
    }

    /// Reads what has arrived, up to a bound: a socket that has more is still ready.
    fn read(&mut self, now: Time, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Some(socket) = self.connection() else { return Ok(()) };
        for _ in 0..Self::READS_MAX {
            match (&*socket).read(&mut self.buffer) {
                Ok(0) => return Err(Failure::Closed),
                Ok(length) => {
                    let fresh = self.events.len();
                    let read = self.parser.push(&self.buffer[..length], &mut self.events);
                    self.record_complete(now, fresh, sink);
                    read?;
                }
                Err(error) if is_passing(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Records the frames that arrived whole: those among the events from `fresh` on.
    fn record_complete(&self, now: Time, fresh: usize, sink: &mut dyn Sink) {
        for event in self.events.range(fresh..) {
            if let FrameEvent::Delivered(delivered) = event {
                let event = Event::FrameComplete { frame: delivered.id };
                self.record(now, self.direction.reverse(), event, sink);
            }
        }
    }

    /// Moves messages into the socket as far as its low-water mark allows.
    fn write(&mut self, now: Time, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Some(socket) = self.connection() else { return Ok(()) };
        self.drop_stale(now, &socket, sink)?;
        loop {
            if self.begun.is_none() && !self.begin(&socket)? {
                return Ok(());
            }
            if let Some(outgoing) = &mut self.begun {
                match outgoing.write_to(&mut &*socket) {
                    Ok(()) => self.begun = None,
                    Err(error) if is_passing(&error) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Begins the next message, if there is one and little enough is unsent.
    fn begin(&mut self, socket: &Socket) -> Result<bool, Failure> {
        if self.queue.is_empty() || sys::unsent(socket)? >= self.not_sent_low {
            return Ok(false);
        }
        let Some(message) = self.queue.pop() else { return Ok(false) };
        let outgoing = Outgoing::new(&message, self.written);
        self.written = outgoing.end();
        let deadline = match message {
            Message::Frame(frame) => Some(frame.deadline),
            Message::Refresh(_) => None,
        };
        self.tap.book().enter(self.written, deadline);
        self.begun = Some(outgoing);
        Ok(true)
    }

    fn drop_stale(&mut self, now: Time, socket: &Socket, sink: &mut dyn Sink) -> Result<(), Failure> {
        if self.stale == Stale::Keep || self.queue.is_empty() {
            return Ok(());
        }
        let info = sys::tcp_info(socket)?;
        let under_way = info.unacknowledged > 0 || self.begun.is_some() || sys::unsent(socket)? > 0;
        let arrival = Stale::arrival(now, info.least_round_trip, under_way);
        while let Some(frame) = self.queue.pop_stale(arrival) {
            self.drop_frame(now, frame, false, sink);
        }
        Ok(())
    }

    fn drop_frame(&mut self, now: Time, frame: FrameId, begun: bool, sink: &mut dyn Sink) {
        self.record(now, self.direction, Event::FrameDropped { frame, begun }, sink);
        self.events.push_back(FrameEvent::Dropped(frame));
    }

    /// Asks the kernel how the connection does, where that is due.
    fn sample(&mut self, now: Time, sink: &mut dyn Sink) -> Result<(), Failure> {
        let Some(socket) = self.connection() else { return Ok(()) };
        if self.sample_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.sample_at = Some(now + Self::SAMPLE_INTERVAL);
        let info = sys::tcp_info(&*socket)?;
        if let Some(round_trip) = info.smoothed_round_trip {
            self.record(now, self.direction, Event::RoundTrip(round_trip), sink);
        }
        let sample = TcpSample {
            at: now,
            flow: self.flow,
            window: info.window,
            smoothed_round_trip: info.smoothed_round_trip.unwrap_or_default(),
            least_round_trip: info.least_round_trip.unwrap_or_default(),
            retransmitted: info.retransmitted,
            delivery_rate_bps: info.delivery_rate.saturating_mul(8),
        };
        self.tap.update(|tap| tap.sample = Some(sample));
        Ok(())
    }

    /// Goes on after a step; where the step failed the connection is over, and what waited for it is
    /// dropped. What the kernel has taken of a frame may arrive at the other end or not.
    fn settle(&mut self, now: Time, step: Result<(), Failure>, sink: &mut dyn Sink) {
        if let Err(failure) = step {
            if let Failure::Malformed(reason) = failure {
                self.record(now, self.direction.reverse(), Event::Malformed(reason), sink);
            }
            // The last owner closes the socket, which tells the other end.
            self.phase = Phase::Broken;
            self.sample_at = None;
            if let Some(frame) = self.begun.take().and_then(|outgoing| outgoing.frame) {
                self.drop_frame(now, frame, true, sink);
            }
            while let Some(message) = self.queue.pop() {
                if let Message::Frame(frame) = message {
                    self.drop_frame(now, frame.id, false, sink);
                }
            }
            self.tap.update(|tap| tap.failure = Some(failure.to_string()));
        }
        self.tell_driver();
    }

    fn tell_driver(&self) {
        let wants_to_write = match self.phase {
            Phase::Opening(_) => true,
            Phase::Established(_) => self.begun.is_some() || !self.queue.is_empty(),
            Phase::Listening(_) | Phase::Closed(..) | Phase::Broken => false,
        };
        self.tap.update(|tap| {
            tap.socket = match &self.phase {
                Phase::Listening(socket) | Phase::Opening(socket) | Phase::Established(socket) => {
                    Some(socket.clone())
                }
                // A socket that was never connected says that it was hung up.
                Phase::Closed(..) | Phase::Broken => None,
            };
            tap.wants_to_write = wants_to_write;
            tap.position = self.parser.position();
        });
    }

    /// What the path can carry, as the model says it: BBR's bandwidth, or a window a round trip.
    fn carries(&self, socket: &Socket, info: &TcpInfo) -> Option<Bitrate> {
        if self.congestion == Congestion::Bbr
            && let Ok(bandwidth @ 1..) = sys::bbr_bandwidth(socket)
        {
            return Some(Bitrate::from_bps(bandwidth.saturating_mul(8)));
        }
        let window = ByteSize::new(u64::from(info.window) * u64::from(info.segment_bytes));
        Some(Bitrate::of(window, info.smoothed_round_trip?))
    }
}

/// Whether the call may be made again later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Endpoint for KernelTcp {
    type Packet = Datagram;

    /// Packets are the kernel's.
    fn handle_packet(&mut self, _: Time, _: Arrival<Datagram>, _: &mut dyn Sink) {}

    /// The socket is ready, or the kernel is to be asked.
    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        let step = self.open(now).and_then(|()| self.read(now, sink)).and_then(|()| self.sample(now, sink));
        self.settle(now, step, sink);
    }

    /// Writes what may be written; packets are the kernel's.
    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Datagram>> {
        let step = self.write(now, sink);
        self.settle(now, step, sink);
        None
    }

    fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Closed(..) => Some(Time::ZERO),
            _ => self.sample_at,
        }
    }
}

impl FrameTransport for KernelTcp {
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink) {
        let refused = match self.phase {
            Phase::Broken => Err(frame),
            _ => self.queue.offer(frame),
        };
        if let Err(frame) = refused {
            self.drop_frame(now, frame.id, false, sink);
        }
    }

    fn backlog(&self) -> ByteSize {
        let begun = self.begun.as_ref().map_or(0, Outgoing::left);
        let unsent = self.connection().and_then(|socket| sys::unsent(&*socket).ok()).unwrap_or_default();
        ByteSize::new(self.queue.bytes().get() + begun + unsent)
    }

    fn rate_estimate(&self) -> Option<Bitrate> {
        let socket = self.connection()?;
        self.carries(&socket, &sys::tcp_info(&*socket).ok()?)
    }

    fn poll_event(&mut self) -> Option<FrameEvent> {
        self.events.pop_front()
    }

    fn request_refresh(&mut self, _: Time, frame: FrameId) {
        if !matches!(self.phase, Phase::Broken) {
            self.queue.request_refresh(frame);
        }
    }
}

#[cfg(test)]
mod tests;
