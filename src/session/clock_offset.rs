//! What the clock of the other end shows, estimated all the time from round trips: offset and skew.
//!
//! From the four times of a round trip, sent and arrived there, sent back and arrived here, come NTP's
//! offset θ and delay δ (RFC 5905 §8). θ is wrong by half the difference between the ways there and
//! back, which no measurement at both ends can see: all that is known is that each way took at least
//! nothing, so that θ is right to within δ / 2. The round trip with the least δ of the window therefore
//! says most (RFC 5905 §10, the clock filter), and the offset is its θ, carried on by the skew. As the
//! skew is known only so well, an old round trip counts as longer the older it is (§11.2.1, the root
//! distance).
//!
//! The skew is the slope of a line through the offsets of the best round trip of each second, weighed by
//! how little longer than the least they took: a constant asymmetry shifts all of them alike and does
//! not change the slope. Both clocks are monotonic, so there are no steps to find.

use std::cmp::Reverse;

use crate::time::{Duration, Time};

/// A continuous estimate of the other end's clock.
#[derive(Clone, Debug)]
pub struct ClockOffset {
    /// The best round trip of each of the last seconds, at the second's place modulo the length.
    seconds: [Option<Sample>; WINDOW_SECS],
    /// When the last sample was taken.
    last: Time,
}

impl ClockOffset {
    /// Takes a round trip: this end sent something at `t1`, the other got it at `t2` of its clock and
    /// answered at `t3` of its clock, which arrived here at `t4`. Whether such a round trip can be.
    ///
    /// Samples come in the order of `t4`.
    pub fn sample(&mut self, t1: Time, t2: Time, t3: Time, t4: Time) -> bool {
        let Some(sample) = Sample::new([t1, t2, t3, t4]) else { return false };
        let second = &mut self.seconds[sample.place()];
        match second {
            Some(best)
                if best.is_within(SECOND, sample.at)
                    && best.distance(sample.at, SKEW_KNOWN) < sample.distance(sample.at, SKEW_KNOWN) => {}
            _ => *second = Some(sample),
        }
        self.last = self.last.max(sample.at);
        true
    }

    /// How far the other end's clock is ahead of this one's at `now`, in nanoseconds; none before the
    /// first round trip.
    pub fn offset_at(&self, now: Time) -> Option<i64> {
        let best = self.best()?;
        let away = now.as_nanos() as f64 - best.at.as_nanos() as f64;
        Some(best.offset.saturating_add((self.skew() * away) as i64))
    }

    /// How wrong the offset may be by now: half the least round trip of the last minute, and what the
    /// clocks may have parted since; none before the first one. Both ways together took that long, so it
    /// is reached only if one of them took no time at all.
    pub fn bound(&self) -> Option<Duration> {
        self.best().map(|best| self.distance(best))
    }

    /// How much faster the other end's clock runs, in millionths; none before it has been watched for
    /// ten seconds.
    pub fn skew_ppm(&self) -> Option<f64> {
        self.fit().map(|skew| skew * 1e6)
    }

    /// The skew as a factor, and none at all as long as it is not known.
    fn skew(&self) -> f64 {
        self.fit().unwrap_or_default()
    }

    /// The sample that says most about now.
    fn best(&self) -> Option<&Sample> {
        self.samples().min_by_key(|sample| (self.distance(sample), Reverse(sample.at)))
    }

    /// How wrong the offset of `sample` may be, carried on to the last one.
    fn distance(&self, sample: &Sample) -> Duration {
        let spread = if self.span() < SPAN_LEAST { SKEW_UNKNOWN } else { SKEW_KNOWN };
        sample.distance(self.last, spread)
    }

    /// How long the other clock has been watched.
    fn span(&self) -> Duration {
        self.samples().map(|sample| self.last.since(sample.at)).max().unwrap_or_default()
    }

    /// The slope of the line through the samples with the least weighted squares.
    fn fit(&self) -> Option<f64> {
        let best = self.samples().min_by_key(|sample| sample.delay)?;
        if self.span() < SPAN_LEAST {
            return None;
        }
        // Relative to one of them, so that the numbers are small.
        let points = || {
            self.samples().map(|sample| {
                let excess = sample.delay.saturating_sub(best.delay) + NOISE;
                let weight = (NOISE.as_secs_f64() / excess.as_secs_f64()).powi(2);
                let x = sample.at.as_nanos() as f64 - best.at.as_nanos() as f64;
                let y = sample.offset.saturating_sub(best.offset) as f64;
                (weight, x, y)
            })
        };
        let mean = |of: fn((f64, f64, f64)) -> f64| {
            let total: f64 = points().map(|point| point.0).sum();
            points().map(|point| point.0 * of(point)).sum::<f64>() / total
        };
        let (x_mean, y_mean) = (mean(|(_, x, _)| x), mean(|(_, _, y)| y));
        let (mut xx, mut xy) = (0.0, 0.0);
        for (weight, x, y) in points() {
            xx += weight * (x - x_mean).powi(2);
            xy += weight * (x - x_mean) * (y - y_mean);
        }
        // Where one sample outweighs all others there is no line.
        let skew = xy / xx;
        (xx > 0.0 && skew.abs() <= SKEW_MAX).then_some(skew)
    }

