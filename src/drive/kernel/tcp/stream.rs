//! Messages as bytes of the stream, and back.
//!
//! | bytes, big-endian | meaning |
//! | --- | --- |
//! | 0–3, upper 6 bits | how long the head of the frame is; 63 marks a refresh request, which has no more bytes |
//! | 0–3, lower 26 bits | the size of the frame less 1 |
//! | 4–7 | the frame's number |
//! | from 8 | the head, then filler: a function of the place in the stream, so that bytes that are lost, swapped or doubled show |

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;

use crate::endpoint::FrameEvent;
use crate::frame::{Delivered, Frame, FrameId};
use crate::record::Malformed;
use crate::tcp::queue::{FRAMING, Message, QUEUE_MAX};
use crate::transport::filler::{self, OFFSETS, PIECE_MAX};

/// A message on its way into the socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The frame, if it is one.
    pub(super) frame: Option<FrameId>,
    /// The mark and the head.
    front: Vec<u8>,
    start: u64,
    end: u64,
    /// The next byte to write.
    place: u64,
}

impl Outgoing {
    /// Filler that one system call may take: a mebibyte.
    const PIECES_MAX: usize = 16;

    /// `message`, whose first byte is the byte `start` of the stream.
    pub(super) fn new(message: &Message, start: u64) -> Self {
        let (frame, number, word, head, size) = match message {
            Message::Frame(frame) => {
                let word = (frame.head.len() as u32) << SIZE_BITS | (frame.size - 1);
                (Some(frame.id), frame.id, word, &frame.head[..], u64::from(frame.size))
            }
            Message::Refresh(missing) => (None, *missing, REFRESH << SIZE_BITS, &[][..], 0),
        };
        let mut front = Vec::with_capacity(FRAMING as usize + head.len());
        front.extend_from_slice(&word.to_be_bytes());
        front.extend_from_slice(&number.0.to_be_bytes());
        front.extend_from_slice(head);
        Self { frame, front, start, end: start + FRAMING + size, place: start }
    }

    /// The byte behind its last.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that have not been written.
    pub(super) const fn left(&self) -> u64 {
        self.end - self.place
    }

    /// Writes until nothing is left or `socket` takes no more, which is its error.
    pub(super) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.left() > 0 {
            // Mark, head and filler leave in one call: each call of its own would be a segment.
            match socket.write_vectored(&self.pieces()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.place += written as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let done = usize::try_from(self.place - self.start).unwrap_or(usize::MAX).min(self.front.len());
        let front = &self.front[done..];
        let mut pieces = vec![IoSlice::new(front)];
        let mut place = self.place + front.len() as u64;
        while place < self.end && pieces.len() < Self::PIECES_MAX {
            let piece = filler_at(place, (self.end - place) as usize);
            place += piece.len() as u64;
            pieces.push(IoSlice::new(piece));
        }
        pieces
    }
}

/// Reads messages out of the stream, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Bytes read so far.
    position: u64,
    /// The mark and the head of the current message, as far as they are here.
    front: Vec<u8>,
    /// What the mark says, once it is whole.
    mark: Option<Mark>,
    /// Bytes of filler still to come once mark and head are whole.
    filler_left: u64,
}

impl Parser {
    /// Bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes of the stream, and puts what they complete into `events`.
    ///
    /// # Errors
    /// Where they are not what an [`Outgoing`] writes. Nothing behind that can be understood.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        events: &mut VecDeque<FrameEvent>,
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let taken = if self.filler_left > 0 { self.check(bytes)? } else { self.collect(bytes)? };
            self.position += taken as u64;
            bytes = &bytes[taken..];
            events.extend(self.complete());
        }
        Ok(())
    }

    /// Takes bytes of the mark or the head; how many.
    fn collect(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let wanted = FRAMING as usize + self.mark.map_or(0, Mark::head_length);
        let taken = bytes.len().min(wanted - self.front.len());
        self.front.extend_from_slice(&bytes[..taken]);
        if self.mark.is_none()
            && let Some(mark) = self.front.first_chunk()
        {
            self.mark = Some(Mark::decode(*mark)?);
        }
        if let Some(Mark::Frame { head, size, .. }) = self.mark
            && self.front.len() == FRAMING as usize + usize::from(head)
        {
            self.filler_left = u64::from(size) - u64::from(head);
        }
        Ok(taken)
    }

    /// Takes bytes of the filler; how many.
    fn check(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let length = bytes.len().min(usize::try_from(self.filler_left).unwrap_or(usize::MAX));
        let expected = filler_at(self.position, length);
        if bytes[..expected.len()] != *expected {
            return Err(Malformed::BadCheck);
        }
        self.filler_left -= expected.len() as u64;
        Ok(expected.len())
    }

    /// The current message, if it is whole.
    fn complete(&mut self) -> Option<FrameEvent> {
        let mark = self.mark?;
        if self.filler_left > 0 || self.front.len() < FRAMING as usize + mark.head_length() {
            return None;
        }
        self.mark = None;
        let head = Bytes::copy_from_slice(&self.front[FRAMING as usize..]);
        self.front.clear();
        Some(match mark {
            Mark::Frame { id, size, .. } => FrameEvent::Delivered(Delivered { id, size, head }),
            Mark::Refresh(frame) => FrameEvent::RefreshRequested(frame),
        })
    }
}

/// The first bytes of a message.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Frame { id: FrameId, size: u32, head: u8 },
    Refresh(FrameId),
}

