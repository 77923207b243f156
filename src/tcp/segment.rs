//! What travels between the two ends: a segment with everything its header says, and no payload bytes.
//!
//! Sequence numbers are 64 bits wide and start at 0, so that nothing wraps in virtual time; every
//! segment also has a number of its own, because boundaries never move once a segment was cut
//! (Linux may merge small neighbors when it retransmits; the model does not).

use super::ecn;
use crate::endpoint::{Class, Wire};
use crate::time::Time;

/// A TCP segment over IPv4 with the timestamp option (RFC 7323).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it is for; says also whether it belongs to the handshake.
    pub class: Class,
    /// Its first byte's place in the stream.
    pub sequence: u64,
    /// How many bytes of the stream it carries; none in a pure acknowledgment.
    pub length: u32,
    /// Its place among the segments of the stream, 0, 1, 2, …; meaningless where `length` is 0.
    pub number: u64,
    /// Every byte of the other stream below this has arrived.
    pub acknowledgment: u64,
    /// What has arrived beyond that (RFC 2018), the latest first.
    pub sack: SackBlocks,
    /// Whether the segment that caused this acknowledgment had arrived before (RFC 2883).
    pub duplicate: bool,
    /// How many bytes beyond `acknowledgment` the receiver has room for.
    pub window: u32,
    /// When it was sent (TSval).
    pub sent_at: Time,
    /// The `sent_at` that it echoes (TSecr).
    pub echo: Time,
    /// What it does in the handshake.
    pub handshake: Handshake,
    /// Explicit congestion notification.
    pub ecn: ecn::Flags,
}

/// A segment's part in the handshake (RFC 9293, section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// None: the connection is established.
    Done,
    /// The client opens the connection.
    Syn,
    /// The server agrees.
    SynAck,
}

/// Up to three selective acknowledgments, as many as fit beside timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(u64, u64); Self::MAX],
    count: u8,
}

impl SackBlocks {
    /// How many fit into a header that also carries timestamps.
    pub const MAX: usize = 3;

    /// The first [`SackBlocks::MAX`] of `blocks`, each from its first byte to the one after its last.
    pub fn new(blocks: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut taken = Self::default();
        for (place, block) in taken.blocks.iter_mut().zip(blocks) {
            *place = block;
            taken.count += 1;
        }
        taken
    }

    /// The blocks, the latest first.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.blocks[..usize::from(self.count)]
    }
}

/// IPv4 and TCP headers and the timestamp option with its padding, in bytes.
pub(super) const HEADERS: u32 = 20 + 20 + 12;

impl Wire for Segment {
    fn size(&self) -> u32 {
        let sacks = u32::from(self.sack.count) + u32::from(self.duplicate);
        // Two bytes of padding, kind and length stand before the blocks of 8 bytes each.
        let sack_option = if sacks == 0 { 0 } else { 4 + 8 * sacks.min(SackBlocks::MAX as u32) };
        // MSS, SACK permitted and window scale fill 8 bytes of the handshake's options.
        let syn_options = if self.handshake == Handshake::Done { 0 } else { 8 };
        HEADERS + sack_option + syn_options + self.length
    }

    fn payload(&self) -> u32 {
        self.length
    }

    fn class(&self) -> Class {
        self.class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgment(sack: SackBlocks) -> Segment {
        Segment {
            class: Class::Feedback,
            sequence: 0,
            length: 0,
            number: 0,
            acknowledgment: 0,
            sack,
            duplicate: false,
            window: 65_535,
            sent_at: Time::ZERO,
            echo: Time::ZERO,
            handshake: Handshake::Done,
            ecn: ecn::Flags::default(),
        }
    }

    #[test]
    fn sizes_count_all_headers_and_options() {
        assert_eq!(acknowledgment(SackBlocks::default()).size(), 52);
        assert_eq!(acknowledgment(SackBlocks::new([(1, 2)])).size(), 64);
        assert_eq!(acknowledgment(SackBlocks::new([(1, 2), (3, 4), (5, 6), (7, 8)])).size(), 80);
        let full = Segment { length: 1448, ..acknowledgment(SackBlocks::default()) };
        assert_eq!(full.size(), 1500);
    }

    #[test]
    fn a_segment_stays_small_enough_to_be_moved_about() {
        assert!(size_of::<Segment>() <= 136, "{}", size_of::<Segment>());
    }
}