    fn samples(&self) -> impl Iterator<Item = &Sample> {
        let window = Duration::from_secs(WINDOW_SECS as u64);
        self.seconds.iter().flatten().filter(move |sample| sample.is_within(window, self.last))
    }
}

impl Default for ClockOffset {
    fn default() -> Self {
        Self { seconds: [None; WINDOW_SECS], last: Time::ZERO }
    }
}

/// What a round trip says.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// When it was half over, on this end's clock.
    at: Time,
    /// NTP's θ, in nanoseconds.
    offset: i64,
    /// NTP's δ: how long both ways took.
    delay: Duration,
}

impl Sample {
    fn new(times: [Time; 4]) -> Option<Self> {
        // The other end may say any number, so sums must not overflow.
        let [t1, t2, t3, t4] = times.map(|time| i128::from(time.as_nanos()));
        let (round_trip, held) = (t4 - t1, t3 - t2);
        if held < 0 || round_trip < held {
            return None;
        }
        Some(Self {
            at: Time::from_nanos(u64::try_from((t1 + t4) / 2).ok()?),
            offset: i64::try_from(((t2 - t1) + (t3 - t4)) / 2).ok()?,
            delay: Duration::from_nanos(u64::try_from(round_trip - held).ok()?),
        })
    }

    /// How wrong the offset may be at `now`, where the clocks part by `spread` unseen.
    fn distance(&self, now: Time, spread: f64) -> Duration {
        self.delay / 2 + now.since(self.at).mul_f64(spread)
    }

    fn is_within(&self, length: Duration, of: Time) -> bool {
        of.since(self.at) < length
    }

    fn place(&self) -> usize {
        (self.at.as_nanos() / SECOND.as_nanos()) as usize % WINDOW_SECS
    }
}

/// How long samples count, in seconds: the temperature, and with it the skew, changes in minutes.
const WINDOW_SECS: usize = 64;

const SECOND: Duration = Duration::from_secs(1);

/// Over less time than this a slope says more of the noise than of the clocks.
const SPAN_LEAST: Duration = Duration::from_secs(10);

/// What the clocks part by while the skew is not known: two quartz clocks of ±50 millionths.
const SKEW_UNKNOWN: f64 = 100e-6;

/// What they part by while it is, because of its error and because temperatures change.
const SKEW_KNOWN: f64 = 2e-6;

/// How much round trips differ anyway, because threads wake up late.
const NOISE: Duration = Duration::from_micros(20);

