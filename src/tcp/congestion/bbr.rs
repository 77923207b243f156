//! BBR version 1 (Cardwell et al., "BBR: congestion-based congestion control", ACM Queue 2016) as Linux
//! does it (`tcp_bbr.c`): a model of the path from the largest delivery rate of ten rounds and the
//! smallest round trip of ten seconds.
//!
//! | | Linux | here |
//! | --- | --- | --- |
//! | rates and gains | fixed point | floating point |
//! | policer detection (`lt_bw`) | yes | no: it needs losses of a fifth and more |
//! | bursts | segmentation offload of 2 and more segments | single segments, evenly paced |

use std::collections::VecDeque;

use super::{Acknowledged, Controller, RateSample, State, Window};
use crate::rng::{Stream, below};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// The gain that doubles the rate with every round: 2 / ln 2.
const HIGH_GAIN: f64 = 739.0 / 256.0;
/// The gain that drains what start-up queued within a round.
const DRAIN_GAIN: f64 = 1000.0 / 2885.0;
/// The window in bandwidth-delay products while cruising, for delayed and stretched acknowledgments.
const WINDOW_GAIN: f64 = 2.0;
/// Probing for bandwidth: one phase up, one down, six level, each a smallest round trip long.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// How long the bandwidth filter remembers, in rounds.
const BANDWIDTH_ROUNDS: u64 = 10;
/// How long the smallest round trip holds before it is measured again.
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(10);
/// How long the window stays at its minimum to measure it.
const PROBE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// The window that lets the queue drain and still keeps acknowledgments coming, in segments.
const WINDOW_MIN: u32 = 4;
/// Start-up ends when the bandwidth has not grown by this factor ...
const FULL_GROWTH: f64 = 1.25;
/// ... in so many rounds.
const FULL_ROUNDS: u32 = 3;
/// The share of the bandwidth that is sent, so that rounding never fills the queue.
const PACING_MARGIN: f64 = 0.99;
/// The window that stretched acknowledgments may add lasts at most so long at the bandwidth.
const AGGREGATION_MAX: Duration = Duration::from_millis(100);
/// Rounds in each of the two windows of the aggregation filter.
const AGGREGATION_ROUNDS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBandwidth { phase: usize, since: Time },
    ProbeRoundTrip { until: Option<Time>, round_done: bool },
}

#[derive(Clone, Debug)]
pub(super) struct Bbr {
    segment_bytes: u32,
    stream: Stream,
    /// How often the gain cycle was entered, for its random phase.
    cycles: u64,
    mode: Mode,
    /// Rounds so far, and what must be delivered before the next one starts.
    rounds: u64,
    round_end: u64,
    round_start: bool,
    /// The largest delivery rates, in segments per second by round: decreasing, the largest first.
    rates: VecDeque<(u64, f64)>,
    round_trip_min: Option<Duration>,
    round_trip_min_at: Time,
    full_bandwidth: f64,
    full_rounds: u32,
    /// In bytes per second.
    pacing: Option<f64>,
    /// The window to come back to after recovery or a probe.
    window_saved: u32,
    state: State,
    packet_conservation: bool,
    restarted: bool,
    aggregation: Aggregation,
}

/// How many segments arrive in bursts beyond what the bandwidth explains.
#[derive(Clone, Debug, Default)]
struct Aggregation {
    since: Time,
    acknowledged: f64,
    extra: [f64; 2],
    current: usize,
    rounds: u32,
}

impl Bbr {
    pub(super) fn new(segment_bytes: u32, stream: Stream) -> Self {
        Self {
            segment_bytes,
            stream,
            cycles: 0,
            mode: Mode::Startup,
            rounds: 0,
            round_end: 0,
            round_start: false,
            rates: VecDeque::new(),
            round_trip_min: None,
            round_trip_min_at: Time::ZERO,
            full_bandwidth: 0.0,
            full_rounds: 0,
            pacing: None,
            window_saved: 0,
            state: State::Open,
            packet_conservation: false,
            restarted: false,
            aggregation: Aggregation::default(),
        }
    }

    /// The bandwidth estimate in segments per second; 0 before the first sample.
    fn rate_max(&self) -> f64 {
        self.rates.front().map_or(0.0, |&(_, rate)| rate)
    }

    const fn full(&self) -> bool {
        self.full_rounds >= FULL_ROUNDS
    }

    fn pacing_gain(&self) -> f64 {
        match self.mode {
            Mode::Startup => HIGH_GAIN,
            Mode::Drain => DRAIN_GAIN,
            Mode::ProbeBandwidth { phase, .. } => CYCLE[phase],
            Mode::ProbeRoundTrip { .. } => 1.0,
        }
    }

