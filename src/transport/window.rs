//! A sliding window over numbers that rise: which of the last few thousand are in a set.

/// A ring of bits over the numbers from [`Window::start`] on.
#[derive(Debug)]
pub(crate) struct Window {
    words: Box<[u64]>,
    start: u64,
}

impl Window {
    /// An empty set over `capacity` numbers from 0 on; `capacity` is a power of two, at least 64.
    pub(crate) fn new(capacity: u64) -> Self {
        debug_assert!(capacity.is_power_of_two() && capacity >= 64);
        Self { words: vec![0; capacity as usize / 64].into(), start: 0 }
    }

    /// Adds `number`, which must lie in the window, and says whether it is new.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        debug_assert!((self.start..self.end()).contains(&number));
        let word = self.word_of(number);
        let bit = 1 << (number % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Moves the window up to begin at `start`; what falls out below is forgotten.
    pub(crate) fn slide_to(&mut self, start: u64) {
        if start - self.start >= self.capacity() {
            self.words.fill(0);
            self.start = start;
            return;
        }
        while self.start < start {
            let word = self.word_of(self.start);
            let next = (self.start / 64 + 1) * 64;
            let keep = if start < next { u64::MAX << (start % 64) } else { 0 };
            // A word that the window starts within also holds its last numbers, below those bits.
            let other_end = !(u64::MAX << (self.start % 64));
            self.words[word] &= keep | other_end;
            self.start = start.min(next);
        }
    }

    /// Whether `number` is in the set; what lies outside the window is not.
    pub(crate) fn contains(&self, number: u64) -> bool {
        (self.start..self.end()).contains(&number)
            && self.words[self.word_of(number)] >> (number % 64) & 1 == 1
    }

    /// The lowest number from `from` on that is not in the set; `from` lies in the window.
    pub(super) fn first_missing(&self, from: u64) -> u64 {
        let mut number = from;
        while number < self.end() {
            let ones = (self.words[self.word_of(number)] >> (number % 64)).trailing_ones();
            let step = u64::from(ones).min(64 - number % 64);
            number += step;
            if !number.is_multiple_of(64) || step == 0 {
                break;
            }
        }
        number.min(self.end())
    }

    /// How many numbers down from `from` (included) are in the set without a gap, if `present`; else
    /// how many are not. Ends at `floor`, which is in the window and at most `from`.
    pub(super) fn run_down(&self, from: u64, floor: u64, present: bool) -> u64 {
        let mut length = 0;
        while from >= floor + length {
            let number = from - length;
            let mut word = self.words[self.word_of(number)] << (63 - number % 64);
            if !present {
                word = !word;
            }
            let step = u64::from(word.leading_ones()).min(number % 64 + 1);
            length += step;
            if step < number % 64 + 1 {
                break;
            }
        }
        length.min(from + 1 - floor)
    }

    /// The first number of the window.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// One above the last number of the window.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.capacity()
    }

    fn capacity(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    fn word_of(&self, number: u64) -> usize {
        (number / 64) as usize & (self.words.len() - 1)
    }
}

/// The number nearest to `near` whose lowest 32 bits are `low` (RFC 9000 §A.3); none where that would
/// be below zero.
pub(crate) fn expand(low: u32, near: u64) -> Option<u64> {
    near.checked_add_signed(i64::from(low.wrapping_sub(near as u32) as i32))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_window_is_a_set_that_forgets_what_is_below_it(
            steps in prop::collection::vec((0_u64..300, 0_u64..90, any::<bool>()), 1..200),
        ) {
            let (mut window, mut set) = (Window::new(256), BTreeSet::new());
            for (offset, slide, far) in steps {
                let slide = if far { slide * 7 } else { slide / 8 };
                let start = window.start() + slide;
                window.slide_to(start);
                set.retain(|number| *number >= start);
                if offset < 256 {
                    prop_assert_eq!(window.insert(start + offset), set.insert(start + offset));
                }
                let end = start + 256;
                for number in start.saturating_sub(5)..end + 5 {
                    prop_assert_eq!(window.contains(number), set.contains(&number));
                }
                for from in (start..end).step_by(7) {
                    let missing = (from..end).find(|n| !set.contains(n)).unwrap_or(end);
                    prop_assert_eq!(window.first_missing(from), missing);
                    for present in [true, false] {
                        let floor = start.max(from.saturating_sub(150));
                        let run = (floor..=from).rev().take_while(|n| set.contains(n) == present).count();
                        prop_assert_eq!(window.run_down(from, floor, present), run as u64);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_expand_to_the_nearest() {
        let wrap = 1_u64 << 32;
        assert_eq!(expand(5, 0), Some(5));
        assert_eq!(expand(u32::MAX, 0), None);
        assert_eq!(expand(2, wrap - 3), Some(wrap + 2));
        assert_eq!(expand(u32::MAX, 3 * wrap + 1), Some(3 * wrap - 1));
    }
}
