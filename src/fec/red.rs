//! In-band redundancy: every packet carries the ones before it once more.
//!
//! The copies of the last `depth` packets ride in the datagram of the next one, so that there are more
//! bytes but no more packets: right where packets cost more than bytes, as on Wi-Fi, and for small ones
//! such as a person's input. A packet is lost only if it and the `depth` packets behind it are: at
//! independent loss e with probability e^(1 + depth), and no burst of up to `depth` packets takes
//! anything. On the channel of Gilbert with loss π and burst length 1/q that is π·(1 − q)^depth.
//!
//! Sources: RFC 2198 (the payload format RED), RFC 8854 §4 and §5 (WebRTC's rules for it).
//!
//! A copy is a block of one source packet, so the receiver is that of block codes, as for
//! [repetition](super::repeat).
//!
//! | here | RFC 2198 |
//! | --- | --- |
//! | a copy is the whole coded unit of the packet, its length inside | 10 bits of length: blocks up to 1023 bytes |
//! | it names the packet that it copies | 14 bits of timestamp offset |
//! | packets are cut so much smaller that the copies fit | the application chooses what it repeats, often at a lower rate |
//! | when nothing follows for 10 ms, the copies still owed leave as repair packets | the last packets of a talk spurt have no copies |

use std::collections::VecDeque;

use super::block::{BlockDecoder, Coefficients, UNIT_OVERHEAD};
use super::scheme::{InvalidScheme, within};
use super::{Encoder, Flush, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol};
use crate::time::{Duration, Time};

/// How long copies wait for packets to ride in: longer than the gaps between the packets of a frame,
/// shorter than the 16.7 ms from frame to frame at 60 Hz.
const PAUSE: Duration = Duration::from_millis(10);

/// The parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red {
    depth: u8,
}

impl Red {
    /// Each packet carries the `depth` (1 to 4) packets before it.
    ///
    /// # Errors
    ///
    /// Where the parameter is out of its range.
    pub fn new(depth: u32) -> Result<Self, InvalidScheme> {
        Ok(Self { depth: within("depth", depth, 1..=4)? as u8 })
    }

    /// How many earlier packets each packet carries.
    pub const fn depth(self) -> u8 {
        self.depth
    }

