//! Copies: a packet is lost for good where it and all its copies are.
//!
//! On independent losses e that is e^(1 + copies). On the channel of Gilbert with loss π and memory λ
//! one copy d packets later leaves π·(π + (1 − π)·λ^d), and m copies, each d behind the one before,
//! π·(π + (1 − π)·λ^d)^m. Here the same for the two states of Gilbert and Elliott and any distances.
//!
//! The law covers repetition ([`crate::fec::repeat`]), and in-band redundancy to depth d (RFC 2198), of which
//! the copies ride in the next d packets: distances 1, 1, … .

use super::Channel;
use super::block::move_on;

/// The share of packets that are lost with all their copies, which follow at these distances in packets
/// on the wire: the first behind the packet, each other behind the one before.
pub fn residual(channel: &Channel, distances: &[u32]) -> f64 {
    let [of_good, of_bad] = channel.losses();
    let [good, bad] = channel.shares();
    let (good, bad) = distances.iter().fold((good * of_good, bad * of_bad), |(good, bad), &distance| {
        let [from_good, from_bad] = channel.bad_after(distance);
        let turned_bad = good * from_good + bad * from_bad;
        let turned_good = good * (1.0 - from_good) + bad * (1.0 - from_bad);
        (turned_good * of_good, turned_bad * of_bad)
    });
    good + bad
}

/// The probability that among so many packets in a row a run of `length` (at least 1) is lost. With in-band
/// redundancy to depth d a frame of k packets is not whole where one of d + 1 is among the k + d packets
/// from its first to the last that carries a copy of it.
pub fn run_of_losses(channel: &Channel, packets: usize, length: usize) -> f64 {
    // By the length of the run that the last packet ends, in each state.
    let mut runs = channel.shares().map(|share| {
        let mut runs = vec![0.0; length];
        runs[0] = share;
        runs
    });
    let mut found = 0.0;
    for _ in 0..packets {
        move_on(*channel, 1, &mut runs);
        for (runs, loss) in runs.iter_mut().zip(channel.losses()) {
            let received = runs.iter().sum::<f64>() * (1.0 - loss);
            found += runs[length - 1] * loss;
            runs.rotate_right(1);
            runs.iter_mut().for_each(|run| *run *= loss);
            runs[0] = received;
        }
    }
    found
}

/// The distances on the wire of `copies` copies of every packet, the first one `spacing` source packets
/// later, the next one as much later again (0 is back to back), where nothing pauses: sources and copies
/// share the wire, and the older copies leave first.
pub fn distances(copies: u32, spacing: u32) -> Vec<u32> {
    match spacing {
        0 => vec![1; copies as usize],
        _ => {
            let period = spacing * (copies + 1);
            (0..copies).map(|copy| if copy == 0 { period + copies } else { period - 1 }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Probability;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    #[test]
    fn on_gilbert_copies_multiply_by_what_the_channel_remembers() {
        let (loss, burst, memory) = (0.05, 2.0, 1.0 - 0.5 - 0.05 / 0.95 / 2.0_f64);
        let channel = Channel::gilbert(share(loss), burst).unwrap();
        for (distance, copies) in [(1, 1), (9, 1), (4, 3)] {
            let again = loss + (1.0 - loss) * memory.powi(distance);
            let expected = loss * again.powi(copies);
            let left = residual(&channel, &vec![distance as u32; copies as usize]);
            assert!((left / expected - 1.0).abs() < 1e-12, "{left}");
        }
    }

    #[test]
    fn on_independent_losses_each_copy_multiplies_by_the_loss() {
        let channel = Channel::independent(share(0.2));
        assert!((residual(&channel, &distances(3, 4)) - 0.2_f64.powi(4)).abs() < 1e-15);
        assert_eq!(residual(&channel, &[]), 0.2);
    }

    #[test]
    fn a_run_as_long_as_all_packets_is_the_loss_of_all_and_one_of_one_that_of_any() {
        let channel = Channel::gilbert(share(0.1), 3.0).unwrap();
        assert!((run_of_losses(&channel, 4, 4) / residual(&channel, &[1, 1, 1]) - 1.0).abs() < 1e-12);
        let any = super::super::losses_exceed(&channel, 6, 0);
        assert!((run_of_losses(&channel, 6, 1) / any - 1.0).abs() < 1e-12);
        // Two in a row among four independent packets: 8 of 16 patterns, at one half.
        assert_eq!(run_of_losses(&Channel::independent(share(0.5)), 4, 2), 0.5);
        assert_eq!(run_of_losses(&channel, 3, 4), 0.0);
    }

    #[test]
    fn one_copy_stands_behind_each_source_packet() {
        // Sources 0, 2, 4, … of the wire; with a spacing of 4 the copy of source 0 follows source 4.
        assert_eq!(distances(1, 4), [9]);
        assert_eq!(distances(1, 0), [1]);
        // s0 - - s1 - - s2 (s0) - … : two copies, the older one first.
        assert_eq!(distances(2, 1), [5, 2]);
    }
}
