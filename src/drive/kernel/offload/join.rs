//! Joins packets that arrive together, as the kernel does with those that a network interface hands it
//! (generic receive offload, GRO), and under the same condition: cutting gives back the very same packets.

use std::io::IoSlice;

use super::super::packet::IpPacket;
use super::{ACK, ECE, FIN, FLAGS, HEADER, PSH, Shape, TCP};

/// Packets that arrive together, one behind the other, and are handed over as one large packet.
#[derive(Debug, Default)]
pub(in super::super) struct Train {
    packets: Vec<IpPacket>,
    /// Theirs; none where the first has to be handed over alone.
    shape: Option<Shape>,
    /// How many bytes of payload they have.
    payload: usize,
    /// Whether another one may follow.
    open: bool,
    /// The headers of the large packet.
    headers: Vec<u8>,
}

impl Train {
    /// Takes a packet behind the others, or gives it back where it has to be handed over after them. The
    /// first is always taken.
    pub(in super::super) fn couple(&mut self, packet: IpPacket) -> Result<(), IpPacket> {
        if self.packets.is_empty() {
            self.shape = shape(&packet);
            self.payload = 0;
            self.open = self.shape.is_some();
        } else if !self.fits(&packet) {
            return Err(packet);
        }
        if let Some(shape) = &self.shape {
            let length = packet.bytes().len() - shape.payload;
            self.payload += length;
            // As the kernel's: the end of what was written is not kept waiting for more.
            self.open &= length == shape.size && shape.flags(packet.bytes()) & (FIN | PSH) == 0;
        }
        self.packets.push(packet);
        Ok(())
    }

    /// How many packets it has.
    pub(in super::super) const fn count(&self) -> usize {
        self.packets.len()
    }

    /// Two or more as one, with the kernel's header in front, in pieces.
    pub(in super::super) fn joined(&mut self) -> Vec<IoSlice<'_>> {
        let Self { packets, shape, payload, headers, .. } = self;
        let (Some(shape), [first, .., last]) = (shape, &packets[..]) else { return Vec::new() };
        headers.clear();
        headers.extend_from_slice(&shape.large());
        headers.extend_from_slice(&first.bytes()[..shape.payload]);
        let ip = &mut headers[HEADER..];
        shape.add_flags(ip, shape.flags(last.bytes()));
        shape.adapt(ip, 0, *payload, true);
        let payloads = packets.iter().map(|packet| IoSlice::new(&packet.bytes()[shape.payload..]));
        std::iter::once(IoSlice::new(headers)).chain(payloads).collect()
    }

    /// Lets go of them.
    pub(in super::super) fn clear(&mut self) {
        self.packets.clear();
    }

    /// Takes them out again, each by itself.
    pub(in super::super) fn drain(&mut self) -> impl Iterator<Item = IpPacket> {
        self.packets.drain(..)
    }

    /// Whether there is room for a packet, and it is the one that cutting would give behind the last.
    fn fits(&self, packet: &IpPacket) -> bool {
        let (Some(shape), true) = (self.shape, self.open) else { return false };
        let number = self.packets.len();
        let Some(length @ 1..) = packet.bytes().len().checked_sub(shape.payload) else { return false };
        length <= shape.size
            && number < PACKETS_MAX
            && shape.payload + self.payload + length <= LARGE_MAX
            && shape.is_cut(&self.packets[0], number, packet)
    }
}

/// The shape of a train that a packet begins; none where it is handed over alone.
fn shape(packet: &IpPacket) -> Option<Shape> {
    let ip = packet.bytes();
    let shape = Shape::of(ip, *ip.get(9)?)?;
    let usual = shape.flags(ip) & !(ACK | ECE | FIN | PSH) == 0;
    (usual && shape.is_cut(packet, 0, packet)).then_some(shape)
}

impl Shape {
    /// Whether `packet` is what cutting gives as the packet `number` where it gives `first` as the first, but
    /// for the flags that only the last has.
    fn is_cut(&self, first: &IpPacket, number: usize, packet: &IpPacket) -> bool {
        let ip = packet.bytes();
        let mut headers = [0; HEADERS_MAX];
        let headers = &mut headers[..self.payload];
        headers.copy_from_slice(&first.bytes()[..self.payload]);
        self.adapt(headers, number, ip.len() - self.payload, false);
        self.add_flags(headers, self.flags(ip) & (FIN | PSH));
        packet.with_header().starts_with(&self.single()) && ip.starts_with(headers)
    }

