//! What a receiver knows of the stream of source packets: a bounded window over their ESIs.
//!
//! ```text
//!        forgotten        known or missing, contents kept
//!   ├───────────────────┼──────────────┬──────────────────────────────┤
//!  base     HISTORY          keep     expired        WINDOW
//! ```
//!
//! Contents are kept a while below the point of expiry, since a block that reaches above it needs them.
//! Below that it is remembered for longer whether a packet was there, so that a late repair packet can
//! be told from one that was not needed.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// How far above the point of expiry the window reaches, in source packets: 150 ms of 1 Gbit/s in
/// packets of 1200 bytes. A higher value lets a forged ESI take more memory.
const WINDOW: u32 = 16_384;
/// How long it is remembered whether a packet was there, in source packets: more than any reordering
/// that leaves a repair packet of use.
const HISTORY: u32 = 1_024;

/// The window.
#[derive(Debug)]
pub(super) struct Sources<S> {
    /// The ESI of the first slot.
    base: u32,
    /// Everything below is delivered or given up.
    expired: u32,
    /// How far below that contents are kept.
    keep: u32,
    /// A slot for each ESI from `base` on; what is behind the end is missing.
    slots: VecDeque<Slot<S>>,
}

#[derive(Clone, Debug)]
enum Slot<S> {
    Missing,
    Known(S),
    /// Known once; the contents are gone.
    Forgotten,
}

impl<S: Clone> Sources<S> {
    /// A window that keeps contents for `keep` packets below the point of expiry.
    pub(super) fn new(keep: u32) -> Self {
        Self { base: 0, expired: 0, keep, slots: VecDeque::new() }
    }

    /// Whether `esi` is not too far ahead.
    pub(super) fn reaches(&self, esi: u32) -> bool {
        esi.saturating_sub(self.expired) < WINDOW
    }

    /// Remembers a source packet. Whether that is news: it was missing, and lies inside the window.
    pub(super) fn insert(&mut self, esi: u32, symbol: &S) -> bool {
        if esi < self.base || !self.reaches(esi) {
            return false;
        }
        let index = (esi - self.base) as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::Missing);
        }
        let news = matches!(self.slots[index], Slot::Missing);
        if news {
            self.slots[index] = Slot::Known(symbol.clone());
        }
        news
    }

    /// Lets everything below `esi` go.
    pub(super) fn expire(&mut self, esi: u32) {
        if esi <= self.expired {
            return;
        }
        let below = |esi: u32, reach: u32| esi.saturating_sub(reach).saturating_sub(self.base) as usize;
        let (from, to) = (below(self.expired, self.keep), below(esi, self.keep).min(self.slots.len()));
        let gone = below(esi, self.keep.saturating_add(HISTORY)).min(self.slots.len());
        for slot in self.slots.range_mut(from.min(to)..to) {
            if matches!(slot, Slot::Known(_)) {
                *slot = Slot::Forgotten;
            }
        }
        self.slots.drain(..gone);
        self.expired = esi;
        self.base = self.base.max(esi.saturating_sub(self.keep.saturating_add(HISTORY)));
    }

    /// Whether a packet is or was there.
    pub(super) fn has(&self, esi: u32) -> bool {
        !matches!(self.slot(esi), None | Some(Slot::Missing))
    }

    /// The contents of a packet, where they are there.
    pub(super) fn get(&self, esi: u32) -> Option<&S> {
        match self.slot(esi) {
            Some(Slot::Known(symbol)) => Some(symbol),
            _ => None,
        }
    }

    /// Whether a packet is missing and not given up.
    pub(super) fn wants(&self, esi: u32) -> bool {
        esi >= self.expired && !self.has(esi)
    }

    /// The packets of `range` that are neither there nor remembered, in order. It has no end above the
    /// reach of the window.
    pub(super) fn missing(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = u32> {
        let (first, last) = range.into_inner();
        let below = first..self.base.min(last.saturating_add(1));
        let place = |esi: u32| (esi.saturating_sub(self.base) as usize).min(self.slots.len());
        let (from, to) = (place(first), place(last.saturating_add(1)));
        let end = self.base.saturating_add(self.slots.len() as u32);
        let gaps = (first.max(self.base)..).zip(self.slots.range(from..to.max(from)));
        below
            .chain(gaps.filter(|(_, slot)| matches!(slot, Slot::Missing)).map(|(esi, _)| esi))
            .chain(first.max(end)..=last)
    }

    /// Everything below is delivered or given up.
    pub(super) const fn expired(&self) -> u32 {
        self.expired
    }

    /// The contents of packets from here on are kept.
    pub(super) fn kept_from(&self) -> u32 {
        self.expired.saturating_sub(self.keep)
    }

    fn slot(&self, esi: u32) -> Option<&Slot<S>> {
        self.slots.get(esi.checked_sub(self.base)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_outlive_expiry_by_what_blocks_need_and_presence_by_more() {
        let mut sources = Sources::new(10);
        assert!((0..3_000).all(|esi| sources.insert(esi, &esi)));
        sources.expire(2_000);
        assert_eq!((sources.get(1_989), sources.get(1_990)), (None, Some(&1_990)));
        assert!(sources.has(1_989) && !sources.has(2_000 - 10 - HISTORY - 1));
        assert!(!sources.insert(1_989, &0), "forgotten is not missing");
    }

    #[test]
    fn only_what_is_missing_and_not_given_up_is_wanted() {
        let mut sources = Sources::new(10);
        sources.insert(5, &());
        sources.expire(3);
        assert_eq!([2, 3, 5, 9].map(|esi| sources.wants(esi)), [false, true, false, true]);
    }

    #[test]
    fn what_is_missing_of_a_range_is_what_is_not_there() {
        let mut sources = Sources::new(10);
        (0..2_000).filter(|esi| esi % 3 != 0).for_each(|esi| assert!(sources.insert(esi, &())));
        for expired in [0, 500, 1_500, 1_999, 5_000] {
            sources.expire(expired);
            for (first, last) in [(0, 9), (450, 480), (1_990, 2_010), (3_000, 3_001), (7, 7), (0, 6_000)] {
                let expected: Vec<u32> = (first..=last).filter(|&esi| !sources.has(esi)).collect();
                assert_eq!(sources.missing(first..=last).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn an_esi_far_ahead_is_not_let_in() {
        let mut sources = Sources::new(10);
        assert!(sources.insert(WINDOW - 1, &()) && !sources.insert(WINDOW, &()));
        assert!(sources.slots.len() <= WINDOW as usize);
        sources.expire(1);
        assert!(sources.insert(WINDOW, &()));
    }

    #[test]
    fn a_leap_of_expiry_to_the_end_empties_the_window() {
        let mut sources = Sources::new(10);
        sources.insert(7, &());
        sources.expire(u32::MAX);
        assert!(sources.slots.is_empty() && !sources.has(7));
        assert!(!sources.insert(8, &()) && sources.insert(u32::MAX, &()));
    }
}
