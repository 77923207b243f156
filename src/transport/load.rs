//! How much is sent: the load of the last second.

use crate::time::Time;
use crate::units::Bitrate;

/// IP bytes sent in each of the last [`SLOTS`] eighths of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    bytes: [u64; SLOTS],
    /// The newest slot, counted from the start of time.
    newest: u64,
}

impl Load {
    /// A packet of `size` bytes was sent.
    pub(super) fn note(&mut self, now: Time, size: u32) {
        self.move_to(now);
        self.bytes[self.newest as usize % SLOTS] += u64::from(size);
    }

    /// What was sent over the last second.
    pub(super) fn rate(&mut self, now: Time) -> Bitrate {
        self.move_to(now);
        Bitrate::from_bps(self.bytes.iter().sum::<u64>() * 8)
    }

    fn move_to(&mut self, now: Time) {
        let slot = now.as_nanos() / (1_000_000_000 / SLOTS as u64);
        for passed in (self.newest + 1..=slot).rev().take(SLOTS) {
            self.bytes[passed as usize % SLOTS] = 0;
        }
        self.newest = slot;
    }
}

/// Fine enough that a second's load is not off by much, coarse enough to cost nothing.
const SLOTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_what_was_sent_in_the_last_second() {
        let mut load = Load::default();
        (0..20).for_each(|tenth| load.note(Time::from_millis(100 * tenth), 1250));
        assert_eq!(load.rate(Time::from_millis(1_999)), Bitrate::from_bps(100_000));
        assert_eq!(load.rate(Time::from_millis(2_500)).bps(), 30_000);
        assert_eq!(load.rate(Time::from_secs(900)).bps(), 0);
    }
}
