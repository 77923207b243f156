//! The application's side of the byte stream: frames written in order, frames read in order.
//!
//! The model carries no payload bytes, so the two ends of a connection share a book of what was
//! written where; a reader looks a message up when its last byte is in order. Every message costs
//! [`FRAMING`] bytes of the stream, as a length and a number would.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::queue::{FRAMING, Message, Queue};
use crate::endpoint::{FrameEvent, Stale};
use crate::frame::{Delivered, Frame, FrameId};
use crate::time::Time;
use crate::units::ByteSize;

/// What was written into the stream and has not been read.
pub(super) type Book = Rc<RefCell<VecDeque<Written>>>;

/// A message and the place in the stream where it ends.
#[derive(Clone, Debug)]
pub(super) struct Written {
    end: u64,
    message: Message,
}

/// The writing application: a queue of frames above the socket.
#[derive(Debug)]
pub(super) struct Writer {
    not_sent_low: u64,
    queue: Queue,
    book: Book,
    /// Bytes written into the socket so far.
    written: u64,
}

impl Writer {
    pub(super) const fn new(stale: Stale, not_sent_low: u64, book: Book) -> Self {
        Self { not_sent_low, queue: Queue::new(stale), book, written: 0 }
    }

    /// Bytes written into the socket so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes of frames that wait above the socket.
    pub(super) const fn queued(&self) -> ByteSize {
        self.queue.bytes()
    }

    /// Takes a frame, or gives it back where the queue is full.
    pub(super) fn offer(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queue.offer(frame)
    }

    /// Takes a refresh request, which goes ahead of the frames that wait.
    pub(super) fn request_refresh(&mut self, frame: FrameId) {
        self.queue.request_refresh(frame);
    }

    /// Writes into the socket while less than the low-water mark of it is unsent, and calls `dropped`
    /// with the frames that come too late if what leaves now comes at `arrival`.
    pub(super) fn write(&mut self, arrival: Time, sent: u64, mut dropped: impl FnMut(FrameId)) {
        while let Some(frame) = self.queue.pop_stale(arrival) {
            dropped(frame);
        }
        while self.written - sent < self.not_sent_low
            && let Some(message) = self.queue.pop()
        {
            self.written += FRAMING;
            if let Message::Frame(frame) = &message {
                self.written += u64::from(frame.size);
            }
            self.book.borrow_mut().push_back(Written { end: self.written, message });
        }
    }
}

/// The reading application.
#[derive(Debug)]
pub(super) struct Reader {
    book: Book,
}

impl Reader {
    pub(super) const fn new(book: Book) -> Self {
        Self { book }
    }

    /// The deadline of the frame that the next unread byte belongs to.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.book.borrow().front()?.message {
            Message::Frame(ref frame) => Some(frame.deadline),
            Message::Refresh(_) => None,
        }
    }

    /// The next message that ends at or before the byte `read`, everything before which is in order.
    pub(super) fn poll(&mut self, read: u64) -> Option<FrameEvent> {
        let mut book = self.book.borrow_mut();
        if book.front()?.end > read {
            return None;
        }
        Some(match book.pop_front()?.message {
            Message::Frame(Frame { id, size, head, .. }) => {
                FrameEvent::Delivered(Delivered { id, size, head })
            }
            Message::Refresh(frame) => FrameEvent::RefreshRequested(frame),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::frame::Priority;

    #[test]
    fn frames_behind_a_full_socket_are_dropped_as_they_become_stale() {
        let mut writer = Writer::new(Stale::Drop, 16_384, Book::default());
        for (id, deadline) in [(0, 100), (1, 100), (2, 300)] {
            let (id, deadline) = (FrameId(id), Time::from_millis(deadline));
            let (priority, head) = (Priority::Delta, Bytes::new());
            let frame = Frame { id, captured: Time::ZERO, deadline, priority, size: 20_000, head };
            writer.offer(frame).unwrap();
        }
        let mut dropped = Vec::new();
        writer.write(Time::from_millis(100), 0, |frame| dropped.push(frame));
        assert_eq!(
            (writer.written(), writer.queued(), &dropped[..]),
            (20_008, ByteSize::new(40_000), &[][..])
        );
        writer.write(Time::from_millis(101), 0, |frame| dropped.push(frame));
        assert_eq!((writer.queued(), &dropped[..]), (ByteSize::new(20_000), &[FrameId(1)][..]));
    }
}
