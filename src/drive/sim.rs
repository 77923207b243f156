//! The virtual-time driver: jumps from one event to the next, thousands of times faster than real time.
//!
//! One thread drives one trial. Everything that happens at the same instant happens in a fixed order:
//! arrivals before alarms, down before up, lower ends before higher ones. So the same ends over the same
//! links give the same records on every machine.

use super::ends::Ends;
use super::links::Links;
use crate::endpoint::{Class, Direction, Endpoint, Flow};
use crate::impair::link::Link;
use crate::record::Sink;
use crate::time::Time;

/// The two ends of every session, and the links in each direction that they share.
#[derive(Debug)]
pub struct Simulation<E: Endpoint> {
    ends: Ends<E>,
    links: Links<E::Packet>,
}

impl<E: Endpoint> Simulation<E> {
    /// Sessions over a path. Each item of `sessions` is a flow's server and its person.
    pub fn new(
        sessions: impl IntoIterator<Item = [E; 2]>,
        down: Link<E::Packet>,
        up: Link<E::Packet>,
    ) -> Self {
        Self { ends: Ends::new(sessions), links: Links::of(down, up) }
    }

    /// Runs from the start until nothing happens any more or `end` has come; what happens at `end`
    /// itself still happens.
    pub fn run(&mut self, end: Time, sink: &mut dyn Sink) {
        let Self { ends, links } = self;
        ends.start(Time::ZERO, links, sink);
        loop {
            match (links.next(), ends.next()) {
                (Some((now, direction)), alarm) if alarm.is_none_or(|(at, _)| now <= at) => {
                    if now > end {
                        break;
                    }
                    if let Some((flow, arrival)) = links.poll(now, direction, sink) {
                        ends.handle_packet(now, flow, direction, arrival, links, sink);
                    }
                }
                (_, Some((now, number))) if now <= end => ends.handle_timeout(number, now, links, sink),
                _ => break,
            }
        }
    }

    /// What the links still hold: a flow, a direction and a class for each packet.
    pub fn under_way(&self) -> Vec<(Flow, Direction, Class)> {
        self.links.under_way()
    }

    /// The ends, two for each flow: 2·f is the server's end of flow f, 2·f + 1 the person's.
    pub fn ends(&self) -> &[E] {
        self.ends.all()
    }
}
