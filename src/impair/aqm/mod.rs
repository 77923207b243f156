//! Active queue management: bottlenecks whose queue decides late, by how long packets have waited.
//!
//! Source: RFC 7567. A [`Discipline`] says which packets wait, which goes next and which are dropped or
//! marked; [`Managed`] puts a transmitter behind it, so that a discipline knows no rate. [`codel`] (RFC
//! 8289), [`pie`] (RFC 8033) and [`fq_codel`] (RFC 8290) are built as Linux has them, each with a table of
//! where it differs.
//!
//! A discipline is asked for a packet at the moment at which the transmitter can begin to send it, as a
//! driver asks for it whose device holds one packet. So the packet in transmission has left the queue.

use std::collections::VecDeque;
use std::fmt::Debug;

use crate::endpoint::Ecn;
use crate::record::DropReason;
use crate::rng::Seed;
use crate::time::Time;
use crate::units::ByteSize;

use super::config::ManagedConfig;
use super::server::{Server, Service};
use super::{Backlog, Dequeued, Meta, Queue, Queued};

pub mod codel;
pub mod fq_codel;
pub mod pie;

use codel::Codel;
use fq_codel::FqCodel;
use pie::Pie;

/// The queue that `config` says before `server`, for packets of up to `mtu` bytes. Its luck is the one
/// of `place`, which names the direction.
pub(super) fn queue<P: Debug + 'static>(
    config: ManagedConfig,
    server: Server,
    mtu: u32,
    seed: Seed,
    place: &str,
) -> Box<dyn Queue<P>> {
    let stream = |name| seed.stream(&format!("{place}/{name}"));
    match config {
        ManagedConfig::Codel(config) => Box::new(Managed::new(server, Codel::new(&config, mtu))),
        ManagedConfig::Pie(config) => Box::new(Managed::new(server, Pie::new(&config, mtu, stream("pie")))),
        ManagedConfig::FqCodel(config) => {
            Box::new(Managed::new(server, FqCodel::new(&config, mtu, stream("fq-codel"))))
        }
    }
}

/// How packets wait: in which order they go, and which of them never do.
pub trait Discipline<P>: Debug {
    /// Takes a packet that comes at `now`. It, or others in its place, may come to `drops`.
    fn enqueue(&mut self, now: Time, packet: Queued<P>, drops: &mut Drops<P>);

    /// The packet whose transmission begins at `now`; those before it that are dropped come to `drops`.
    fn dequeue(&mut self, now: Time, drops: &mut Drops<P>) -> Option<Queued<P>>;

    /// What waits.
    fn backlog(&self) -> Backlog;

    /// What waits, in any order.
    fn for_each(&self, visit: &mut dyn FnMut(&Meta));
}

/// Packets that a discipline dropped, and why.
pub type Drops<P> = Vec<(Queued<P>, DropReason)>;

/// A discipline before a transmitter.
#[derive(Clone, Debug)]
pub struct Managed<P, D> {
    server: Server,
    discipline: D,
    /// The packet in transmission.
    sending: Option<(Queued<P>, Service)>,
    /// When the transmitter can begin with the next packet, where it must wait for that although nothing
    /// is in transmission: a recording has no chance to send before.
    begins_at: Option<Time>,
    /// What is out of the queue and has not been taken, with the times at which it came out.
    left: VecDeque<(Time, Dequeued<P>)>,
    /// Empty between calls.
    drops: Drops<P>,
}

impl<P, D: Discipline<P>> Managed<P, D> {
    /// An empty queue.
    pub const fn new(server: Server, discipline: D) -> Self {
        Self { server, discipline, sending: None, begins_at: None, left: VecDeque::new(), drops: Vec::new() }
    }

    /// Everything that happens until `now`. A driver may come late, and a discipline must not see times
    /// go back.
    fn advance(&mut self, now: Time) {
        loop {
            if let Some((packet, service)) = self.sending.take_if(|(_, service)| service.done <= now) {
                let Service { begun, done } = service;
                self.left.push_back((done, Dequeued::Passed { packet, begun }));
                self.begin(done);
            } else if let Some(at) = self.begins_at.take_if(|at| *at <= now) {
                self.begin(at);
            } else {
                return;
            }
        }
    }

    /// Begins to send the next packet at `now`, or finds out when that can be.
    fn begin(&mut self, now: Time) {
        if self.discipline.backlog().packets == 0 {
            return;
        }
        let begins_at = self.server.begins(now);
        if begins_at > now {
            self.begins_at = Some(begins_at);
            return;
        }
        let next = self.discipline.dequeue(now, &mut self.drops);
        self.take_drops(now);
        if let Some(packet) = next {
            let service = self.server.send(now, ByteSize::new(packet.meta.size.into()));
            self.sending = Some((packet, service));
        }
    }

    fn take_drops(&mut self, now: Time) {
        let dropped = |(packet, reason)| (now, Dequeued::Dropped(packet, reason));
        self.left.extend(self.drops.drain(..).map(dropped));
    }
}

impl<P: Debug, D: Discipline<P>> Queue<P> for Managed<P, D> {
    fn enqueue(&mut self, now: Time, packet: Queued<P>) {
        self.advance(now);
        self.discipline.enqueue(now, packet, &mut self.drops);
        self.take_drops(now);
        if self.sending.is_none() && self.begins_at.is_none() {
            self.begin(now);
        }
    }

    fn next_at(&self) -> Option<Time> {
        let left = self.left.front().map(|&(at, _)| at);
        let sent = self.sending.as_ref().map(|(_, service)| service.done);
        left.or(sent).or(self.begins_at).filter(|&at| at < Time::NEVER)
    }

    fn dequeue(&mut self, now: Time) -> Option<Dequeued<P>> {
        self.advance(now);
        self.left.pop_front().map(|(_, left)| left)
    }

    fn backlog(&self, _: Time) -> Backlog {
        self.discipline.backlog()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Meta)) {
        self.discipline.for_each(visit);
        self.sending.iter().for_each(|(packet, _)| visit(&packet.meta));
        for (_, left) in &self.left {
            match left {
                Dequeued::Passed { packet, .. } | Dequeued::Dropped(packet, _) => visit(&packet.meta),
            }
        }
    }
}

/// Packets in the order in which they came.
#[derive(Clone, Debug)]
struct Fifo<P> {
    packets: VecDeque<Queued<P>>,
    bytes: u64,
}

impl<P> Fifo<P> {
    const fn new() -> Self {
        Self { packets: VecDeque::new(), bytes: 0 }
    }

    fn push(&mut self, packet: Queued<P>) {
        self.bytes += u64::from(packet.meta.size);
        self.packets.push_back(packet);
    }

    fn pop(&mut self) -> Option<Queued<P>> {
        let packet = self.packets.pop_front()?;
        self.bytes -= u64::from(packet.meta.size);
        Some(packet)
    }

    fn backlog(&self) -> Backlog {
        Backlog { packets: self.packets.len(), bytes: ByteSize::new(self.bytes) }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Meta)) {
        self.packets.iter().for_each(|packet| visit(&packet.meta));
    }
}

/// Marks a packet instead of dropping it; false where its transport does not take part (RFC 3168,
/// section 5). One that another queue has marked counts as marked.
fn mark<P>(packet: &mut Queued<P>) -> bool {
    let takes_part = packet.transmit.ecn != Ecn::NotEct;
    if takes_part {
        packet.transmit.ecn = Ecn::Ce;
    }
    takes_part
}

#[cfg(test)]
pub(super) mod tests;
