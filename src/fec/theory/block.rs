//! Blocks of which any k packets of n = k + r are enough (MDS codes: Reed–Solomon, and parity with
//! r = 1), by the exact dynamic programme.
//!
//! A block fails where it loses more than r packets, and then keeps the sources that arrived. On
//! independent losses e the residual loss is e·P(Bin(n − 1, e) ≥ r); on the channel of Gilbert and
//! Elliott the programme below runs over the channel's state and the losses so far, and counts the
//! expected lost sources beside each, which is exact (Elliott 1963 in matrix form; Frossard, "FEC
//! performance in multimedia streaming", IEEE Communications Letters 5 (2001), by renewals). Losses
//! beyond r share one cell. Packets that are not side by side on the wire, by interleaving, are a
//! channel of another memory: [`Channel::every`].

use super::Channel;

/// The probability that more than `r` of `n` packets in a row are lost: that a block of n − r source
/// and r repair packets fails, or that a frame of n packets with r repair packets among them is not
/// whole.
///
/// About 8·n·r multiplications and two short allocations: half a microsecond at n = 25 and r = 5, thirty
/// at 300 and 100. That is cheap enough for a controller that tries a few dozen values with each report;
/// one that tries every r for an n takes [`losses`] once instead.
pub fn losses_exceed(channel: &Channel, n: usize, r: usize) -> f64 {
    if r >= n {
        return 0.0;
    }
    let mut count = LossCount::new(*channel, r);
    for _ in 0..n {
        count.step(1);
    }
    count.exceeded()
}

/// The probabilities of 0, 1, … `n` losses among `n` packets in a row; about 8·n² multiplications.
pub fn losses(channel: &Channel, n: usize) -> Vec<f64> {
    let mut count = LossCount::new(*channel, n);
    for _ in 0..n {
        count.step(1);
    }
    let [good, bad] = &count.chances;
    good.iter().zip(bad).take(n + 1).map(|(good, bad)| good + bad).collect()
}

/// The share of source packets that are lost for good from blocks of `k` source packets and `r` repair
/// packets behind them; the mean loss where r is 0, and 0 where k is.
pub fn residual(channel: &Channel, k: usize, r: usize) -> f64 {
    residual_at(channel, std::iter::repeat_n((1, true), k).chain(std::iter::repeat_n((1, false), r)))
}

/// [`residual`] of a block of which the packets stand at their distances from the packet before (that of
/// the first one does not matter), with whether each is a source packet. All others are repair packets.
pub(super) fn residual_at(channel: &Channel, packets: impl Iterator<Item = (u32, bool)> + Clone) -> f64 {
    let k = packets.clone().filter(|&(_, source)| source).count();
    let r = packets.clone().count() - k;
    let mut block = Block::new(*channel, r);
    for (distance, source) in packets {
        block.step(distance, source);
    }
    block.lost_sources() / k.max(1) as f64
}

/// The law of the number of losses among packets in a row, packet by packet: for whoever asks at several
/// lengths. A step costs about 8 multiplications for each number of losses that is told apart.
#[derive(Clone, Debug)]
pub struct LossCount {
    channel: Channel,
    /// The chance of each number of losses, in the good and in the bad state of the last packet. The
    /// last cell is for all numbers beyond.
    chances: [Vec<f64>; 2],
}

impl LossCount {
    /// No packets yet; numbers of losses up to `most` are told apart.
    pub fn new(channel: Channel, most: usize) -> Self {
        let chances = channel.shares().map(|share| {
            let mut cells = vec![0.0; most + 2];
            cells[0] = share;
            cells
        });
        Self { channel, chances }
    }

    /// One more packet, `distance` packets after the last one.
    pub fn step(&mut self, distance: u32) {
        move_on(self.channel, distance, &mut self.chances);
        for (cells, loss) in self.chances.iter_mut().zip(self.channel.losses()) {
            lose(cells, loss);
        }
    }

    /// The chance of more losses than are told apart.
    fn exceeded(&self) -> f64 {
        self.chances.iter().map(|cells| cells[cells.len() - 1]).sum()
    }

    /// The chance of more than `r` losses, where these are told apart.
    pub fn exceeds(&self, r: usize) -> f64 {
        self.chances.iter().flat_map(|cells| cells.iter().skip(r + 1)).sum()
    }
}

/// A [`LossCount`] that knows the expected number of lost sources beside each number of losses.
#[derive(Clone, Debug)]
struct Block {
    count: LossCount,
    /// Chance times expected lost sources, cell by cell as [`LossCount::chances`].
    sources: [Vec<f64>; 2],
}

impl Block {
    /// No packets yet of a block with this many repair packets.
    fn new(channel: Channel, repair: usize) -> Self {
        let count = LossCount::new(channel, repair);
        let sources = [(); 2].map(|()| vec![0.0; repair + 2]);
        Self { count, sources }
    }

    fn step(&mut self, distance: u32, source: bool) {
        let channel = self.count.channel;
        move_on(channel, distance, &mut self.count.chances);
        move_on(channel, distance, &mut self.sources);
        for ((cells, chances), loss) in
            self.sources.iter_mut().zip(&mut self.count.chances).zip(channel.losses())
        {
            lose(cells, loss);
            if source {
                // The packet that is lost now is one source more, in the cell of one loss more.
                for (lost, chance) in cells[1..].iter_mut().zip(&chances[..]) {
                    *lost += chance * loss;
                }
                let last = cells.len() - 1;
                cells[last] += chances[last] * loss;
            }
            lose(chances, loss);
        }
    }

