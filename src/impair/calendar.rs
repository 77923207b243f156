//! A calendar queue: what is due when, for packets that may overtake each other.
//!
//! Source: Brown, "Calendar queues: a fast O(1) priority queue implementation for the simulation event
//! set problem" (Communications of the ACM 31, 1988). Time is cut into days; an event goes into its day's
//! list, unsorted, and only the day that has come is put in order.
//!
//! | where we differ | because |
//! | --- | --- |
//! | a day is a power of two nanoseconds, fixed when the calendar is made | shifting instead of dividing; a link knows its delays |
//! | what is due beyond one year waits in a binary heap, instead of in the day of a later year | a day's list never holds what is not due |
//! | the day that has come is a binary heap as well | a day with many events costs what a heap costs, not its square |
//!
//! So the worst case is a binary heap, and the usual one a few instructions.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::{Duration, Time};

/// A priority queue of `T` by time; events of the same time come in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Calendar<T> {
    /// A day lasts 2 to this power nanoseconds.
    day_shift: u32,
    /// The number of the day that has come.
    today: u64,
    /// What is due today or before; empty only if the calendar is.
    due: BinaryHeap<Entry>,
    /// The first entry of each day's list, for the [`DAYS`] days from today on.
    days: Vec<u32>,
    /// One bit for each day whose list is not empty.
    filled: [u64; WORDS],
    /// One bit for each word of `filled` that is not zero.
    filled_words: u64,
    /// What is due after those days.
    later: BinaryHeap<Entry>,
    events: Vec<Event<T>>,
    /// The first unused place in `events`.
    free: u32,
}

/// Days in a year: as many as two levels of 64 bits can tell apart.
const DAYS: u64 = 64 * 64;
const WORDS: usize = 64;

/// The end of a list.
const NOBODY: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Event<T> {
    at: Time,
    number: u64,
    /// The next entry of the same day's list, or of the unused places.
    next: u32,
    item: Option<T>,
}

/// An event's order and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: Time,
    number: u64,
    place: u32,
}

impl Ord for Entry {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Calendar<T> {
    /// An empty calendar for events that are mostly due within `year` from now; only its speed depends
    /// on it.
    pub fn new(year: Duration) -> Self {
        // From 64 ns, so that the number of no day is near overflow, to a quarter of an hour.
        let day = (year.as_nanos() / DAYS).clamp(64, 1 << 40).next_power_of_two();
        Self {
            day_shift: day.trailing_zeros(),
            today: 0,
            due: BinaryHeap::new(),
            days: vec![NOBODY; DAYS as usize],
            filled: [0; WORDS],
            filled_words: 0,
            later: BinaryHeap::new(),
            events: Vec::new(),
            free: NOBODY,
        }
    }

    /// Adds an event; `number` tells it from others of the same time and is higher for later ones.
    pub fn push(&mut self, at: Time, number: u64, item: T) {
        let place = self.store(Event { at, number, next: NOBODY, item: Some(item) });
        let day = at.as_nanos() >> self.day_shift;
        if self.due.is_empty() {
            self.today = day;
        }
        self.sort_in(day, Entry { at, number, place });
    }

    /// Time and number of the first event.
    pub fn first(&self) -> Option<(Time, u64)> {
        self.due.peek().map(|entry| (entry.at, entry.number))
    }

    /// Takes the first event.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let entry = self.due.pop()?;
        if self.due.is_empty() {
            self.turn_page();
        }
        let event = &mut self.events[entry.place as usize];
        event.next = self.free;
        self.free = entry.place;
        event.item.take().map(|item| (entry.at, item))
    }