impl Mark {
    fn decode(bytes: [u8; FRAMING as usize]) -> Result<Self, Malformed> {
        let [a, b, c, d, number @ ..] = bytes;
        let (word, frame) = (u32::from_be_bytes([a, b, c, d]), FrameId(u32::from_be_bytes(number)));
        let (head, size) = (word >> SIZE_BITS, (word & SIZE_MASK) + 1);
        match head {
            REFRESH if size == 1 => Ok(Self::Refresh(frame)),
            REFRESH => Err(Malformed::InvalidField),
            _ if head > Frame::HEAD_MAX as u32 => Err(Malformed::UnknownKind),
            _ if head > size => Err(Malformed::InvalidField),
            _ => Ok(Self::Frame { id: frame, size, head: head as u8 }),
        }
    }

    const fn head_length(self) -> usize {
        match self {
            Self::Frame { head, .. } => head as usize,
            Self::Refresh(_) => 0,
        }
    }
}

/// The filler from a place in the stream on: `length` bytes, or the part of them in one piece. It repeats
/// itself with every [`OFFSETS`] bytes, and no piece goes beyond.
fn filler_at(place: u64, length: usize) -> &'static [u8] {
    let offset = (place % u64::from(OFFSETS)) as usize;
    filler::bytes(offset, length.min(PIECE_MAX).min(OFFSETS as usize - offset))
}

/// Bits of a mark that say a frame's size, and what marks a refresh request in the others.
const SIZE_BITS: u32 = 26;
const SIZE_MASK: u32 = (1 << SIZE_BITS) - 1;
const REFRESH: u32 = 63;

// No frame is larger than the queue that it waits in.
const _: () = assert!(QUEUE_MAX.1 == 1 << SIZE_BITS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Priority;
    use crate::time::Time;

    fn frame(id: u32, size: u32, head: &[u8]) -> Message {
        let head = Bytes::copy_from_slice(head);
        let (captured, deadline) = (Time::ZERO, Time::NEVER);
        Message::Frame(Frame { id: FrameId(id), captured, deadline, priority: Priority::Delta, size, head })
    }

    /// The stream that writes these messages.
    fn written(messages: &[Message]) -> Vec<u8> {
        let mut stream = Vec::new();
        for message in messages {
            Outgoing::new(message, stream.len() as u64).write_to(&mut stream).unwrap();
        }
        stream
    }

    fn expected(message: &Message) -> FrameEvent {
        match message.clone() {
            Message::Frame(Frame { id, size, head, .. }) => {
                FrameEvent::Delivered(Delivered { id, size, head })
            }
            Message::Refresh(frame) => FrameEvent::RefreshRequested(frame),
        }
    }

    fn message() -> impl Strategy<Value = Message> {
        let framed = (any::<u32>(), 1_u32..200_000, prop::collection::vec(any::<u8>(), 0..=32)).prop_map(
            |(id, size, mut head)| {
                head.truncate(size as usize);
                frame(id, size, &head)
            },
        );
        prop_oneof![4 => framed, 1 => any::<u32>().prop_map(|id| Message::Refresh(FrameId(id)))]
    }

    proptest! {
        #[test]
        fn messages_come_back_however_the_stream_is_cut(
            messages in prop::collection::vec(message(), 1..8),
            cuts in prop::collection::vec(1_usize..5000, 1..20),
        ) {
            let stream = written(&messages);
            let (mut parser, mut events) = (Parser::default(), VecDeque::new());
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                parser.push(now, &mut events).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(parser.position(), stream.len() as u64);
            prop_assert_eq!(events.into_iter().collect::<Vec<_>>(), messages.iter().map(expected).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut parser, mut events) = (Parser::default(), VecDeque::new());
            let _ = parser.push(&bytes, &mut events);
            prop_assert!(parser.front.len() <= FRAMING as usize + Frame::HEAD_MAX);
        }
    }

    #[test]
    fn a_stream_goes_on_where_its_filler_repeats_itself() {
        let messages = [0, 1, 2].map(|id| frame(id, OFFSETS - 1000, b"head"));
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        parser.push(&written(&messages), &mut events).unwrap();
        assert!(events.iter().eq(&messages.each_ref().map(expected)));
    }

    #[test]
    fn a_byte_that_is_missing_breaks_the_stream() {
        let messages = [frame(0, 5000, b"head"), frame(1, 5000, b"head")];
        let mut stream = written(&messages);
        stream.remove(2000);
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        assert_eq!(parser.push(&stream, &mut events), Err(Malformed::BadCheck));
        assert!(events.is_empty());
    }

    #[test]
    fn marks_that_cannot_be_are_refused() {
        let push = |mark: [u8; 8]| Parser::default().push(&mark, &mut VecDeque::new());
        // A head of 33 bytes, one longer than its frame, a refresh request with a size.
        assert_eq!(push([33 << 2, 0, 9, 9, 0, 0, 0, 0]), Err(Malformed::UnknownKind));
        assert_eq!(push([32 << 2, 0, 0, 30, 0, 0, 0, 0]), Err(Malformed::InvalidField));
        assert_eq!(push([63 << 2, 0, 0, 1, 0, 0, 0, 0]), Err(Malformed::InvalidField));
        assert_eq!(push([32 << 2, 0, 0, 31, 0, 0, 0, 0]), Ok(()));
    }

    #[test]
    fn the_largest_frame_fits_its_mark() {
        let size = QUEUE_MAX.1 as u32;
        let stream = Outgoing::new(&frame(3, size, &[7; 32]), 0);
        assert_eq!(stream.left(), FRAMING + QUEUE_MAX.1);
        let mark = Mark::decode(*stream.front.first_chunk().unwrap());
        assert!(matches!(mark, Ok(Mark::Frame { id: FrameId(3), size: s, head: 32 }) if s == size));
    }
}
