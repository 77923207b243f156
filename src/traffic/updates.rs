//! Where the sizes of screen updates come from: a source of updates in time, before dependency and
//! encoder make frames of them.

use std::fmt::Debug;

use crate::time::{Duration, Time};

/// One change of the screen, as the source encoded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Update {
    /// Its size in bytes, at least 1.
    pub(super) bytes: u32,
    /// Whether it shows the whole screen by itself.
    pub(super) key: bool,
}

/// A source of updates.
pub(super) trait Updates: Debug {
    /// When the next update happens. There always is one.
    fn next_at(&self) -> Time;

    /// Takes the next update; [`Updates::next_at`] moves on.
    fn take(&mut self) -> Update;

    /// What the whole screen costs at present, in bytes, at least 1: the size of a refresh, and the
    /// measure of how much of the screen an update changes.
    fn screen_bytes(&self) -> u32;
}

/// Equal whole pictures at equal distances.
#[derive(Debug)]
pub(super) struct Constant {
    next_at: Time,
    interval: Duration,
    size: u32,
}

impl Constant {
    /// From `start` on, `per_second` pictures of `size` bytes.
    pub(super) fn new(start: Time, per_second: f64, size: u32) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second).max(SHORTEST_INTERVAL);
        Self { next_at: start, interval, size: size.max(1) }
    }
}

impl Updates for Constant {
    fn next_at(&self) -> Time {
        self.next_at
    }

    fn take(&mut self) -> Update {
        self.next_at += self.interval;
        Update { bytes: self.size, key: false }
    }

    fn screen_bytes(&self) -> u32 {
        self.size
    }
}

/// No source makes updates closer than this on average: it bounds the work of a simulated second
/// whatever the rate that was asked for.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_updates_come_at_equal_distances() {
        let mut updates = Constant::new(Time::from_millis(5), 50.0, 1000);
        let times: Vec<_> = (0..3)
            .map(|_| {
                let at = updates.next_at();
                assert_eq!(updates.take(), Update { bytes: 1000, key: false });
                at
            })
            .collect();
        assert_eq!(times, [5, 25, 45].map(Time::from_millis));
    }

    #[test]
    fn absurd_rates_still_let_time_pass() {
        for per_second in [f64::INFINITY, 1e30] {
            let mut updates = Constant::new(Time::ZERO, per_second, 0);
            updates.take();
            assert!(updates.next_at() >= Time::ZERO + SHORTEST_INTERVAL);
        }
    }
}
