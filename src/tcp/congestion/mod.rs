//! Congestion control: how much may be in the network.
//!
//! Windows are counted in segments, as Linux does. Reno and CUBIC only grow the window and say where it
//! falls to on a loss; in between the sender follows proportional rate reduction. BBR sets window and
//! pacing rate itself with every acknowledgment.

mod bbr;
mod cubic;
mod model;
mod reno;

use std::fmt::Debug;

use self::bbr::Bbr;
use self::cubic::Cubic;
pub(crate) use self::model::BbrModel;
use self::reno::Reno;
use crate::rng::Stream;
use crate::time::{Duration, Time};
use crate::units::Bitrate;

/// Which congestion control a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Additive increase, half on a loss (RFC 5681).
    Reno,
    /// A cubic function of the time since the last loss (RFC 9438): Linux's default.
    #[default]
    Cubic,
    /// A model of the path's bandwidth and round trip, version 1.
    Bbr,
}

impl Congestion {
    /// All of them, in the order in which everything lists them.
    pub const ALL: [Self; 3] = [Self::Reno, Self::Cubic, Self::Bbr];

    /// The name that Linux and scenarios use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }

    /// A new instance; `stream` is for what it draws at random.
    pub(super) fn controller(self, segment_bytes: u32, stream: Stream) -> Box<dyn Controller> {
        match self {
            Self::Reno => Box::new(Reno),
            Self::Cubic => Box::new(Cubic::default()),
            Self::Bbr => Box::new(Bbr::new(segment_bytes, stream)),
        }
    }
}

/// What the sender and its congestion control share.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// How many segments may be in the network.
    pub(super) segments: u32,
    /// Below this the window grows by slow start.
    pub(super) threshold: u32,
    /// Acknowledged segments that have not yet made the window grow.
    pub(super) growth_credit: u32,
    /// Whether the window, and not the application, limits what is sent.
    pub(super) limited: bool,
    /// The most segments outstanding in the current round.
    pub(super) outstanding_max: u32,
}

impl Window {
    /// No threshold yet (`TCP_INFINITE_SSTHRESH`).
    pub(super) const INFINITE: u32 = 0x7fff_ffff;

    pub(super) const fn new(initial: u32) -> Self {
        Self {
            segments: initial,
            threshold: Self::INFINITE,
            growth_credit: 0,
            limited: false,
            outstanding_max: 0,
        }
    }

    pub(super) const fn in_slow_start(&self) -> bool {
        self.segments < self.threshold
    }

    /// Whether growing makes sense (`tcp_is_cwnd_limited`): in slow start also while up to half the
    /// window is in use.
    pub(super) const fn may_grow(&self) -> bool {
        self.limited || self.in_slow_start() && self.segments < 2 * self.outstanding_max
    }

    /// Lets slow start grow the window by what was acknowledged; what is left of it for congestion
    /// avoidance. Nothing while growing makes no sense.
    fn after_slow_start(&mut self, acknowledged: &Acknowledged) -> u32 {
        match acknowledged.newly_delivered {
            _ if !self.may_grow() => 0,
            segments if self.in_slow_start() => self.slow_start(segments),
            segments => segments,
        }
    }

    /// Grows by one for each segment acknowledged, up to the threshold; what is left over.
    fn slow_start(&mut self, acknowledged: u32) -> u32 {
        let grown = self.segments.saturating_add(acknowledged).min(self.threshold);
        let left = acknowledged - (grown - self.segments);
        self.segments = grown;
        left
    }

    /// Grows by one for every `per` segments acknowledged (`tcp_cong_avoid_ai`).
    fn grow_by_one_per(&mut self, per: u32, acknowledged: u32) {
        if self.growth_credit >= per {
            self.growth_credit = 0;
            self.segments += 1;
        }
        self.growth_credit += acknowledged;
        if self.growth_credit >= per {
            self.segments += self.growth_credit / per;
            self.growth_credit %= per;
        }
    }
}