    fn window_gain(&self) -> f64 {
        match self.mode {
            Mode::Startup | Mode::Drain => HIGH_GAIN,
            Mode::ProbeBandwidth { .. } => WINDOW_GAIN,
            Mode::ProbeRoundTrip { .. } => 1.0,
        }
    }

    /// `gain` bandwidth-delay products, in segments; the initial window before a round trip is known.
    fn product(&self, gain: f64) -> f64 {
        match self.round_trip_min {
            Some(round_trip) => libm::ceil(self.rate_max() * round_trip.as_secs_f64() * gain),
            None => 10.0,
        }
    }

    /// Adds what the ends hold back in bursts of their own (`bbr_quantization_budget`).
    fn with_quantization(&self, window: f64) -> u32 {
        // Bursts are as long as a millisecond at the pacing rate, two segments at the least.
        let burst = self.pacing.unwrap_or(0.0) / 1024.0 / f64::from(self.segment_bytes);
        let burst = libm::floor(burst).clamp(2.0, 44.0);
        let window = (window + 3.0 * burst) as u32;
        let even = window.div_ceil(2) * 2;
        even + 2 * u32::from(matches!(self.mode, Mode::ProbeBandwidth { phase: 0, .. }))
    }

    fn inflight(&self, gain: f64) -> u32 {
        self.with_quantization(self.product(gain))
    }

    /// Takes the delivery rate sample into the filter and counts rounds (`bbr_update_bw`).
    fn update_bandwidth(&mut self, rate: &RateSample, acked: &Acknowledged) {
        self.round_start = rate.prior_delivered >= self.round_end;
        if self.round_start {
            self.round_end = acked.delivered;
            self.rounds += 1;
            self.packet_conservation = false;
        }
        let sample = rate.delivered as f64 / rate.interval.as_secs_f64();
        let oldest = self.rounds.saturating_sub(BANDWIDTH_ROUNDS);
        if !rate.app_limited || sample >= self.rate_max() {
            while self.rates.back().is_some_and(|&(_, other)| other <= sample) {
                self.rates.pop_back();
            }
            self.rates.push_back((self.rounds, sample));
            while self.rates.len() > 1 && self.rates[0].0 < oldest {
                self.rates.pop_front();
            }
        }
    }

    /// Measures how bursty acknowledgments are (`bbr_update_ack_aggregation`).
    fn update_aggregation(&mut self, window: &Window, acked: &Acknowledged) {
        let rate = self.rate_max();
        let aggregation = &mut self.aggregation;
        if self.round_start {
            aggregation.rounds += 1;
            if aggregation.rounds >= AGGREGATION_ROUNDS {
                aggregation.rounds = 0;
                aggregation.current ^= 1;
                aggregation.extra[aggregation.current] = 0.0;
            }
        }
        let mut expected = rate * acked.now.since(aggregation.since).as_secs_f64();
        if aggregation.acknowledged <= expected {
            (aggregation.acknowledged, aggregation.since, expected) = (0.0, acked.now, 0.0);
        }
        aggregation.acknowledged += f64::from(acked.newly_delivered);
        let extra = (aggregation.acknowledged - expected).min(f64::from(window.segments));
        let most = &mut aggregation.extra[aggregation.current];
        *most = most.max(extra);
    }

    fn aggregation_window(&self) -> f64 {
        if !self.full() {
            return 0.0;
        }
        let most = self.aggregation.extra[0].max(self.aggregation.extra[1]);
        most.min(self.rate_max() * AGGREGATION_MAX.as_secs_f64())
    }

    fn update_cycle(&mut self, acked: &Acknowledged) {
        let Mode::ProbeBandwidth { phase, since } = self.mode else { return };
        let full_length = self.round_trip_min.is_some_and(|least| acked.now.since(since) > least);
        let next = match CYCLE[phase] {
            // Up until the queue shows it, or something is lost.
            gain if gain > 1.0 => {
                full_length && (acked.newly_lost > 0 || acked.in_flight_before >= self.inflight(gain))
            }
            // Down until the queue is gone.
            gain if gain < 1.0 => full_length || acked.in_flight_before <= self.inflight(1.0),
            _ => full_length,
        };
        if next {
            self.mode = Mode::ProbeBandwidth { phase: (phase + 1) % CYCLE.len(), since: acked.now };
        }
    }

    fn enter_probe_bandwidth(&mut self, now: Time) {
        // Any phase but the one that drains, so that flows do not march in step.
        let skip = below(&mut self.stream.at(self.cycles), 7) as usize;
        self.cycles += 1;
        self.mode = Mode::ProbeBandwidth { phase: (CYCLE.len() - skip) % CYCLE.len(), since: now };
    }

    fn check_full(&mut self, rate: &RateSample) {
        if self.full() || !self.round_start || rate.app_limited {
            return;
        }
        if self.rate_max() >= self.full_bandwidth * FULL_GROWTH {
            self.full_bandwidth = self.rate_max();
            self.full_rounds = 0;
        } else {
            self.full_rounds += 1;
        }
    }