    /// What is in it, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.events.iter().filter_map(|event| event.item.as_ref())
    }

    fn store(&mut self, event: Event<T>) -> u32 {
        if self.free == NOBODY {
            self.events.push(event);
            return (self.events.len() - 1) as u32;
        }
        let place = self.free;
        let unused = &mut self.events[place as usize];
        self.free = unused.next;
        *unused = event;
        place
    }

    fn sort_in(&mut self, day: u64, entry: Entry) {
        if day <= self.today {
            self.due.push(entry);
        } else if day - self.today < DAYS {
            let slot = (day % DAYS) as usize;
            self.events[entry.place as usize].next = self.days[slot];
            self.days[slot] = entry.place;
            self.filled[slot / 64] |= 1 << (slot % 64);
            self.filled_words |= 1 << (slot / 64);
        } else {
            self.later.push(entry);
        }
    }

    /// Makes the next day that has an event today.
    fn turn_page(&mut self) {
        let day_of = |entry: &Entry| entry.at.as_nanos() >> self.day_shift;
        let Some(next) = self.next_filled().or_else(|| self.later.peek().map(day_of)) else { return };
        self.today = next;
        let slot = (next % DAYS) as usize;
        let mut place = std::mem::replace(&mut self.days[slot], NOBODY);
        self.filled[slot / 64] &= !(1 << (slot % 64));
        if self.filled[slot / 64] == 0 {
            self.filled_words &= !(1 << (slot / 64));
        }
        while place != NOBODY {
            let Event { at, number, next, .. } = self.events[place as usize];
            self.due.push(Entry { at, number, place });
            place = next;
        }
        while let Some(entry) = self.later.peek().copied() {
            let day = entry.at.as_nanos() >> self.day_shift;
            if day >= self.today + DAYS {
                break;
            }
            self.later.pop();
            self.sort_in(day, entry);
        }
    }

    /// The number of the first day after today whose list is not empty.
    fn next_filled(&self) -> Option<u64> {
        let start = (self.today + 1) % DAYS;
        let (word, bit) = ((start / 64) as usize, start % 64);
        // First the rest of the word that tomorrow is in, then the words after it, then around.
        let rest = self.filled[word] >> bit << bit;
        let slot = if rest != 0 {
            word * 64 + rest.trailing_zeros() as usize
        } else {
            let after = self.filled_words & (u64::MAX << word) & !(1 << word);
            let words = if after != 0 { after } else { self.filled_words };
            if words == 0 {
                return None;
            }
            let word = words.trailing_zeros() as usize;
            word * 64 + self.filled[word].trailing_zeros() as usize
        };
        let ahead = (slot as u64 + DAYS - start) % DAYS;
        Some(self.today + 1 + ahead)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn events_come_in_the_order_of_a_binary_heap(
            year in prop_oneof![Just(0), 0..100_000_u64, 0..u64::MAX],
            // How far ahead, as a power of two, so that days, years and more are all met; then a number
            // of events to take.
            steps in prop::collection::vec((0..40_u32, any::<u64>(), 0..3_usize), 1..300)
        ) {
            let mut calendar = Calendar::new(Duration::from_nanos(year));
            let mut heap = BinaryHeap::new();
            let mut now = Time::ZERO;
            for (number, (power, random, pops)) in steps.into_iter().enumerate() {
                let at = now + Duration::from_nanos(random % (1 << power));
                let number = number as u64;
                calendar.push(at, number, number);
                heap.push(Entry { at, number, place: 0 });
                for _ in 0..pops {
                    let expected = heap.pop().map(|entry| (entry.at, entry.number));
                    prop_assert_eq!(calendar.first(), expected);
                    prop_assert_eq!(calendar.pop(), expected);
                    now = expected.map_or(now, |(at, _)| at);
                }
                prop_assert_eq!(calendar.iter().count(), heap.len());
            }
            while let Some(entry) = heap.pop() {
                prop_assert_eq!(calendar.pop(), Some((entry.at, entry.number)));
            }
            prop_assert_eq!(calendar.pop(), None);
        }
    }

    #[test]
    fn events_of_the_same_time_come_in_the_order_of_insertion() {
        let mut calendar = Calendar::new(Duration::from_millis(1));
        for number in 0..1000 {
            calendar.push(Time::from_millis(number % 3), number, number);
        }
        let order: Vec<u64> = std::iter::from_fn(|| calendar.pop().map(|(_, number)| number)).collect();
        let expected: Vec<u64> = (0..3).flat_map(|rest| (rest..1000).step_by(3)).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn places_are_used_again() {
        let mut calendar = Calendar::new(Duration::from_millis(1));
        for number in 0..10_000 {
            calendar.push(Time::from_micros(number), number, number);
            if number >= 10 {
                calendar.pop();
            }
        }
        assert!(calendar.events.len() <= 11);
    }

    #[test]
    fn what_is_never_due_stays_behind_everything_else() {
        let mut calendar = Calendar::new(Duration::from_millis(1));
        calendar.push(Time::NEVER, 0, "never");
        calendar.push(Time::from_secs(1), 1, "late");
        calendar.push(Time::ZERO, 2, "now");
        let order: Vec<&str> = std::iter::from_fn(|| calendar.pop().map(|(_, name)| name)).collect();
        assert_eq!(order, ["now", "late", "never"]);
    }
}
