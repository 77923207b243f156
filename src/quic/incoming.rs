//! The receiving half: from streams and datagrams to frames, and to requests of the other end.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, StreamEvent, StreamId};

use super::book::SharedBook;
use super::datagrams;
use super::streams::{HEADER_LEN, REQUEST};
use crate::endpoint::{Flow, FrameEvent};
use crate::frame::{Delivered, Frame, FrameId};
use crate::record::{Event, Malformed};
use crate::time::Time;
use crate::transport::receiver::Receiver;
use crate::transport::trace::Trace;

/// What arrives at an end.
#[derive(Debug)]
pub(super) struct Incoming {
    book: SharedBook,
    /// Streams that are not whole; at most as many as may be open.
    streams: BTreeMap<StreamId, Beginning>,
    /// Frames in datagrams.
    datagrams: Receiver,
    events: VecDeque<FrameEvent>,
}

/// The front of a stream, up to where the longest head ends: streams are read as their bytes come.
#[derive(Debug)]
struct Beginning {
    front: [u8; FRONT_LEN],
    /// How long the stream is, as far as is known.
    length: u64,
}

const FRONT_LEN: usize = HEADER_LEN + Frame::HEAD_MAX;

impl Incoming {
    pub(super) fn new(flow: Flow, book: SharedBook) -> Self {
        Self {
            book,
            streams: BTreeMap::new(),
            datagrams: Receiver::of_sources_only(flow),
            events: VecDeque::new(),
        }
    }

    /// Something happened to streams of the other end.
    pub(super) fn handle_stream_event(
        &mut self,
        trace: &mut Trace,
        connection: &mut Connection,
        event: &StreamEvent,
    ) {
        match *event {
            StreamEvent::Opened { .. } => {
                while let Some(id) = connection.streams().accept(Dir::Uni) {
                    self.read(trace, connection, id);
                }
            }
            StreamEvent::Readable { id } => self.read(trace, connection, id),
            _ => {}
        }
    }

    fn read(&mut self, trace: &mut Trace, connection: &mut Connection, id: StreamId) {
        let mut stream = connection.recv_stream(id);
        // A stream that is over already may be told of once more.
        let Ok(mut chunks) = stream.read(false) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    let length = chunk.bytes.len() as u64;
                    self.book.borrow_mut().arrive(trace, id.into(), chunk.offset, length);
                    self.streams.entry(id).or_default().take(chunk.offset, &chunk.bytes);
                }
                Ok(None) => {
                    self.finish(trace, id);
                    break;
                }
                Err(ReadError::Reset(code)) => {
                    self.streams.remove(&id);
                    self.book.borrow_mut().close(trace, id.into());
                    let frame = FrameId(code.into_inner() as u32);
                    trace.tell(Event::FrameLost { frame });
                    self.events.push_back(FrameEvent::Lost(frame));
                    break;
                }
                Err(ReadError::Blocked) => break,
            }
        }
        // Whether flow control has something to say shows when the connection is asked for packets.
        let _ = chunks.finalize();
    }

    /// All of a stream is here.
    fn finish(&mut self, trace: &mut Trace, id: StreamId) {
        self.book.borrow_mut().close(trace, id.into());
        match self.streams.remove(&id).unwrap_or_default().message() {
            Ok(event) => {
                if let FrameEvent::Delivered(Delivered { id, .. }) = &event {
                    trace.tell(Event::FrameComplete { frame: *id });
                }
                self.events.push_back(event);
            }
            Err(reason) => trace.tell(Event::Malformed(reason)),
        }
    }

    /// Datagrams arrived.
    pub(super) fn handle_datagrams(&mut self, trace: &mut Trace, connection: &mut Connection) {
        while let Some(piece) = connection.datagrams().recv() {
            let taken =
                datagrams::decode(piece).and_then(|piece| self.datagrams.handle_source_only(trace, &piece));
            if let Err(reason) = taken {
                trace.tell(Event::Malformed(reason));
            }
        }
        self.settle(trace);
    }

    /// Decides what of the datagrams is lost.
    pub(super) fn settle(&mut self, trace: &mut Trace) {
        self.datagrams.settle(trace);
        while let Some(event) = self.datagrams.poll_event() {
            self.events.push_back(event);
        }
    }

    /// When [`Incoming::settle`] has something to decide.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.datagrams.poll_timeout()
    }

    /// What happened to frames of the other end, in order.
    pub(super) fn poll_event(&mut self) -> Option<FrameEvent> {
        self.events.pop_front()
    }
}

impl Default for Beginning {
    fn default() -> Self {
        Self { front: [0; FRONT_LEN], length: 0 }
    }
}

impl Beginning {
    fn take(&mut self, offset: u64, bytes: &[u8]) {
        self.length = self.length.max(offset + bytes.len() as u64);
        if let Some(front) = usize::try_from(offset).ok().and_then(|offset| self.front.get_mut(offset..)) {
            front.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
    }

    /// What the whole stream says.
    fn message(&self) -> Result<FrameEvent, Malformed> {
        let [kind, number @ ..] = self.front.first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        let number = FrameId(u32::from_be_bytes(*number));
        let Some(size) = self.length.checked_sub(HEADER_LEN as u64) else { return Err(Malformed::Truncated) };
        match (*kind, size) {
            (REQUEST, 0) => Ok(FrameEvent::RefreshRequested(number)),
            (head, _) if usize::from(head) <= Frame::HEAD_MAX && u64::from(head) <= size => {
                let head = &self.front[HEADER_LEN..HEADER_LEN + usize::from(head)];
                let size = u32::try_from(size).map_err(|_| Malformed::InvalidField)?;
                let head = Bytes::copy_from_slice(head);
                Ok(FrameEvent::Delivered(Delivered { id: number, size, head }))
            }
            _ => Err(Malformed::InvalidField),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(pieces: &[(u64, &[u8])]) -> Result<FrameEvent, Malformed> {
        let mut beginning = Beginning::default();
        pieces.iter().for_each(|&(offset, bytes)| beginning.take(offset, bytes));
        beginning.message()
    }

    #[test]
    fn a_frame_is_the_same_in_whatever_order_its_bytes_come() {
        let bytes: Vec<u8> = [&[2, 0, 0, 1, 7, 8, 9][..], &[0; 93]].concat();
        let pieces = [(60, &bytes[60..]), (3, &bytes[3..60]), (0, &bytes[..3])];
        let frame = Delivered { id: FrameId(263), size: 95, head: Bytes::from_static(&[8, 9]) };
        assert_eq!(message(&pieces), Ok(FrameEvent::Delivered(frame)));
    }

    #[test]
    fn a_request_has_no_frame_and_what_else_there_is_makes_no_sense() {
        assert_eq!(message(&[(0, &[255, 0, 0, 0, 9])]), Ok(FrameEvent::RefreshRequested(FrameId(9))));
        assert_eq!(message(&[(0, &[255, 0, 0, 0, 9, 0])]), Err(Malformed::InvalidField));
        assert_eq!(message(&[(0, &[33, 0, 0, 0, 9])]), Err(Malformed::InvalidField));
        assert_eq!(message(&[(0, &[2, 0, 0, 0, 9, 1])]), Err(Malformed::InvalidField));
        assert_eq!(message(&[(0, &[0, 0, 0])]), Err(Malformed::Truncated));
    }
}