    /// The flags of TCP; none where it is not TCP.
    fn flags(&self, ip: &[u8]) -> u8 {
        if self.protocol == TCP { ip[self.transport + FLAGS] } else { 0 }
    }

    fn add_flags(&self, headers: &mut [u8], flags: u8) {
        if self.protocol == TCP {
            headers[self.transport + FLAGS] |= flags;
        }
    }
}

/// As many packets as a large one of full segments has and some more; the system takes 1024 pieces at once.
const PACKETS_MAX: usize = 64;

/// The largest IP packet there is, and its longest headers.
const LARGE_MAX: usize = 65_535;
const HEADERS_MAX: usize = 60 + 60;

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::super::tests::{FROM, TO, finished};
    use super::super::{CWR, Pool, UDP, cut};
    use super::*;
    use crate::endpoint::{Class, Ecn};

    /// What a sender's large packet is cut into.
    fn cut_tcp(payload: &[u8], size: usize, sequence: u32, flags: u8) -> Vec<IpPacket> {
        let mut ip = Vec::new();
        PacketBuilder::ipv4(FROM, TO, 64).tcp(80, 5000, sequence, 1000).write(&mut ip, payload).unwrap();
        ip[20 + FLAGS] = flags;
        cut_large(&ip, size)
    }

    fn cut_udp(payload: &[u8], size: usize) -> Vec<IpPacket> {
        let mut ip = Vec::new();
        PacketBuilder::ipv4(FROM, TO, 64).udp(9, 9).write(&mut ip, payload).unwrap();
        cut_large(&ip, size)
    }

    fn cut_large(ip: &[u8], size: usize) -> Vec<IpPacket> {
        let shape = Shape { size, ..Shape::of(ip, ip[9]).unwrap() };
        packets(&[&shape.large(), ip].concat())
    }

    fn packets(large: &[u8]) -> Vec<IpPacket> {
        let packets = cut(large, &mut Pool::default()).unwrap();
        packets.into_iter().map(|bytes| IpPacket::new(bytes, Class::Source, 0)).collect()
    }

    fn bytes(packets: &[IpPacket]) -> Vec<Vec<u8>> {
        packets.iter().map(|packet| packet.with_header().to_vec()).collect()
    }

    /// What is handed over where these packets arrive together.
    fn joined(packets: &[IpPacket]) -> Vec<Vec<u8>> {
        let (mut train, mut out) = (Train::default(), Vec::new());
        let mut hand_over = |train: &mut Train| {
            if train.count() > 1 {
                out.push(train.joined().iter().flat_map(|piece| piece.to_vec()).collect());
                train.clear();
            }
            out.extend(train.drain().map(|packet| packet.with_header().to_vec()));
        };
        for packet in packets {
            if let Err(next) = train.couple(packet.clone()) {
                hand_over(&mut train);
                train.couple(next).unwrap();
            }
        }
        hand_over(&mut train);
        out
    }

    /// How many packets each has of those that are handed over.
    fn lengths(packets: &[IpPacket]) -> Vec<usize> {
        joined(packets).iter().map(|large| self::packets(large).len()).collect()
    }

    proptest! {
        #[test]
        fn what_was_cut_is_joined_to_what_it_was(
            payload in prop::collection::vec(any::<u8>(), 1..9000), size in 200_usize..2000, sequence: u32,
            flags in prop::sample::select(vec![ACK, ACK | PSH, ACK | PSH | FIN, ACK | ECE, FIN]), tcp: bool,
        ) {
            let parts = if tcp { cut_tcp(&payload, size, sequence, flags) } else { cut_udp(&payload, size) };
            let large = joined(&parts);
            prop_assert_eq!(large.len(), 1);
            prop_assert_eq!(&finished(&large[0]).1, &payload);
            prop_assert_eq!(bytes(&packets(&large[0])), bytes(&parts));
        }

        #[test]
        fn cutting_what_was_joined_gives_back_every_packet_in_order(
            trains in prop::collection::vec(
                (1_usize..6000, 100_usize..1500, 0_u32..3, prop::sample::select(vec![ACK, ACK | PSH, CWR, 0x3f])),
                1..6,
            ),
            lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            marked in prop::option::of(any::<prop::sample::Index>()),
            damaged in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..60, any::<u8>()), 0..3),
        ) {
            let mut sent = Vec::new();
            for (length, size, udp, flags) in trains {
                let payload = vec![length as u8; length];
                sent.extend(if udp == 0 { cut_udp(&payload, size) } else { cut_tcp(&payload, size, 7, flags) });
            }
            if let Some(index) = marked {
                let place = index.index(sent.len());
                sent[place].mark(Ecn::Ce);
            }
            for (index, at, value) in damaged {
                let place = index.index(sent.len());
                let mut bytes = bytes::BytesMut::from(sent[place].with_header());
                let at = HEADER + at;
                if at < bytes.len() {
                    bytes[at] = value;
                }
                sent[place] = IpPacket::new(bytes, Class::Source, 0);
            }
            for index in lost {
                if sent.len() > 1 {
                    sent.remove(index.index(sent.len()));
                }
            }
            let found: Vec<_> = joined(&sent).iter().flat_map(|large| self::packets(large)).collect();
            prop_assert_eq!(bytes(&found), bytes(&sent));
        }

        #[test]
        fn no_packet_can_make_it_fail(
            wild in prop::collection::vec(prop::collection::vec(any::<u8>(), HEADER..120), 1..4),
            start in prop::option::of(0x45_u8..0x4f), protocol in prop::sample::select(vec![TCP, UDP, 1]),
        ) {
            let wild = wild.into_iter().map(|mut bytes| {
                if let (Some(start), true) = (start, bytes.len() > HEADER + 9) {
                    (bytes[HEADER], bytes[HEADER + 9]) = (start, protocol);
                }
                IpPacket::new(bytes::BytesMut::from(&bytes[..]), Class::Source, 0)
            });
            // It must end, without a panic, and with all bytes.
            let wild: Vec<_> = wild.collect();
            prop_assert_eq!(joined(&wild).concat(), bytes(&wild).concat());
        }
    }

    #[test]
    fn a_gap_in_the_sequence_begins_another_one() {
        let mut parts = cut_tcp(&[1; 5000], 1000, 0, ACK);
        assert_eq!(lengths(&parts), [5]);
        parts.remove(2);
        assert_eq!(lengths(&parts), [2, 2]);
        parts.swap(0, 1);
        assert_eq!(lengths(&parts), [1, 1, 2]);
    }

    #[test]
    fn a_packet_that_is_marked_is_not_joined_with_those_that_are_not() {
        let mut parts = cut_tcp(&[1; 5000], 1000, 0, ACK);
        parts[2].mark(Ecn::Ce);
        assert_eq!(lengths(&parts), [2, 1, 2]);
    }

    #[test]
    fn what_ends_a_write_or_is_short_is_the_last() {
        for (first, flags) in [(2000, ACK | PSH), (1500, ACK)] {
            let mut parts = cut_tcp(&vec![1; first], 1000, 0, flags);
            parts.extend(cut_tcp(&[1; 2000], 1000, first as u32, ACK));
            assert_eq!(lengths(&parts), [2, 2]);
        }
    }

    #[test]
    fn acknowledgments_and_segments_with_rare_flags_stay_alone() {
        const SYN: u8 = 0x02;
        const RST: u8 = 0x04;
        const URG: u8 = 0x20;
        let second = cut_tcp(&[1; 9], 9, 9, ACK).remove(0);
        let shape = Shape::of(second.bytes(), TCP).unwrap();
        let mut ip = second.bytes()[..40].to_vec();
        shape.adapt(&mut ip, 0, 0, true);
        let acknowledgment = packets(&[&shape.single()[..], &ip].concat());
        assert_eq!(lengths(&[cut_tcp(&[1; 9], 9, 0, ACK), acknowledgment].concat()), [1, 1]);
        for flags in [ACK | SYN, RST, ACK | URG] {
            assert_eq!(lengths(&cut_tcp(&[1; 2000], 1000, 0, flags)), [1, 1], "{flags:#x}");
        }
    }

    #[test]
    fn no_more_are_joined_than_a_packet_can_hold() {
        let parts = cut_tcp(&[1; 65_000], 1000, 0, ACK);
        assert_eq!(lengths(&parts), [PACKETS_MAX, 1]);
        // Another 65,000 bytes behind 1,000 would be too long for one packet.
        let mut parts = cut_tcp(&[1; 5000], 5000, 0, ACK);
        parts.extend(cut_tcp(&[1; 65_000], 5000, 5000, ACK));
        let large = joined(&parts);
        assert!(large.iter().all(|large| large.len() - HEADER <= LARGE_MAX), "{}", large[0].len());
    }
}
