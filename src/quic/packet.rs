//! A QUIC datagram as the link sees it.

use bytes::Bytes;

use crate::endpoint::{Class, Wire};

/// Bytes of the IPv4 and UDP headers in front of every datagram.
pub(super) const IP_UDP_HEADER: u16 = 28;

/// One datagram, and what its sender knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What UDP carries.
    pub(super) datagram: Bytes,
    pub(super) class: Class,
    pub(super) payload: u32,
}

impl Wire for Packet {
    fn size(&self) -> u32 {
        u32::from(IP_UDP_HEADER) + self.datagram.len() as u32
    }

    fn payload(&self) -> u32 {
        self.payload
    }

    fn class(&self) -> Class {
        self.class
    }
}
