//! The channel of Gilbert and Elliott, as formulas see it.
//!
//! Two states, good and bad, each with its own probability of losing a packet; the state may change
//! from packet to packet. With p the probability of going bad, q of recovering and λ = 1 − p − q, the
//! state d packets later is π + (state − π)·λ^d, where π = p / (p + q) is the share of packets that
//! meet the bad state. So a code whose packets are d apart on the wire sees the same kind of channel
//! with λ^d in λ's place: [`Channel::every`].
//!
//! Sources: Gilbert, "Capacity of a burst-noise channel", BSTJ 39 (1960); Elliott, "Estimates of error
//! rates for codes on burst-noise channels", BSTJ 42 (1963).

use crate::units::Probability;

/// A channel of two states in its stationary regime. Distances are counted in packets sent, whatever
/// time passes between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// The share of packets that meet the bad state: π.
    bad_share: f64,
    /// What a packet's state tells about the next one's: λ, from −1 to 1; 0 is no memory.
    memory: f64,
    /// The probabilities of a loss in the good and in the bad state.
    loss: [f64; 2],
}

impl Channel {
    /// Independent losses.
    pub fn independent(loss: Probability) -> Self {
        Self { bad_share: 0.0, memory: 0.0, loss: [loss.get(); 2] }
    }

    /// The simple channel of Gilbert, which loses every packet in the bad state and none in the good
    /// one, with this mean loss and mean burst (packets lost in a row, at least 1).
    ///
    /// None where no such channel exists: all packets lost, or so many that bursts cannot be so short
    /// (loss / (1 − loss) may be as large as the mean burst at most).
    pub fn gilbert(loss: Probability, burst_packets: f64) -> Option<Self> {
        let loss = loss.get();
        let q = Probability::new(1.0 / burst_packets)?;
        let p = Probability::new(q.get() * loss / (1.0 - loss))?;
        let memory = 1.0 - p.get() - q.get();
        Some(Self { bad_share: loss, memory, loss: [0.0, 1.0] })
    }

    /// The channel that goes bad with probability `p` from packet to packet and recovers with `q`, and
    /// loses packets with probability `good` and `bad` in these states. One that never moves is good.
    pub fn gilbert_elliott(p: Probability, q: Probability, good: Probability, bad: Probability) -> Self {
        let moves = p.get() + q.get();
        let bad_share = if moves > 0.0 { p.get() / moves } else { 0.0 };
        Self { bad_share, memory: 1.0 - moves, loss: [good.get(), bad.get()] }
    }

    /// The channel that every `depth`-th packet of this one sees: how interleaving to that depth helps.
    pub fn every(self, depth: u32) -> Self {
        Self { memory: self.memory_over(depth), ..self }
    }

    /// The channel that keeps the state of the first packet for all that follow. So are the losses
    /// inside a frame where the state changes with each frame only (the simulator of Tambur, NSDI '23).
    pub fn frozen(self) -> Self {
        Self { memory: 1.0, ..self }
    }

    /// The mean loss.
    pub fn mean_loss(self) -> f64 {
        let [good, bad] = self.loss;
        self.bad_share * bad + (1.0 - self.bad_share) * good
    }

    /// Whether losses are independent.
    pub fn is_independent(self) -> bool {
        let [good, bad] = self.loss;
        self.memory == 0.0 || good == bad || self.bad_share == 0.0 || self.bad_share == 1.0
    }

    /// The variance of the number of losses among `n` packets in a row:
    /// n·e·(1 − e) + 2·π·(1 − π)·(hB − hG)²·\[n·λ/(1 − λ) − λ·(1 − λⁿ)/(1 − λ)²\] with the mean loss e
    /// and the losses hB, hG of the states (after Hasslinger and Hohlfeld, "The Gilbert-Elliott model
    /// for packet loss in real time services on the Internet", MMB 2008).
    pub fn variance_of_losses(self, n: u32) -> f64 {
        let (e, [good, bad], memory) = (self.mean_loss(), self.loss, self.memory);
        let packets = f64::from(n);
        let pairs = if memory == 1.0 {
            packets * (packets - 1.0) / 2.0
        } else {
            let forgets = 1.0 - memory;
            packets * memory / forgets - memory * (1.0 - libm::pow(memory, packets)) / (forgets * forgets)
        };
        let contrast = bad - good;
        packets * e * (1.0 - e) + 2.0 * self.bad_share * (1.0 - self.bad_share) * contrast * contrast * pairs
    }

    /// The shares of packets that meet the good and the bad state.
    pub fn shares(self) -> [f64; 2] {
        [1.0 - self.bad_share, self.bad_share]
    }

    /// The probabilities of a loss in the good and in the bad state.
    pub const fn losses(self) -> [f64; 2] {
        self.loss
    }

    /// The probabilities of leaving the good and the bad state with a packet: p and q.
    pub fn leaving(self) -> [f64; 2] {
        let [to_bad, stays_bad] = self.bad_after(1);
        [to_bad, 1.0 - stays_bad]
    }

    /// The probabilities that the state is bad `distance` packets after a good and after a bad one.
    pub(in crate::fec) fn bad_after(self, distance: u32) -> [f64; 2] {
        let memory = self.memory_over(distance);
        [self.bad_share * (1.0 - memory), self.bad_share + (1.0 - self.bad_share) * memory]
    }

    fn memory_over(self, distance: u32) -> f64 {
        if distance == 1 { self.memory } else { libm::pow(self.memory, f64::from(distance)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    #[test]
    fn means_that_no_channel_has_are_refused() {
        assert_eq!(Channel::gilbert(share(0.1), 0.5), None);
        assert_eq!(Channel::gilbert(share(0.9), 2.0), None);
        assert_eq!(Channel::gilbert(share(1.0), 2.0), None);
        assert_eq!(Channel::gilbert(share(0.1), f64::NAN), None);
    }

    #[test]
    fn the_channel_by_its_means_is_the_channel_by_its_chances() {
        let means = Channel::gilbert(share(0.05), 4.0).unwrap();
        let chances = Channel::gilbert_elliott(
            share(0.05 / 0.95 / 4.0),
            share(0.25),
            Probability::ZERO,
            Probability::ONE,
        );
        assert!((means.mean_loss() - chances.mean_loss()).abs() < 1e-15);
        assert!((means.memory - chances.memory).abs() < 1e-15);
    }

    #[test]
    fn losses_among_many_packets_vary_more_on_bursts() {
        // The value of a computation by brute force over all paths of the chain.
        let bursts = Channel::gilbert_elliott(share(0.01), share(0.2), share(0.001), share(0.7));
        assert!((bursts.variance_of_losses(50) - 9.1975).abs() < 1e-4);
        let independent = Channel::independent(share(bursts.mean_loss()));
        assert!((independent.variance_of_losses(50) - 1.656).abs() < 5e-4);
    }

    proptest! {
        #[test]
        fn two_steps_are_the_chain_applied_twice(p in 0.0..=1.0, q in 0.0..=1.0, distance in 0..20_u32) {
            let channel = Channel::gilbert_elliott(share(p), share(q), Probability::ZERO, Probability::ONE);
            let (steps, one) = (channel.bad_after(distance), channel.bad_after(1));
            let next = channel.bad_after(distance + 1);
            for (state, bad) in steps.into_iter().enumerate() {
                prop_assert!((next[state] - (bad * one[1] + (1.0 - bad) * one[0])).abs() < 1e-12);
                prop_assert!((-1e-12..=1.0 + 1e-12).contains(&bad));
            }
        }
    }
}
