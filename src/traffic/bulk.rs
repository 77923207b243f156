//! Bulk data: a download that takes whatever the transport can carry.

use super::head::Head;
use super::{Captured, Workload};
use crate::frame::{Frame, FrameId, Priority, Regions};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// A download of one session. It tops up the transport's backlog a piece at a time.
#[derive(Debug)]
pub(super) struct Bulk {
    next_id: u32,
    next_at: Time,
}

impl Bulk {
    pub(super) fn new(start: Time) -> Self {
        Self { next_id: 0, next_at: start }
    }
}

impl Workload for Bulk {
    fn next_at(&self) -> Option<Time> {
        Some(self.next_at)
    }

    fn capture(&mut self, now: Time, _: Option<Bitrate>, backlog: ByteSize) -> Option<Captured> {
        self.next_at = now + TICK;
        if backlog.get() >= BACKLOG_BYTES {
            return None;
        }
        let frame = Frame {
            id: FrameId(self.next_id),
            captured: now,
            deadline: Time::NEVER,
            priority: Priority::Delta,
            size: PIECE_BYTES,
            head: Head::Whole.encode(),
        };
        self.next_id = self.next_id.wrapping_add(1);
        Some(Captured { frame, regions: Regions::NONE, again: Regions::NONE })
    }

    fn handle_dropped(&mut self, _: Time, _: FrameId) {}

    fn handle_refresh_request(&mut self, _: Time, _: FrameId) {}
}

/// How often it looks whether there is room. With [`PIECE_BYTES`] this bounds it at 524 Mbit/s.
const TICK: Duration = Duration::from_millis(1);

/// How much it offers at a time, in bytes: what a program writes into a socket in one call.
const PIECE_BYTES: u32 = 65_536;

/// How much may wait before it stops offering, in bytes: what any transport sends within a tick of
/// ours, several times over.
const BACKLOG_BYTES: u64 = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_data_keeps_the_backlog_within_its_bound() {
        let mut bulk = Bulk::new(Time::ZERO);
        let mut backlog = 0;
        for _ in 0..100 {
            let now = bulk.next_at().unwrap();
            if let Some(captured) = bulk.capture(now, None, ByteSize::new(backlog)) {
                assert_eq!((captured.frame.deadline, captured.regions), (Time::NEVER, Regions::NONE));
                backlog += u64::from(captured.frame.size);
            }
            assert!(bulk.next_at().unwrap() > now);
            assert!(backlog < BACKLOG_BYTES + u64::from(PIECE_BYTES));
        }
        assert!(backlog >= BACKLOG_BYTES);
    }
}
