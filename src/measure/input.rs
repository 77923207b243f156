//! How long a person's input takes.

use std::collections::VecDeque;

use super::histogram::Times;
use crate::frame::FrameId;
use crate::time::Time;

/// The input of one session.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Frames that are under way, in the order of their numbers; those that arrived have no time.
    open: VecDeque<(FrameId, Option<Time>)>,
    delay: Times,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { open: VecDeque::new(), delay: Times::new() }
    }

    pub(super) fn capture(&mut self, frame: FrameId, now: Time) {
        if self.open.back().is_some_and(|(last, _)| *last >= frame) {
            return;
        }
        self.open.push_back((frame, Some(now)));
        if self.open.len() > OPEN_MAX {
            self.forget_first();
        }
    }

    pub(super) fn decode(&mut self, frame: FrameId, now: Time) {
        let Ok(place) = self.open.binary_search_by_key(&frame, |(open, _)| *open) else { return };
        if let Some(captured) = self.open[place].1.take() {
            self.delay.record(now.since(captured), 1);
        }
        while self.open.front().is_some_and(|(_, captured)| captured.is_none()) {
            self.open.pop_front();
        }
    }

    /// The run is over: what is under way never arrives.
    pub(super) fn finish(&mut self) {
        while !self.open.is_empty() {
            self.forget_first();
        }
    }

    pub(super) fn delay(&self) -> &Times {
        &self.delay
    }

    fn forget_first(&mut self) {
        if let Some((_, Some(_))) = self.open.pop_front() {
            self.delay.record_infinite(1);
        }
    }
}

/// How many inputs may be under way at once: a quarter of an hour of fast typing. One that is pushed
/// out counts as never arrived.
const OPEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::metrics::{NEVER_ARRIVED, Value};
    use super::*;

    #[test]
    fn input_that_never_arrives_counts() {
        let mut input = Input::new();
        for frame in 0..10 {
            input.capture(FrameId(frame), Time::from_millis(u64::from(frame)));
        }
        for frame in (0..9).rev() {
            input.decode(FrameId(frame), Time::from_millis(u64::from(frame) + 1));
            input.decode(FrameId(frame), Time::from_millis(500));
        }
        input.finish();
        assert_eq!(input.delay().quantile_ms(0.9, "none"), Value::Number(1.0));
        assert_eq!(input.delay().quantile_ms(0.95, "none"), Value::Absent(NEVER_ARRIVED));
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut input = Input::new();
        for frame in 0..10_000 {
            input.capture(FrameId(frame), Time::ZERO);
        }
        assert_eq!(input.open.len(), OPEN_MAX);
    }
}
