//! The virtual-time driver: jumps from one event to the next, thousands of times faster than real time.
//!
//! One thread drives one trial. Everything that happens at the same instant happens in a fixed order:
//! arrivals before alarms, down before up, lower ends before higher ones. So the same ends over the same
//! links give the same records on every machine.

use super::alarms::Alarms;
use crate::endpoint::{Direction, Endpoint, Flow};
use crate::impair::link::Link;
use crate::record::Sink;
use crate::time::Time;

/// The two ends of every session, and the links in each direction that they share.
///
/// End 2·f is the server's end of flow f, end 2·f + 1 the person's.
#[derive(Debug)]
pub struct Simulation<E: Endpoint> {
    ends: Vec<E>,
    down: Link<E::Packet>,
    up: Link<E::Packet>,
}

impl<E: Endpoint> Simulation<E> {
    /// Sessions over a path. Each item of `sessions` is a flow's server and its person.
    pub fn new(
        sessions: impl IntoIterator<Item = [E; 2]>,
        down: Link<E::Packet>,
        up: Link<E::Packet>,
    ) -> Self {
        Self { ends: sessions.into_iter().flatten().collect(), down, up }
    }

    /// Runs from the start until nothing happens any more or `end` has come; what happens at `end`
    /// itself still happens.
    pub fn run(&mut self, end: Time, sink: &mut dyn Sink) {
        let mut alarms = Alarms::new(self.ends.len());
        for number in 0..self.ends.len() {
            self.ends[number].handle_timeout(Time::ZERO, sink);
            self.settle(number, Time::ZERO, &mut alarms, sink);
        }
        while let Some((now, what)) = self.next(&alarms) {
            if now > end {
                break;
            }
            match what {
                Next::Arrival(direction) => self.arrive(direction, now, &mut alarms, sink),
                Next::Alarm(number) => {
                    self.ends[number].handle_timeout(now, sink);
                    self.settle(number, now, &mut alarms, sink);
                }
            }
        }
    }

    /// The links, for what they still hold.
    pub const fn links(&self) -> [(Direction, &Link<E::Packet>); 2] {
        [(Direction::Down, &self.down), (Direction::Up, &self.up)]
    }

    /// The ends, two for each flow.
    pub fn ends(&self) -> &[E] {
        &self.ends
    }

    fn next(&self, alarms: &Alarms) -> Option<(Time, Next)> {
        let (down, up) = (self.down.next_at(), self.up.next_at());
        let alarm = alarms.first();
        let now = Time::earliest([down, up, alarm.map(|(at, _)| at)])?;
        // The first of equals wins, which keeps arrivals before alarms.
        let what = match alarm {
            _ if down == Some(now) => Next::Arrival(Direction::Down),
            _ if up == Some(now) => Next::Arrival(Direction::Up),
            alarm => Next::Alarm(alarm?.1),
        };
        Some((now, what))
    }

    fn arrive(&mut self, direction: Direction, now: Time, alarms: &mut Alarms, sink: &mut dyn Sink) {
        let link = self.link(direction);
        let Some((flow, arrival)) = link.poll(now, sink) else { return };
        let number = end_of(flow, direction.reverse());
        self.ends[number].handle_packet(now, arrival, sink);
        self.settle(number, now, alarms, sink);
    }

    /// Sends what an end has to send, and notes when it wants to be called again.
    fn settle(&mut self, number: usize, now: Time, alarms: &mut Alarms, sink: &mut dyn Sink) {
        let (flow, direction) = (Flow((number / 2) as u16), sends(number));
        while let Some(transmit) = self.ends[number].poll_transmit(now, sink) {
            self.link(direction).send(now, flow, transmit, sink);
        }
        alarms.set(number, self.ends[number].poll_timeout().map(|at| at.max(now)));
    }

    const fn link(&mut self, direction: Direction) -> &mut Link<E::Packet> {
        match direction {
            Direction::Down => &mut self.down,
            Direction::Up => &mut self.up,
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Arrival(Direction),
    Alarm(usize),
}

/// The end of a flow that sends in this direction.
fn end_of(flow: Flow, direction: Direction) -> usize {
    2 * usize::from(flow.0) + direction as usize
}

/// The direction in which an end sends: servers send down.
const fn sends(number: usize) -> Direction {
    if number.is_multiple_of(2) { Direction::Down } else { Direction::Up }
}
