//! Repetition: every packet again, at once or some packets later.
//!
//! The simplest code, and the one with the shortest way to a repair. Against independent loss e a
//! packet is lost with probability e^(1 + copies). Against bursts distance decides: on the channel of
//! Gilbert with loss π and λ = 1 − p − q a copy D packets later on the wire leaves
//! π·(π + (1 − π)·λ^D). With one copy the wire alternates between sources and copies, so that a copy
//! `spacing` source packets later is D = 2·spacing + 1 packets later on it.
//!
//! A copy is a block of one source packet, so the receiver is that of block codes. UDPspeeder's
//! manual calls this "multiple sending" (`-q1`).
//!
//! | here | elsewhere |
//! | --- | --- |
//! | distance counted in source packets | UDPspeeder delays copies by time |
//! | when nothing follows, copies leave after a pause of 10 ms | they would wait for the next packet |

use std::collections::VecDeque;

use super::block::{BlockDecoder, Coefficients, UNIT_OVERHEAD};
use super::scheme::{InvalidScheme, within};
use super::{Encoder, Flush, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol};
use crate::time::{Duration, Time};

/// How long copies wait for the source packets that they are to follow: longer than the gaps between
/// the packets of a frame, shorter than the 16.7 ms from frame to frame at 60 Hz.
const PAUSE: Duration = Duration::from_millis(10);

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    copies: u8,
    spacing: u16,
}

impl Repeat {
    /// Sends `copies` (1 to 16) of each source packet beside the packet itself, the first one `spacing`
    /// (0 to 256) source packets later, the next one as much later again; 0 is back to back.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(copies: u32, spacing: u32) -> Result<Self, InvalidScheme> {
        Ok(Self {
            copies: within("copies", copies, 1..=16)? as u8,
            spacing: within("spacing", spacing, 0..=256)? as u16,
        })
    }

    /// How many copies of a packet are sent beside it.
    pub const fn copies(self) -> u8 {
        self.copies
    }

    /// How many source packets later each copy is sent.
    pub const fn spacing(self) -> u16 {
        self.spacing
    }

    pub(super) fn encoder<S: Symbol>(self) -> RepeatEncoder<S> {
        RepeatEncoder {
            repeat: self,
            recent: VecDeque::new(),
            latest: 0,
            pause_ends: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::new(Coefficients::Ones, 1, 1, usize::from(self.copies))
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RepeatEncoder<S> {
    repeat: Repeat,
    /// The source packets that have copies to come, in order.
    recent: VecDeque<S>,
    /// The ESI of the last one of them.
    latest: u32,
    /// When the pause is over, if copies wait.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> RepeatEncoder<S> {
    /// Sends copy `row` of the packet that is `age` source packets before the latest.
    fn copy(&mut self, age: usize, row: u8) {
        let Some(index) = self.recent.len().checked_sub(age + 1) else { return };
        let header = RepairHeader {
            first: self.latest - age as u32,
            count: 1,
            row: u16::from(row),
            parameter: self.repeat.copies,
        };
        self.ready.push_back(Repair { header, symbol: self.recent[index].clone() });
    }

    /// Sends all copies that wait.
    fn send_rest(&mut self) {
        for age in (0..self.recent.len()).rev() {
            let sent = age / usize::from(self.repeat.spacing.max(1));
            for row in sent as u8..self.repeat.copies {
                self.copy(age, row);
            }
        }
        self.recent.clear();
        self.pause_ends = None;
    }
}

impl<S: Symbol> Encoder<S> for RepeatEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        self.recent.push_back(symbol.clone());
        self.latest = meta.esi;
        let Repeat { copies, spacing } = self.repeat;
        for row in (0..copies).rev() {
            self.copy((usize::from(row) + 1) * usize::from(spacing), row);
        }
        let waiting = usize::from(copies) * usize::from(spacing);
        self.recent.drain(..self.recent.len().saturating_sub(waiting));
        self.pause_ends = (waiting > 0).then(|| now + PAUSE);
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    /// The end of a frame changes nothing: the distance is what the copies are for.
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
    use crate::fec::conformance::meta;

    /// The copies that leave as source packets 0 to `count` − 1 are sent a millisecond apart: which
    /// packet each copies, and what number it has.
    fn copies(encoder: &mut RepeatEncoder<Bytes>, count: u32) -> Vec<Vec<(u32, u16)>> {
        let mut sent = |esi| {
            let now = Time::from_millis(u64::from(esi));
            encoder.push_source(now, &meta(esi), &symbol(esi));
            drain(encoder, now)
        };
        (0..count).map(&mut sent).collect()
    }

    fn drain(encoder: &mut RepeatEncoder<Bytes>, now: Time) -> Vec<(u32, u16)> {
        let mut all = Vec::new();
        while let Some(repair) = encoder.poll_repair(now) {
            assert_eq!(symbol(repair.header.first), repair.symbol, "the copy is of the packet that it names");
            all.push((repair.header.first, repair.header.row));
        }
        all
    }

    fn symbol(esi: u32) -> Bytes {
        Bytes::copy_from_slice(&esi.to_be_bytes())
    }

    #[test]
    fn copies_without_spacing_follow_at_once_and_leave_no_timer() {
        let mut encoder = Repeat::new(2, 0).unwrap().encoder();
        assert_eq!(copies(&mut encoder, 2), [[(0, 1), (0, 0)], [(1, 1), (1, 0)]]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn each_copy_follows_its_spacing_later() {
        let mut encoder = Repeat::new(2, 2).unwrap().encoder();
        let expected =
            [vec![], vec![], vec![(0, 0)], vec![(1, 0)], vec![(0, 1), (2, 0)], vec![(1, 1), (3, 0)]];
        assert_eq!(copies(&mut encoder, 6), expected);
    }

    #[test]
    fn a_pause_sends_the_copies_that_wait_once() {
        let mut encoder = Repeat::new(2, 2).unwrap().encoder();
        copies(&mut encoder, 4);
        let end = encoder.poll_timeout().unwrap();
        assert_eq!(end, Time::from_millis(3) + PAUSE);
        encoder.handle_timeout(Time::from_millis(12));
        assert_eq!(drain(&mut encoder, end), [], "the pause is not over");
        encoder.handle_timeout(end);
        assert_eq!(drain(&mut encoder, end), [(0, 1), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Repeat::new(0, 1).is_err() && Repeat::new(17, 1).is_err() && Repeat::new(1, 257).is_err());
    }
}
