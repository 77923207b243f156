//! Physical channels: a state, good or bad, that changes over time and that both directions share.
//!
//! A fade, an oven or a roam hits up and down at once and worsens loss, delay and rate together; so the
//! state belongs to the path, and the steps of both links ask for it. A channel is a piecewise constant
//! timeline, drawn from the stream `channel/NAME` of the trial's seed. Copies of a channel agree, so each
//! step owns one.
//!
//! Sources: the two-state continuous-time Markov chain is Gilbert's and Elliott's channel (Bell System
//! Technical Journal 39, 1960, and 42, 1963) stepped in time; the periodic one is the gating of a
//! microwave oven by the mains.
//!
//! | where we differ | because |
//! | --- | --- |
//! | a channel starts in its stationary state | short runs are not biased to good |
//! | no random sojourn is shorter than 1 µs | it bounds the slots per second; a packet takes longer |

use std::collections::VecDeque;

use crate::rng::{self, Seed, Stream};
use crate::time::{Duration, Time};

use super::config::{ChannelConfig, PathConfig, Sojourn};

/// A stretch of time over which a channel's state is constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its ordinal number; later slots have higher ones.
    pub number: u64,
    /// Whether the channel is bad in it.
    pub bad: bool,
    /// Its first instant.
    pub from: Time,
    /// The first instant after it; [`Time::NEVER`] where the channel stays as it is.
    pub until: Time,
}

/// A channel's state over time.
#[derive(Clone, Debug)]
pub struct Channel {
    kind: Kind,
    /// The slot that was asked for last: most questions are about it again.
    last: Slot,
}

#[derive(Clone, Debug)]
enum Kind {
    Constant,
    Pattern(Pattern),
    Random(Random),
}

impl Channel {
    /// The channel at `place` of the path; always good where there is none.
    pub fn of_path(path: &PathConfig, place: usize, seed: Seed) -> Self {
        match path.channels.get(place) {
            Some((name, config)) => Self::new(config, seed.stream(&format!("channel/{name}"))),
            None => Self::constant(false),
        }
    }

    /// A channel of this kind, drawn from `stream`.
    pub fn new(config: &ChannelConfig, stream: Stream) -> Self {
        match *config {
            ChannelConfig::TwoState { bad, .. } if bad.mean().is_zero() => Self::constant(false),
            ChannelConfig::TwoState { good, .. } if good.is_zero() => Self::constant(true),
            ChannelConfig::TwoState { good, bad } => Self::random(Random::new(good, bad, stream)),
            ChannelConfig::Periodic { period, bad, .. } if period.is_zero() || bad.is_zero() => {
                Self::constant(false)
            }
            ChannelConfig::Periodic { period, bad, .. } if bad >= period => Self::constant(true),
            ChannelConfig::Periodic { period, bad, phase } => {
                Self::pattern(Pattern::periodic(period, bad, phase))
            }
            ChannelConfig::Scheduled { ref starts, length, every } => {
                Pattern::scheduled(starts, length, every).map_or_else(|| Self::constant(false), Self::pattern)
            }
        }
    }

    /// The slot in which `t` lies. Times may go back; far back costs time, never truth.
    /// At [`Time::NEVER`], when nothing happens any more, every channel is good.
    pub fn at(&mut self, t: Time) -> Slot {
        if t == Time::NEVER {
            return Slot { number: u64::MAX, bad: false, from: t, until: t };
        }
        if t < self.last.from || t >= self.last.until {
            self.last = match &mut self.kind {
                Kind::Constant => self.last,
                Kind::Pattern(pattern) => pattern.at(t),
                Kind::Random(random) => random.at(t),
            };
        }
        self.last
    }

    /// Whether the channel is bad at `t`.
    pub fn is_bad(&mut self, t: Time) -> bool {
        self.at(t).bad
    }

    /// The first instant from `t` on at which the channel is good.
    pub fn good_from(&mut self, t: Time) -> Time {
        let mut at = t;
        // At most two slots in a row are bad, or one without end.
        loop {
            let slot = self.at(at);
            if !slot.bad || slot.until == Time::NEVER {
                return if slot.bad { Time::NEVER } else { at };
            }
            at = slot.until;
        }
    }

    const fn constant(bad: bool) -> Self {
        let last = Slot { number: 0, bad, from: Time::ZERO, until: Time::NEVER };
        Self { kind: Kind::Constant, last }
    }

    fn pattern(pattern: Pattern) -> Self {
        Self { last: pattern.at(Time::ZERO), kind: Kind::Pattern(pattern) }
    }

