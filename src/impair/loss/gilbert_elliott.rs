//! Loss in bursts: a chain of two states that steps with every packet of a flow.
//!
//! Sources: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960);
//! Elliott, "Estimates of error rates for codes on burst-noise channels", BSTJ 42 (1963); the words and
//! the parameters are those of tc-netem(8), `loss gemodel p r 1-h 1-k`; second-order statistics after
//! Hasslinger and Hohlfeld, "The Gilbert-Elliott model for packet loss in real time services on the
//! Internet" (MMB 2008).
//!
//! | where we differ from netem | because |
//! | --- | --- |
//! | a chain starts in its stationary state, not in the good one | short flows are not biased |
//! | sojourns are drawn whole (geometric), not step by step | the same law, and a draw per burst |
//! | each flow has a chain of its own | the state at a flow's n-th packet depends on the seed and n alone |

use crate::endpoint::Flow;
use crate::impair::Meta;
use crate::impair::per_flow::PerFlow;
use crate::rng::{self, Draws, Stream};
use crate::units::Probability;

/// The four parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// From good to bad, per packet (netem's p).
    pub p: Probability,
    /// From bad to good, per packet (netem's r).
    pub r: Probability,
    /// Loss in the bad state (netem's 1-h).
    pub bad: Probability,
    /// Loss in the good state (netem's 1-k).
    pub good: Probability,
}

impl GilbertElliott {
    /// The simple model of two parameters: everything is lost in the bad state, nothing in the good.
    pub const fn gilbert(p: Probability, r: Probability) -> Self {
        Self { p, r, bad: Probability::ONE, good: Probability::ZERO }
    }

    /// The simple model with this mean loss and this mean length of a run of losses in packets; none
    /// where no chain has them: bursts below one packet, or a loss above burst / (burst + 1).
    pub fn from_mean(loss: Probability, burst_packets: f64) -> Option<Self> {
        let r = Probability::new(1.0 / burst_packets)?;
        let p = Probability::new(r.get() * loss.get() / (1.0 - loss.get()))?;
        Some(Self::gilbert(p, r))
    }

    /// The share of packets that meet the bad state: p / (p + r), none where the chain never moves.
    pub fn bad_share(&self) -> f64 {
        let total = self.p.get() + self.r.get();
        if total > 0.0 { self.p.get() / total } else { 0.0 }
    }

    /// The mean loss.
    pub fn mean_loss(&self) -> f64 {
        let bad = self.bad_share();
        bad * self.bad.get() + (1.0 - bad) * self.good.get()
    }

    /// The probability of a loss in this state.
    pub const fn loss_in(&self, bad: bool) -> Probability {
        if bad { self.bad } else { self.good }
    }

    /// The state one packet after `bad`.
    pub fn step(&self, bad: bool, draws: &mut Draws) -> bool {
        bad != rng::chance(draws, self.leaving(bad))
    }

    const fn leaving(&self, bad: bool) -> Probability {
        if bad { self.r } else { self.p }
    }
}

/// The chains of all flows of one direction.
#[derive(Clone, Debug)]
pub struct Chains {
    parameters: GilbertElliott,
    stream: Stream,
    chains: PerFlow<Chain>,
}

/// One flow's chain, at the last packet asked for.
#[derive(Clone, Copy, Debug)]
struct Chain {
    sojourns: Stream,
    losses: Stream,
    bad: bool,
    /// How many sojourns are over.
    sojourn: u64,
    /// The first packet after this sojourn.
    until: u64,
}

impl Chains {
    /// Chains drawn from `stream`.
    pub const fn new(parameters: GilbertElliott, stream: Stream) -> Self {
        Self { parameters, stream, chains: PerFlow::new() }
    }

    /// Whether the packet is lost. The packets of a flow come in order; some may be missing.
    pub fn loses(&mut self, meta: &Meta) -> bool {
        let Self { parameters, stream, chains } = self;
        let chain = chains.entry(meta.flow, |flow| Chain::new(parameters, stream.part(u64::from(flow.0))));
        chain.advance(parameters, meta.index);
        match parameters.loss_in(chain.bad) {
            Probability::ZERO => false,
            Probability::ONE => true,
            loss => chain.losses.chance(meta.index, loss),
        }
    }

