//! Up to where a code has moved on, told from the repair packets that arrive.
//!
//! A code protects source packets in the order of sending, so its blocks or windows move up. A repair
//! packet whose block begins at some source packet therefore shows that there is nothing more to come
//! for those before it. Codes with several blocks open at once (rows and columns, interleaving, copies
//! at several distances) step back by some amount; the largest step seen is left as a margin.

use super::window::expand;

/// What the repair packets of one direction have shown.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    /// The farthest first source packet of any repair packet.
    farthest: u64,
    /// The largest step back from `farthest`.
    step_back: u64,
    /// A repair packet that shows more, once all packets before it are settled: its number and first
    /// source packet.
    next: Option<(u64, u64)>,
    /// The farthest that is settled.
    reached: u64,
}

impl Horizon {
    /// A repair packet with this packet number protects source packets from `first` on.
    pub(super) fn note(&mut self, number: u64, first: u64) {
        if first > self.farthest {
            self.farthest = first;
            if self.next.is_none() {
                self.next = Some((number, first));
            }
        } else {
            self.step_back = self.step_back.max(self.farthest - first);
        }
    }

    /// Source packets below this one have been left behind, where every packet number below `settled`
    /// has arrived or is lost.
    pub(super) fn reached(&mut self, settled: u64) -> u64 {
        if let Some((number, first)) = self.next.filter(|(number, _)| settled > *number) {
            self.reached = first;
            // Later ones have come while this one waited; their numbers are not kept, so that they wait
            // for as many packets again.
            self.next = (self.farthest > first).then_some((number.max(settled), self.farthest));
        }
        self.reached.saturating_sub(self.step_back)
    }
}

/// The full numbers of the source packets that a repair packet protects: first and one above the last.
pub(super) fn protected(first: u32, count: u16, near: u64) -> Option<(u64, u64)> {
    let first = expand(first, near)?;
    Some((first, first + u64::from(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_block_shows_that_the_earlier_is_over_once_numbers_before_it_are_settled() {
        let mut horizon = Horizon::default();
        horizon.note(12, 0);
        horizon.note(25, 10);
        assert_eq!(horizon.reached(25), 0);
        assert_eq!(horizon.reached(26), 10);
    }

    #[test]
    fn a_code_that_steps_back_is_given_that_margin() {
        let mut horizon = Horizon::default();
        // Rows of 4 begin at 0, 4, 8; then columns begin at 0, 1, 2, 3.
        for (number, first) in [(4, 0), (9, 4), (14, 8), (15, 0), (16, 1), (17, 2), (18, 3)] {
            horizon.note(number, first);
        }
        assert_eq!(horizon.reached(100), 0);
        horizon.note(101, 12);
        horizon.note(106, 16);
        assert!(horizon.reached(200) <= 8, "columns from 12 - 8 on may come");
    }
}