    fn random(mut random: Random) -> Self {
        Self { last: random.at(Time::ZERO), kind: Kind::Random(random) }
    }
}

/// Bad windows at known times, perhaps again and again.
#[derive(Clone, Debug)]
struct Pattern {
    /// Nothing is bad before it.
    from: Time,
    /// Where in the pattern `from` lies.
    ahead: Duration,
    /// After how long the pattern begins again.
    every: Option<Duration>,
    /// First and one-past-last instant of the bad windows, disjoint and in order; the first one begins
    /// where the pattern begins.
    windows: Vec<(Duration, Duration)>,
}

impl Pattern {
    fn periodic(period: Duration, bad: Duration, phase: Duration) -> Self {
        let phase = phase.as_nanos() % period.as_nanos();
        Self {
            from: Time::ZERO,
            ahead: Duration::from_nanos((period.as_nanos() - phase) % period.as_nanos()),
            every: Some(period),
            windows: vec![(Duration::ZERO, bad)],
        }
    }

    /// None where nothing is ever bad.
    fn scheduled(starts: &[Time], length: Duration, every: Option<Duration>) -> Option<Self> {
        let from = *starts.iter().min()?;
        let every = every.filter(|every| !every.is_zero());
        if length.is_zero() {
            return None;
        }
        let fold = |start: &Time| {
            let offset = start.since(from).as_nanos();
            Duration::from_nanos(every.map_or(offset, |every| offset % every.as_nanos()))
        };
        let mut offsets: Vec<Duration> = starts.iter().map(fold).collect();
        offsets.sort_unstable();
        let mut windows: Vec<(Duration, Duration)> = Vec::new();
        for offset in offsets {
            // What runs over the end of the pattern runs into its first window, which is as long.
            let end = (offset + length).min(every.unwrap_or(Duration::MAX));
            match windows.last_mut() {
                Some(window) if offset <= window.1 => window.1 = end,
                _ => windows.push((offset, end)),
            }
        }
        if every == Some(windows[0].1) {
            // Bad all the time from the first start on.
            return Some(Self {
                from,
                ahead: Duration::ZERO,
                every: None,
                windows: vec![(Duration::ZERO, Duration::MAX)],
            });
        }
        Some(Self { from, ahead: Duration::ZERO, every, windows })
    }

    fn at(&self, t: Time) -> Slot {
        if t < self.from {
            return Slot { number: 0, bad: false, from: Time::ZERO, until: self.from };
        }
        let whole = (t.since(self.from) + self.ahead).as_nanos();
        let cycle = self.every.map_or(0, |every| whole / every.as_nanos());
        let begin = cycle * self.every.map_or(0, Duration::as_nanos);
        let offset = Duration::from_nanos(whole - begin);
        let place = self.windows.partition_point(|window| window.0 <= offset) - 1;
        let (start, end) = self.windows[place];
        let bad = offset < end;
        let next = || self.windows.get(place + 1).map(|window| window.0).or(self.every);
        let (from, until) = if bad { (start, end) } else { (end, next().unwrap_or(Duration::MAX)) };
        // An instant of the pattern, counted from the start of the run.
        let instant = |offset: Duration| {
            let whole = Duration::from_nanos(begin) + offset;
            if whole == Duration::MAX { Time::NEVER } else { self.from + whole.saturating_sub(self.ahead) }
        };
        let number = 1 + 2 * (cycle * self.windows.len() as u64 + place as u64) + u64::from(!bad);
        Slot { number, bad, from: instant(from), until: instant(until) }
    }
}

/// Good and bad times of random length, extended as far as anybody asks.
#[derive(Clone, Debug)]
struct Random {
    stream: Stream,
    good: Sojourn,
    bad: Sojourn,
    /// The youngest slots, in order; never empty after the first question.
    slots: VecDeque<Slot>,
}

/// How many slots a random channel remembers. Steps look back by a few delays and retries at most;
/// what is further back is drawn again from the beginning.
const REMEMBERED: usize = 64;

/// The shortest random sojourn.
const SHORTEST: Duration = Duration::from_micros(1);

impl Random {
    fn new(good: Duration, bad: Sojourn, stream: Stream) -> Self {
        Self { stream, good: Sojourn::Exponential(good), bad, slots: VecDeque::new() }
    }

