//! The contract between a driver and whatever it drives.
//!
//! A protocol end is a state machine without input or output of its own (sans-IO, as in quinn-proto and
//! str0m). The driver owns the clock and the network:
//!
//! 1. it gives the end a packet, a due timer or a call of the application, with the time;
//! 2. it drains [`Endpoint::poll_transmit`] into the link;
//! 3. it reads [`Endpoint::poll_timeout`] and comes back at that time at the latest.
//!
//! Times never go back. Nothing that the network sent makes a call fail: what is wrong with a packet is
//! a [`Record`](crate::record::Record) with the reason.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::frame::{Delivered, Frame, FrameId};
use crate::record::Sink;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// Which session a packet belongs to: its place among all sessions that share the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow(pub u16);

/// The way a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// From the server, where the desktop runs, to the person.
    Down,
    /// From the person to the server.
    Up,
}

impl Direction {
    /// Both, in the order in which everything lists them.
    pub const BOTH: [Self; 2] = [Self::Down, Self::Up];

    /// The other way.
    pub const fn reverse(self) -> Self {
        match self {
            Self::Down => Self::Up,
            Self::Up => Self::Down,
        }
    }
}

/// What a packet is for; every packet has exactly one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Carries application data for the first time.
    Source,
    /// Carries data computed from source packets (RFC 6363).
    Repair,
    /// Carries application data again.
    Retransmission,
    /// Carries only what the receiver tells the sender.
    Feedback,
    /// Belongs to setting the session up.
    Handshake,
}

impl Class {
    /// All of them, in the order in which everything lists them.
    pub const ALL: [Self; 5] =
        [Self::Source, Self::Repair, Self::Retransmission, Self::Feedback, Self::Handshake];
}

/// The two bits of explicit congestion notification (RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The transport does not take part.
    #[default]
    NotEct,
    /// The transport takes part.
    Ect0,
    /// The transport takes part, with the marking of L4S (RFC 9331).
    Ect1,
    /// A queue on the way met congestion.
    Ce,
}

/// A packet as the link sees it: its size and its class, whatever the protocol.
pub trait Wire: Clone + Debug + 'static {
    /// The whole IP packet in bytes, all headers counted.
    fn size(&self) -> u32;
    /// Its payload in bytes: the application's bytes, and bytes computed from them; none in feedback.
    fn payload(&self) -> u32;
    /// What it is for.
    fn class(&self) -> Class;
}

/// A packet on its way into the network.
#[derive(Clone, Debug)]
pub struct Transmit<P> {
    /// The packet itself.
    pub packet: P,
    /// How it is marked.
    pub ecn: Ecn,
}

/// A packet that the network delivered.
#[derive(Clone, Debug)]
pub struct Arrival<P> {
    /// The packet itself.
    pub packet: P,
    /// How it is marked by now.
    pub ecn: Ecn,
}

/// One end of a session, or whatever else a driver can drive.
pub trait Endpoint {
    /// What this end sends and receives.
    type Packet: Wire;

    /// A packet arrived.
    fn handle_packet(&mut self, now: Time, arrival: Arrival<Self::Packet>, sink: &mut dyn Sink);

    /// The time of [`Endpoint::poll_timeout`] has come, or passed. Calling it early does no harm.
    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink);

    /// The next packet to send at `now`; called until there is none.
    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Self::Packet>>;

    /// When this end wants to be called next, if nothing arrives before.
    fn poll_timeout(&self) -> Option<Time>;
}

/// One end of a session that carries frames both ways, whatever the protocol.
pub trait FrameTransport: Endpoint {
    /// Takes a frame for the other end. A frame beyond the bound of the send queue is dropped and
    /// comes back as [`FrameEvent::Dropped`].
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink);

    /// Application bytes that were offered and have not been sent for the first time.
    fn backlog(&self) -> ByteSize;

    /// What this end believes the path can carry towards the other end, in application bits per
    /// second; none before it has an idea.
    fn rate_estimate(&self) -> Option<Bitrate>;

    /// What happened to frames since the last call, in order; called until there is none.
    fn poll_event(&mut self) -> Option<FrameEvent>;

    /// From now on so many repair packets more with each block, or fewer where `steps` is negative, for
    /// transports whose code has a fixed amount of them; the others take no notice.
    fn adjust_repair(&mut self, _steps: i8) {}

    /// Tells the other end's application, reliably but a one-way delay later, that `frame` is missing
    /// here and what depends on it needs a refresh.
    fn request_refresh(&mut self, now: Time, frame: FrameId);
}

/// What a transport does with a frame that would come after its deadline even if it were sent at once.
///
/// One law for all of them: a packet sent now arrives half the least round trip ever measured from now.
/// Not half the smoothed one: that may come from a full queue or an outage, and where all frames are
/// dropped for its sake nothing is sent that could measure it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// It is sent all the same.
    #[default]
    Keep,
    /// It is dropped, unless some of it has been sent.
    Drop,
}

impl Stale {
    /// When a frame sent now arrives by that law. Where nothing is `under_way` the round trip does not
    /// count: only a frame that is sent can show that it is less than it once seemed, as after a lost
    /// answer of the handshake.
    pub fn arrival(now: Time, least_round_trip: Option<Duration>, under_way: bool) -> Time {
        now + least_round_trip.filter(|_| under_way).unwrap_or_default() / 2
    }
}

/// What a transport tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEvent {
    /// A frame of the other end is here, whole.
    Delivered(Delivered),
    /// A frame of the other end will never be here whole.
    Lost(FrameId),
    /// A frame offered at this end was dropped before all of it had been sent.
    Dropped(FrameId),
    /// The other end's application asks for a refresh, because it misses this frame of ours.
    RefreshRequested(FrameId),
}
