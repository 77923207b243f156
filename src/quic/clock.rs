//! Our time as quinn-proto has it.
//!
//! It wants `std::time::Instant`, which cannot be made from zero: so one is read when the first connection
//! of the process is made, and every time is counted from there. Only differences ever matter, so nothing
//! depends on when that was.

use std::sync::OnceLock;
use std::time::Instant;

use crate::time::{Duration, Time};

/// Where time begins.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made otherwise; its value is never used"
    )]
    *ORIGIN.get_or_init(Instant::now)
}

/// `time` for quinn-proto.
pub(super) fn instant(time: Time) -> Instant {
    origin() + std::time::Duration::from_nanos(time.as_nanos())
}

/// An instant of quinn-proto's.
pub(super) fn time(instant: Instant) -> Time {
    Time::ZERO + duration(instant.saturating_duration_since(origin()))
}

/// A duration of quinn-proto's.
pub(super) fn duration(duration: std::time::Duration) -> Duration {
    Duration::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was() {
        for nanos in [0, 1, 20_000_000_007, 3_600_000_000_000] {
            assert_eq!(time(instant(Time::from_nanos(nanos))), Time::from_nanos(nanos));
        }
    }
}
