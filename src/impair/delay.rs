//! The delay: fixed, plus jitter, plus more while a channel is bad; and packets that skip it.
//!
//! Source: tc-netem(8). Fixed and random delay together are never below zero: where the normal
//! distribution would make them so, they are zero, which shifts their mean if the deviation is not small
//! against the fixed delay.
//!
//! A packet keeps its place unless jitter is told to reorder: it leaves when its own delay is over and
//! everything before it has left, as in a queue somewhere out of sight. netem reorders by default.

use crate::rng::Seed;
use crate::time::{Duration, Time};

use super::channel::Channel;
use super::config::{LinkConfig, PathConfig};
use super::jitter::Jitter;
use super::reorder::Reorder;
use super::{Fate, Meta, Stage};

/// The delay of one direction.
#[derive(Clone, Debug)]
pub struct Delay {
    fixed: Duration,
    jitter: Option<Jitter>,
    channel: Option<(Channel, Duration)>,
    reorder: Option<Reorder>,
    keeps_order: bool,
    /// When the last packet that did not skip the delay leaves.
    last: Time,
}

impl Delay {
    /// The delay of `link`, drawn from `PLACE/jitter` and `PLACE/reorder`.
    pub fn new(link: &LinkConfig, path: &PathConfig, seed: Seed, place: &str) -> Self {
        let jitter = link.jitter.map(|jitter| {
            let stream = seed.stream(&format!("{place}/jitter"));
            Jitter::new(jitter.distribution, jitter.correlation.get(), stream)
        });
        let channel =
            link.channel_delay.map(|delay| (Channel::of_path(path, delay.channel, seed), delay.extra));
        let reorder =
            link.reorder.map(|config| Reorder::new(config, seed.stream(&format!("{place}/reorder"))));
        let keeps_order = !link.jitter.is_some_and(|jitter| jitter.reorder);
        Self { fixed: link.delay, jitter, channel, reorder, keeps_order, last: Time::ZERO }
    }

    /// When the packet that comes at `at` leaves.
    pub fn release(&mut self, at: Time, meta: &Meta) -> Time {
        if self.reorder.as_mut().is_some_and(|reorder| reorder.skips(meta)) {
            return at;
        }
        let mut delay = self.fixed;
        if let Some((channel, extra)) = &mut self.channel
            && channel.is_bad(at)
        {
            delay += *extra;
        }
        if let Some(jitter) = &mut self.jitter {
            // The cast takes what is below zero to zero.
            delay = Duration::from_nanos((delay.as_nanos() as f64 + jitter.sample(meta)) as u64);
        }
        let own = at + delay;
        if !self.keeps_order {
            return own;
        }
        self.last = self.last.max(own);
        self.last
    }
}

impl Stage for Delay {
    fn admit(&mut self, at: Time, meta: &Meta) -> Fate {
        Fate::Pass(self.release(at, meta))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::impair::config::{
        ChannelConfig, ChannelDelayConfig, Distribution, JitterConfig, ReorderConfig,
    };
    use crate::impair::laws::{clear_path, packet};
    use crate::units::Probability;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn jitter(distribution: Distribution, reorder: bool) -> Option<JitterConfig> {
        Some(JitterConfig { distribution, correlation: Probability::ZERO, reorder })
    }

    fn delay(link: &LinkConfig, seed: u64) -> Delay {
        Delay::new(link, &clear_path(), Seed(seed), "down")
    }

    #[test]
    fn a_normal_delay_is_cut_at_zero() {
        let link = LinkConfig {
            delay: MS(1),
            jitter: jitter(Distribution::Normal { deviation: MS(1) }, true),
            ..LinkConfig::default()
        };
        let mut delay = delay(&link, 1);
        let n = 100_000_u64;
        let cut = (0..n).filter(|&i| delay.release(Time::ZERO, &packet(0, i)) == Time::ZERO).count();
        // One deviation below the mean: 15.87 % of a normal distribution; five standard errors.
        let p = 0.158_655;
        assert!((cut as f64 / n as f64 - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt());
    }

    #[test]
    fn a_bad_channel_adds_its_delay_and_keeps_order_when_it_ends() {
        let mut path = clear_path();
        let fade = ChannelConfig::Scheduled { starts: vec![Time::ZERO], length: MS(2), every: None };
        path.channels.push(("fade".into(), fade));
        let channel_delay = Some(ChannelDelayConfig { channel: 0, extra: MS(5) });
        let link = LinkConfig { delay: MS(10), channel_delay, ..LinkConfig::default() };
        let mut delay = Delay::new(&link, &path, Seed(0), "down");
        let left = [0, 1, 2, 3, 6, 8].map(|ms| delay.release(Time::from_millis(ms), &packet(0, ms)));
        assert_eq!(left, [15, 16, 16, 16, 16, 18].map(Time::from_millis));
    }

    #[test]
    fn a_packet_that_skips_overtakes_and_delays_nobody() {
        let reorder = ReorderConfig { probability: Probability::ONE, correlation: Probability::ZERO, gap: 3 };
        let link = LinkConfig { delay: MS(10), reorder: Some(reorder), ..LinkConfig::default() };
        let mut delay = delay(&link, 0);
        let left = [0, 1, 2, 3].map(|ms| delay.release(Time::from_millis(ms), &packet(0, ms)));
        assert_eq!(left, [10, 11, 2, 13].map(Time::from_millis));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn jitter_that_keeps_order_keeps_it_and_never_hurries_a_packet(
            seed: u64, fixed in 0..20_u64, gaps in prop::collection::vec(0..3_000_u64, 1..100)
        ) {
            let gamma = Distribution::Gamma { mean: MS(4), deviation: MS(6) };
            let mut link = LinkConfig { delay: MS(fixed), jitter: jitter(gamma, false), ..LinkConfig::default() };
            let mut ordered = delay(&link, seed);
            link.jitter = jitter(gamma, true);
            let mut free = delay(&link, seed);
            let (mut now, mut latest) = (Time::ZERO, Time::ZERO);
            for (index, gap) in gaps.into_iter().enumerate() {
                now += Duration::from_micros(gap);
                let meta = packet(0, index as u64);
                // In order means: when the own delay is over and all before have left.
                latest = latest.max(free.release(now, &meta));
                prop_assert_eq!(ordered.release(now, &meta), latest);
                prop_assert!(latest >= now + MS(fixed));
            }
        }
    }
}
