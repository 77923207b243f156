//! The links of both directions.

use super::ends::Outlet;
use crate::endpoint::{Arrival, Class, Direction, Flow, Transmit, Wire};
use crate::impair::config::PathConfig;
use crate::impair::link::Link;
use crate::record::Sink;
use crate::rng::Seed;
use crate::time::Time;
use crate::units::Probability;

/// A path: a link down and a link up.
#[derive(Debug)]
pub struct Links<P> {
    down: Link<P>,
    up: Link<P>,
}

impl<P: Wire> Links<P> {
    /// The links of `path`.
    pub fn new(path: &PathConfig, seed: Seed) -> Self {
        let link = |direction| Link::new(path, direction, seed);
        Self { down: link(Direction::Down), up: link(Direction::Up) }
    }

    /// These two.
    pub const fn of(down: Link<P>, up: Link<P>) -> Self {
        Self { down, up }
    }

    /// When [`Links::poll`] has something to do, and in which direction; down where both have.
    pub fn next(&self) -> Option<(Time, Direction)> {
        let (down, up) = (self.down.next_at(), self.up.next_at());
        let at = Time::earliest([down, up])?;
        Some((at, if down == Some(at) { Direction::Down } else { Direction::Up }))
    }

    /// The next packet that arrives in `direction` at `now`; called until there is none.
    pub fn poll(
        &mut self,
        now: Time,
        direction: Direction,
        sink: &mut dyn Sink,
    ) -> Option<(Flow, Arrival<P>)> {
        self.get(direction).poll(now, sink)
    }

    /// From now on the link down loses this share of packets (0 to 1), in bursts of this mean length in
    /// packets ([`Link::set_loss`]). False, and nothing changes, where there are no such losses.
    pub fn set_loss(&mut self, share: f64, burst_packets: f64) -> bool {
        Probability::new(share).is_some_and(|share| self.down.set_loss(share, burst_packets))
    }

    /// What has entered and has no fate yet: a flow, a direction and a class for each packet.
    pub fn under_way(&self) -> Vec<(Flow, Direction, Class)> {
        let of = |direction, link: &Link<P>| {
            link.under_way().into_iter().map(move |(flow, class)| (flow, direction, class))
        };
        of(Direction::Down, &self.down).chain(of(Direction::Up, &self.up)).collect()
    }

    /// The link of a direction.
    pub const fn get(&mut self, direction: Direction) -> &mut Link<P> {
        match direction {
            Direction::Down => &mut self.down,
            Direction::Up => &mut self.up,
        }
    }
}

impl<P: Wire> Outlet<P> for Links<P> {
    fn send(
        &mut self,
        now: Time,
        flow: Flow,
        direction: Direction,
        packet: Transmit<P>,
        sink: &mut dyn Sink,
    ) {
        self.get(direction).send(now, flow, packet, sink);
    }
}
