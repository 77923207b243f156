//! CUBIC (RFC 9438) as Linux does it (`tcp_cubic.c`).
//!
//! | | RFC 9438 | here and Linux |
//! | --- | --- | --- |
//! | decrease β | 0.7 | 717/1024 |
//! | fast convergence | yes | yes, by (1 + β)/2 |
//! | Reno-friendly window | α per window acknowledged | one segment per 15/8 windows acknowledged |
//! | growth per round | target ≤ 1.5 windows | at most one segment per two acknowledged |
//! | slow start | HyStart++ allowed | HyStart: trains of acknowledgments and rising delay |
//! | clock | continuous | continuous (Linux: 4 ms ticks at 250 Hz) |

use super::{Acknowledged, Controller, Window};
use crate::time::{Duration, Time};

/// The window after a loss, in 1024ths of the one before.
const BETA: u32 = 717;
/// The scaling of the cubic function, in segments per second cubed.
const C: f64 = 0.4;
/// Windows acknowledged per segment of growth of the Reno-friendly window, in eighths:
/// 8 · (1 + β) / (3 · (1 − β)) rounded down, as Linux computes it.
const FRIENDLY_EIGHTHS: u32 = 8 * (1024 + BETA) / 3 / (1024 - BETA);

#[derive(Clone, Debug, Default)]
pub(super) struct Cubic {
    /// The window at the last loss.
    window_max: u32,
    /// The curve that the window follows since the last loss; none before it has begun.
    epoch: Option<Epoch>,
    /// One segment of growth per so many acknowledged.
    per: u32,
    last_window: u32,
    last_update: Option<Time>,
    delay_min: Option<Duration>,
    hystart: HyStart,
}

/// A stretch of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Time,
    /// Seconds from the start to the curve's origin.
    k: f64,
    /// The window at the origin.
    origin: u32,
    /// Acknowledged segments that the Reno-friendly window has not yet counted.
    acknowledged: u32,
    /// The window that Reno would have.
    friendly: u32,
}

impl Controller for Cubic {
    fn threshold_on_loss(&mut self, window: &Window) -> u32 {
        self.epoch = None;
        self.window_max = if window.segments < self.window_max {
            (u64::from(window.segments) * u64::from(1024 + BETA) / 2048) as u32
        } else {
            window.segments
        };
        ((u64::from(window.segments) * u64::from(BETA) / 1024) as u32).max(2)
    }

    fn sample(&mut self, window: &mut Window, acknowledged: &Acknowledged) {
        let Some(delay) = acknowledged.round_trip else { return };
        // In the first second after a loss the queue that caused it is still draining.
        if let Some(epoch) = self.epoch
            && acknowledged.now.since(epoch.start) < Duration::from_secs(1)
        {
            return;
        }
        let delay_min = self.delay_min.map_or(delay, |least| least.min(delay));
        self.delay_min = Some(delay_min);
        if window.in_slow_start() {
            self.hystart.sample(window, acknowledged, delay, delay_min);
        }
    }

    fn grow(&mut self, window: &mut Window, acknowledged: &Acknowledged) {
        let left = window.after_slow_start(acknowledged);
        if left > 0 {
            self.update(window.segments, left, acknowledged.now);
            window.grow_by_one_per(self.per, left);
        }
    }

    fn timed_out(&mut self, _: &mut Window) {
        *self = Self::default();
    }

    fn restarted(&mut self, now: Time, idle: Duration, _: bool) {
        // Time without traffic must not count as time in which the path proved itself.
        if let Some(epoch) = &mut self.epoch {
            epoch.start = (epoch.start + idle).min(now);
        }
    }
}

impl Cubic {
    /// How fast the window grows from here (`bictcp_update`).
    fn update(&mut self, window: u32, acknowledged: u32, now: Time) {
        if let Some(epoch) = &mut self.epoch {
            epoch.acknowledged += acknowledged;
        }
        let soon = Duration::from_nanos(1_000_000_000 / 32);
        if self.last_window == window && self.last_update.is_some_and(|last| now.since(last) <= soon) {
            return;
        }
        self.last_window = window;
        self.last_update = Some(now);
        let window_max = self.window_max;
        let epoch = self.epoch.get_or_insert_with(|| Epoch::new(window, window_max, acknowledged, now));
        let ahead = now.since(epoch.start) + self.delay_min.unwrap_or_default();
        let target = epoch.target(ahead);
        self.per = if target > f64::from(window) {
            ((f64::from(window) / (target - f64::from(window))) as u32).min(100 * window)
        } else {
            100 * window
        };
        // Before the first loss nothing is known of the path, so the window grows by 5 % a round.
        if window_max == 0 {
            self.per = self.per.min(20);
        }
        let friendly = epoch.friendly(window);
        if friendly > window {
            self.per = self.per.min(window / (friendly - window));
        }
        self.per = self.per.max(2);
    }
}