    fn at(&mut self, t: Time) -> Slot {
        if self.slots.front().is_none_or(|oldest| t < oldest.from) {
            self.slots.clear();
            self.slots.push_back(self.first());
        }
        loop {
            let youngest = self.slots[self.slots.len() - 1];
            if t < youngest.until || youngest.until == Time::NEVER {
                break;
            }
            if self.slots.len() == REMEMBERED {
                self.slots.pop_front();
            }
            self.slots.push_back(self.after(youngest));
        }
        let place = self.slots.partition_point(|slot| slot.from <= t) - 1;
        self.slots[place]
    }

    /// The slot at the start of the run: the stationary state and what is left of its sojourn.
    fn first(&self) -> Slot {
        let mut draws = self.stream.at(0);
        let (good, bad) = (self.good.mean().as_secs_f64(), self.bad.mean().as_secs_f64());
        let is_bad = rng::unit(&mut draws) < bad / (good + bad);
        let left = match if is_bad { self.bad } else { self.good } {
            Sojourn::Fixed(length) => length.mul_f64(rng::unit(&mut draws)),
            // An exponential sojourn has no memory of how long it has lasted.
            Sojourn::Exponential(mean) => exponential(&mut draws, mean),
        };
        Slot { number: 0, bad: is_bad, from: Time::ZERO, until: Time::ZERO + left.max(SHORTEST) }
    }

    fn after(&self, slot: Slot) -> Slot {
        let number = slot.number + 1;
        let length = match if slot.bad { self.good } else { self.bad } {
            Sojourn::Fixed(length) => length,
            Sojourn::Exponential(mean) => exponential(&mut self.stream.at(number), mean),
        };
        Slot { number, bad: !slot.bad, from: slot.until, until: slot.until + length.max(SHORTEST) }
    }
}

