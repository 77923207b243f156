//! What the kernel and a device leave to each other (`struct virtio_net_hdr`, Virtio 1.2, section 5.1.6): to
//! cut a large packet into those that fit the MTU, and to finish checksums.
//!
//! A sender's packets come to the relay uncut, and may go to the receiver's kernel joined again where they
//! arrive together, which spares the kernel most of its work for each. In between each packet is by itself
//! and has a fate of its own. Checksums are left unfinished: they protect nothing between two ends in one
//! kernel.

mod cut;
mod join;

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice, ip_number};

pub(super) use self::cut::{Pool, cut};
pub(super) use self::join::Train;

/// How long the header in front of every packet is.
pub(super) const HEADER: usize = 10;

/// What a large packet and the packets that it stands for have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    protocol: u8,
    /// Where the transport protocol's header starts.
    transport: usize,
    /// Where the payload starts.
    payload: usize,
    /// How many bytes of payload each packet has; the last may have fewer.
    size: usize,
}

impl Shape {
    /// That of a packet of TCP or UDP by itself; none where it has no payload, or ends before its headers do.
    fn of(ip: &[u8], protocol: u8) -> Option<Self> {
        let transport = Ipv4HeaderSlice::from_slice(ip).ok()?.slice().len();
        let body = ip.get(transport..)?;
        let length = match protocol {
            TCP => TcpHeaderSlice::from_slice(body).ok()?.slice().len(),
            UDP => UdpHeaderSlice::from_slice(body).ok()?.slice().len(),
            _ => return None,
        };
        let size = body.len().checked_sub(length).filter(|&size| size > 0)?;
        Some(Self { protocol, transport, payload: transport + length, size })
    }

    /// Makes the headers of the large packet those of the packet `number` of it, which has so many bytes of
    /// payload. With all of the payload, the packet 0 is the large packet itself.
    fn adapt(&self, headers: &mut [u8], number: usize, payload: usize, last: bool) {
        set(headers, 2, (self.payload + payload) as u16);
        let identification = get(headers, 4).wrapping_add(number as u16);
        set(headers, 4, identification);
        set(headers, 10, 0);
        let checksum = !sum(&headers[..self.transport]);
        set(headers, 10, checksum);

        let body = (self.payload - self.transport + payload) as u16;
        let transport = &mut headers[self.transport..];
        if self.protocol == TCP {
            let [_, _, _, _, a, b, c, d, ..] = *transport else { return };
            let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add((number * self.size) as u32);
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            // RFC 9293: what ends with the data goes with the last; RFC 3168: CWR is said once.
            transport[FLAGS] &= !if last { 0 } else { FIN | PSH };
            transport[FLAGS] &= !if number == 0 { 0 } else { CWR };
        } else {
            set(transport, 4, body);
        }
        // What an unfinished checksum starts from: the sum of the pseudo header.
        let pseudo = add(sum(&headers[12..20]), add(u16::from(self.protocol), body));
        set(&mut headers[self.transport..], self.checksum(), pseudo);
    }

    /// The kernel's header of one of the packets: from where on to sum, and where the sum goes.
    fn single(&self) -> [u8; HEADER] {
        self.header(GSO_NONE, 0, 0)
    }

    /// The kernel's header of the large packet: also how to cut it, and how long its own headers are.
    fn large(&self) -> [u8; HEADER] {
        let kind = if self.protocol == TCP { GSO_TCPV4 } else { GSO_UDP_L4 };
        self.header(kind, self.payload as u16, self.size as u16)
    }

    fn header(&self, kind: u8, headers: u16, size: u16) -> [u8; HEADER] {
        let [a, b] = headers.to_ne_bytes();
        let [c, d] = size.to_ne_bytes();
        let [e, f] = (self.transport as u16).to_ne_bytes();
        let [g, h] = (self.checksum() as u16).to_ne_bytes();
        [NEEDS_CHECKSUM, kind, a, b, c, d, e, f, g, h]
    }

    /// Where in the transport protocol's header the checksum is.
    const fn checksum(&self) -> usize {
        if self.protocol == TCP { 16 } else { 6 }
    }
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

const TCP: u8 = ip_number::TCP.0;
const UDP: u8 = ip_number::UDP.0;

/// `linux/virtio_net.h`.
const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Where the flags of TCP are in its header, and some of them (RFC 9293, section 3.1).
const FLAGS: usize = 13;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4HeaderSlice, SlicedPacket, TransportSlice};

    use super::*;

    pub(super) const FROM: [u8; 4] = [198, 18, 0, 1];
    pub(super) const TO: [u8; 4] = [198, 18, 0, 2];

    /// Finishes the checksum as the kernel would, checks it, and returns packet and payload.
    pub(super) fn finished(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (header, mut ip) = (packet[..HEADER].to_vec(), packet[HEADER..].to_vec());
        assert_eq!(header[0], NEEDS_CHECKSUM);
        let start = usize::from(u16::from_ne_bytes([header[6], header[7]]));
        let offset = usize::from(u16::from_ne_bytes([header[8], header[9]]));
        let mut summed = ip[start..].to_vec();
        summed.resize(summed.len().next_multiple_of(2), 0);
        // RFC 768: none at all would be 0 in a datagram, so that a sum of 0 is said otherwise.
        let checksum = match !sum(&summed) {
            0 if ip[9] == UDP => 0xffff,
            checksum => checksum,
        };
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
}
