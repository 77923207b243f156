//! The deadlines of what was written into a stream.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::time::Time;

/// Where the messages of one direction end in its stream, and when they are worth nothing any more:
/// entered by the end that writes, looked up by the watch.
///
/// The marks in the stream have no room for deadlines, as the [model](crate::tcp)'s have not; both ends
/// of a trial are in one thread, so they share this instead.
#[derive(Clone, Debug, Default)]
pub struct Book(Rc<RefCell<VecDeque<Entry>>>);

/// Where a message ends, and its deadline.
type Entry = (u64, Option<Time>);

impl Book {
    /// Messages that are worth remembering: more than any window holds. Where nobody looks them up the
    /// oldest are forgotten.
    const MESSAGES_MAX: usize = 1 << 18;

    /// A message that ends before the byte `end`; one without a deadline is never late.
    pub(super) fn enter(&self, end: u64, deadline: Option<Time>) {
        let mut messages = self.0.borrow_mut();
        if messages.len() == Self::MESSAGES_MAX {
            messages.pop_front();
        }
        messages.push_back((end, deadline));
    }

    /// The deadline of the message that the byte at `place` belongs to. Messages that end at or before
    /// it are forgotten: places never go back.
    pub(super) fn deadline(&self, place: u64) -> Option<Time> {
        let mut messages = self.0.borrow_mut();
        while messages.front().is_some_and(|&(end, _)| end <= place) {
            messages.pop_front();
        }
        messages.front()?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_the_deadline_of_its_message() {
        let book = Book::default();
        let late = |millis| Some(Time::from_millis(millis));
        book.enter(10, late(1));
        book.enter(18, None);
        book.enter(30, late(2));
        let places = [0, 9, 10, 17, 18, 29, 30];
        assert_eq!(
            places.map(|place| book.deadline(place)),
            [late(1), late(1), None, None, late(2), late(2), None]
        );
    }

    #[test]
    fn a_book_that_nobody_reads_forgets_its_oldest_messages() {
        let book = Book::default();
        for end in 1..=Book::MESSAGES_MAX as u64 + 1 {
            book.enter(end, Some(Time::from_nanos(end)));
        }
        // The first byte's own message is gone, so that the next one answers for it.
        assert_eq!(book.deadline(0), Some(Time::from_nanos(2)));
    }
}