    fn check_drain(&mut self, acked: &Acknowledged) {
        if self.mode == Mode::Startup && self.full() {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain && acked.in_flight <= self.inflight(1.0) {
            self.enter_probe_bandwidth(acked.now);
        }
    }

    /// Keeps the smallest round trip, and lets the queue drain to measure it (`bbr_update_min_rtt`).
    fn update_round_trip(&mut self, window: &mut Window, acked: &Acknowledged) {
        let expired = acked.now > self.round_trip_min_at + ROUND_TRIP_WINDOW;
        if let Some(sample) = acked.round_trip {
            let smaller = self.round_trip_min.is_none_or(|least| sample < least);
            if smaller || expired && !acked.maybe_delayed {
                self.round_trip_min = Some(sample);
                self.round_trip_min_at = acked.now;
            }
        }
        let probing = self.probes_round_trip();
        if expired && !self.restarted && !probing {
            self.save_window(window);
            self.mode = Mode::ProbeRoundTrip { until: None, round_done: false };
        }
        if let Mode::ProbeRoundTrip { until, round_done } = &mut self.mode {
            match until {
                None if acked.in_flight <= WINDOW_MIN => {
                    *until = Some(acked.now + PROBE_ROUND_TRIP);
                    *round_done = false;
                    self.round_end = acked.delivered;
                }
                None => {}
                Some(until) => {
                    *round_done |= self.round_start;
                    if *round_done && acked.now > *until {
                        self.end_probe_round_trip(window, acked.now);
                    }
                }
            }
        }
        if acked.rate.is_some_and(|rate| rate.delivered > 0) {
            self.restarted = false;
        }
    }

    fn end_probe_round_trip(&mut self, window: &mut Window, now: Time) {
        self.round_trip_min_at = now;
        window.segments = window.segments.max(self.window_saved);
        if self.full() {
            self.enter_probe_bandwidth(now);
        } else {
            self.mode = Mode::Startup;
        }
    }

    fn save_window(&mut self, window: &Window) {
        let probing = self.probes_round_trip();
        self.window_saved = if self.state < State::Recovery && !probing {
            window.segments
        } else {
            self.window_saved.max(window.segments)
        };
    }

    fn set_pacing(&mut self, gain: f64, smoothed: Duration) {
        let bytes = f64::from(self.segment_bytes);
        // Before there is a bandwidth: the initial window in a round trip, at start-up's gain.
        let initial = self.pacing.is_none().then(|| {
            let round_trip = if smoothed.is_zero() { Duration::from_millis(1) } else { smoothed };
            10.0 / round_trip.as_secs_f64() * HIGH_GAIN * bytes * PACING_MARGIN
        });
        self.pacing = self.pacing.or(initial);
        let rate = self.rate_max() * gain * bytes * PACING_MARGIN;
        if self.full() || self.pacing.is_none_or(|pacing| rate > pacing) {
            self.pacing = Some(rate);
        }
    }

    fn set_window(&mut self, window: &mut Window, acked: &Acknowledged) {
        if acked.newly_delivered > 0 && !self.recover_or_restore(window, acked) {
            let target = self.with_quantization(self.product(self.window_gain()) + self.aggregation_window());
            let grown = window.segments + acked.newly_delivered;
            if self.full() {
                window.segments = grown.min(target);
            } else if window.segments < target || acked.delivered < 10 {
                window.segments = grown;
            }
            window.segments = window.segments.max(WINDOW_MIN);
        }
        if self.probes_round_trip() {
            window.segments = window.segments.min(WINDOW_MIN);
        }
    }

    /// In the first round of recovery only as much is sent as arrives; at its end the window comes
    /// back (`bbr_set_cwnd_to_recover_or_restore`). Whether the window is settled thereby.
    fn recover_or_restore(&mut self, window: &mut Window, acked: &Acknowledged) -> bool {
        if acked.newly_lost > 0 {
            window.segments = window.segments.saturating_sub(acked.newly_lost).max(1);
        }
        if acked.state == State::Recovery && self.state != State::Recovery {
            self.packet_conservation = true;
            self.round_end = acked.delivered;
            window.segments = acked.in_flight + acked.newly_delivered;
        } else if self.state >= State::Recovery && acked.state < State::Recovery {
            window.segments = window.segments.max(self.window_saved);
            self.packet_conservation = false;
        }
        self.state = acked.state;
        if self.packet_conservation {
            window.segments = window.segments.max(acked.in_flight + acked.newly_delivered);
        }
        self.packet_conservation
    }
}

impl Controller for Bbr {
    fn threshold_on_loss(&mut self, window: &Window) -> u32 {
        self.save_window(window);
        window.threshold
    }

