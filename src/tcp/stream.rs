//! The application's side of the byte stream: frames written in order, frames read in order.
//!
//! The model carries no payload bytes, so the two ends of a connection share a book of what was
//! written where; a reader looks a message up when its last byte is in order. Every message costs
//! [`FRAMING`] bytes of the stream, as a length and a number would.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::endpoint::{FrameEvent, Stale};
use crate::frame::{Delivered, Frame, FrameId};
use crate::time::Time;
use crate::units::ByteSize;

/// Bytes that mark a message in the stream: its length and its number.
const FRAMING: u64 = 8;
/// The most frames and bytes that wait above the socket: a minute of full-rate video. A frame offered
/// beyond that is dropped.
const QUEUE_MAX: (usize, u64) = (4096, 64 << 20);

/// What was written into the stream and has not been read.
pub(super) type Book = Rc<RefCell<VecDeque<Written>>>;

/// A message and the place in the stream where it ends.
#[derive(Clone, Debug)]
pub(super) struct Written {
    end: u64,
    message: Message,
}

#[derive(Clone, Debug)]
enum Message {
    Frame { delivered: Delivered, deadline: Time },
    Refresh(FrameId),
}

/// The writing application: a queue of frames above the socket.
#[derive(Debug)]
pub(super) struct Writer {
    stale: Stale,
    not_sent_low: u64,
    queue: VecDeque<Frame>,
    queued: u64,
    refreshes: VecDeque<FrameId>,
    book: Book,
    /// Bytes written into the socket so far.
    written: u64,
}

impl Writer {
    pub(super) fn new(stale: Stale, not_sent_low: u64, book: Book) -> Self {
        Self {
            stale,
            not_sent_low,
            queue: VecDeque::new(),
            queued: 0,
            refreshes: VecDeque::new(),
            book,
            written: 0,
        }
    }

    /// Bytes written into the socket so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes of frames that wait above the socket.
    pub(super) const fn queued(&self) -> ByteSize {
        ByteSize::new(self.queued)
    }

    /// Takes a frame, or gives it back where the queue is full.
    pub(super) fn offer(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.queue.len() == QUEUE_MAX.0 || self.queued + u64::from(frame.size) > QUEUE_MAX.1 {
            return Err(frame);
        }
        self.queued += u64::from(frame.size);
        self.queue.push_back(frame);
        Ok(())
    }

    /// Takes a refresh request, which goes ahead of the frames that wait.
    pub(super) fn request_refresh(&mut self, frame: FrameId) {
        // A viewer asks once per missing frame, so the bound is that of the frames.
        if self.refreshes.len() < QUEUE_MAX.0 {
            self.refreshes.push_back(frame);
        }
    }

    /// Writes into the socket while less than the low-water mark of it is unsent, and calls `dropped`
    /// with the frames that come too late if what leaves now comes at `arrival`; also with those behind a socket
    /// that is full, so that neither the encoder nor the repair of the picture counts on them.
    pub(super) fn write(&mut self, arrival: Time, sent: u64, mut dropped: impl FnMut(FrameId)) {
        while self.stale == Stale::Drop
            && self.queue.front().is_some_and(|frame| arrival > frame.deadline)
            && let Some(frame) = self.queue.pop_front()
        {
            self.queued -= u64::from(frame.size);
            dropped(frame.id);
        }
        while self.written - sent < self.not_sent_low {
            if let Some(frame) = self.refreshes.pop_front() {
                self.put(Message::Refresh(frame), 0);
                continue;
            }
            let Some(frame) = self.queue.pop_front() else { return };
            self.queued -= u64::from(frame.size);
            let delivered = Delivered { id: frame.id, size: frame.size, head: frame.head };
            self.put(Message::Frame { delivered, deadline: frame.deadline }, u64::from(frame.size));
        }
    }

    fn put(&mut self, message: Message, size: u64) {
        self.written += FRAMING + size;
        self.book.borrow_mut().push_back(Written { end: self.written, message });
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
            Message::Frame { deadline, .. } => Some(deadline),
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
            Message::Frame { delivered, .. } => FrameEvent::Delivered(delivered),
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