    /// The expected lost sources of the blocks that fail.
    fn lost_sources(&self) -> f64 {
        self.sources.iter().map(|cells| cells[cells.len() - 1]).sum()
    }
}

/// The channel's state moves on by `distance` packets, in every cell.
pub(super) fn move_on(channel: Channel, distance: u32, cells: &mut [Vec<f64>; 2]) {
    let [from_good, from_bad] = channel.bad_after(distance);
    let [good, bad] = cells;
    for (good, bad) in good.iter_mut().zip(bad) {
        let both = (*good, *bad);
        *good = both.0 * (1.0 - from_good) + both.1 * (1.0 - from_bad);
        *bad = both.0 * from_good + both.1 * from_bad;
    }
}

/// A packet is lost with probability `loss`, or is not: cells are numbers of losses, the last one for all
/// beyond.
pub(super) fn lose(cells: &mut [f64], loss: f64) {
    let last = cells.len() - 1;
    cells[last] += cells[last - 1] * loss;
    for lost in (1..last).rev() {
        cells[lost] = cells[lost] * (1.0 - loss) + cells[lost - 1] * loss;
    }
    cells[0] *= 1.0 - loss;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Probability;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    /// The probability of exactly `j` events in `n` independent trials.
    fn binomial(n: usize, j: usize, e: f64) -> f64 {
        let ways: f64 = (0..j).map(|i| (n - i) as f64 / (i + 1) as f64).product();
        ways * e.powi(j as i32) * (1.0 - e).powi((n - j) as i32)
    }

    /// Failure and residual loss of a block by the sum over all patterns of losses.
    fn by_enumeration(channel: &Channel, k: usize, r: usize) -> (f64, f64) {
        let (n, next, shares) = (k + r, channel.bad_after(1), channel.shares());
        let (mut failure, mut residual) = (0.0, 0.0);
        for lost in 0..1_u32 << n {
            let mut states = shares;
            for packet in 0..n {
                if packet > 0 {
                    let bad = states[0] * next[0] + states[1] * next[1];
                    states = [states[0] + states[1] - bad, bad];
                }
                let of_loss = |loss: f64| if lost >> packet & 1 == 1 { loss } else { 1.0 - loss };
                states = [0, 1].map(|state| states[state] * of_loss(channel.losses()[state]));
            }
            if lost.count_ones() as usize > r {
                let sources = lost & ((1 << k) - 1);
                failure += states[0] + states[1];
                residual += (states[0] + states[1]) * f64::from(sources.count_ones()) / k as f64;
            }
        }
        (failure, residual)
    }

    #[test]
    fn without_memory_the_programme_is_the_binomial_law() {
        for (k, r, e) in [(4, 1, 0.05), (10, 3, 0.1), (20, 4, 0.2), (50, 10, 0.01)] {
            let (channel, n) = (Channel::independent(share(e)), k + r);
            let failure: f64 = (r + 1..=n).map(|j| binomial(n, j, e)).sum();
            let left = e * (r..n).map(|j| binomial(n - 1, j, e)).sum::<f64>();
            assert!((losses_exceed(&channel, n, r) / failure - 1.0).abs() < 1e-9);
            assert!((residual(&channel, k, r) / left - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_frame_whose_state_is_drawn_once_is_a_mixture_of_two_binomial_laws() {
        // The channel of Tambur's simulator, with failure and residual loss of an independent
        // implementation.
        let fixed = Channel::gilbert_elliott(share(0.068), share(0.852), share(0.04), share(0.5)).frozen();
        let printed = [
            (4, 1, 7.37e-2, 4.02e-2),
            (4, 2, 4.96e-2, 3.06e-2),
            (8, 4, 5.96e-2, 3.28e-2),
            (16, 8, 6.83e-2, 3.52e-2),
        ];
        for (k, r, failure, left) in printed {
            assert!((losses_exceed(&fixed, k + r, r) / failure - 1.0).abs() < 5e-3, "({k},{r})");
            assert!((residual(&fixed, k, r) / left - 1.0).abs() < 5e-3, "({k},{r})");
        }
        assert!((fixed.mean_loss() - 7.40e-2).abs() < 5e-5);
    }

    #[test]
    fn the_edges_are_what_they_should_be() {
        let channel = Channel::gilbert(share(0.05), 2.0).unwrap();
        assert_eq!(losses_exceed(&channel, 5, 5), 0.0);
        assert_eq!(losses_exceed(&channel, 0, 0), 0.0);
        assert!((losses_exceed(&channel, 1, 0) - 0.05).abs() < 1e-15);
        assert!((residual(&channel, 7, 0) - 0.05).abs() < 1e-15);
        assert_eq!(residual(&channel, 0, 3), 0.0);
        assert_eq!(losses_exceed(&Channel::independent(Probability::ONE), 300, 100), 1.0);
        assert_eq!(losses_exceed(&Channel::independent(Probability::ZERO), 300, 0), 0.0);
    }

    proptest! {
        #[test]
        fn the_programme_is_the_sum_over_all_patterns(
            p in 0.0..=1.0, q in 0.0..=1.0, good in 0.0..=1.0, bad in 0.0..=1.0, k in 1..6_usize, r in 0..5_usize
        ) {
            let channel = Channel::gilbert_elliott(share(p), share(q), share(good), share(bad));
            let (failure, left) = by_enumeration(&channel, k, r);
            prop_assert!((losses_exceed(&channel, k + r, r) - failure).abs() < 1e-12);
            prop_assert!((residual(&channel, k, r) - left).abs() < 1e-12);
            let tail: f64 = losses(&channel, k + r).into_iter().skip(r + 1).sum();
            prop_assert!((tail - failure).abs() < 1e-12);
        }
    }
}
