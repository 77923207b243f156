//! Jitter: random delay per packet, from one of four distributions, with or without correlation.
//!
//! Source: tc-netem(8), `delay TIME JITTER CORRELATION distribution`; the gamma distribution is the usual
//! fit to one-way delays (Mukherjee, "On the dynamics and significance of low frequency components of
//! Internet load", 1994). With correlation c a packet's jitter is (1 - c) of a fresh draw and c of the
//! jitter of the packet before, netem's recursion: the mean stays, neighbors correlate by c, and, as in
//! netem, the deviation narrows to sqrt((1 - c) / (1 + c)) of the one given.
//!
//! | where we differ from netem | because |
//! | --- | --- |
//! | distributions are sampled, not looked up in tables | the tables cut the tails |
//! | the recursion is on the delay, not on the place in the table | the closed form holds for every distribution |
//! | each flow has a recursion of its own | an extra packet of one flow must not shift another's delays |
//! | jitter is uniform from 0 to its maximum, not around the delay | a fixed delay is a floor |

use crate::rng::{self, Stream};
use crate::time::Duration;

use super::Meta;
use super::config::Distribution;
use super::per_flow::PerFlow;
use super::per_packet::PerPacket;

/// Random delays of one direction.
#[derive(Clone, Debug)]
pub struct Jitter {
    stream: Stream,
    units: PerPacket,
    law: Law,
    correlation: f64,
    flows: PerFlow<Correlated>,
}

/// A distribution with its parameters as its sampler wants them, in nanoseconds.
#[derive(Clone, Copy, Debug)]
enum Law {
    Uniform { max: f64 },
    Normal { deviation: f64 },
    Pareto { minimum: f64, index: f64 },
    Gamma { shape: f64, scale: f64 },
    Constant(f64),
}

/// One flow's recursion: the next packet's index and the last one's jitter in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Correlated {
    next: u64,
    last: f64,
}

impl Jitter {
    /// Jitter of this distribution and correlation, drawn from `stream`.
    pub fn new(distribution: Distribution, correlation: f64, stream: Stream) -> Self {
        Self {
            stream,
            units: PerPacket::new(stream),
            law: Law::of(distribution),
            correlation,
            flows: PerFlow::new(),
        }
    }

    /// The packet's jitter in nanoseconds; below zero only where the distribution is.
    pub fn sample(&mut self, meta: &Meta) -> f64 {
        if self.correlation == 0.0 {
            return self.fresh(meta);
        }
        let mut flow = *self.flows.entry(meta.flow, |_| Correlated::default());
        // Packets that were dropped before they came here step the recursion too; every index once.
        while flow.next <= meta.index {
            let fresh = self.fresh(&Meta { index: flow.next, ..*meta });
            flow.last = match flow.next {
                0 => fresh,
                _ => (1.0 - self.correlation) * fresh + self.correlation * flow.last,
            };
            flow.next += 1;
        }
        *self.flows.entry(meta.flow, |_| flow) = flow;
        flow.last
    }

    /// A draw of its own for the packet.
    fn fresh(&mut self, meta: &Meta) -> f64 {
        let draws = || self.stream.at(meta.key());
        match self.law {
            Law::Uniform { max } => self.units.unit(meta) * max,
            Law::Normal { deviation } => rng::normal(&mut draws()) * deviation,
            Law::Pareto { minimum, index } => rng::pareto(&mut draws(), minimum, index),
            Law::Gamma { shape, scale } => rng::gamma(&mut draws(), shape, scale),
            Law::Constant(nanos) => nanos,
        }
    }
}

impl Law {
    fn of(distribution: Distribution) -> Self {
        let nanos = |duration: Duration| duration.as_nanos() as f64;
        match distribution {
            Distribution::Uniform { max } => Self::Uniform { max: nanos(max) },
            Distribution::Normal { deviation } => Self::Normal { deviation: nanos(deviation) },
            Distribution::Pareto { mean, deviation } | Distribution::Gamma { mean, deviation }
                if mean.is_zero() || deviation.is_zero() =>
            {
                Self::Constant(nanos(mean))
            }
            Distribution::Pareto { mean, deviation } => {
                // mean = minimum · a / (a - 1) and (mean / deviation)² = a (a - 2), solved for both.
                let ratio = nanos(mean) / nanos(deviation);
                let index = 1.0 + libm::sqrt(1.0 + ratio * ratio);
                Self::Pareto { minimum: nanos(mean) * (index - 1.0) / index, index }
            }
            Distribution::Gamma { mean, deviation } => {
                let scale = nanos(deviation) * nanos(deviation) / nanos(mean);
                Self::Gamma { shape: nanos(mean) / scale, scale }
            }
        }
    }
}

