//! Telling what happens: a sink together with when, where and which way.

use crate::endpoint::{Direction, Flow};
use crate::record::{Event, Record, Sink};
use crate::time::Time;

/// Where the events of one half of an end go, at one point in time.
pub(crate) struct Trace<'a> {
    pub(crate) now: Time,
    pub(crate) flow: Flow,
    /// The way that the packets concerned travel.
    pub(crate) direction: Direction,
    pub(crate) sink: &'a mut dyn Sink,
}

impl Trace<'_> {
    /// Records that `event` happens now.
    pub(crate) fn tell(&mut self, event: Event) {
        let Self { now, flow, direction, .. } = *self;
        self.sink.record(&Record { at: now, flow, direction, event });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Calls `f` at `now` and returns what it told with its result.
    pub(in crate::transport) fn traced<T>(now: Time, f: impl FnOnce(&mut Trace) -> T) -> (T, Vec<Record>) {
        let mut records = Vec::new();
        let mut trace = Trace { now, flow: Flow(0), direction: Direction::Down, sink: &mut records };
        let result = f(&mut trace);
        (result, records)
    }
}
