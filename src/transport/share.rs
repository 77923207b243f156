//! What is left for the application of the bytes that are sent.

use super::packet::{Body, IP_UDP_HEADER, Packet};

/// Which share of the bytes on the wire the application's bytes are, over the last megabyte or two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    payload: u64,
    wire: u64,
}

impl Share {
    /// The share of a packet that is full.
    pub(super) fn new(payload_max: usize, datagram: u16) -> Self {
        Self { payload: payload_max as u64, wire: u64::from(datagram) + u64::from(IP_UDP_HEADER) }
    }

    /// A packet of `size` bytes was sent.
    pub(super) fn note(&mut self, packet: &Packet, size: u32) {
        if let Body::Source(source) = &packet.body {
            self.payload += source.payload.len() as u64;
        }
        self.wire += u64::from(size);
        if self.wire > SHARE_MEMORY {
            self.payload /= 2;
            self.wire /= 2;
        }
    }

    /// The share, from 0 to 1.
    pub(super) fn get(&self) -> f64 {
        self.payload as f64 / self.wire as f64
    }
}

/// Bytes on the wire after which the past counts half.
const SHARE_MEMORY: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fec::{Repair, RepairHeader};
    use crate::transport::packet::Header;

    #[test]
    fn repair_packets_leave_less_for_the_application() {
        let mut share = Share::new(1160, 1200);
        assert_eq!(share.get(), 1160.0 / 1228.0);
        let header = RepairHeader { first: 0, count: 1, row: 0, parameter: 0 };
        let repair = Repair { header, symbol: Bytes::from_static(&[0; 1176]) };
        let packet = Packet { header: Header::default(), body: Body::Repair(repair) };
        share.note(&packet, 1228);
        assert_eq!(share.get(), 0.5 * 1160.0 / 1228.0);
    }
}