/// No clock of a machine is off by more (RFC 5905 §11.3 holds the frequency to that): such a line is of
/// something else, of a queue that grows for a minute for example.
const SKEW_MAX: f64 = 500e-6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Seed;

    /// The other end's clock: ahead by so much at the start, and so much faster.
    #[derive(Clone, Copy, Debug)]
    struct Other {
        ahead_ns: i64,
        skew_ppm: f64,
    }

    impl Other {
        fn ahead_at(self, now: Time) -> i64 {
            self.ahead_ns + (self.skew_ppm * 1e-6 * now.as_nanos() as f64) as i64
        }

        fn read(self, now: Time) -> Time {
            Time::from_nanos(now.as_nanos().checked_add_signed(self.ahead_at(now)).unwrap())
        }
    }

    const OTHER: Other = Other { ahead_ns: 3_600_000_000_000, skew_ppm: 40.0 };

    /// A round trip every 250 ms for `secs` seconds; `ways` says how long the ways of the one numbered so
    /// take.
    fn watched(other: Other, secs: u64, ways: impl Fn(u64) -> [Duration; 2]) -> ClockOffset {
        let mut clock = ClockOffset::default();
        for number in 0..4 * secs {
            let t1 = Time::from_millis(250 * number);
            let [there, back] = ways(number);
            let arrived = t1 + there;
            let answered = arrived + Duration::from_micros(50);
            let t4 = answered + back;
            assert!(clock.sample(t1, other.read(arrived), other.read(answered), t4));
        }
        clock
    }

    fn error_ns(clock: &ClockOffset, other: Other, now: Time) -> i64 {
        clock.offset_at(now).unwrap() - other.ahead_at(now)
    }

    #[test]
    fn offset_and_skew_are_exact_where_all_round_trips_are_the_same() {
        let clock = watched(OTHER, 30, |_| [Duration::from_millis(10); 2]);
        // The clock's own reading is rounded to nanoseconds.
        assert!((clock.skew_ppm().unwrap() - 40.0).abs() < 1e-3, "{:?}", clock.skew_ppm());
        for secs in [0, 15, 30, 60] {
            let error = error_ns(&clock, OTHER, Time::from_secs(secs));
            // 40 ppm of half a round trip, in which the clocks part, and the roundings.
            assert!(error.abs() < 1_000, "{error} ns at {secs} s");
        }
        let bound = clock.bound().unwrap();
        assert!(bound.as_nanos().abs_diff(10_000_000) < 1_000, "{bound}");
    }

    #[test]
    fn before_ten_seconds_nothing_is_said_of_the_skew() {
        assert_eq!(ClockOffset::default().offset_at(Time::ZERO), None);
        let clock = watched(OTHER, 9, |_| [Duration::from_millis(10); 2]);
        assert_eq!(clock.skew_ppm(), None);
        assert!(clock.offset_at(Time::ZERO).is_some());
    }

    #[test]
    fn an_asymmetry_is_invisible_and_stays_within_the_bound() {
        let ways = [Duration::from_millis(30), Duration::from_millis(2)];
        let clock = watched(OTHER, 30, |_| ways);
        let now = Time::from_secs(30);
        let error = error_ns(&clock, OTHER, now);
        assert!((error - 14_000_000).abs() < 2_000, "half of 28 ms, not {error} ns");
        assert!(error.unsigned_abs() <= clock.bound().unwrap().as_nanos());
        assert!((clock.skew_ppm().unwrap() - 40.0).abs() < 1e-3);
    }

    #[test]
    fn round_trips_that_wait_in_a_queue_spoil_nothing() {
        // Three of four wait up to 100 ms on one way or the other.
        let stream = Seed(1).stream("clock/jitter");
        let clock = watched(OTHER, 60, |number| {
            let wait = |key| Duration::from_micros(stream.word(key) % 100_000);
            let least = Duration::from_millis(5);
            match stream.word(3 * number) % 4 {
                0 => [least; 2],
                1 => [least + wait(3 * number + 1), least],
                2 => [least, least + wait(3 * number + 2)],
                _ => [least + wait(3 * number + 1), least + wait(3 * number + 2)],
            }
        });
        let error = error_ns(&clock, OTHER, Time::from_secs(60));
        assert!(error.abs() < 10_000, "{error} ns");
        assert!((clock.skew_ppm().unwrap() - 40.0).abs() < 1.0, "{:?}", clock.skew_ppm());
    }

    #[test]
    fn a_better_way_is_forgotten_after_a_minute() {
        let ways = |number| [Duration::from_millis(if number < 40 { 1 } else { 20 }); 2];
        assert!(watched(OTHER, 60, ways).bound().unwrap() < Duration::from_millis(2));
        assert!(watched(OTHER, 80, ways).bound().unwrap() > Duration::from_millis(19));
    }

    #[test]
    fn times_that_cannot_be_are_no_sample() {
        let mut clock = ClockOffset::default();
        let [early, late] = [1, 2].map(Time::from_secs);
        assert!(!clock.sample(late, early, early, early), "arrived before it was sent");
        assert!(!clock.sample(early, late, early, late), "answered before it arrived");
        assert!(!clock.sample(early, Time::ZERO, Time::from_secs(9), late), "held for longer than it took");
        assert!(!clock.sample(early, Time::NEVER, Time::NEVER, late), "farther away than an offset reaches");
        assert!(clock.offset_at(late).is_none());
    }

    proptest! {
        #[test]
        fn the_offset_is_right_to_within_the_bound_whatever_the_ways_take(
            // For less than ten seconds, while no line can be drawn through what is only noise.
            ways in prop::collection::vec([0_u64..200_000, 0_u64..200_000], 1..24),
            ahead_ns in 0_i64..1 << 40,
            skew_ppm in -50.0..50.0,
        ) {
            let other = Other { ahead_ns, skew_ppm };
            let mut clock = ClockOffset::default();
            let mut now = Time::ZERO;
            for [there, back] in ways {
                let arrived = now + Duration::from_micros(there);
                let t4 = arrived + Duration::from_micros(back);
                prop_assert!(clock.sample(now, other.read(arrived), other.read(arrived), t4));
                let error = error_ns(&clock, other, clock.last).unsigned_abs();
                // During the round trip itself the clocks part by as little again.
                let bound = clock.bound().unwrap() + (t4.since(now)).mul_f64(50e-6);
                prop_assert!(error <= bound.as_nanos() + 1, "{} ns, {}", error, bound);
                now = t4.max(now + Duration::from_millis(250));
            }
        }

        #[test]
        fn no_times_make_it_panic(times in prop::collection::vec(any::<[u64; 4]>(), 1..100), now in any::<u64>()) {
            let mut clock = ClockOffset::default();
            for times in times {
                let [t1, t2, t3, t4] = times.map(Time::from_nanos);
                clock.sample(t1, t2, t3, t4);
            }
            let _ = (clock.offset_at(Time::from_nanos(now)), clock.bound(), clock.skew_ppm());
        }
    }
}
