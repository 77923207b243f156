//! What a link does to packets: losses, a bottleneck, outages, delay, disorder.
//!
//! A [`link::Link`] is one direction of a path. Its steps stand in a fixed order, the order in which a
//! packet meets them on its way through a router and over the air:
//!
//! | step | module | what it does |
//! | --- | --- | --- |
//! | 1 loss before the queue | [`loss`] | drops |
//! | 2 bottleneck and queue | [`bottleneck`], or a managed [`Queue`] ([`aqm`]) | holds, drops, marks |
//! | 3 outage | [`outage`] | holds or drops while the path is down |
//! | 4 radio loss and link-layer retransmission | [`radio`] | drops, or holds until a try gets through |
//! | 5 delay, jitter, reordering | [`delay`], [`jitter`], [`reorder`] | holds |
//! | 6 duplication, corruption | [`chance`] | makes a second copy, drops |
//!
//! Nearly all of it is known the moment a packet enters, so that a packet costs one computation and one
//! entry in the store of what is under way ([`under_way`]) instead of an event for each step. Only a
//! general [`Queue`], whose decisions depend on what arrives later, makes a packet pass the steps after
//! it when it leaves the queue.
//!
//! **The same channel for every contender.** No step asks a generator for "the next number". What befalls
//! a packet is drawn from its flow and its index in that flow, or from the slot of a physical
//! [`channel`] and the packet's ordinal in it; so an extra packet of one flow changes nobody else's luck.
//!
//! | where we differ from tc-netem | because |
//! | --- | --- |
//! | the chain of Gilbert's model belongs to a flow, not to the link | paired comparisons need it |
//! | a duplicate leaves right behind its original instead of drawing a delay of its own | disorder is asked for by its own key |
//! | corruption drops the packet | its checksum would |

use std::fmt::Debug;

use crate::endpoint::{Class, Ecn, Flow, Transmit};
use crate::record::DropReason;
use crate::time::Time;
use crate::units::ByteSize;

pub mod config;

pub mod channel;

pub mod aqm;
pub mod bottleneck;
pub mod chance;
pub mod delay;
pub mod delivery_trace;
pub mod jitter;
pub mod loss;
pub mod outage;
pub mod radio;
pub mod reorder;
pub mod server;

pub mod calendar;
pub mod link;
mod per_flow;
mod per_packet;
pub mod under_way;

#[cfg(test)]
mod laws;

/// What a step of the link knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The session it belongs to.
    pub flow: Flow,
    /// Its place among the packets of its flow and direction, counted from 0 as they enter the link.
    pub index: u64,
    /// Its place among those of them that are not [`Class::Handshake`]: how many such came before it.
    pub established_index: u64,
    /// The whole IP packet in bytes.
    pub size: u32,
    /// What it is for.
    pub class: Class,
    /// How it is marked.
    pub ecn: Ecn,
}

impl Meta {
    /// The key of this packet's draws in a stream of its link: different for every packet of a run,
    /// as long as no flow sends 2^48 of them.
    pub fn key(&self) -> u64 {
        u64::from(self.flow.0) << 48 | self.index
    }
}

/// What became of a packet in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on at this time, not before it came.
    Pass(Time),
    /// It goes on at this time, and a copy of it right behind it.
    PassTwice(Time),
    /// It is gone, at this time.
    Drop(Time, DropReason),
}

/// One step of a link that can say at once what becomes of a packet.
pub trait Stage {
    /// Decides about the packet that comes to this step at `at`.
    ///
    /// Packets come in the order in which they leave the step before; where that is a queue that keeps
    /// order, times never go back.
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate;
}

/// A step that is not there lets everything pass.
impl<S: Stage> Stage for Option<S> {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        match self {
            Some(stage) => stage.admit(at, meta),
            None => Fate::Pass(at),
        }
    }
}

/// The one step that holds packets and may decide late: a bottleneck whose discipline looks at packets
/// when they leave, or drops one that is already inside ([`aqm`]).
///
/// It includes the transmitter ([`server::Server`]). Everything that entered comes out of
/// [`Queue::dequeue`] exactly once, dropped packets too.
pub trait Queue<P>: Debug {
    /// Takes a packet. A packet that is dropped at once comes out of the next [`Queue::dequeue`].
    fn enqueue(&mut self, now: Time, packet: Queued<P>);

    /// When [`Queue::dequeue`] has something: the end of a transmission, or the time of a drop.
    fn next_at(&self) -> Option<Time>;

    /// What comes out at `now` at the latest; called until there is none.
    fn dequeue(&mut self, now: Time) -> Option<Dequeued<P>>;

    /// What waits at `now`, the packet in transmission not counted.
    fn backlog(&self, now: Time) -> Backlog;

    /// What is inside, the packet in transmission included, in any order.
    fn for_each(&self, visit: &mut dyn FnMut(&Meta));
}

/// A packet in a [`Queue`].
#[derive(Clone, Debug)]
pub struct Queued<P> {
    /// What the steps know of it. A queue that marks sets the mark in `transmit`.
    pub meta: Meta,
    /// The packet itself and its mark.
    pub transmit: Transmit<P>,
    /// When it entered the link.
    pub entered: Time,
}

/// What comes out of a [`Queue`].
#[derive(Clone, Debug)]
pub enum Dequeued<P> {
    /// A packet whose last bit has left.
    Passed {
        /// The packet.
        packet: Queued<P>,
        /// When its transmission began: it waited until then.
        begun: Time,
    },
    /// A packet that the queue dropped.
    Dropped(Queued<P>, DropReason),
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Packets whose transmission has not begun.
    pub packets: usize,
    /// Their bytes.
    pub bytes: ByteSize,
}
