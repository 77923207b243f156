//! The store of what is under way, by the time at which its fate shows.
//!
//! What comes behind everything before it is appended to a ring, which costs next to nothing; what
//! overtakes goes into a [`Calendar`]. So a link that keeps order pays for a ring only, and no setting
//! has to say which links do.

use std::collections::VecDeque;

use crate::time::{Duration, Time};

use super::calendar::Calendar;

/// A priority queue of `T` by time; what is due at the same time comes in the order of insertion.
#[derive(Clone, Debug)]
pub struct UnderWay<T> {
    inserted: u64,
    /// What came in the order of its times: time, number, item.
    ordered: VecDeque<(Time, u64, T)>,
    overtaking: Calendar<T>,
}

impl<T> UnderWay<T> {
    /// An empty store for what is mostly due within `reach` from now; only its speed depends on it.
    pub fn new(reach: Duration) -> Self {
        Self { inserted: 0, ordered: VecDeque::new(), overtaking: Calendar::new(reach) }
    }

    /// Adds `item`, due at `at`.
    pub fn push(&mut self, at: Time, item: T) {
        let number = self.inserted;
        self.inserted += 1;
        if self.ordered.back().is_none_or(|&(last, ..)| last <= at) {
            self.ordered.push_back((at, number, item));
        } else {
            self.overtaking.push(at, number, item);
        }
    }

    /// When the first one is due; none where none ever is.
    pub fn next_at(&self) -> Option<Time> {
        let ordered = self.ordered.front().map(|&(at, ..)| at);
        let overtaking = self.overtaking.first().map(|(at, _)| at);
        let next = match (ordered, overtaking) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        next.filter(|&at| at < Time::NEVER)
    }

    /// Takes the first one if it is due at `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<T> {
        let ordered = self.ordered.front().map(|&(at, number, _)| (at, number));
        let first = match (ordered, self.overtaking.first()) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        if first.0 > now || first.0 == Time::NEVER {
            None
        } else if Some(first) == ordered {
            self.ordered.pop_front().map(|(.., item)| item)
        } else {
            self.overtaking.pop().map(|(_, item)| item)
        }
    }

    /// What is in it, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.ordered.iter().map(|(.., item)| item).chain(self.overtaking.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn items_come_in_the_order_of_their_times_and_of_insertion(
            delays in prop::collection::vec((0..500_u64, 0..20_u64), 1..300)
        ) {
            let mut store = UnderWay::new(Duration::from_micros(1));
            let mut expected = Vec::new();
            let (mut taken, mut now) = (Vec::new(), Time::ZERO);
            for (number, (delay, gap)) in delays.into_iter().enumerate() {
                let at = now + Duration::from_nanos(delay);
                store.push(at, (at, number));
                expected.push((at, number));
                now += Duration::from_nanos(gap);
                while let Some(item) = store.pop_due(now) {
                    prop_assert!(item.0 <= now);
                    taken.push(item);
                }
                prop_assert!(store.next_at().is_none_or(|next| next > now));
            }
            while let Some(next) = store.next_at() {
                taken.push(store.pop_due(next).unwrap());
            }
            expected.sort_unstable();
            prop_assert_eq!(taken, expected);
        }
    }

    #[test]
    fn what_keeps_its_order_never_touches_the_calendar() {
        let mut store = UnderWay::new(Duration::from_millis(1));
        for ms in 0..100 {
            store.push(Time::from_millis(ms), ms);
        }
        assert_eq!((store.ordered.len(), store.overtaking.iter().count()), (100, 0));
        assert_eq!(store.iter().count(), 100);
    }

    #[test]
    fn what_is_never_due_is_never_taken() {
        let mut store = UnderWay::new(Duration::from_millis(1));
        store.push(Time::NEVER, "stuck");
        assert_eq!((store.next_at(), store.pop_due(Time::NEVER)), (None, None));
        store.push(Time::ZERO, "goes");
        assert_eq!((store.next_at(), store.pop_due(Time::ZERO)), (Some(Time::ZERO), Some("goes")));
    }
}
