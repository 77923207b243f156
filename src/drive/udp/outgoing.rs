//! Datagrams that wait to leave, and which of them may leave together.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};

use crate::endpoint::Ecn;

/// The most bytes that wait in front of the socket; what would come on top is dropped.
pub(super) const QUEUE_MAX: usize = 4 << 20;

/// The longest payload of a datagram over IPv4, and so of a batch.
const BATCH_BYTES_MAX: usize = 65_507;

/// The datagrams that wait, back to back, and the batches that they form.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    contents: BytesMut,
    batches: VecDeque<Batch>,
}

/// Consecutive datagrams for one peer that may leave together: all of them `segment` bytes long, the
/// last one perhaps shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) to: SocketAddr,
    pub(super) ecn: Ecn,
    pub(super) segment: usize,
    bytes: usize,
}

impl Outgoing {
    /// Appends a datagram, to the last batch where it fits; false where there is no room.
    pub(super) fn push(
        &mut self,
        to: SocketAddr,
        ecn: Ecn,
        batch_max: usize,
        write: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let before = self.contents.len();
        write(&mut self.contents);
        if self.contents.len() > QUEUE_MAX {
            self.contents.truncate(before);
            return false;
        }
        let bytes = self.contents.len() - before;
        match self.batches.back_mut() {
            Some(batch) if (batch.to, batch.ecn) == (to, ecn) && batch.takes(bytes, batch_max) => {
                batch.bytes += bytes;
            }
            _ => self.batches.push_back(Batch { to, ecn, segment: bytes, bytes }),
        }
        true
    }

    /// The first batch, and what is in it.
    pub(super) fn first(&self) -> Option<(Batch, &[u8])> {
        self.batches.front().map(|batch| (*batch, &self.contents[..batch.bytes]))
    }

    /// What waits, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.contents.len()
    }

    /// Takes the first batch out; the number of its datagrams.
    pub(super) fn pop(&mut self) -> u64 {
        let Some(batch) = self.batches.pop_front() else { return 0 };
        self.contents.advance(batch.bytes);
        if self.contents.is_empty() {
            self.contents.clear();
        }
        batch.datagrams()
    }

    /// Makes each datagram of the first batch a batch of its own.
    pub(super) fn split(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        let mut left = batch.bytes;
        let mut single = Vec::new();
        while left > 0 {
            let bytes = batch.segment.min(left);
            single.push(Batch { segment: bytes, bytes, ..batch });
            left -= bytes;
        }
        single.into_iter().rev().for_each(|batch| self.batches.push_front(batch));
    }
}

impl Batch {
    /// Whether a datagram of `bytes` may join; a datagram shorter than the others ends the batch.
    fn takes(&self, bytes: usize, most: usize) -> bool {
        let whole = self.segment > 0 && self.bytes.is_multiple_of(self.segment);
        let short = bytes > 0 && bytes <= self.segment;
        let room = self.datagrams() < most as u64 && self.bytes + bytes <= BATCH_BYTES_MAX;
        whole && short && room
    }

    pub(super) fn datagrams(&self) -> u64 {
        self.bytes.div_ceil(self.segment.max(1)).max(1) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_keep_every_datagram_and_hold_only_what_may_travel_together(
            pushes in prop::collection::vec((0_u16..2, 0_usize..4), 0..300),
            most in 1_usize..64,
        ) {
            let mut outgoing = Outgoing::default();
            let mut model = Vec::new();
            for (number, (peer, hundreds)) in pushes.into_iter().enumerate() {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 1 + peer));
                let datagram = vec![number as u8; hundreds * 100];
                outgoing.push(to, Ecn::NotEct, most, |out| out.extend_from_slice(&datagram));
                model.push((to, datagram));
            }
            let mut back = Vec::new();
            while let Some((batch, contents)) = outgoing.first() {
                prop_assert!(batch.datagrams() <= most as u64);
                if contents.is_empty() {
                    back.push((batch.to, Vec::new()));
                }
                back.extend(contents.chunks(batch.segment.max(1)).map(|bytes| (batch.to, bytes.to_vec())));
                outgoing.pop();
            }
            prop_assert_eq!(back, model);
            prop_assert_eq!(outgoing.bytes(), 0);
        }
    }
}
