//! What crosses a path on which several protocols meet.

use crate::endpoint::{Arrival, Class, Endpoint, FrameEvent, FrameTransport, Transmit, Wire};
use crate::frame::{Frame, FrameId};
use crate::quic;
use crate::record::Sink;
use crate::tcp::Segment;
use crate::time::Time;
use crate::transport::Packet;
use crate::units::{Bitrate, ByteSize};

/// A packet of any protocol.
#[derive(Clone, Debug)]
pub enum Datagram {
    /// A packet of our UDP transport.
    Udp(Packet),
    /// A TCP segment.
    Tcp(Segment),
    /// A datagram of QUIC.
    Quic(quic::Packet),
}

impl Wire for Datagram {
    fn size(&self) -> u32 {
        match self {
            Self::Udp(packet) => packet.size(),
            Self::Tcp(segment) => segment.size(),
            Self::Quic(packet) => packet.size(),
        }
    }

    fn payload(&self) -> u32 {
        match self {
            Self::Udp(packet) => packet.payload(),
            Self::Tcp(segment) => segment.payload(),
            Self::Quic(packet) => packet.payload(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Udp(packet) => packet.class(),
            Self::Tcp(segment) => segment.class(),
            Self::Quic(packet) => packet.class(),
        }
    }
}

impl From<Packet> for Datagram {
    fn from(packet: Packet) -> Self {
        Self::Udp(packet)
    }
}

impl From<Segment> for Datagram {
    fn from(segment: Segment) -> Self {
        Self::Tcp(segment)
    }
}

impl From<quic::Packet> for Datagram {
    fn from(packet: quic::Packet) -> Self {
        Self::Quic(packet)
    }
}

impl TryFrom<Datagram> for Packet {
    type Error = Datagram;
    fn try_from(datagram: Datagram) -> Result<Self, Datagram> {
        match datagram {
            Datagram::Udp(packet) => Ok(packet),
            other => Err(other),
        }
    }
}

impl TryFrom<Datagram> for Segment {
    type Error = Datagram;
    fn try_from(datagram: Datagram) -> Result<Self, Datagram> {
        match datagram {
            Datagram::Tcp(segment) => Ok(segment),
            other => Err(other),
        }
    }
}

impl TryFrom<Datagram> for quic::Packet {
    type Error = Datagram;
    fn try_from(datagram: Datagram) -> Result<Self, Datagram> {
        match datagram {
            Datagram::Quic(packet) => Ok(packet),
            other => Err(other),
        }
    }
}

/// A transport whose packets travel as [`Datagram`]s. What is not of its protocol it ignores, as a
/// host does with packets for a port that nobody listens on.
#[derive(Debug)]
pub(super) struct Carried<T>(pub(super) T);

impl<T: FrameTransport> Endpoint for Carried<T>
where
    Datagram: From<T::Packet>,
    T::Packet: TryFrom<Datagram>,
{
    type Packet = Datagram;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Datagram>, sink: &mut dyn Sink) {
        if let Ok(packet) = T::Packet::try_from(arrival.packet) {
            self.0.handle_packet(now, Arrival { packet, ecn: arrival.ecn }, sink);
        }
    }

    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        self.0.handle_timeout(now, sink);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Datagram>> {
        let Transmit { packet, ecn } = self.0.poll_transmit(now, sink)?;
        Some(Transmit { packet: packet.into(), ecn })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }
}

impl<T: FrameTransport> FrameTransport for Carried<T>
where
    Datagram: From<T::Packet>,
    T::Packet: TryFrom<Datagram>,
{
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink) {
        self.0.offer(now, frame, sink);
    }

    fn backlog(&self) -> ByteSize {
        self.0.backlog()
    }

    fn rate_estimate(&self) -> Option<Bitrate> {
        self.0.rate_estimate()
    }

    fn adjust_repair(&mut self, steps: i8) {
        self.0.adjust_repair(steps);
    }

    fn poll_event(&mut self) -> Option<FrameEvent> {
        self.0.poll_event()
    }

    fn request_refresh(&mut self, now: Time, frame: FrameId) {
        self.0.request_refresh(now, frame);
    }
}
