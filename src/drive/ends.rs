//! The ends of all sessions, and whose turn it is: what every driver does with them, whatever its clock
//! and its network.

use super::alarms::Alarms;
use crate::endpoint::{Arrival, Direction, Endpoint, Flow, Transmit};
use crate::record::Sink;
use crate::time::Time;

/// What takes the packets that ends send.
pub(super) trait Outlet<P> {
    /// Takes a packet that the end of `flow` which sends in `direction` sends at `now`.
    fn send(&mut self, now: Time, flow: Flow, direction: Direction, packet: Transmit<P>, sink: &mut dyn Sink);
}

/// The two ends of every session.
///
/// End 2·f is the server's end of flow f, end 2·f + 1 the person's.
#[derive(Debug)]
pub(super) struct Ends<E> {
    ends: Vec<E>,
    alarms: Alarms,
}

impl<E: Endpoint> Ends<E> {
    /// The ends of `sessions`: each item is a flow's server and its person.
    pub(super) fn new(sessions: impl IntoIterator<Item = [E; 2]>) -> Self {
        let ends: Vec<E> = sessions.into_iter().flatten().collect();
        let alarms = Alarms::new(ends.len());
        Self { ends, alarms }
    }

    /// All of them, two for each flow.
    pub(super) fn all(&self) -> &[E] {
        &self.ends
    }

    /// All of them, to change how they behave.
    pub(super) fn all_mut(&mut self) -> &mut [E] {
        &mut self.ends
    }

    /// When the next end wants to be called, and which; the lowest where several do at once.
    pub(super) fn next(&self) -> Option<(Time, usize)> {
        self.alarms.first()
    }

    /// Calls every end for the first time.
    pub(super) fn start(&mut self, now: Time, outlet: &mut impl Outlet<E::Packet>, sink: &mut dyn Sink) {
        for number in 0..self.ends.len() {
            self.handle_timeout(number, now, outlet, sink);
        }
    }

    /// An end's alarm is due.
    pub(super) fn handle_timeout(
        &mut self,
        number: usize,
        now: Time,
        outlet: &mut impl Outlet<E::Packet>,
        sink: &mut dyn Sink,
    ) {
        self.call(number, now, outlet, sink, |end, sink| end.handle_timeout(now, sink));
    }

    /// A packet of `flow` that travelled in `direction` arrived.
    pub(super) fn handle_packet(
        &mut self,
        now: Time,
        flow: Flow,
        direction: Direction,
        arrival: Arrival<E::Packet>,
        outlet: &mut impl Outlet<E::Packet>,
        sink: &mut dyn Sink,
    ) {
        let number = end_of(flow, direction.reverse());
        self.call(number, now, outlet, sink, |end, sink| end.handle_packet(now, arrival, sink));
    }

    /// Does something with an end, sends what it has to send then, and notes when it wants to be called
    /// again.
    pub(super) fn call(
        &mut self,
        number: usize,
        now: Time,
        outlet: &mut impl Outlet<E::Packet>,
        sink: &mut dyn Sink,
        what: impl FnOnce(&mut E, &mut dyn Sink),
    ) {
        let end = &mut self.ends[number];
        what(end, sink);
        let (flow, direction) = (Flow((number / 2) as u16), sends(number));
        while let Some(transmit) = end.poll_transmit(now, sink) {
            outlet.send(now, flow, direction, transmit, sink);
        }
        self.alarms.set(number, end.poll_timeout().map(|at| at.max(now)));
    }
}

/// The end of a flow that sends in this direction.
pub(super) fn end_of(flow: Flow, direction: Direction) -> usize {
    2 * usize::from(flow.0) + direction as usize
}

/// The direction in which an end sends: servers send down.
pub(super) const fn sends(number: usize) -> Direction {
    if number.is_multiple_of(2) { Direction::Down } else { Direction::Up }
}
