//! Sliding-window random linear codes: each repair packet is a random combination of the last packets.
//!
//! There is no block to wait for the end of: a single loss is repaired by the next repair packet, after
//! (step + 1) / 2 source packets on average, and a burst as soon as as many repair packets over it have
//! come as it has packets. At equal overhead and deadline that leaves less loss than MDS blocks and
//! repairs it several times sooner. The combination is random: of L losses and L repair packets over all
//! of them, the matrix is singular with probability 1 − Π(1 − 256^−i), i from 1 to L, which is 3.9e-3
//! for all L but 1; one repair packet more leaves 1.5e-5. For L = 1 nothing is left to chance at full
//! density, and half of the repair packets say nothing at density 7, so that anything but 15 is for
//! long windows only.
//!
//! Sources: RFC 8681 (window, coefficients, density threshold), RFC 8682 (generator), RFC 8680
//! (framework). Repair symbols are equal to those of RFC 8681 to the byte for the same source symbols,
//! window, key and density. Roca, Teibi, Burdinat, Tran-Thai, Thienot: "Block or convolutional AL-FEC
//! codes? A performance comparison for robust low-latency communications" (2017) compares both kinds.
//!
//! | here | RFC 8681 |
//! | --- | --- |
//! | GF(2^8) | or GF(2) |
//! | the coded unit of [`unit`](super::unit) | ADUI with a flow identifier and without a check |
//! | a repair symbol is as long as the longest unit in its window | all symbols have one length |
//! | one packet has one symbol | or several |
//! | packets leave the window when their deadline passes or the receiver has them | as the application says (appendix C.2) |
//! | where nothing follows for 10 ms, the repair packet that is due next leaves early | not said |

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::block::UNIT_OVERHEAD;
use super::scheme::{InvalidScheme, within};
use super::sliding::{RandomLinear, WindowDecoder, WindowEncoder};
use super::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::time::{Duration, Time};

/// The most source packets of a window: a second of 10 Mbit/s in packets of 1200 bytes. RFC 8681 has
/// room for 4095.
const WINDOW_MAX: u16 = 1_024;

/// The most repair packets for each source packet.
const REPAIR_MAX: u32 = 16;

/// How long a repair packet waits for the source packets that it is to follow: longer than the gaps
/// between the packets of a frame, shorter than the 16.7 ms from frame to frame at 60 Hz.
const PAUSE: Duration = Duration::from_millis(10);

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlc {
    window: u16,
    source: u32,
    repair: u32,
    density: u8,
}

impl Rlc {
    /// `repair` repair packets for each `source` source packets (both 1 to 10,000, at most 16 for one),
    /// spread evenly, each over the last `window` (1 to 1024) source packets. Of sixteen coefficients
    /// `density` + 1 are not zero (0 to 15, the density threshold of RFC 8681).
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(window: u32, source: u32, repair: u32, density: u32) -> Result<Self, InvalidScheme> {
        let window = within("window", window, 1..=u32::from(WINDOW_MAX))? as u16;
        let source = within("source", source, 1..=10_000)?;
        let repair = within("repair", repair, 1..=10_000)?;
        within("repair for each source", repair.div_ceil(source), 1..=REPAIR_MAX)?;
        let density = within("density", density, 0..=15)? as u8;
        Ok(Self { window, source, repair, density })
    }

    /// One repair packet after every `step` (1 to 10,000) source packets, at full density; `window` as in
    /// [`Rlc::new`].
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn step(window: u32, step: u32) -> Result<Self, InvalidScheme> {
        within("step", step, 1..=10_000)?;
        Self::new(window, step, 1, 15)
    }

    /// How many source packets a repair packet covers.
    pub const fn window(self) -> u16 {
        self.window
    }

    /// To how many source packets there are [`Rlc::repair`] repair packets.
    pub const fn source(self) -> u32 {
        self.source
    }

    /// How many repair packets there are to [`Rlc::source`] source packets.
    pub const fn repair(self) -> u32 {
        self.repair
    }

    /// The density threshold; at 15 no coefficient is zero.
    pub const fn density(self) -> u8 {
        self.density
    }

    /// The most source packets that a repair packet covers: a request may reach back further than the
    /// window, as the linear system of the receiver does (twice is what RFC 8681 recommends for it).
    const fn reach(self) -> u16 {
        2 * self.window
    }

    pub(super) fn encoder<S: Symbol>(self) -> RlcEncoder<S> {
        RlcEncoder {
            rlc: self,
            sources: WindowEncoder::new(RandomLinear, usize::from(WINDOW_MAX)),
            deadlines: VecDeque::new(),
            credit: 0,
            covered: 0,
            pause_ends: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> WindowDecoder<S, RandomLinear> {
        WindowDecoder::new(RandomLinear, self.reach())
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RlcEncoder<S> {
    rlc: Rlc,
    /// More than a window of source packets, for requests.
    sources: WindowEncoder<S, RandomLinear>,
    /// The deadlines of the last packets in there.
    deadlines: VecDeque<Time>,
    /// A repair packet is due when this is [`Rlc::source`]; each source packet adds [`Rlc::repair`]. It
    /// is below 0 where a pause made one leave early.
    credit: i64,
    /// Below this every source packet was in a repair packet.
    covered: u32,
    /// When the pause is over, if a repair packet waits.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> RlcEncoder<S> {
    /// Sends a repair packet over the window; nothing where the receiver has all of it.
    fn protect(&mut self) {
        self.credit -= i64::from(self.rlc.source);
        let held = self.sources.held();
        let count = held.len().min(usize::from(self.rlc.window)) as u16;
        let repair = self.sources.repair(held.end - u32::from(count), count, self.rlc.density);
        self.ready.extend(repair);
        self.covered = held.end;
    }

    /// Lets go what is worth nothing any more.
    fn forget(&mut self, now: Time) {
        while self.deadlines.front().is_some_and(|&deadline| deadline <= now) {
            self.deadlines.pop_front();
            self.sources.advance(self.sources.held().end - self.deadlines.len() as u32);
        }
    }

    /// Whether there are source packets that were in no repair packet yet.
    fn is_open(&self) -> bool {
        let held = self.sources.held();
        !held.is_empty() && self.covered < held.end
    }
}

impl<S: Symbol> Encoder<S> for RlcEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        self.forget(now);
        self.sources.push(meta.esi, symbol.clone());
        self.deadlines.push_back(meta.deadline);
        let beyond = self.deadlines.len().saturating_sub(self.sources.held().len());
        self.deadlines.drain(..beyond);
        self.credit += i64::from(self.rlc.repair);
        while self.credit >= i64::from(self.rlc.source) {
            self.protect();
        }
        self.pause_ends = (self.credit > 0 && self.is_open()).then(|| now + PAUSE);
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    /// The end of a frame changes nothing, the pause behind it does.
    fn flush(&mut self, now: Time, why: Flush) {
        if why == Flush::Shutdown {
            self.forget(now);
            if self.is_open() {
                self.protect();
            }
            self.pause_ends = None;
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.pause_ends
    }

    /// The repair packet is early and the one after it so much later: the overhead stays what it is.
    fn handle_timeout(&mut self, now: Time) {
        if self.pause_ends.is_some_and(|end| end <= now) {
            self.forget(now);
            if self.is_open() {
                self.protect();
            }
            self.pause_ends = None;
        }
    }

    fn request_repair(&mut self, now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.forget(now);
        self.sources.answer(range, count, self.rlc.reach(), |_| self.rlc.density)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.sources.advance(esi.saturating_add(1));
    }
}
