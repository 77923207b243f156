//! The clock of the drivers in real time: nanoseconds since a start that the driver chooses.

use std::time::Instant;

use crate::time::{Duration, Time};

/// A monotonic clock that reads [`Time::ZERO`] at its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Time {
        let elapsed = Instant::now().duration_since(self.start);
        Time::from_nanos(elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos()))
    }

    /// The time from now to `at`; zero where that has passed.
    pub fn until(&self, at: Time) -> Duration {
        at.since(self.now())
    }
}