impl Distribution {
    /// How far above zero nearly all of it lies.
    pub(super) fn reach(self) -> Duration {
        match self {
            Self::Uniform { max } => max,
            Self::Normal { deviation } => deviation * 3,
            Self::Pareto { mean, deviation } | Self::Gamma { mean, deviation } => mean + deviation * 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::laws::packet;
    use crate::rng::Seed;

    const MEAN: Duration = Duration::from_millis(4);
    const DEVIATION: Duration = Duration::from_millis(1);

    fn samples(distribution: Distribution, correlation: f64, n: u64) -> Vec<f64> {
        let mut jitter = Jitter::new(distribution, correlation, Seed(1).stream("down/jitter"));
        (0..n).map(|index| jitter.sample(&packet(0, index)) / 1e6).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn moments(values: &[f64]) -> (f64, f64, f64) {
        let center = mean(values);
        let squares: Vec<f64> = values.iter().map(|v| (v - center).powi(2)).collect();
        let products: Vec<f64> = values.windows(2).map(|w| (w[0] - center) * (w[1] - center)).collect();
        (center, mean(&squares).sqrt(), mean(&products) / mean(&squares))
    }

    #[test]
    fn every_distribution_has_the_mean_and_deviation_asked_for() {
        let n = 200_000;
        // Bounds in deviations: five standard errors of the mean are 5 / sqrt(n) = 0.011; those of the
        // deviation are 5 · sqrt((kurtosis - 1) / 4n): below 0.012 for kurtosis 5 and less. Pareto's
        // kurtosis at index 5.1 is 60: 0.043.
        let cases = [
            (Distribution::Uniform { max: DEVIATION }, 0.5, 1.0 / 12.0_f64.sqrt(), 0.012),
            (Distribution::Normal { deviation: DEVIATION }, 0.0, 1.0, 0.012),
            (Distribution::Gamma { mean: MEAN, deviation: DEVIATION }, 4.0, 1.0, 0.012),
            (Distribution::Pareto { mean: MEAN, deviation: DEVIATION }, 4.0, 1.0, 0.043),
        ];
        for (distribution, mean, deviation, bound) in cases {
            let (got_mean, got_deviation, correlation) = moments(&samples(distribution, 0.0, n));
            assert!((got_mean - mean).abs() < 0.012 * deviation, "{distribution:?}: {got_mean}");
            assert!((got_deviation / deviation - 1.0).abs() < bound, "{distribution:?}: {got_deviation}");
            // An estimate of zero correlation has the standard error 1 / sqrt(n).
            assert!(correlation.abs() < 5.0 / (n as f64).sqrt(), "{distribution:?}: {correlation}");
        }
    }

    #[test]
    fn correlation_ties_neighbors_and_narrows_the_deviation_as_in_netem() {
        let (n, c) = (400_000, 0.5_f64);
        let gamma = Distribution::Gamma { mean: MEAN, deviation: DEVIATION };
        let (mean, deviation, correlation) = moments(&samples(gamma, c, n));
        // Correlated neighbors leave n (1 - c) / (1 + c) = n / 3 independent ones: five standard errors
        // of mean, deviation and correlation are below 5 · sqrt(3 / n) = 0.014 of their scales.
        let narrowed = ((1.0 - c) / (1.0 + c)).sqrt();
        assert!((mean - 4.0).abs() < 0.014 * narrowed, "{mean}");
        assert!((deviation / narrowed - 1.0).abs() < 0.014, "{deviation}");
        assert!((correlation - c).abs() < 0.014, "{correlation}");
    }

    #[test]
    fn correlated_jitter_depends_on_flow_and_index_alone() {
        let uniform = Distribution::Uniform { max: DEVIATION };
        let all = samples(uniform, 0.7, 100);
        let mut sparse = Jitter::new(uniform, 0.7, Seed(1).stream("down/jitter"));
        for index in (0..100).step_by(7) {
            sparse.sample(&packet(1, index));
            assert_eq!(sparse.sample(&packet(0, index)) / 1e6, all[index as usize]);
        }
    }

    #[test]
    fn without_deviation_the_mean_is_exact() {
        let gamma = Distribution::Gamma { mean: MEAN, deviation: Duration::ZERO };
        assert!(samples(gamma, 0.0, 10).iter().all(|&ms| ms == 4.0));
    }
}
