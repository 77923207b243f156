//! Reordering: which packets skip the delay and so overtake those before them.
//!
//! Source: tc-netem(8), `reorder PERCENT CORRELATION gap DISTANCE`: with a gap of g, the g - 1 packets
//! after one that skipped cannot skip; the next ones are candidates until one does.
//!
//! | where we differ from netem | because |
//! | --- | --- |
//! | correlation repeats the last candidate's luck with that probability | netem's average of uniform numbers changes the share that skips; this keeps it, and neighbors correlate by exactly this |
//! | each flow counts for itself | an extra packet of one flow must not shift another's luck |

use crate::rng::{self, Stream};

use super::Meta;
use super::config::ReorderConfig;
use super::per_flow::PerFlow;

/// Chooses the packets that skip the delay.
#[derive(Clone, Debug)]
pub struct Reorder {
    config: ReorderConfig,
    stream: Stream,
    flows: PerFlow<Candidate>,
}

/// Where one flow stands.
#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    next: u64,
    /// How many packets from the next one on are no candidates.
    barred: u64,
    /// The last candidate's luck; none before the first.
    luck: Option<bool>,
    skips: bool,
}

impl Reorder {
    /// A choice drawn from `stream`.
    pub const fn new(config: ReorderConfig, stream: Stream) -> Self {
        Self { config, stream, flows: PerFlow::new() }
    }

    /// Whether the packet skips the delay.
    pub fn skips(&mut self, meta: &Meta) -> bool {
        let Self { config, stream, flows } = self;
        let flow = flows
            .entry(meta.flow, |_| Candidate { barred: config.gap.saturating_sub(1), ..Candidate::default() });
        // Packets that were dropped before they came here count too; every index once.
        while flow.next <= meta.index {
            flow.step(config, *stream, Meta { index: flow.next, ..*meta }.key());
        }
        flow.skips
    }
}

impl Candidate {
    fn step(&mut self, config: &ReorderConfig, stream: Stream, key: u64) {
        self.next += 1;
        self.skips = false;
        if self.barred > 0 {
            self.barred -= 1;
            return;
        }
        let mut draws = stream.at(key);
        let fresh = rng::chance(&mut draws, config.probability);
        let again = rng::chance(&mut draws, config.correlation);
        self.skips = self.luck.filter(|_| again).unwrap_or(fresh);
        self.luck = Some(self.skips);
        if self.skips {
            self.barred = config.gap.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::laws::packet;
    use crate::rng::Seed;
    use crate::units::Probability;

    fn skips(probability: f64, correlation: f64, gap: u64, n: u64) -> Vec<bool> {
        let [probability, correlation] = [probability, correlation].map(|p| Probability::new(p).unwrap());
        let config = ReorderConfig { probability, correlation, gap };
        let mut reorder = Reorder::new(config, Seed(1).stream("down/reorder"));
        (0..n).map(|index| reorder.skips(&packet(0, index))).collect()
    }

    #[test]
    fn the_share_that_skips_holds_whatever_the_correlation() {
        let (n, p) = (200_000_u64, 0.1);
        for c in [0.0, 0.5] {
            let skips = skips(p, c, 1, n);
            let share = skips.iter().filter(|&&s| s).count() as f64 / n as f64;
            // Five standard errors; correlation c multiplies the variance by (1 + c) / (1 - c).
            let factor = (1.0 + c) / (1.0 - c);
            assert!((share - p).abs() < 5.0 * (factor * p * (1.0 - p) / n as f64).sqrt(), "{share}");
            let after: Vec<bool> = skips.windows(2).filter(|w| w[0]).map(|w| w[1]).collect();
            let again = after.iter().filter(|&&s| s).count() as f64 / after.len() as f64;
            // After a skip the next one skips with c + (1 - c) p.
            let expected = c + (1.0 - c) * p;
            let bound = 5.0 * (expected * (1.0 - expected) / after.len() as f64).sqrt();
            assert!((again - expected).abs() < bound, "{again}, not {expected}");
        }
    }

    #[test]
    fn a_gap_lets_every_nth_packet_skip() {
        let skips = skips(1.0, 0.0, 5, 20);
        let numbers: Vec<usize> = (0..20).filter(|&i| skips[i]).collect();
        assert_eq!(numbers, [4, 9, 14, 19]);
    }
}
