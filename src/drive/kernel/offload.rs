//! What the kernel leaves to a device (`struct virtio_net_hdr`, Virtio 1.2, section 5.1.6): to cut a large
//! packet into those that fit the MTU, and to finish checksums.
//!
//! A sender's packets come to the relay uncut, which spares the kernel most of its work for each. They are
//! cut here before anything else happens to them, exactly as the kernel would, so that each has a fate of
//! its own. Checksums are left unfinished: they protect nothing between two ends in one kernel.

use std::collections::VecDeque;

use bytes::BytesMut;
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice, ip_number};

/// How long the header in front of every packet is.
pub(super) const HEADER: usize = 10;

/// A packet that cannot be cut: nothing that the kernel sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uncuttable;

/// How the payload of a large packet is to be cut.
struct Cut {
    /// Where the transport protocol's header starts.
    transport: usize,
    protocol: u8,
    /// How many bytes of payload each packet gets; the last may get fewer.
    size: usize,
}

/// Puts the packets that `packet` (with the kernel's header in front) stands for behind those in `out`,
/// each with a header of its own. Most stand for themselves.
///
/// # Errors
/// [`Uncuttable`].
pub(super) fn cut(packet: &[u8], pool: &mut Pool, out: &mut VecDeque<BytesMut>) -> Result<(), Uncuttable> {
    let (header, ip) = packet.split_first_chunk::<HEADER>().ok_or(Uncuttable)?;
    let [_, kind, _, _, size_low, size_high, ..] = *header;
    let protocol = match kind & !GSO_ECN {
        GSO_NONE => {
            out.push_back(pool.take(&[packet]));
            return Ok(());
        }
        GSO_TCPV4 => ip_number::TCP.0,
        GSO_UDP_L4 => ip_number::UDP.0,
        _ => return Err(Uncuttable),
    };
    let size = usize::from(u16::from_ne_bytes([size_low, size_high]));
    let (transport, payload) = headers(ip, protocol).filter(|_| size > 0).ok_or(Uncuttable)?;
    let cut = Cut { transport, protocol, size };
    let count = ip[payload..].chunks(size).count();
    for (number, part) in ip[payload..].chunks(size).enumerate() {
        let mut bytes = pool.take(&[&unfinished(&cut), &ip[..payload], part]);
        cut.adapt(&mut bytes[HEADER..], number, number + 1 == count);
        out.push_back(bytes);
    }
    Ok(())
}

/// Where the transport protocol's header starts, and where it ends.
fn headers(ip: &[u8], protocol: u8) -> Option<(usize, usize)> {
    let transport = Ipv4HeaderSlice::from_slice(ip).ok()?.slice().len();
    let body = ip.get(transport..)?;
    let length = if protocol == ip_number::TCP.0 {
        TcpHeaderSlice::from_slice(body).ok()?.slice().len()
    } else {
        UdpHeaderSlice::from_slice(body).ok()?.slice().len()
    };
    Some((transport, transport + length))
}

impl Cut {
    /// Makes the headers of the large packet those of the packet `number` of it.
    fn adapt(&self, ip: &mut [u8], number: usize, last: bool) {
        let length = ip.len() as u16;
        set(ip, 2, length);
        let identification = get(ip, 4).wrapping_add(number as u16);
        set(ip, 4, identification);
        set(ip, 10, 0);
        let checksum = !sum(&ip[..self.transport]);
        set(ip, 10, checksum);

        let body = length - self.transport as u16;
        let transport = &mut ip[self.transport..];
        if self.protocol == ip_number::TCP.0 {
            let [_, _, _, _, a, b, c, d, ..] = *transport else { return };
            let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add((number * self.size) as u32);
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            // RFC 9293: what ends with the data goes with the last; RFC 3168: CWR is said once.
            transport[13] &= !if last { 0 } else { FIN | PSH };
            transport[13] &= !if number == 0 { 0 } else { CWR };
        } else {
            set(transport, 4, body);
        }
        // What an unfinished checksum starts from: the sum of the pseudo header.
        let pseudo = add(sum(&ip[12..20]), add(u16::from(self.protocol), body));
        set(&mut ip[self.transport..], self.checksum(), pseudo);
    }

    /// Where in the transport protocol's header the checksum is.
    const fn checksum(&self) -> usize {
        if self.protocol == ip_number::TCP.0 { 16 } else { 6 }
    }
}

/// A header that says: from where on to sum, and where the sum goes.
fn unfinished(cut: &Cut) -> [u8; HEADER] {
    let [a, b] = (cut.transport as u16).to_ne_bytes();
    let [c, d] = (cut.checksum() as u16).to_ne_bytes();
    [NEEDS_CHECKSUM, GSO_NONE, 0, 0, 0, 0, a, b, c, d]
}

fn get(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The one's complement sum of an even number of bytes (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    bytes.chunks_exact(2).fold(0, |total, pair| add(total, get(pair, 0)))
}

const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// Memory for packets, which share its allocations.
#[derive(Debug, Default)]
pub(super) struct Pool(BytesMut);

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

/// `linux/virtio_net.h`.
const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Flags of TCP (RFC 9293, section 3.1).
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4HeaderSlice, PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;

    const FROM: [u8; 4] = [198, 18, 0, 1];
    const TO: [u8; 4] = [198, 18, 0, 2];

    fn large(kind: u8, size: u16, ip: &[u8]) -> Vec<u8> {
        let mut packet = vec![NEEDS_CHECKSUM, kind, 0, 0];
        packet.extend(size.to_ne_bytes());
        packet.extend([0; 4]);
        packet.extend(ip);
        packet
    }

    fn parts(packet: &[u8]) -> Result<VecDeque<BytesMut>, Uncuttable> {
        let mut out = VecDeque::new();
        cut(packet, &mut Pool::default(), &mut out).map(|()| out)
    }

    /// Finishes the checksum as the kernel would, checks it, and returns the payload.
    fn finished(part: &BytesMut) -> (Vec<u8>, Vec<u8>) {
        let (header, mut ip) = (part[..HEADER].to_vec(), part[HEADER..].to_vec());
        assert_eq!(header[0], NEEDS_CHECKSUM);
        let start = usize::from(u16::from_ne_bytes([header[6], header[7]]));
        let offset = usize::from(u16::from_ne_bytes([header[8], header[9]]));
        let mut summed = ip[start..].to_vec();
        summed.resize(summed.len().next_multiple_of(2), 0);
        let checksum = !sum(&summed);
        set(&mut ip, start + offset, checksum);
        let ip_header = Ipv4HeaderSlice::from_slice(&ip).unwrap().to_header();
        assert_eq!(ip_header.header_checksum, ip_header.calc_header_checksum());
        assert_eq!(usize::from(ip_header.total_len), ip.len());
        let payload = match SlicedPacket::from_ip(&ip).unwrap().transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                let right = tcp.calc_checksum_ipv4(FROM, TO).unwrap();
                assert_eq!(tcp.checksum(), right);
                tcp.payload().to_vec()
            }
            TransportSlice::Udp(udp) => {
                let right = udp.to_header().calc_checksum_ipv4_raw(FROM, TO, udp.payload()).unwrap();
                assert_eq!(udp.checksum(), right);
                assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
                udp.payload().to_vec()
            }
            other => panic!("{other:?}"),
        };
        (ip, payload)
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
}
