//! The applications at both ends of a session: what is sent, what a missing frame breaks, and how the
//! sending side repairs the picture.
//!
//! Applications know frames and nothing of transports. A driver captures frames from a [`Workload`] when
//! they are due, offers them to whatever transport it drives, and tells the [`Viewer`] at the other end
//! what came of them; so one rule of dependency and one encoder law hold for every contender.
//!
//! | part | follows | where we differ |
//! | --- | --- | --- |
//! | chain | P-frames and picture loss indication (RFC 4585 §6.3.1) | one reference, the frame before |
//! | regions | Framehawk's public descriptions: what stands still becomes exact | tiles of a fixed grid |
//! | encoder | target of 85 % of the estimate, as interactive senders leave room for bursts | see [`EncoderKind`] |

mod bulk;
mod damage;
mod dependency;
mod desktop;
mod encoder;
mod head;
mod keystrokes;
mod screen;
mod trace;
mod updates;
mod viewer;

use std::fmt::Debug;

use crate::endpoint::{Direction, Flow};
use crate::frame::{Frame, FrameId, Regions};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

pub use desktop::{Activity, DesktopPlan};
pub use trace::{FrameTrace, TraceError, TraceFault, TraceFrame};
pub use viewer::Viewer;

/// A sending application.
pub trait Workload: Debug {
    /// When the next frame is to be captured; none where nothing will ever come again. It can become
    /// earlier by [`Workload::handle_dropped`] and [`Workload::handle_refresh_request`].
    fn next_at(&self) -> Option<Time>;

    /// Captures the frame that is due. `rate` is the transport's own estimate in application bits per
    /// second, `backlog` what it still has to send. None where there is nothing to say this time, as
    /// for bulk data while enough of it waits; [`Workload::next_at`] has moved on all the same.
    fn capture(&mut self, now: Time, rate: Option<Bitrate>, backlog: ByteSize) -> Option<Captured>;

    /// Our own transport dropped `frame` before all of it had been sent.
    fn handle_dropped(&mut self, now: Time, frame: FrameId);

    /// The viewer misses `frame` and what depends on it.
    fn handle_refresh_request(&mut self, now: Time, frame: FrameId);
}

/// What a workload captured: the frame to offer, and what to record about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// What the transport gets.
    pub frame: Frame,
    /// The part of the screen that it carries; none for what is no picture.
    pub regions: Regions,
    /// The part of that which is unchanged and sent again.
    pub again: Regions,
}

/// A workload as plain data: what a scenario says about one direction's traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadConfig {
    /// What is sent when.
    pub kind: WorkloadKind,
    /// What a missing frame breaks. Keystrokes and bulk data are always independent.
    pub dependency: DependencyKind,
    /// Whether frame sizes follow the path. Keystrokes and bulk data always are as they are.
    pub encoder: EncoderKind,
    /// How long after its capture a frame is worth nothing any more. Bulk data has no deadline.
    pub deadline: Duration,
}

/// What is sent when.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadKind {
    /// Frames as recorded, from a random key frame on and around in a circle.
    Trace(FrameTrace),
    /// Equal frames at equal distances, each of them a whole picture; a refresh is as large.
    Constant {
        /// Frames per second; above 0.
        per_second: f64,
        /// Bytes a frame.
        size: u32,
    },
    /// A synthetic desktop.
    Desktop(DesktopPlan),
    /// A person's input: small frames at the times of a Poisson process.
    Keystrokes {
        /// Mean number per second; above 0.
        per_second: f64,
    },
    /// As much data as the transport takes.
    Bulk,
}

/// What a missing frame breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKind {
    /// Nothing: every frame is a whole picture.
    Independent,
    /// Everything that follows until a refresh, which costs a request and the bytes of a key frame.
    Chain,
    /// The tiles that it carried, until a later update carries them again.
    Regions,
}

/// Whether frame sizes follow the path.
///
/// The law is the same for all transports and fed by each one's own estimate R: with the demand D of
/// the source over the last quarter of a second and B bits waiting, frames are scaled by
/// (0.85 R − B / 0.5 s) / D, but never below 0.1 nor above 1; the scale falls at once and rises over a
/// second. Where the transport has no estimate yet, frames are as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderKind {
    /// Frames keep the size that the source gives them.
    Fixed,
    /// Frames are scaled to what the transport believes that the path can carry.
    Adaptive,
}

impl WorkloadConfig {
    /// The sending application of one session. Sessions differ in where they start, so that they do not
    /// march in step; the same session of another contender is the same to the byte.
    pub fn workload(&self, seed: Seed, flow: Flow, direction: Direction) -> Box<dyn Workload> {
        let stream = seed.stream(match direction {
            Direction::Down => "traffic/down",
            Direction::Up => "traffic/up",
        });
        let stream = stream.part(u64::from(flow.0));
        let start = Time::ZERO + START_SPREAD.mul_f64(stream.part(START).unit(0));
        let draws = stream.part(UPDATES);
        let updates: Box<dyn updates::Updates> = match &self.kind {
            WorkloadKind::Trace(trace) => Box::new(trace::TracePlayer::new(trace.clone(), start, draws)),
            WorkloadKind::Constant { per_second, size } => {
                Box::new(updates::Constant::new(start, *per_second, *size))
            }
            WorkloadKind::Desktop(plan) => Box::new(desktop::Desktop::new(plan.clone(), start, draws)),
            WorkloadKind::Keystrokes { per_second } => {
                return Box::new(keystrokes::Keystrokes::new(*per_second, self.deadline, draws));
            }
            WorkloadKind::Bulk => return Box::new(bulk::Bulk::new(start)),
        };
        Box::new(screen::Screen::new(updates, self, stream.part(DAMAGE)))
    }

    /// The receiving application of one session, for frames that travel in `direction`.
    pub fn viewer(&self, flow: Flow, direction: Direction) -> Viewer {
        let dependency = match self.kind {
            WorkloadKind::Keystrokes { .. } | WorkloadKind::Bulk => DependencyKind::Independent,
            WorkloadKind::Trace(_) | WorkloadKind::Constant { .. } | WorkloadKind::Desktop(_) => {
                self.dependency
            }
        };
        Viewer::new(flow, direction, dependency)
    }
}

/// Sessions start within this time of each other. Longer than the bursts that a key frame makes, so
/// that two sessions that start at the same key frame of a trace rarely collide; shorter than any
/// sensible warm-up.
const START_SPREAD: Duration = Duration::from_secs(1);

/// Parts of a session's stream: where it starts, what its source draws, which tiles change.
const START: u64 = 0;
const UPDATES: u64 = 1;
const DAMAGE: u64 = 2;

/// The stream that the tests of the parts draw from.
#[cfg(test)]
fn test_stream(name: &str) -> crate::rng::Stream {
    Seed(1).stream(name)
}