impl Epoch {
    fn new(window: u32, window_max: u32, acknowledged: u32, now: Time) -> Self {
        let (k, origin) = if window_max <= window {
            (0.0, window)
        } else {
            (libm::cbrt(f64::from(window_max - window) / C), window_max)
        };
        Self { start: now, k, origin, acknowledged, friendly: window }
    }

    /// The curve's window at the time `since` its start.
    fn target(&self, since: Duration) -> f64 {
        let offset = since.as_secs_f64() - self.k;
        f64::from(self.origin) + C * offset * offset * offset
    }

    /// The window that Reno would have by now.
    fn friendly(&mut self, window: u32) -> u32 {
        let per = (window * FRIENDLY_EIGHTHS / 8).max(1);
        while self.acknowledged > per {
            self.acknowledged -= per;
            self.friendly += 1;
        }
        self.friendly
    }
}

/// Leaves slow start before the queue overflows (Ha and Rhee, "Taming the elephants", 2011).
#[derive(Clone, Debug, Default)]
struct HyStart {
    found: bool,
    round_start: Time,
    /// The sequence number whose acknowledgment ends the round.
    round_end: u64,
    last: Time,
    delay: Option<Duration>,
    samples: u32,
}

impl HyStart {
    /// Windows below this are too small to tell anything.
    const WINDOW_MIN: u32 = 16;
    /// Acknowledgments at most this far apart are a train.
    const TRAIN_GAP: Duration = Duration::from_millis(2);
    /// How many samples a round's delay is taken from.
    const SAMPLES: u32 = 8;
    /// The rise in delay that ends slow start: an eighth of the delay, within these bounds.
    const RISE: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(16));

    fn sample(&mut self, window: &mut Window, acked: &Acknowledged, delay: Duration, delay_min: Duration) {
        if self.found || window.segments < Self::WINDOW_MIN {
            return;
        }
        if acked.acknowledgment > self.round_end {
            *self =
                Self { round_start: acked.now, last: acked.now, round_end: acked.next, ..Self::default() };
        }
        if acked.now.since(self.last) <= Self::TRAIN_GAP {
            self.last = acked.now;
            // Half of the round trip: without pacing a train that long fills the path.
            self.found = acked.now.since(self.round_start) > delay_min / 2;
        }
        self.delay = Some(self.delay.map_or(delay, |least| least.min(delay)));
        if self.samples < Self::SAMPLES {
            self.samples += 1;
        } else {
            let rise = (delay_min / 8).clamp(Self::RISE.0, Self::RISE.1);
            self.found |= self.delay.is_some_and(|delay| delay > delay_min + rise);
        }
        if self.found {
            window.threshold = window.segments;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::acknowledged;
    use super::*;

    #[test]
    fn a_loss_takes_three_tenths_of_the_window() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.threshold_on_loss(&Window::new(100)), 70);
        assert_eq!(cubic.threshold_on_loss(&Window::new(2)), 2);
    }

    #[test]
    fn the_curve_comes_back_to_the_old_window_at_k() {
        let epoch = Epoch::new(700, 1000, 1, Time::ZERO);
        assert!((epoch.k - libm::cbrt(300.0 / 0.4)).abs() < 1e-9);
        assert!((epoch.target(Duration::from_secs_f64(epoch.k)) - 1000.0).abs() < 1e-3);
        assert!((epoch.target(Duration::ZERO) - 700.0).abs() < 1e-3);
    }

    #[test]
    fn a_small_window_grows_at_least_as_fast_as_reno_would() {
        // RFC 9438, section 4.3: with β = 0.7 Reno's average takes one segment per about 1.9 windows.
        assert_eq!(FRIENDLY_EIGHTHS, 15);
        let mut cubic = Cubic::default();
        let mut window = Window { limited: true, threshold: 10, ..Window::new(20) };
        window.segments = cubic.threshold_on_loss(&window);
        window.threshold = window.segments;
        let start = window.segments;
        let rounds = 40;
        for round in 0..rounds {
            let mut acked = acknowledged(window.segments);
            acked.now = Time::from_millis(1000 + 50 * round);
            cubic.grow(&mut window, &acked);
        }
        let grown = window.segments - start;
        assert!((15..=24).contains(&grown), "{grown} in {rounds} rounds");
    }

    #[test]
    fn hystart_leaves_slow_start_when_the_delay_rises() {
        let mut cubic = Cubic::default();
        let mut window = Window { limited: true, ..Window::new(100) };
        for n in 0..20 {
            let mut acked = acknowledged(1);
            acked.now = Time::from_millis(1000 + 5 * n);
            acked.round_trip = Some(Duration::from_millis(50));
            acked.next = 100;
            cubic.sample(&mut window, &acked);
        }
        assert_eq!(window.threshold, Window::INFINITE);
        for n in 0..20 {
            let mut acked = acknowledged(1);
            acked.now = Time::from_millis(1200 + 5 * n);
            acked.round_trip = Some(Duration::from_millis(60));
            acked.acknowledgment = 101;
            acked.next = 200;
            cubic.sample(&mut window, &acked);
        }
        assert_eq!(window.threshold, 100);
    }
}