    /// Whether the flow's chain was in the bad state at the last packet asked for.
    pub(super) fn is_bad(&self, flow: Flow) -> bool {
        self.chains.get(flow).is_some_and(|chain| chain.bad)
    }

    /// The parameters.
    pub(super) const fn parameters(&self) -> GilbertElliott {
        self.parameters
    }
}

impl Chain {
    fn new(parameters: &GilbertElliott, stream: Stream) -> Self {
        let (sojourns, losses) = (stream.part(0), stream.part(1));
        let mut draws = sojourns.at(0);
        let bad = rng::unit(&mut draws) < parameters.bad_share();
        // A geometric sojourn has no memory, so what is left of the first one is a whole one.
        let until = geometric(&mut draws, parameters.leaving(bad));
        Self { sojourns, losses, bad, sojourn: 0, until }
    }

    /// Goes to the packet numbered `index`, in as many rounds as there are sojourns on the way.
    fn advance(&mut self, parameters: &GilbertElliott, index: u64) {
        while index >= self.until {
            self.bad = !self.bad;
            self.sojourn += 1;
            let length = geometric(&mut self.sojourns.at(self.sojourn), parameters.leaving(self.bad));
            self.until = self.until.saturating_add(length);
        }
    }
}

/// How many packets a state lasts that ends with probability `end` at each; at least 1.
fn geometric(draws: &mut Draws, end: Probability) -> u64 {
    if end == Probability::ZERO {
        return u64::MAX;
    }
    let steps = libm::log1p(-rng::unit(draws)) / libm::log1p(-end.get());
    // The cast saturates; with an end of 1 the quotient is zero.
    (steps as u64).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::impair::laws::packet;
    use crate::rng::Seed;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    fn losses(parameters: GilbertElliott, seed: u64, n: u64) -> Vec<bool> {
        let mut chains = Chains::new(parameters, Seed(seed).stream("down/loss"));
        (0..n).map(|index| chains.loses(&packet(0, index))).collect()
    }

    /// The variance of the number of losses among `n` packets (Hasslinger and Hohlfeld):
    /// n e (1 - e) + 2 g b (hB - hG)² [n l / (1 - l) - l (1 - lⁿ) / (1 - l)²] with l = 1 - p - r.
    fn variance_of_losses(parameters: &GilbertElliott, n: f64) -> f64 {
        let (e, bad) = (parameters.mean_loss(), parameters.bad_share());
        let l = 1.0 - parameters.p.get() - parameters.r.get();
        let contrast = parameters.bad.get() - parameters.good.get();
        let sum = n * l / (1.0 - l) - l * (1.0 - libm::pow(l, n)) / (1.0 - l).powi(2);
        n * e * (1.0 - e) + 2.0 * bad * (1.0 - bad) * contrast.powi(2) * sum
    }

    #[test]
    fn mean_loss_and_mean_burst_are_those_asked_for() {
        let parameters = GilbertElliott::from_mean(share(0.05), 4.0).unwrap();
        let n = 400_000_u64;
        let lost = losses(parameters, 1, n);
        let count = lost.iter().filter(|&&lost| lost).count() as f64;
        // Five standard errors, with the variance of the chain's count instead of the binomial one.
        let bound = 5.0 * variance_of_losses(&parameters, n as f64).sqrt();
        assert!((count - 0.05 * n as f64).abs() < bound, "{count} ± {bound}");
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        // Bursts are geometric with mean 4: deviation sqrt(4 · 3), over about 5,000 of them.
        let mean = count / bursts;
        assert!((mean - 4.0).abs() < 5.0 * (12.0 / bursts).sqrt(), "{mean}");
    }

    #[test]
    fn losses_in_a_window_vary_as_hasslinger_and_hohlfeld_say() {
        let parameters =
            GilbertElliott { p: share(0.01), r: share(0.2), bad: share(0.7), good: share(0.001) };
        let expected = variance_of_losses(&parameters, 50.0);
        // The value of a computation by brute force over all paths of the chain.
        assert!((expected - 9.1975).abs() < 1e-4, "{expected}");
        let windows = 20_000;
        let mean = 50.0 * parameters.mean_loss();
        let lost = losses(parameters, 2, windows * 50);
        let squares: Vec<f64> = lost
            .chunks(50)
            .map(|window| (window.iter().filter(|&&lost| lost).count() as f64 - mean).powi(2))
            .collect();
        let variance = squares.iter().sum::<f64>() / windows as f64;
        // The standard error of a mean of squares, from the squares themselves; neighboring windows
        // share at most one burst, which adds little, and five standard errors leave room for it.
        let spread = squares.iter().map(|s| (s - variance).powi(2)).sum::<f64>() / windows as f64;
        let bound = 5.0 * (spread / windows as f64).sqrt();
        assert!((variance - expected).abs() < bound, "{variance}, not {expected} ± {bound}");
    }

    #[test]
    fn short_flows_lose_as_much_as_long_ones() {
        let parameters = GilbertElliott::from_mean(share(0.1), 10.0).unwrap();
        let mut chains = Chains::new(parameters, Seed(3).stream("down/loss"));
        let flows = 20_000_u16;
        let first = (0..flows).filter(|&flow| chains.loses(&packet(flow, 0))).count();
        let mean = first as f64 / f64::from(flows);
        assert!((mean - 0.1).abs() < 5.0 * (0.1 * 0.9 / f64::from(flows)).sqrt(), "{mean}");
    }

    #[test]
    fn whole_sojourns_have_the_law_of_single_steps() {
        let parameters = GilbertElliott::gilbert(share(0.2), share(0.5));
        let n = 200_000_u64;
        let whole = losses(parameters, 4, n);
        let stream = Seed(4).stream("steps");
        let mut bad = false;
        let stepped: Vec<bool> = (0..n)
            .map(|index| {
                bad = parameters.step(bad, &mut stream.at(index));
                bad
            })
            .collect();
        // The shares of all patterns of three packets: 5 standard errors of a binomial share, times
        // sqrt(2) for a difference, times 2 for the chain's correlation (l = 0.3: (1 + l) / (1 - l) < 2).
        let bound = 5.0 * 2.0 * (2.0 * 0.25 / n as f64).sqrt();
        let patterns = |lost: &[bool]| {
            let mut counts = [0.0; 8];
            for w in lost.windows(3) {
                counts[usize::from(w[0]) * 4 + usize::from(w[1]) * 2 + usize::from(w[2])] += 1.0 / n as f64;
            }
            counts
        };
        for (a, b) in patterns(&whole).into_iter().zip(patterns(&stepped)) {
            assert!((a - b).abs() < bound, "{a} and {b}");
        }
    }

    #[test]
    fn means_that_no_chain_has_are_refused() {
        assert_eq!(GilbertElliott::from_mean(share(0.1), 0.5), None);
        assert_eq!(GilbertElliott::from_mean(share(0.9), 2.0), None);
        assert_eq!(GilbertElliott::from_mean(share(1.0), 2.0), None);
        assert_eq!(GilbertElliott::from_mean(share(0.1), f64::NAN), None);
        let fair = GilbertElliott::from_mean(share(0.15), 8.0).unwrap();
        assert!((fair.p.get() - 0.022_059).abs() < 1e-6 && (fair.mean_loss() - 0.15).abs() < 1e-12);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_fate_of_a_packet_depends_on_seed_flow_and_index_alone(
            p in 0.0..=1.0, r in 0.0..=1.0, bad in 0.0..=1.0, seed: u64, steps in prop::collection::vec((0..3_u16, 1..9_u64), 1..50)
        ) {
            let parameters = GilbertElliott { p: share(p), r: share(r), bad: share(bad), good: share(0.01) };
            let stream = Seed(seed).stream("down/loss");
            let mut sparse = Chains::new(parameters, stream);
            let mut next = [0; 3];
            for (flow, step) in steps {
                // Packets in between were dropped before they came here.
                next[usize::from(flow)] += step;
                let index = next[usize::from(flow)];
                let mut alone = Chains::new(parameters, stream);
                let fates: Vec<bool> = (0..=index).map(|index| alone.loses(&packet(flow, index))).collect();
                prop_assert_eq!(sparse.loses(&packet(flow, index)), fates[index as usize]);
            }
        }
    }
}
