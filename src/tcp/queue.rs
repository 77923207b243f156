//! What an application that writes frames into a TCP socket keeps above it, whoever the socket belongs
//! to: this model, or the kernel.

use std::collections::VecDeque;

use crate::endpoint::Stale;
use crate::frame::{Frame, FrameId};
use crate::time::Time;
use crate::units::ByteSize;

/// Bytes that mark a message in the stream: its length and its number.
pub(crate) const FRAMING: u64 = 8;
/// The most frames and bytes that wait above the socket: a minute of full-rate video. A frame offered
/// beyond that is dropped.
pub(crate) const QUEUE_MAX: (usize, u64) = (4096, 64 << 20);

/// What is written into the stream.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A frame, whole.
    Frame(Frame),
    /// A request for a refresh, because this frame is missing; it has no bytes but its mark.
    Refresh(FrameId),
}

/// Frames and refresh requests that wait for room in the socket.
#[derive(Debug)]
pub(crate) struct Queue {
    stale: Stale,
    frames: VecDeque<Frame>,
    bytes: u64,
    refreshes: VecDeque<FrameId>,
}

impl Queue {
    pub(crate) const fn new(stale: Stale) -> Self {
        Self { stale, frames: VecDeque::new(), bytes: 0, refreshes: VecDeque::new() }
    }

    /// Takes a frame, or gives it back where the queue is full.
    pub(crate) fn offer(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.frames.len() == QUEUE_MAX.0 || self.bytes + u64::from(frame.size) > QUEUE_MAX.1 {
            return Err(frame);
        }
        self.bytes += u64::from(frame.size);
        self.frames.push_back(frame);
        Ok(())
    }

    /// Takes a refresh request, which goes ahead of the frames that wait.
    pub(crate) fn request_refresh(&mut self, frame: FrameId) {
        // A viewer asks once per missing frame, so the bound is that of the frames.
        if self.refreshes.len() < QUEUE_MAX.0 {
            self.refreshes.push_back(frame);
        }
    }

    /// Drops the first frame if it comes too late where what leaves now comes at `arrival`; called until
    /// there is none. Also behind a socket that is full, so that neither the encoder nor the repair of
    /// the picture counts on such frames.
    pub(crate) fn pop_stale(&mut self, arrival: Time) -> Option<FrameId> {
        if self.stale == Stale::Keep {
            return None;
        }
        self.frames.front().filter(|frame| arrival > frame.deadline)?;
        self.pop_frame().map(|frame| frame.id)
    }

    /// The next message to write.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let refresh = self.refreshes.pop_front().map(Message::Refresh);
        refresh.or_else(|| self.pop_frame().map(Message::Frame))
    }

    /// The next frame to write, whatever requests wait.
    fn pop_frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= u64::from(frame.size);
        Some(frame)
    }

    /// Bytes of the frames that wait.
    pub(crate) const fn bytes(&self) -> ByteSize {
        ByteSize::new(self.bytes)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.refreshes.is_empty()
    }
}
