//! A person's input on its way to the server: small frames at the times of a Poisson process.

use super::head::Head;
use super::updates::SHORTEST_INTERVAL;
use super::{Captured, Workload};
use crate::frame::{Frame, FrameId, Priority, Regions};
use crate::rng::{Stream, exponential};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// Keystrokes of one session.
#[derive(Debug)]
pub(super) struct Keystrokes {
    stream: Stream,
    mean_gap: f64,
    deadline: Duration,
    next_id: u32,
    next_at: Time,
}

impl Keystrokes {
    pub(super) fn new(per_second: f64, deadline: Duration, stream: Stream) -> Self {
        let mut keystrokes =
            Self { stream, mean_gap: 1.0 / per_second, deadline, next_id: 0, next_at: Time::ZERO };
        keystrokes.next_at += keystrokes.gap();
        keystrokes
    }

    /// The time before the next key, drawn for its number.
    fn gap(&self) -> Duration {
        let gap = exponential(&mut self.stream.at(u64::from(self.next_id)), self.mean_gap);
        Duration::from_secs_f64(gap).max(SHORTEST_INTERVAL)
    }
}

impl Workload for Keystrokes {
    fn next_at(&self) -> Option<Time> {
        Some(self.next_at)
    }

    fn capture(&mut self, now: Time, _: Option<Bitrate>, _: ByteSize) -> Option<Captured> {
        let frame = Frame {
            id: FrameId(self.next_id),
            captured: now,
            deadline: now + self.deadline,
            priority: Priority::Input,
            size: KEY_BYTES,
            head: Head::Whole.encode(),
        };
        self.next_id = self.next_id.wrapping_add(1);
        self.next_at += self.gap();
        Some(Captured { frame, regions: Regions::NONE, again: Regions::NONE })
    }

    fn handle_dropped(&mut self, _: Time, _: FrameId) {}

    fn handle_refresh_request(&mut self, _: Time, _: FrameId) {}
}

/// One input event with its time and modifiers, in bytes; remoting protocols send 8 to 40.
const KEY_BYTES: u32 = 32;

#[cfg(test)]
mod tests {
    use super::super::test_stream;
    use super::*;

    #[test]
    fn keys_come_as_a_poisson_process() {
        let mut keys = Keystrokes::new(5.0, Duration::from_millis(100), test_stream("keys"));
        let mut gaps = Vec::new();
        let mut last = Time::ZERO;
        for number in 0..20_000 {
            let now = keys.next_at().unwrap();
            let captured = keys.capture(now, None, ByteSize::ZERO).unwrap();
            assert_eq!(captured.frame.id, FrameId(number));
            assert_eq!((captured.frame.priority, captured.regions), (Priority::Input, Regions::NONE));
            gaps.push(now.since(last).as_secs_f64());
            last = now;
        }
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let square = gaps.iter().map(|gap| gap * gap).sum::<f64>() / n;
        // An exponential gap of mean m has E[x²] = 2 m² and deviations m and sqrt(20) m²; five standard
        // errors are allowed.
        assert!((mean - 0.2).abs() < 5.0 * 0.2 / n.sqrt(), "{mean}");
        assert!((square - 0.08).abs() < 5.0 * 20.0_f64.sqrt() * 0.04 / n.sqrt(), "{square}");
    }
}
