//! Cuts the large packets that the kernel sends, exactly as it would itself.

use bytes::BytesMut;

use super::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_UDP_L4, HEADER, Shape, TCP, UDP};

/// A packet that cannot be cut: nothing that the kernel sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Uncuttable;

/// The packets that `packet` (with the kernel's header in front) stands for, each with a header of its own.
/// Most stand for themselves.
///
/// # Errors
/// [`Uncuttable`].
pub(in super::super) fn cut(packet: &[u8], pool: &mut Pool) -> Result<Vec<BytesMut>, Uncuttable> {
    let (header, ip) = packet.split_first_chunk::<HEADER>().ok_or(Uncuttable)?;
    let [_, kind, _, _, size_low, size_high, ..] = *header;
    let protocol = match kind & !GSO_ECN {
        GSO_NONE => return Ok(vec![pool.take(&[packet])]),
        GSO_TCPV4 => TCP,
        GSO_UDP_L4 => UDP,
        _ => return Err(Uncuttable),
    };
    let size = usize::from(u16::from_ne_bytes([size_low, size_high]));
    let whole = Shape::of(ip, protocol).filter(|_| size > 0).ok_or(Uncuttable)?;
    let shape = Shape { size, ..whole };
    let (headers, payload) = ip.split_at(shape.payload);
    let count = payload.len().div_ceil(size);
    let part = |(number, part): (usize, &[u8])| {
        let mut bytes = pool.take(&[&shape.single(), headers, part]);
        shape.adapt(&mut bytes[HEADER..], number, part.len(), number + 1 == count);
        bytes
    };
    Ok(payload.chunks(size).enumerate().map(part).collect())
}

/// Memory for packets, which share its allocations.
#[derive(Debug, Default)]
pub(in super::super) struct Pool(BytesMut);

impl Pool {
    /// These bytes, one part behind the other.
    fn take(&mut self, parts: &[&[u8]]) -> BytesMut {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.0.capacity() < length {
            self.0.reserve(POOL_BYTES.max(length));
        }
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.split()
    }
}

/// How much memory is taken at once for packets: some forty of them.
const POOL_BYTES: usize = 65_536;

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::super::NEEDS_CHECKSUM;
    use super::super::tests::{FROM, TO, finished};
    use super::*;

    fn large(kind: u8, size: u16, ip: &[u8]) -> Vec<u8> {
        let mut packet = vec![NEEDS_CHECKSUM, kind, 0, 0];
        packet.extend(size.to_ne_bytes());
        packet.extend([0; 4]);
        packet.extend(ip);
        packet
    }

    fn parts(packet: &[u8]) -> Result<Vec<BytesMut>, Uncuttable> {
        cut(packet, &mut Pool::default())
    }

    proptest! {
        #[test]
        fn the_parts_of_a_segment_are_the_segment(
            payload in prop::collection::vec(any::<u8>(), 1..5000), size in 1_u16..2000, sequence: u32,
        ) {
            let mut ip = Vec::new();
            PacketBuilder::ipv4(FROM, TO, 64).tcp(80, 5000, sequence, 1000).ack(7).psh().fin()
                .write(&mut ip, &payload).unwrap();
            let parts = parts(&large(GSO_TCPV4, size, &ip)).unwrap();
            prop_assert_eq!(parts.len(), payload.len().div_ceil(usize::from(size)));
            let mut whole = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let (ip, part) = finished(part);
                let sliced = SlicedPacket::from_ip(&ip).unwrap();
                let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!() };
                prop_assert_eq!(tcp.sequence_number(), sequence.wrapping_add(whole.len() as u32));
                let last = number + 1 == parts.len();
                prop_assert_eq!((tcp.fin(), tcp.psh(), tcp.ack()), (last, last, true));
                whole.extend(part);
            }
            prop_assert_eq!(whole, payload);
        }

        #[test]
        fn the_parts_of_a_datagram_train_are_its_datagrams(
            payload in prop::collection::vec(any::<u8>(), 1..5000), size in 1_u16..2000,
        ) {
            let mut ip = Vec::new();
            PacketBuilder::ipv4(FROM, TO, 64).udp(9, 9).write(&mut ip, &payload).unwrap();
            let parts = parts(&large(GSO_UDP_L4, size, &ip)).unwrap();
            let found: Vec<_> = parts.iter().map(|part| finished(part).1).collect();
            let datagrams: Vec<_> = payload.chunks(size.into()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, datagrams);
        }

        #[test]
        fn no_packet_can_make_it_fail(
            kind in prop::sample::select(vec![GSO_NONE, GSO_TCPV4, GSO_UDP_L4, GSO_ECN | GSO_TCPV4, 3, 99]),
            size: u16,
            ip in prop::collection::vec(any::<u8>(), 0..200),
            start in prop::option::of(0x45_u8..0x4f),
        ) {
            let mut ip = ip;
            if let (Some(first), Some(start)) = (ip.first_mut(), start) {
                *first = start;
            }
            // It must end, without a panic.
            let _ = parts(&large(kind, size, &ip));
        }
    }

    #[test]
    fn a_packet_that_is_not_to_be_cut_stays_as_it_is() {
        let packet = large(GSO_NONE, 0, &[0x45, 1, 2, 3]);
        assert_eq!(parts(&packet).unwrap(), [BytesMut::from(&packet[..])]);
        assert_eq!(parts(&packet[..5]), Err(Uncuttable));
    }

    #[test]
    fn a_large_packet_without_payload_stands_for_nothing_and_is_refused() {
        let mut ip = Vec::new();
        PacketBuilder::ipv4(FROM, TO, 64).tcp(80, 5000, 1, 1000).write(&mut ip, &[]).unwrap();
        assert_eq!(parts(&large(GSO_TCPV4, 1000, &ip)), Err(Uncuttable));
    }
}
