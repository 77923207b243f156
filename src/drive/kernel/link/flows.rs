//! Tells the flows of programs that are not ours apart.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice, ip_number};

use crate::drive::kernel::relay::{Seen, Watch};
use crate::endpoint::{Class, Direction, Flow};
use crate::record::Sink;
use crate::time::Time;

/// Numbers flows in the order in which they appear: whatever has the same protocol, addresses and ports
/// is one, both ways.
#[derive(Debug, Default)]
pub(super) struct Flows {
    numbers: BTreeMap<Key, Flow>,
}

/// What is behind these is one flow with the last of them.
const FLOWS_MAX: usize = 4096;

/// The server's address and port, then the person's.
type Key = (u8, (Ipv4Addr, u16), (Ipv4Addr, u16));

impl Flows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    fn number(&mut self, key: Key) -> Flow {
        let count = self.numbers.len();
        if count < FLOWS_MAX {
            *self.numbers.entry(key).or_insert(Flow(count as u16))
        } else {
            self.numbers.get(&key).copied().unwrap_or(Flow(FLOWS_MAX as u16 - 1))
        }
    }
}

impl Watch for Flows {
    fn see(&mut self, _: Time, direction: Direction, packet: &[u8], _: &mut dyn Sink) -> Seen {
        let Ok(ip) = Ipv4HeaderSlice::from_slice(packet) else { return Seen::Ignore };
        let body = &packet[ip.slice().len()..];
        let (ports, class, headers) = transport(&ip, body);
        let (source, destination) = ((ip.source_addr(), ports.0), (ip.destination_addr(), ports.1));
        let (server, person) = match direction {
            Direction::Down => (source, destination),
            Direction::Up => (destination, source),
        };
        let flow = self.number((ip.protocol().0, server, person));
        Seen::Impair { flow, class, payload: body.len().saturating_sub(headers) as u32 }
    }
}

/// The ports of a packet, what it is for, and how long the header of its transport protocol is.
///
/// A part of a packet that was cut has no ports, but for the first: all of them are one flow then.
fn transport(ip: &Ipv4HeaderSlice<'_>, body: &[u8]) -> ((u16, u16), Class, usize) {
    let whole = !ip.is_fragmenting_payload();
    match ip.protocol() {
        ip_number::TCP if whole => match TcpHeaderSlice::from_slice(body) {
            Ok(tcp) => {
                let headers = tcp.slice().len();
                let class = if tcp.syn() {
                    Class::Handshake
                } else if body.len() == headers {
                    Class::Feedback
                } else {
                    Class::Source
                };
                ((tcp.source_port(), tcp.destination_port()), class, headers)
            }
            Err(_) => ((0, 0), Class::Source, 0),
        },
        ip_number::UDP if whole => match UdpHeaderSlice::from_slice(body) {
            Ok(udp) => ((udp.source_port(), udp.destination_port()), Class::Source, udp.slice().len()),
            Err(_) => ((0, 0), Class::Source, 0),
        },
        _ => ((0, 0), Class::Source, 0),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::record::Discard;

    const SERVER: [u8; 4] = [198, 18, 0, 1];
    const PERSON: [u8; 4] = [198, 18, 0, 2];

    fn udp(from: [u8; 4], to: [u8; 4], ports: (u16, u16), payload: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(from, to, 64).udp(ports.0, ports.1);
        builder.write(&mut packet, &vec![0; payload]).unwrap();
        packet
    }

    fn see(flows: &mut Flows, direction: Direction, packet: &[u8]) -> Seen {
        flows.see(Time::ZERO, direction, packet, &mut Discard)
    }

    #[test]
    fn both_ways_between_the_same_ports_are_one_flow() {
        let mut flows = Flows::default();
        let source = |flow, payload| Seen::Impair { flow: Flow(flow), class: Class::Source, payload };
        let up = |ports| udp(PERSON, SERVER, ports, 100);
        assert_eq!(see(&mut flows, Direction::Up, &up((5000, 53))), source(0, 100));
        assert_eq!(see(&mut flows, Direction::Up, &up((5001, 53))), source(1, 100));
        let down = udp(SERVER, PERSON, (53, 5000), 10);
        assert_eq!(see(&mut flows, Direction::Down, &down), source(0, 10));
        assert_eq!(flows.len(), 2);
    }

    #[test]
    fn segments_of_tcp_are_told_apart_by_what_they_do() {
        let mut flows = Flows::default();
        let mut class = |syn: bool, payload: usize| {
            let mut packet = Vec::new();
            let mut builder = PacketBuilder::ipv4(PERSON, SERVER, 64).tcp(5000, 80, 1, 65535).ack(1);
            if syn {
                builder = builder.syn();
            }
            builder.write(&mut packet, &vec![0; payload]).unwrap();
            match see(&mut flows, Direction::Up, &packet) {
                Seen::Impair { class, payload: seen, .. } if seen as usize == payload => class,
                seen => panic!("{seen:?}"),
            }
        };
        assert_eq!(class(true, 0), Class::Handshake);
        assert_eq!(class(false, 0), Class::Feedback);
        assert_eq!(class(false, 1000), Class::Source);
    }

    #[test]
    fn flows_beyond_the_bound_are_one() {
        let mut flows = Flows::default();
        let mut last = None;
        for port in 0..5000 {
            last = Some(see(&mut flows, Direction::Up, &udp(PERSON, SERVER, (port, 53), 0)));
        }
        assert_eq!(flows.len(), FLOWS_MAX);
        assert_eq!(last, Some(Seen::Impair { flow: Flow(4095), class: Class::Source, payload: 0 }));
        // Those known before keep their number.
        let known = see(&mut flows, Direction::Up, &udp(PERSON, SERVER, (7, 53), 0));
        assert_eq!(known, Seen::Impair { flow: Flow(7), class: Class::Source, payload: 0 });
    }

    proptest! {
        #[test]
        fn no_packet_can_make_it_fail(packet in prop::collection::vec(any::<u8>(), 0..100), up: bool) {
            let mut flows = Flows::default();
            let direction = if up { Direction::Up } else { Direction::Down };
            see(&mut flows, direction, &packet);
            let mut tcp = udp(PERSON, SERVER, (1, 2), 0);
            tcp.truncate(20);
            tcp[9] = if up { 6 } else { 17 };
            tcp.extend(packet);
            see(&mut flows, direction, &tcp);
        }
    }
}
