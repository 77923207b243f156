//! What the packets of a trial are: which session's, and for what.

use std::collections::HashMap;

use bytes::Bytes;
use etherparse::{Ipv4Slice, UdpSlice, ip_number};

use super::super::relay::{Seen, Watch};
use super::super::tcp::{self, TcpWatch};
use super::sockets::Carrier;
use crate::endpoint::{Class, Direction, Flow, Wire};
use crate::record::Sink;
use crate::time::Time;
use crate::transport::packet::{ENVELOPE_LEN, Packet};

/// Sees the packets of all sessions.
#[derive(Debug)]
pub(super) struct TrialWatch {
    /// The sessions by the server's port.
    flows: HashMap<u16, Flow>,
    /// The watches of the sessions over TCP.
    connections: Vec<Option<TcpWatch>>,
    begun: bool,
}

impl TrialWatch {
    /// Of the sessions with these sockets. Until it [begins](TrialWatch::begin) everything passes.
    pub(super) fn new(carriers: &[Carrier]) -> Self {
        let flows = carriers.iter().zip(0..).map(|(carrier, flow)| (carrier.port(), Flow(flow))).collect();
        let connection = |(carrier, flow): (&Carrier, u16)| match carrier {
            Carrier::Udp(_) => None,
            Carrier::Tcp { taps, .. } => {
                Some(TcpWatch::new(Flow(flow), taps.each_ref().map(|tap| tap.book())))
            }
        };
        let connections = carriers.iter().zip(0..).map(connection).collect();
        Self { flows, connections, begun: false }
    }

    /// From now on packets cross the link.
    pub(super) const fn begin(&mut self) {
        self.begun = true;
    }

    /// The application of a session over TCP has read what travels in `direction` up to `position`.
    pub(super) fn handle_read(
        &mut self,
        now: Time,
        flow: usize,
        direction: Direction,
        position: u64,
        sink: &mut dyn Sink,
    ) {
        if let Some(Some(watch)) = self.connections.get_mut(flow) {
            watch.handle_read(now, direction, position, sink);
        }
    }

    fn flow(&self, direction: Direction, source: u16, destination: u16) -> Option<Flow> {
        let server = match direction {
            Direction::Down => source,
            Direction::Up => destination,
        };
        self.flows.get(&server).copied()
    }

    /// A datagram of a session: its flow, what it is for, and how much payload it has.
    fn datagram(&self, direction: Direction, packet: &Ipv4Slice<'_>) -> Option<Seen> {
        let datagram = UdpSlice::from_slice(packet.payload().payload).ok()?;
        let flow = self.flow(direction, datagram.source_port(), datagram.destination_port())?;
        let inside = datagram.payload().get(ENVELOPE_LEN..)?;
        Some(match Packet::decode(Bytes::copy_from_slice(inside)) {
            Ok(packet) => Seen::Impair { flow, class: packet.class(), payload: packet.payload() },
            // What is no packet of the transport belongs to the doors.
            Err(_) => Seen::Impair { flow, class: Class::Handshake, payload: 0 },
        })
    }

    fn segment(
        &mut self,
        now: Time,
        direction: Direction,
        packet: &[u8],
        sink: &mut dyn Sink,
    ) -> Option<Seen> {
        let segment = tcp::parse(packet)?;
        let flow = self.flow(direction, segment.source_port(), segment.destination_port())?;
        let watch = self.connections.get_mut(usize::from(flow.0))?.as_mut()?;
        let tcp::Seen { class, payload } = watch.handle_segment(now, direction, &segment, sink);
        Some(Seen::Impair { flow, class, payload })
    }
}

impl Watch for TrialWatch {
    fn see(&mut self, now: Time, direction: Direction, packet: &[u8], sink: &mut dyn Sink) -> Seen {
        if !self.begun {
            return Seen::Pass;
        }
        let Ok(parsed) = Ipv4Slice::from_slice(packet) else { return Seen::Ignore };
        let seen = match parsed.payload_ip_number() {
            ip_number::UDP if !parsed.payload().fragmented => self.datagram(direction, &parsed),
            ip_number::TCP => self.segment(now, direction, packet, sink),
            _ => None,
        };
        seen.unwrap_or(Seen::Ignore)
    }
}
