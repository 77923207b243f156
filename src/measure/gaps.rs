//! Gaps between changes of the screen: freezes, and how even the motion is.
//!
//! The freeze rule is that of W3C webrtc-stats (`freezeCount`): a gap of at least max(3 δ, δ + 150 ms),
//! δ being the mean of the last 30 gaps.
//!
//! | W3C | here |
//! | --- | --- |
//! | a gap lasts from one rendered frame to the next | it begins when a newer frame was captured, if that is later: a screen on which nothing happens does not freeze |
//! | counted when the next frame is rendered | also when none is rendered any more |

use crate::time::{Duration, Time};

/// The gaps of one session.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    from: Time,
    to: Time,
    recent: [Duration; RECENT],
    recorded: usize,
    last_change: Option<Time>,
    freezes: Freezes,
    spread: Spread,
}

/// The freezes of a session, as far as they lie within the time that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Freezes {
    pub(super) count: u64,
    pub(super) longest: Duration,
    pub(super) total: Duration,
}

/// Sums for the deviation of gaps; whole numbers, so that the order of adding does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    count: u64,
    sum_us: u128,
    square_us: u128,
}

impl Gaps {
    /// Gaps within the time from `from` to `to`.
    pub(super) fn new(from: Time, to: Time) -> Self {
        Self {
            from,
            to,
            recent: [Duration::ZERO; RECENT],
            recorded: 0,
            last_change: None,
            freezes: Freezes::default(),
            spread: Spread::default(),
        }
    }

    /// What happens from `at` on does not count.
    pub(super) fn cut(&mut self, at: Time) {
        self.to = self.to.min(at);
    }

    /// The screen changes at `now`; it was behind since `behind_since`.
    pub(super) fn change(&mut self, now: Time, behind_since: Time) {
        let start = self.start(behind_since);
        let gap = now.since(start);
        self.judge(start, now);
        self.last_change = Some(now);
        self.recent[self.recorded % RECENT] = gap;
        self.recorded += 1;
        if self.from <= now && now < self.to {
            self.spread.record(gap);
        }
    }

    /// The run ends, and the screen has been behind since `behind_since`.
    pub(super) fn finish(&mut self, behind_since: Time) {
        self.judge(self.start(behind_since), self.to);
    }

    pub(super) fn freezes(&self) -> Freezes {
        self.freezes
    }

    /// The longest freeze so far, with the one that is under way at `now` where the screen has been behind
    /// since then.
    pub(super) fn longest(&self, behind_since: Option<Time>, now: Time) -> Duration {
        let mut gaps = self.clone();
        if let Some(since) = behind_since {
            gaps.judge(gaps.start(since), now);
        }
        gaps.freezes.longest
    }

    pub(super) fn spread(&self) -> Spread {
        self.spread
    }

    fn start(&self, behind_since: Time) -> Time {
        self.last_change.map_or(behind_since, |last| last.max(behind_since))
    }

    /// Counts the gap if it is a freeze. After the last capture nothing can be fresh, so that the part
    /// after it does not make a gap longer.
    fn judge(&mut self, start: Time, now: Time) {
        let end = now.min(self.to);
        if end.since(start) >= self.threshold() {
            let measured = end.since(start.max(self.from));
            if !measured.is_zero() {
                self.freezes.count += 1;
                self.freezes.longest = self.freezes.longest.max(measured);
                self.freezes.total += measured;
            }
        }
    }

    fn threshold(&self) -> Duration {
        let known = self.recorded.min(RECENT);
        let sum: Duration = self.recent[..known].iter().copied().sum();
        let mean = sum / known.max(1) as u64;
        (mean * 3).max(mean + FREEZE_MARGIN)
    }
}

impl Spread {
    fn record(&mut self, gap: Duration) {
        let micros = u128::from(gap.as_micros());
        self.count += 1;
        self.sum_us += micros;
        self.square_us += micros * micros;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum_us += other.sum_us;
        self.square_us += other.square_us;
    }

    /// The standard deviation of the gaps in milliseconds; none of fewer than two.
    pub(super) fn deviation_ms(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let n = u128::from(self.count);
        // n² times the variance, exactly.
        let scaled = (n * self.square_us).saturating_sub(self.sum_us * self.sum_us);
        Some(libm::sqrt(scaled as f64) / self.count as f64 / 1e3)
    }
}

