//! One random number per packet, at half the price.
//!
//! A block of the generator holds two words. Here two successive packets of a flow share a block, and the
//! last block is kept: a number is still a function of seed, stream, flow and index alone, and a flow
//! that sends in a row pays for every other one.

use crate::rng::{self, Stream};

use super::Meta;

/// One number per packet from one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerPacket {
    stream: Stream,
    /// The block that was drawn last, and its words.
    block: u64,
    words: [u64; 2],
}

impl PerPacket {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, block: 0, words: stream.pair(0) }
    }

    /// The packet's number, from 0 (included) to 1 (excluded).
    pub(super) fn unit(&mut self, meta: &Meta) -> f64 {
        // Flow and index stay apart: the lowest bit of the key is the index's.
        let (block, place) = (meta.key() >> 1, meta.key() & 1);
        if block != self.block {
            self.block = block;
            self.words = self.stream.pair(block);
        }
        rng::to_unit(self.words[place as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::laws::packet;
    use crate::rng::Seed;

    #[test]
    fn a_number_depends_on_flow_and_index_alone() {
        let fresh = || PerPacket::new(Seed(1).stream("test"));
        let mut shared = fresh();
        let mut seen = Vec::new();
        for index in 0..50 {
            for flow in [0, 1, 0] {
                let number = shared.unit(&packet(flow, index));
                assert_eq!(number, fresh().unit(&packet(flow, index)));
                seen.push(number.to_bits());
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }
}
