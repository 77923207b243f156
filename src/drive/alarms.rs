//! When each end wants to be called, and who is first: a tournament over the ends.

use crate::time::Time;

/// One alarm for each of a fixed number of ends. Setting one costs the logarithm of their number,
/// finding the first nothing, and nothing stale is kept (a heap would keep every alarm that an
/// acknowledgment postponed).
#[derive(Clone, Debug)]
pub(super) struct Alarms {
    /// A complete binary tree: the leaves are the ends' alarms with their number, every inner node the
    /// smaller of its two children. Node 1 is the root.
    nodes: Vec<(Time, u32)>,
    leaves: usize,
}

impl Alarms {
    /// No alarm set for any of `ends` ends.
    pub(super) fn new(ends: usize) -> Self {
        let leaves = ends.next_power_of_two();
        Self { nodes: vec![(Time::NEVER, 0); 2 * leaves], leaves }
    }

    /// Sets the alarm of `end` to `at`, or switches it off.
    pub(super) fn set(&mut self, end: usize, at: Option<Time>) {
        let mut node = self.leaves + end;
        let alarm = (at.unwrap_or(Time::NEVER), end as u32);
        if self.nodes[node] == alarm {
            return;
        }
        self.nodes[node] = alarm;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
        }
    }

    /// The first alarm and whose it is; the lowest end's where several are due at once.
    pub(super) fn first(&self) -> Option<(Time, usize)> {
        let (at, end) = self.nodes[1];
        (at != Time::NEVER).then_some((at, end as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lowest_end_is_first_among_equals() {
        let mut alarms = Alarms::new(3);
        assert_eq!(alarms.first(), None);
        alarms.set(2, Some(Time::from_millis(5)));
        alarms.set(1, Some(Time::from_millis(5)));
        assert_eq!(alarms.first(), Some((Time::from_millis(5), 1)));
        alarms.set(1, None);
        assert_eq!(alarms.first(), Some((Time::from_millis(5), 2)));
    }

    proptest! {
        #[test]
        fn the_first_alarm_is_the_smallest_of_all(
            sets in prop::collection::vec((0_usize..7, prop::option::of(0_u64..20)), 1..80),
        ) {
            let mut alarms = Alarms::new(7);
            let mut model = [None; 7];
            for (end, at) in sets {
                model[end] = at.map(Time::from_millis);
                alarms.set(end, model[end]);
                let first = (0..7).filter_map(|end| Some((model[end]?, end))).min();
                prop_assert_eq!(alarms.first(), first);
            }
        }
    }
}