/// Over how many gaps the mean is taken (W3C webrtc-stats).
const RECENT: usize = 30;

/// By how much a freeze exceeds the mean gap at least (W3C webrtc-stats).
const FREEZE_MARGIN: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Changes every 40 ms until 2 s, always behind.
    fn steady() -> Gaps {
        let mut gaps = Gaps::new(ms(1000), ms(10_000));
        for i in 0..=50 {
            gaps.change(ms(40 * i), Time::ZERO);
        }
        gaps
    }

    #[test]
    fn a_gap_of_150_ms_above_the_mean_is_a_freeze() {
        let mut gaps = steady();
        gaps.change(ms(2000 + 189), Time::ZERO);
        assert_eq!(gaps.freezes(), Freezes::default());
        let mut gaps = steady();
        gaps.change(ms(2000 + 190), Time::ZERO);
        let length = Duration::from_millis(190);
        assert_eq!(gaps.freezes(), Freezes { count: 1, longest: length, total: length });
    }

    #[test]
    fn three_times_the_mean_counts_where_frames_are_rare() {
        let mut gaps = Gaps::new(Time::ZERO, ms(100_000));
        for i in 0..40 {
            gaps.change(ms(200 * i), Time::ZERO);
        }
        // The first gap of 200 ms was a freeze: nothing was known of the pace.
        assert_eq!(gaps.freezes().count, 1);
        gaps.change(ms(7800 + 599), Time::ZERO);
        assert_eq!(gaps.freezes().count, 1);
        gaps.change(ms(7800 + 599 + 640), Time::ZERO);
        assert_eq!(gaps.freezes().count, 2);
    }

    #[test]
    fn a_screen_on_which_nothing_happens_does_not_freeze() {
        let mut gaps = steady();
        gaps.change(ms(5000), ms(4960));
        assert_eq!(gaps.freezes().count, 0);
        gaps.change(ms(9000), ms(8800));
        assert_eq!(gaps.freezes().longest, Duration::from_millis(200));
    }

    #[test]
    fn only_the_measured_part_of_a_freeze_counts() {
        let mut gaps = Gaps::new(ms(1000), ms(2000));
        gaps.change(ms(100), ms(90));
        gaps.change(ms(1300), ms(90));
        assert_eq!(gaps.freezes().total, Duration::from_millis(300));
        gaps.finish(ms(1000));
        assert_eq!(gaps.freezes().total, Duration::from_millis(300), "700 ms are below three means");
        let mut gaps = steady();
        gaps.finish(ms(2000));
        assert_eq!(gaps.freezes().longest, Duration::from_secs(8));
    }

    #[test]
    fn a_freeze_that_is_under_way_counts_until_now() {
        let gaps = steady();
        // The last change was at 2 s; below 190 ms a gap is no freeze.
        for (now, longest) in [(2180, 0), (2190, 190), (2500, 500)] {
            assert_eq!(gaps.longest(Some(ms(0)), ms(now)), Duration::from_millis(longest));
        }
        assert_eq!(gaps.longest(None, ms(5000)), Duration::ZERO, "nothing newer was captured");
        assert_eq!(gaps.freezes().count, 0, "to look changes nothing");
    }

    #[test]
    fn what_is_captured_last_has_no_time_to_freeze() {
        let mut gaps = Gaps::new(ms(1000), ms(2000));
        gaps.change(ms(1000), ms(990));
        gaps.change(ms(2400), ms(1900));
        gaps.finish(ms(1950));
        assert_eq!(gaps.freezes().count, 0, "100 ms and 50 ms of them lie before the window's end");
    }

    #[test]
    fn even_motion_has_no_spread() {
        assert_eq!(steady().spread().deviation_ms(), Some(0.0));
        let mut gaps = Gaps::new(Time::ZERO, ms(1000));
        for at in [30, 40, 70, 80, 110] {
            gaps.change(ms(at), Time::ZERO);
        }
        // Gaps 30, 10, 30, 10, 30: mean 22, mean square 580, deviation sqrt(96).
        let got = gaps.spread().deviation_ms().unwrap();
        assert!((got - 96.0_f64.sqrt()).abs() < 1e-9, "{got}");
    }
}