    fn grow(&mut self, _: &mut Window, _: &Acknowledged) {}

    fn sample(&mut self, window: &mut Window, acked: &Acknowledged) {
        self.round_start = false;
        if let Some(rate) = acked.rate {
            self.update_bandwidth(&rate, acked);
            self.update_aggregation(window, acked);
            self.update_cycle(acked);
            self.check_full(&rate);
        }
        self.check_drain(acked);
        self.update_round_trip(window, acked);
        self.set_pacing(self.pacing_gain(), acked.round_trip_smoothed);
        self.set_window(window, acked);
    }

    fn sets_window(&self) -> bool {
        true
    }

    fn probes_round_trip(&self) -> bool {
        matches!(self.mode, Mode::ProbeRoundTrip { .. })
    }

    fn timed_out(&mut self, _: &mut Window) {
        self.state = State::Loss;
        self.full_bandwidth = 0.0;
        self.round_start = true;
    }

    fn restarted(&mut self, now: Time, _: Duration, app_limited: bool) {
        if !app_limited {
            return;
        }
        self.restarted = true;
        self.aggregation.since = now;
        self.aggregation.acknowledged = 0.0;
        if matches!(self.mode, Mode::ProbeBandwidth { .. }) {
            self.set_pacing(1.0, Duration::ZERO);
        }
    }

    fn pacing_rate(&self) -> Option<Bitrate> {
        self.pacing.map(|bytes| Bitrate::from_bps_f64(bytes * 8.0))
    }

    fn bandwidth(&self) -> Option<Bitrate> {
        let bytes = ByteSize::new(u64::from(self.segment_bytes));
        (self.rate_max() > 0.0).then(|| Bitrate::from_bps_f64(self.rate_max() * bytes.get() as f64 * 8.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::acknowledged;
    use super::*;
    use crate::rng::Seed;

    fn bbr() -> Bbr {
        Bbr::new(1448, Seed(1).stream("bbr"))
    }

    /// A round of `rate` segments per second in which `delivered` segments have been delivered so far.
    fn round(now: Time, rate: f64, delivered: u64) -> Acknowledged {
        let interval = Duration::from_millis(50);
        let in_interval = (rate * interval.as_secs_f64()) as u64;
        Acknowledged {
            now,
            delivered,
            rate: Some(RateSample {
                delivered: in_interval,
                interval,
                prior_delivered: delivered - in_interval,
                app_limited: false,
            }),
            ..acknowledged(10)
        }
    }

    #[test]
    fn start_up_ends_when_the_bandwidth_stops_growing() {
        let (mut bbr, mut window) = (bbr(), Window::new(10));
        for n in 1..=4 {
            bbr.sample(&mut window, &round(Time::from_millis(50 * n), 1000.0, 50 * n));
            assert_eq!(bbr.full(), n > 3, "round {n}");
        }
        assert_ne!(bbr.mode, Mode::Startup);
        let cruising = bbr.bandwidth().unwrap().bps();
        assert_eq!(cruising, 1000 * 1448 * 8);
    }

    #[test]
    fn the_bandwidth_is_the_largest_of_the_last_ten_rounds() {
        let (mut bbr, mut window) = (bbr(), Window::new(10));
        bbr.sample(&mut window, &round(Time::from_millis(50), 2000.0, 100));
        for n in 2..=11 {
            bbr.sample(&mut window, &round(Time::from_millis(50 * n), 1000.0, 100 * n));
        }
        assert!((bbr.rate_max() - 2000.0).abs() < 1.0);
        bbr.sample(&mut window, &round(Time::from_millis(600), 1000.0, 1200));
        assert!((bbr.rate_max() - 1000.0).abs() < 1.0);
    }

    #[test]
    fn after_ten_seconds_the_window_falls_to_four_segments_for_200_ms() {
        let (mut bbr, mut window) = (bbr(), Window::new(10));
        for n in 1..=250_u64 {
            bbr.sample(&mut window, &round(Time::from_millis(50 * n), 1000.0, 50 * n));
            let probing = matches!(bbr.mode, Mode::ProbeRoundTrip { .. });
            assert_eq!(probing, window.segments <= WINDOW_MIN, "at {} ms", 50 * n);
            assert_eq!(probing, (201..=206).contains(&n) && probing, "at {} ms", 50 * n);
        }
    }

    #[test]
    fn random_loss_does_not_shrink_the_model() {
        let (mut bbr, mut window) = (bbr(), Window::new(10));
        for n in 1..=40 {
            let lossy = Acknowledged { newly_lost: 1, ..round(Time::from_millis(50 * n), 1000.0, 50 * n) };
            bbr.sample(&mut window, &lossy);
        }
        assert!(window.segments >= 50, "{}", window.segments);
    }
}
