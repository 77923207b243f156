//! The sending half on streams: one unidirectional stream for each frame, and one for each request of a
//! refresh.
//!
//! A stream's bytes are the message's first byte, which says how long the application's head is or that it is
//! a request; the frame's number in four bytes; and the frame. Frames are handed over to the connection one
//! after the other, as it can send them, so that those that wait can be dropped at no cost. Older frames
//! have the higher priority: what was lost of them leaves before what is new.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId, VarInt};

use super::Config;
use super::book::SharedBook;
use crate::endpoint::FrameEvent;
use crate::frame::{Frame, FrameId};
use crate::record::Event;
use crate::tcp::queue::{Message, Queue};
use crate::time::Time;
use crate::transport::filler;
use crate::transport::trace::Trace;

/// Bytes in front of every message.
pub(super) const HEADER_LEN: usize = 5;

/// The first byte of a request for a refresh; that of a frame is the length of its head.
pub(super) const REQUEST: u8 = u8::MAX;

/// What waits to be sent on streams, and what has been begun.
#[derive(Debug)]
pub(super) struct StreamSender {
    /// Whether frames that come too late are given up also where some of them was sent.
    resets: bool,
    queue: Queue,
    book: SharedBook,
    /// Frames handed to the connection and not known to be there whole, by stream.
    begun: BTreeMap<u64, Begun>,
    /// Bytes of them that have not been sent.
    unsent: u64,
    /// Streams of which something was sent again, too late.
    late: Vec<u64>,
    /// How many unsent bytes make the connection take no more.
    low_water: u64,
}

/// A frame on its stream.
#[derive(Clone, Copy, Debug)]
struct Begun {
    frame: FrameId,
    deadline: Time,
    /// Bytes of the stream, and how many of them were sent.
    length: u64,
    sent: u64,
}

/// What a packet that leaves carries of frames, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    /// For the first time.
    pub(super) first: u32,
    /// Once more.
    pub(super) again: u32,
}

impl StreamSender {
    /// A sender whose connection always has `low_water` bytes to send, where there are any.
    pub(super) fn new(config: &Config, low_water: u64, book: SharedBook) -> Self {
        Self {
            resets: config.resets,
            queue: Queue::new(config.stale),
            book,
            begun: BTreeMap::new(),
            unsent: 0,
            late: Vec::new(),
            low_water,
        }
    }

    /// Takes a frame, or gives it back where the queue is full.
    pub(super) fn offer(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queue.offer(frame)
    }

    /// Takes a request for a refresh, which goes ahead of all frames.
    pub(super) fn request_refresh(&mut self, frame: FrameId) {
        self.queue.request_refresh(frame);
    }

    /// Bytes of frames that were not sent for the first time.
    pub(super) fn backlog(&self) -> u64 {
        self.queue.bytes().get() + self.unsent
    }

    /// Whether anything handed over is not known to have arrived.
    pub(super) fn is_under_way(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Gives up what comes too late where what leaves now comes at `arrival`, and hands over to the
    /// connection what it can send next.
    pub(super) fn fill(
        &mut self,
        trace: &mut Trace,
        connection: &mut Connection,
        arrival: Time,
        events: &mut VecDeque<FrameEvent>,
    ) {
        while let Some(frame) = self.queue.pop_stale(arrival) {
            trace.tell(Event::FrameDropped { frame, begun: false });
            events.push_back(FrameEvent::Dropped(frame));
        }
        if self.resets {
            self.reset_stale(trace, connection, arrival, events);
        }
        while self.unsent < self.low_water && !self.queue.is_empty() {
            let Some(id) = connection.streams().open(Dir::Uni) else { return };
            let Some(message) = self.queue.pop() else { return };
            self.write(connection, id, message);
        }
    }

    /// Resets streams of frames that come too late: those of which some was not sent, and those of which
    /// something was lost, because what is sent again now comes too late as well.
    fn reset_stale(
        &mut self,
        trace: &mut Trace,
        connection: &mut Connection,
        arrival: Time,
        events: &mut VecDeque<FrameEvent>,
    ) {
        let is_unsent = |(_, begun): &(&u64, &Begun)| begun.sent < begun.length;
        // What is new leaves in the order of the streams, so that the unsent ones are the last.
        let unsent = self.begun.iter().rev().take_while(is_unsent);
        let stale = unsent.filter(|(_, begun)| arrival > begun.deadline).map(|(&stream, _)| stream);
        for stream in stale.chain(self.late.drain(..)).collect::<Vec<_>>() {
            let Some(begun) = self.begun.remove(&stream) else { continue };
            self.unsent -= begun.length - begun.sent;
            let code = VarInt::from_u32(begun.frame.0);
            if connection.send_stream(stream_id(stream)).reset(code).is_ok() {
                trace.tell(Event::FrameDropped { frame: begun.frame, begun: begun.sent > 0 });
                events.push_back(FrameEvent::Dropped(begun.frame));
            }
        }
    }

    fn write(&mut self, connection: &mut Connection, id: StreamId, message: Message) {
        let mut header = BytesMut::with_capacity(HEADER_LEN + Frame::HEAD_MAX);
        let (size, priority) = match &message {
            Message::Refresh(frame) => {
                header.put_u8(REQUEST);
                header.put_u32(frame.0);
                (0, i32::MAX)
            }
            Message::Frame(frame) => {
                header.put_u8(frame.head.len() as u8);
                header.put_u32(frame.id.0);
                header.put_slice(&frame.head);
                (frame.size - frame.head.len() as u32, -i32::try_from(frame.id.0).unwrap_or(i32::MAX))
            }
        };
        let length = header.len() as u64 + u64::from(size);
        let whole = size as usize / filler::PIECE_MAX;
        let piece = |length| Bytes::from_static(filler::bytes(0, length));
        let mut chunks = vec![header.freeze()];
        chunks.extend((0..whole).map(|_| piece(filler::PIECE_MAX)));
        chunks.push(piece(size as usize % filler::PIECE_MAX));
        let mut stream = connection.send_stream(id);
        // The stream was opened just now, and its window is larger than any frame: nothing can fail.
        let written = stream.set_priority(priority).is_ok()
            && stream.write_chunks(&mut chunks).is_ok_and(|written| written.bytes as u64 == length)
            && stream.finish().is_ok();
        debug_assert!(written);
        if let Message::Frame(Frame { id: frame, deadline, .. }) = message {
            self.unsent += length;
            self.begun.insert(id.into(), Begun { frame, deadline, length, sent: 0 });
        }
    }

    /// So many bytes of a stream from `offset` on leave; `arrival` is when they arrive at the earliest.
    pub(super) fn sent(
        &mut self,
        trace: &mut Trace,
        (stream, offset, length): (u64, u64, u64),
        arrival: Time,
        carried: &mut Carried,
    ) {
        // Of a request there is nothing to tell.
        let Some(begun) = self.begun.get_mut(&stream) else { return };
        let first = (offset + length).saturating_sub(begun.sent.max(offset));
        if first > 0 {
            self.book.borrow_mut().send(trace, stream, begun.deadline, first as u32);
            begun.sent += first;
            self.unsent -= first;
            carried.first += first as u32;
        }
        carried.again += (length - first) as u32;
        if self.resets && first < length && arrival > begun.deadline {
            self.late.push(stream);
        }
    }

    /// A stream is known to be there whole.
    pub(super) fn finished(&mut self, stream: StreamId) {
        self.begun.remove(&stream.into());
    }
}

/// The stream whose number on the wire is `id`.
fn stream_id(id: u64) -> StreamId {
    VarInt::from_u64(id).unwrap_or(VarInt::MAX).into()
}