fn exponential(draws: &mut rng::Draws, mean: Duration) -> Duration {
    Duration::from_secs_f64(rng::exponential(draws, mean.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn channel(config: &ChannelConfig, seed: u64) -> Channel {
        Channel::new(config, Seed(seed).stream("channel/test"))
    }

    fn radio() -> ChannelConfig {
        ChannelConfig::TwoState { good: MS(90), bad: Sojourn::Exponential(MS(10)) }
    }

    fn any_channel() -> impl Strategy<Value = ChannelConfig> {
        let ms = |max: u64| (0..max).prop_map(MS);
        prop_oneof![
            (ms(50), ms(20), any::<bool>()).prop_map(|(good, bad, fixed)| ChannelConfig::TwoState {
                good,
                bad: if fixed { Sojourn::Fixed(bad) } else { Sojourn::Exponential(bad) },
            }),
            (ms(30), ms(40), ms(50)).prop_map(|(period, bad, phase)| ChannelConfig::Periodic {
                period,
                bad,
                phase
            }),
            (
                prop::collection::vec((0..200_u64).prop_map(Time::from_millis), 0..6),
                ms(40),
                ms(150),
                any::<bool>()
            )
                .prop_map(|(starts, length, every, again)| ChannelConfig::Scheduled {
                    starts,
                    length,
                    every: again.then_some(every),
                }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn copies_agree_in_whatever_order_they_are_asked(
            config in any_channel(), seed: u64, times in prop::collection::vec(0..2_000_000_000_u64, 1..60)
        ) {
            let mut forward = channel(&config, seed);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let truth: Vec<Slot> = sorted.iter().map(|&t| forward.at(Time::from_nanos(t))).collect();
            let mut other = channel(&config, seed);
            for &t in &times {
                let place = sorted.partition_point(|&s| s < t);
                prop_assert_eq!(other.at(Time::from_nanos(t)), truth[place]);
            }
        }

        #[test]
        fn slots_follow_each_other_without_gaps(config in any_channel(), seed: u64) {
            let mut channel = channel(&config, seed);
            let mut slot = channel.at(Time::ZERO);
            prop_assert_eq!(slot.from, Time::ZERO);
            for _ in 0..200 {
                prop_assert!(slot.until > slot.from);
                if slot.until == Time::NEVER {
                    break;
                }
                let next = channel.at(slot.until);
                prop_assert_eq!(next.from, slot.until);
                prop_assert!(next.number > slot.number);
                slot = next;
            }
        }

        #[test]
        fn the_channel_is_good_where_it_is_said_to_be_good_next(config in any_channel(), seed: u64, t in 0..3000_u64) {
            let mut channel = channel(&config, seed);
            let t = Time::from_millis(t);
            let good = channel.good_from(t);
            prop_assert!(good >= t);
            if good < Time::NEVER {
                prop_assert!(!channel.is_bad(good));
            }
            if good > t {
                prop_assert!(channel.is_bad(t) && channel.is_bad(Time::from_nanos(good.as_nanos().min(1 << 60) - 1)));
            }
        }

        #[test]
        fn a_schedule_is_bad_exactly_in_its_windows(
            starts in prop::collection::vec(0..200_u64, 1..6), length in 1..40_u64, every in 100..200_u64, t in 0..5000_u64
        ) {
            let config = ChannelConfig::Scheduled {
                starts: starts.iter().map(|&s| Time::from_millis(s)).collect(),
                length: MS(length),
                every: Some(MS(every)),
            };
            let first = *starts.iter().min().unwrap();
            // The plain definition: some start, folded behind the first, plus some number of periods.
            let expected = starts.iter().any(|&start| {
                let start = first + (start - first) % every;
                t >= start && (t - start) % every < length
            });
            prop_assert_eq!(channel(&config, 0).is_bad(Time::from_millis(t)), expected);
        }
    }

    #[test]
    fn an_oven_is_on_for_its_part_of_every_cycle() {
        let config = ChannelConfig::Periodic { period: MS(20), bad: MS(10), phase: MS(15) };
        let mut oven = channel(&config, 0);
        let bad: Vec<u64> = (0..40).filter(|&t| oven.is_bad(Time::from_millis(t))).collect();
        let expected: Vec<u64> = (0..5).chain(15..25).chain(35..40).collect();
        assert_eq!(bad, expected);
    }

    #[test]
    fn a_schedule_without_gaps_is_bad_for_ever_from_its_start_on() {
        let config = ChannelConfig::Scheduled {
            starts: vec![Time::from_millis(5), Time::from_millis(25)],
            length: MS(20),
            every: Some(MS(40)),
        };
        let mut channel = channel(&config, 0);
        assert_eq!(channel.good_from(Time::from_millis(4)), Time::from_millis(4));
        assert_eq!(channel.good_from(Time::from_millis(5)), Time::NEVER);
    }

    #[test]
    fn a_two_state_channel_is_bad_for_its_share_of_time_in_sojourns_of_its_means() {
        let mut channel = channel(&radio(), 5);
        let (mut bad, mut cycles, mut t) = (0.0, 0_u32, Time::ZERO);
        let end = Time::from_secs(2_000);
        while t < end {
            let slot = channel.at(t);
            if slot.bad {
                bad += slot.until.since(slot.from).as_secs_f64();
                cycles += 1;
            }
            t = slot.until;
        }
        // A renewal process: the share over n cycles of exponential means g and b has the standard
        // error sqrt(2 / n) · g·b / (g + b)², and the number of cycles in T has the deviation
        // sqrt(T · (g² + b²) / (g + b)³). Five of each.
        let (g, b, n) = (0.09, 0.01, 20_000.0_f64);
        let share = bad / 2_000.0;
        assert!((share - 0.1).abs() < 5.0 * (2.0 / n).sqrt() * g * b / (0.1 * 0.1), "{share}");
        let deviation = (2_000.0_f64 * (g * g + b * b) / 0.001).sqrt();
        assert!((f64::from(cycles) - n).abs() < 5.0 * deviation, "{cycles}");
    }

    #[test]
    fn a_two_state_channel_starts_bad_as_often_as_it_is_bad() {
        let n = 20_000;
        let bad = (0..n).filter(|&seed| channel(&radio(), seed).is_bad(Time::ZERO)).count();
        // Five standard errors of a binomial share.
        assert!((bad as f64 / n as f64 - 0.1).abs() < 5.0 * (0.1 * 0.9 / n as f64).sqrt());
    }

    #[test]
    fn memory_does_not_grow_with_time() {
        let mut channel = channel(&radio(), 1);
        channel.at(Time::from_secs(100));
        let Kind::Random(random) = &channel.kind else { panic!("a random channel") };
        assert_eq!(random.slots.len(), REMEMBERED);
        assert!(random.slots.capacity() <= 2 * REMEMBERED);
    }

    #[test]
    fn differently_named_channels_differ_and_a_missing_one_is_good() {
        let path = PathConfig {
            mtu: 1500,
            channels: vec![("a".into(), radio()), ("b".into(), radio())],
            down: super::super::config::LinkConfig::default(),
            up: super::super::config::LinkConfig::default(),
        };
        let at = |place| Channel::of_path(&path, place, Seed(1)).at(Time::ZERO);
        assert_ne!(at(0), at(1));
        assert_eq!(at(0), at(0));
        assert_eq!((at(2).bad, at(2).until), (false, Time::NEVER));
    }
}