    pub(super) fn encoder<S: Symbol>(self) -> RedEncoder<S> {
        RedEncoder { red: self, recent: VecDeque::new(), pause_ends: None, ready: VecDeque::new() }
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::new(Coefficients::Ones, 1, 1, usize::from(self.depth))
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RedEncoder<S> {
    red: Red,
    /// The packets that have copies to come, the latest first; at most as many as the depth.
    recent: VecDeque<(u32, S)>,
    /// When the pause is over, if copies wait.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> RedEncoder<S> {
    /// Copy `row` of a packet: the one that rides in the packet `row` + 1 places behind it.
    fn copy(&self, row: usize, (esi, symbol): &(u32, S)) -> Repair<S> {
        let header = RepairHeader { first: *esi, count: 1, row: row as u16, parameter: self.red.depth };
        Repair { header, symbol: symbol.clone() }
    }

    /// Sends the copies for which there is nothing to ride in, those first that would have gone first.
    fn send_rest(&mut self) {
        for missing in 0..usize::from(self.red.depth) {
            // The packet that does not follow would have carried these.
            let riders = self.recent.iter().zip(missing..usize::from(self.red.depth));
            let riders: Vec<_> = riders.map(|(packet, row)| self.copy(row, packet)).collect();
            self.ready.extend(riders);
        }
        self.recent.clear();
        self.pause_ends = None;
    }
}

impl<S: Symbol> Encoder<S> for RedEncoder<S> {
    fn overhead(&self) -> Overhead {
        Overhead { copies: self.red.depth, ..UNIT_OVERHEAD }
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        let riders = self.recent.iter().enumerate().map(|(row, packet)| self.copy(row, packet)).collect();
        self.recent.push_front((meta.esi, symbol.clone()));
        self.recent.truncate(usize::from(self.red.depth));
        self.pause_ends = Some(now + PAUSE);
        Protect::Send(riders)
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    /// The end of a frame changes nothing: the next frame's packets carry the copies.
    fn flush(&mut self, _now: Time, why: Flush) {
        if why == Flush::Shutdown {
            self.send_rest();
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.pause_ends
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.pause_ends.is_some_and(|end| end <= now) {
            self.send_rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fec::conformance::{Wire, decode, encode, meta};

    fn symbol(esi: u32) -> Bytes {
        Bytes::copy_from_slice(&esi.to_be_bytes())
    }

    /// Which packet each copy is of, and its row.
    fn named(repairs: impl IntoIterator<Item = Repair<Bytes>>) -> Vec<(u32, u16)> {
        let name = |repair: Repair<Bytes>| {
            assert_eq!(symbol(repair.header.first), repair.symbol, "the copy is of the packet that it names");
            (repair.header.first, repair.header.row)
        };
        repairs.into_iter().map(name).collect()
    }

    fn push(encoder: &mut RedEncoder<Bytes>, esi: u32) -> Vec<(u32, u16)> {
        let now = Time::from_millis(u64::from(esi));
        match encoder.push_source(now, &meta(esi), &symbol(esi)) {
            Protect::Send(riders) => named(riders),
            Protect::Hold => panic!("every packet leaves at once"),
        }
    }

    fn ready(encoder: &mut RedEncoder<Bytes>) -> Vec<(u32, u16)> {
        let now = Time::ZERO;
        named(std::iter::from_fn(|| encoder.poll_repair(now)))
    }

    #[test]
    fn each_packet_carries_the_ones_before_it_the_nearest_first() {
        let mut encoder = Red::new(2).unwrap().encoder();
        let carried: Vec<_> = (0..4).map(|esi| push(&mut encoder, esi)).collect();
        assert_eq!(carried, [vec![], vec![(0, 0)], vec![(1, 0), (0, 1)], vec![(2, 0), (1, 1)]]);
        assert_eq!(ready(&mut encoder), []);
    }

    #[test]
    fn a_pause_sends_the_copies_still_owed_and_each_packet_has_all_of_them() {
        let mut encoder = Red::new(3).unwrap().encoder();
        let mut all: Vec<_> = (0..5).flat_map(|esi| push(&mut encoder, esi)).collect();
        let end = encoder.poll_timeout().unwrap();
        assert_eq!(end, Time::from_millis(4) + PAUSE);
        encoder.handle_timeout(Time::from_millis(13));
        assert_eq!(ready(&mut encoder), [], "the pause is not over");
        encoder.handle_timeout(end);
        let rest = ready(&mut encoder);
        assert_eq!(rest, [(4, 0), (3, 1), (2, 2), (4, 1), (3, 2), (4, 2)]);
        all.extend(rest);
        all.sort_unstable();
        let expected: Vec<_> = (0..5).flat_map(|esi| (0..3).map(move |row| (esi, row))).collect();
        assert_eq!(all, expected);
        assert_eq!(encoder.poll_timeout(), None);
        assert_eq!(push(&mut encoder, 5), [], "nothing is owed after a pause");
    }

    #[test]
    fn a_packet_is_lost_only_together_with_those_behind_it() {
        // The law of the code, packet by packet, on every pattern of ten packets in a row.
        for depth in 1..=4_u32 {
            let red = Red::new(depth).unwrap();
            let wire: Vec<Wire<()>> = encode(&mut red.encoder(), 10, |_| ()).into_iter().take(10).collect();
            for lost in 0..1_u32 << 10 {
                let heard = wire.iter().enumerate().filter(|(i, _)| lost >> i & 1 == 0).map(|(_, p)| p);
                let (known, _) = decode(&mut red.decoder(), heard);
                for esi in 0..10 - depth {
                    let all_lost = (esi..=esi + depth).all(|esi| lost >> esi & 1 == 1);
                    assert_eq!(known.contains_key(&esi), !all_lost, "depth {depth}, {lost:b}, {esi}");
                }
            }
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Red::new(0).is_err() && Red::new(5).is_err());
        let overhead = Encoder::<()>::overhead(&Red::new(4).unwrap().encoder::<()>());
        assert_eq!((overhead.copies, overhead.repair), (4, UNIT_OVERHEAD.repair));
    }
}
