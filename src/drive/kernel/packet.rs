//! An IP packet on its way from one TUN device to the other.

use bytes::BytesMut;

use super::offload::HEADER;
use crate::endpoint::{Class, Ecn, Wire};

/// The bytes of an IP packet, and what a link wants to know of it.
#[derive(Clone, Debug)]
pub struct IpPacket {
    /// The header that the kernel put in front of it, and the packet.
    bytes: BytesMut,
    class: Class,
    payload: u32,
}

impl IpPacket {
    /// A packet, with the kernel's header in front, of this class and with so many bytes of payload, as
    /// [`Wire`] has it.
    pub(super) const fn new(bytes: BytesMut, class: Class, payload: u32) -> Self {
        Self { bytes, class, payload }
    }

    /// All of it, from the IP header on.
    pub fn bytes(&self) -> &[u8] {
        ip(&self.bytes)
    }

    /// The same with the kernel's header in front.
    pub(super) fn with_header(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the IP header this mark of congestion notification, and the checksum that fits it.
    pub(super) fn mark(&mut self, ecn: Ecn) {
        let Some([version, service, .., high, low]) = self.bytes().first_chunk::<12>().copied() else {
            return;
        };
        let marked = service & !ECN_BITS | bits(ecn);
        if marked == service {
            return;
        }
        // RFC 1624, equation 3: the checksum follows from the word that changed.
        let (old, new) = (u16::from_be_bytes([version, service]), u16::from_be_bytes([version, marked]));
        let checksum = u16::from_be_bytes([high, low]);
        let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
        self.bytes[HEADER + 1] = marked;
        self.bytes[HEADER + 10..HEADER + 12].copy_from_slice(&checksum.to_be_bytes());
    }
}

impl Wire for IpPacket {
    fn size(&self) -> u32 {
        self.bytes().len() as u32
    }

    fn payload(&self) -> u32 {
        self.payload
    }

    fn class(&self) -> Class {
        self.class
    }
}

/// The packet behind the kernel's header.
pub(super) fn ip(bytes: &[u8]) -> &[u8] {
    bytes.get(HEADER..).unwrap_or_default()
}

/// Whether these bytes are an IPv4 packet with its whole header.
pub(super) fn is_ipv4(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] >> 4 == 4
}

/// How an IPv4 packet is marked; not at all where it ends before it could say so.
pub(super) fn ecn(bytes: &[u8]) -> Ecn {
    match bytes.get(1).map_or(0, |service| service & ECN_BITS) {
        0b01 => Ecn::Ect1,
        0b10 => Ecn::Ect0,
        0b11 => Ecn::Ce,
        _ => Ecn::NotEct,
    }
}

/// RFC 3168, section 5: the last two bits of the second byte of the IP header.
const ECN_BITS: u8 = 0b11;

const fn bits(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotEct => 0b00,
        Ecn::Ect1 => 0b01,
        Ecn::Ect0 => 0b10,
        Ecn::Ce => 0b11,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice};
    use proptest::prelude::*;

    use super::*;

    fn packet(service: u8, identification: u16) -> IpPacket {
        let mut header = Ipv4Header::new(8, 64, IpNumber::UDP, [198, 18, 0, 1], [198, 18, 0, 2]).unwrap();
        header.dscp = (service >> 2).try_into().unwrap();
        header.ecn = (service & ECN_BITS).try_into().unwrap();
        header.identification = identification;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = BytesMut::from(&[0; HEADER][..]);
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(&[0; 8]);
        IpPacket::new(bytes, Class::Source, 0)
    }

    proptest! {
        #[test]
        fn a_mark_leaves_a_header_whose_checksum_is_right(service: u8, identification: u16, mark in 0_usize..4) {
            let mark = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce][mark];
            let mut packet = packet(service, identification);
            packet.mark(mark);
            prop_assert_eq!(ecn(packet.bytes()), mark);
            let header = Ipv4HeaderSlice::from_slice(packet.bytes()).unwrap().to_header();
            prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
            prop_assert_eq!(header.dscp.value(), service >> 2);
        }
    }

    #[test]
    fn what_is_too_short_for_a_header_is_left_alone() {
        let mut packet = IpPacket::new(BytesMut::from(&[0; HEADER + 11][..]), Class::Source, 0);
        packet.mark(Ecn::Ce);
        assert_eq!(packet.bytes(), &[0; 11]);
        assert!(!is_ipv4(packet.bytes()) && ecn(&[]) == Ecn::NotEct);
    }
}
