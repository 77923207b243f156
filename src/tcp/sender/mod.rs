//! The sending half: what may leave, what is lost, and what to do about it.
//!
//! One file a step of Linux's `tcp_ack` and `tcp_write_xmit`: `acknowledge` (take what arrived off the
//! scoreboard, measure, set the window), `states` (find losses, move between the states of [`State`]),
//! `timers`, `transmit` (what leaves next), `validation` (a window that is not used).

mod acknowledge;
mod states;
mod timers;
mod transmit;
mod validation;

use self::acknowledge::Covered;
use super::congestion::{Controller, State, Window};
use super::rack::Rack;
use super::reduction::Reduction;
use super::round_trip::RoundTrip;
use super::scoreboard::Scoreboard;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// Added to waits that are shorter than the receiver's reaction (two ticks at 250 Hz).
const WAIT_MARGIN: Duration = Duration::from_millis(2);
/// What a probe of a single segment waits in addition, so that a delayed acknowledgment is no loss.
const PROBE_SINGLE: Duration = Duration::from_millis(200);
/// Segments sent before pacing begins.
const UNPACED: u64 = 10;

/// What the timer is set for; there is only one (`icsk_pending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Everything outstanding is lost.
    Retransmission,
    /// The last segment may be lost, with nothing behind it to tell (RFC 8985, section 7).
    Probe,
    /// What is missing is no longer taken for reordered (RFC 8985, section 6.3).
    Reordering,
}

/// A tail loss probe that is out.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The next sequence number when it was sent.
    next: u64,
    /// Whether it was a retransmission.
    retransmission: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    segment_bytes: u32,
    initial_window: u32,
    board: Scoreboard,
    round_trip: RoundTrip,
    round_trip_min: Option<Duration>,
    rack: Rack,
    state: State,
    window: Window,
    reduction: Reduction,
    controller: Box<dyn Controller>,
    /// All below has been acknowledged.
    acknowledged: u64,
    /// The next byte to send for the first time.
    next: u64,
    /// Recovery ends when everything below is acknowledged.
    high: u64,
    /// How far beyond `acknowledged` the receiver lets us send.
    receive_window: u64,
    timer: Option<(Time, Timer)>,
    probe: Option<Probe>,
    probe_due: bool,
    /// For the delivery rate: segments delivered, when the last was, and when the segment was sent
    /// whose delivery began the current interval.
    delivered: u64,
    delivered_at: Time,
    first_sent_at: Time,
    /// The application had nothing to send until so many segments are delivered; 0 where it had.
    app_limited_until: u64,
    last_sent_at: Time,
    /// The earliest time at which pacing lets the next segment leave.
    paced_until: Time,
    segments_sent: u64,
    usage: Usage,
    /// Retransmission timeouts since the acknowledgment last moved.
    timeouts: u32,
    /// Whether something was sent since the last call that found nothing to send.
    burst: bool,
    /// Whether the window was reduced and the other end does not know yet.
    reduced: bool,
}

/// How much of the window is used (`tcp_cwnd_validate`).
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// The sequence number whose acknowledgment ends the measuring round.
    round_end: u64,
    used: u32,
    since: Time,
}

/// What the sender wants to transmit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) length: u32,
    pub(super) retransmission: bool,
}

impl Sender {
    pub(super) fn new(segment_bytes: u32, initial_window: u32, controller: Box<dyn Controller>) -> Self {
        Self {
            segment_bytes,
            initial_window,
            board: Scoreboard::default(),
            round_trip: RoundTrip::default(),
            round_trip_min: None,
            rack: Rack::default(),
            state: State::Open,
            window: Window::new(initial_window),
            reduction: Reduction::default(),
            controller,
            acknowledged: 0,
            next: 0,
            high: 0,
            receive_window: u64::from(u16::MAX),
            timer: None,
            probe: None,
            probe_due: false,
            delivered: 0,
            delivered_at: Time::ZERO,
            first_sent_at: Time::ZERO,
            app_limited_until: 0,
            last_sent_at: Time::ZERO,
            paced_until: Time::ZERO,
            segments_sent: 0,
            usage: Usage::default(),
            timeouts: 0,
            burst: false,
            reduced: false,
        }
    }

    /// The next byte to send for the first time.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn smoothed_round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    pub(super) fn retransmission_timeout(&self) -> Duration {
        self.round_trip.timeout()
    }

    /// What the path can carry in bits of payload per second: BBR's bandwidth, or a window a round trip.
    pub(super) fn rate_estimate(&self) -> Option<Bitrate> {
        let smoothed = self.round_trip.smoothed()?;
        let bytes = u64::from(self.window.segments) * u64::from(self.segment_bytes);
        Some(self.controller.bandwidth().unwrap_or_else(|| Bitrate::of(ByteSize::new(bytes), smoothed)))
    }

    /// The least round trip measured; none before the first.
    pub(super) const fn least_round_trip(&self) -> Option<Duration> {
        self.round_trip_min
    }

    /// Whether the segment that leaves now has to say that the window was reduced (RFC 3168, 6.1.2).
    pub(super) const fn take_reduced(&mut self) -> bool {
        std::mem::replace(&mut self.reduced, false)
    }

    /// Whether anything sent has not been acknowledged.
    pub(super) fn has_outstanding(&self) -> bool {
        self.board.outstanding() > 0
    }

    /// The handshake measured the round trip.
    pub(super) fn handshake_done(&mut self, now: Time, round_trip: Duration, window: u32) {
        self.receive_window = u64::from(window);
        self.measure(Some(round_trip), Some(round_trip));
        self.usage.since = now;
        let acked = self.summary(now, &Covered::default(), None, None, 0, 0, false);
        if self.controller.sets_window() {
            // The controller learns the round trip; nothing has been delivered yet.
            self.controller.sample(&mut self.window, &acked);
        }
    }
}