/// What the sender is doing about losses (Linux's `tcp_ca_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nothing is missing.
    Open,
    /// Something arrived out of order, or a probe is out.
    Disorder,
    /// The window is being reduced, though nothing has to be sent again.
    Reducing,
    /// Lost segments are being sent again.
    Recovery,
    /// The retransmission timeout passed.
    Loss,
}

/// What an acknowledgment told the sender.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) now: Time,
    /// Segments newly known to be delivered, cumulatively or selectively.
    pub(super) newly_delivered: u32,
    /// Whether the cumulative acknowledgment moved.
    pub(super) advanced: bool,
    /// Segments newly marked as lost.
    pub(super) newly_lost: u32,
    /// The round trip of the segment delivered last, never of a retransmitted one.
    pub(super) round_trip: Option<Duration>,
    pub(super) round_trip_smoothed: Duration,
    pub(super) in_flight: u32,
    /// Segments in flight before the acknowledgment came.
    pub(super) in_flight_before: u32,
    /// Segments delivered since the connection began.
    pub(super) delivered: u64,
    /// The delivery rate since the segment delivered last was sent.
    pub(super) rate: Option<RateSample>,
    pub(super) state: State,
    /// Sequence numbers: all below is acknowledged, and the next to send.
    pub(super) acknowledgment: u64,
    pub(super) next: u64,
    /// Whether the receiver may have delayed this acknowledgment.
    pub(super) maybe_delayed: bool,
}

/// A sample of the delivery rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateSample {
    /// Segments delivered in the interval.
    pub(super) delivered: u64,
    /// Its length.
    pub(super) interval: Duration,
    /// What had been delivered in total before it.
    pub(super) prior_delivered: u64,
    /// Whether the application limited it.
    pub(super) app_limited: bool,
}

/// One congestion control algorithm.
pub(super) trait Controller: Debug {
    /// A loss: the threshold that the window falls to.
    fn threshold_on_loss(&mut self, window: &Window) -> u32;

    /// An acknowledgment came while the window may grow.
    fn grow(&mut self, window: &mut Window, acknowledged: &Acknowledged);

    /// An acknowledgment came, whatever the state; before [`Controller::grow`].
    fn sample(&mut self, _window: &mut Window, _acknowledged: &Acknowledged) {}

    /// Whether it sets the window itself in every state, so that the sender must not.
    fn sets_window(&self) -> bool {
        false
    }

    /// Whether it holds the window down to measure the round trip, so that delivery rates tell nothing.
    fn probes_round_trip(&self) -> bool {
        false
    }

    /// The retransmission timeout passed.
    fn timed_out(&mut self, _window: &mut Window) {}

    /// Data is sent after a time with nothing in the network.
    fn restarted(&mut self, _now: Time, _idle: Duration, _app_limited: bool) {}

    /// The rate at which to send; none where the window alone decides.
    fn pacing_rate(&self) -> Option<Bitrate> {
        None
    }

    /// What it believes the path can carry, in bytes of payload; none where it has no idea.
    fn bandwidth(&self) -> Option<Bitrate> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgment of so many segments on a path of 50 ms.
    pub(super) fn acknowledged(segments: u32) -> Acknowledged {
        Acknowledged {
            now: Time::from_secs(1),
            newly_delivered: segments,
            advanced: true,
            newly_lost: 0,
            round_trip: Some(Duration::from_millis(50)),
            round_trip_smoothed: Duration::from_millis(50),
            in_flight: 0,
            in_flight_before: segments,
            delivered: u64::from(segments),
            rate: None,
            state: State::Open,
            acknowledgment: 0,
            next: 0,
            maybe_delayed: false,
        }
    }

    #[test]
    fn slow_start_stops_at_the_threshold_and_leaves_the_rest() {
        let mut window = Window { threshold: 12, ..Window::new(10) };
        assert_eq!(window.slow_start(5), 3);
        assert_eq!(window.segments, 12);
    }
}
