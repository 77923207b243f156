//! How fast a sender may send: a family of controllers.
//!
//! A controller answers with a rate on the wire, all headers, repair packets and retransmissions
//! counted. RFC 8085 §3.1 asks every UDP sender to control congestion; `none` and `fixed` are for
//! comparison and for paths that are reserved.

mod delay;
mod fixed;
mod none;

use std::fmt::Debug;

pub use delay::Limits;

use crate::time::{Duration, Time};
use crate::units::Bitrate;

/// Which controller, with its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rate {
    /// Everything leaves as it is offered.
    #[default]
    None,
    /// Always this rate.
    Fixed(Bitrate),
    /// A rate that keeps the queue of the path short.
    Delay(Limits),
}

/// What the receiver's feedback says that matters to a controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When the feedback arrived.
    pub(super) now: Time,
    /// The least queueing delay since the last feedback.
    pub(super) queue: Duration,
    /// The smoothed round trip.
    pub(super) round_trip: Duration,
    /// Packets whose fate became known.
    pub(super) expected: u32,
    /// Packets of them that were lost.
    pub(super) lost: u32,
    /// Packets that arrived with a mark of congestion.
    pub(super) marked: u32,
    /// IP bytes sent since the start of the session.
    pub(super) sent: u64,
    /// What arrived in trains since the last feedback.
    pub(super) train: Train,
}

/// Packets that arrived right behind their predecessors, having left as fast as the rate allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Train {
    /// Their IP bytes.
    pub(super) bytes: u32,
    /// The sum of their distances on arrival.
    pub(super) time: Duration,
}

/// A controller.
pub(super) trait Controller: Debug + Send {
    /// The rate on the wire; none where it does not limit.
    fn rate(&self) -> Option<Bitrate>;

    /// Feedback arrived.
    fn handle_feedback(&mut self, _sample: &Sample) {}

    /// No feedback came for much longer than it should take, although packets were sent.
    fn handle_silence(&mut self) {}
}

impl Rate {
    /// A controller at its start.
    pub(super) fn controller(&self) -> Box<dyn Controller> {
        match *self {
            Self::None => Box::new(none::None),
            Self::Fixed(rate) => Box::new(fixed::Fixed(rate)),
            Self::Delay(limits) => Box::new(delay::Delay::new(limits)),
        }
    }
}
