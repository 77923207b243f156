//! Frames waiting to be sent, and the one that is being cut into packets.

use std::collections::VecDeque;

use crate::frame::{Frame, FrameId};
use crate::time::Time;

/// The send queue of one direction.
#[derive(Debug)]
pub(crate) struct Queue {
    frames: VecDeque<Frame>,
    /// Packets of the first frame that were cut from it.
    cut: u16,
    /// Bytes of all frames that were not cut yet.
    bytes: u64,
    /// The longest payload of a packet.
    payload_max: u32,
}

/// A packet's worth of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) index: u16,
    pub(crate) count: u16,
}

impl Queue {
    pub(crate) fn new(payload_max: u32) -> Self {
        Self { frames: VecDeque::new(), cut: 0, bytes: 0, payload_max }
    }

    /// Puts a frame at the end; gives it back where the bound is reached, or where it has no bytes or
    /// too many for one frame.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        let size = u64::from(frame.size);
        let count = frame.size.div_ceil(self.payload_max);
        let sound = size > 0 && count <= u32::from(u16::MAX) && frame.head.len() as u64 <= size.min(HEAD_MAX);
        if !sound || self.frames.len() == FRAMES_MAX || self.bytes + size > BYTES_MAX {
            return Err(frame);
        }
        self.bytes += size;
        self.frames.push_back(frame);
        Ok(())
    }

    /// The next packet's worth; none when nothing waits.
    pub(crate) fn front(&self) -> Option<Cut<'_>> {
        let frame = self.frames.front()?;
        let count = frame.size.div_ceil(self.payload_max) as u16;
        Some(Cut { frame, index: self.cut, count })
    }

    /// Takes away what [`Queue::front`] gave, `bytes` of the frame.
    pub(crate) fn advance(&mut self, bytes: u32) {
        self.bytes -= u64::from(bytes);
        self.cut += 1;
        if self.front().is_some_and(|cut| cut.index == cut.count) {
            self.cut = 0;
            self.frames.pop_front();
        }
    }

    /// Takes the first frame away if none of it was cut and its deadline is before `arrival`, when it
    /// would be there if it were sent at once.
    pub(crate) fn drop_stale(&mut self, arrival: Time) -> Option<FrameId> {
        let stale = self.cut == 0 && self.frames.front().is_some_and(|frame| arrival > frame.deadline);
        let frame = if stale { self.frames.pop_front()? } else { return None };
        self.bytes -= u64::from(frame.size);
        Some(frame.id)
    }

    /// Bytes that were not cut yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// The most frames that wait: more than a minute of a screen.
const FRAMES_MAX: usize = 4096;

/// The most bytes that wait: five seconds at 100 Mbit/s.
const BYTES_MAX: u64 = 64 << 20;

const HEAD_MAX: u64 = Frame::HEAD_MAX as u64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(id: u32, size: u32) -> Frame {
        Frame {
            id: FrameId(id),
            captured: Time::ZERO,
            deadline: Time::from_millis(100),
            priority: Default::default(),
            size,
            head: Bytes::new(),
        }
    }

    #[test]
    fn the_queue_is_bounded_in_frames_and_bytes_and_refuses_what_fits_no_frame() {
        let mut queue = Queue::new(1000);
        assert!(queue.push(frame(0, 0)).is_err());
        assert!(queue.push(frame(0, 65_536_000)).is_err(), "65,536 packets are one too many");
        assert!((0..FRAMES_MAX as u32).all(|id| queue.push(frame(id, 10)).is_ok()));
        assert!(queue.push(frame(4096, 10)).is_err());

        let mut queue = Queue::new(1000);
        assert!(queue.push(frame(0, 60_000_000)).is_ok());
        assert!(queue.push(frame(1, 10_000_000)).is_err());
        assert!(queue.push(frame(2, 7_000_000)).is_ok());
    }

    #[test]
    fn only_a_frame_of_which_nothing_was_cut_is_stale() {
        let mut queue = Queue::new(1000);
        queue.push(frame(0, 2000)).unwrap();
        queue.push(frame(1, 500)).unwrap();
        let late = Time::from_millis(101);
        assert_eq!(queue.drop_stale(Time::from_millis(100)), None);
        queue.advance(1000);
        assert_eq!(queue.drop_stale(late), None, "a frame begun is finished");
        queue.advance(1000);
        assert_eq!(queue.drop_stale(late), Some(FrameId(1)));
        assert_eq!(queue.bytes(), 0);
    }
}
