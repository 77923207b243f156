//! Frames: a frame is whole where no source packet of it stays lost.
//!
//! With blocks by frame, k packets with r repair packets behind them are not whole where more than r of
//! the k + r are lost. With blocks of a number of packets a frame may begin anywhere in a block and go
//! on into the next ones; the programme then runs over the packets of all the blocks that it touches,
//! with whether a packet of the frame is missing from the block at hand.

use super::Channel;
use super::block::{lose, losses_exceed, move_on};

/// The share of frames that are not whole, where they are blocks of their own: of so many source packets
/// and so many repair packets behind them each. None where there are no frames.
pub fn not_whole(channel: &Channel, frames: impl IntoIterator<Item = (usize, usize)>) -> Option<f64> {
    mean(frames, |(source, repair)| losses_exceed(channel, source + repair, repair))
}

/// The share of frames of so many packets each that are not whole, where they are cut into blocks of
/// `source` packets with `repair` repair packets behind them, all blocks full. They begin at any packet
/// of a block equally often. None where there are no frames, or blocks without source packets.
pub fn not_whole_in_blocks(
    channel: &Channel,
    frames: impl IntoIterator<Item = usize>,
    source: usize,
    repair: usize,
) -> Option<f64> {
    let at = |first: usize, packets: usize| broken(channel, first..first + packets, source, repair);
    let anywhere = |packets| (0..source).map(|first| at(first, packets)).sum::<f64>() / source as f64;
    if source == 0 { None } else { mean(frames, anywhere) }
}

/// The mean of a law over frames, which is worked out once for frames that are alike.
pub(super) fn mean<T: Ord>(frames: impl IntoIterator<Item = T>, law: impl Fn(T) -> f64) -> Option<f64> {
    let mut frames: Vec<T> = frames.into_iter().collect();
    frames.sort_unstable();
    let total = frames.len();
    let mut sum = 0.0;
    while let Some(frame) = frames.pop() {
        let alike = frames.len() - frames.partition_point(|other| *other < frame);
        frames.truncate(frames.len() - alike);
        sum += (1 + alike) as f64 * law(frame);
    }
    (total > 0).then(|| sum / total as f64)
}

/// The probability that a frame is not whole that has these of the source packets, counted from the
/// beginning of a block on.
fn broken(channel: &Channel, frame: std::ops::Range<usize>, source: usize, repair: usize) -> f64 {
    let mut walk = Walk::new(*channel, repair);
    for block in 0..frame.end.div_ceil(source) {
        for packet in block * source..(block + 1) * source {
            walk.step(frame.contains(&packet));
        }
        for _ in 0..repair {
            walk.step(false);
        }
        walk.end_block();
    }
    walk.broken
}

/// The law of losses in the block at hand, with the channel's state, of frames that are whole so far.
#[derive(Clone, Debug)]
struct Walk {
    channel: Channel,
    /// By losses, where no packet of the frame is missing from the block.
    clear: [Vec<f64>; 2],
    /// By losses, where one is.
    hit: [Vec<f64>; 2],
    /// The chance that a block has failed with a packet of the frame.
    broken: f64,
}

impl Walk {
    fn new(channel: Channel, repair: usize) -> Self {
        let cells = |share| {
            let mut cells = vec![0.0; repair + 2];
            cells[0] = share;
            cells
        };
        Self { channel, clear: channel.shares().map(cells), hit: [0.0; 2].map(cells), broken: 0.0 }
    }

    fn step(&mut self, of_frame: bool) {
        move_on(self.channel, 1, &mut self.clear);
        move_on(self.channel, 1, &mut self.hit);
        for ((clear, hit), loss) in self.clear.iter_mut().zip(&mut self.hit).zip(self.channel.losses()) {
            lose(hit, loss);
            if !of_frame {
                lose(clear, loss);
                continue;
            }
            let last = hit.len() - 1;
            for lost in 0..=last {
                hit[(lost + 1).min(last)] += clear[lost] * loss;
                clear[lost] *= 1.0 - loss;
            }
        }
    }

    fn end_block(&mut self) {
        for (clear, hit) in self.clear.iter_mut().zip(&mut self.hit) {
            self.broken += hit.pop().unwrap_or(0.0);
            let whole = clear.iter().sum::<f64>() + hit.iter().sum::<f64>();
            hit.push(0.0);
            hit.fill(0.0);
            clear.fill(0.0);
            clear[0] = whole;
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
    fn a_frame_that_is_a_block_is_whole_where_the_block_is() {
        let channel = Channel::gilbert(share(0.1), 3.0).unwrap();
        let block = losses_exceed(&channel, 13, 3);
        assert!((broken(&channel, 0..10, 10, 3) / block - 1.0).abs() < 1e-12);
        assert_eq!(not_whole(&channel, [(10, 3), (10, 3)]), Some(block));
        assert_eq!(not_whole(&channel, []), None);
    }

    #[test]
    fn on_independent_losses_the_blocks_of_a_frame_fail_apart() {
        let channel = Channel::independent(share(0.1));
        // Five packets from the third of (4, 1) on: two and three of two blocks.
        let (first, second) = (broken(&channel, 2..4, 4, 1), broken(&channel, 0..3, 4, 1));
        let both = 1.0 - (1.0 - first) * (1.0 - second);
        assert!((broken(&channel, 2..7, 4, 1) / both - 1.0).abs() < 1e-12);
        // A part of c of a block (k, 1) is whole where it is complete, or the only loss is in it.
        let (e, c) = (0.1_f64, 3);
        let whole = (1.0 - e).powi(c) + f64::from(c) * e * (1.0 - e).powi(4);
        assert!((second / (1.0 - whole) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_repair_packets_a_frame_is_whole_where_all_arrive() {
        let channel = Channel::gilbert(share(0.05), 2.0).unwrap();
        let all = losses_exceed(&channel, 7, 0);
        assert!((not_whole_in_blocks(&channel, [7, 7], 3, 0).unwrap() / all - 1.0).abs() < 1e-12);
    }

    #[test]
    fn frames_count_as_often_as_they_come() {
        let channel = Channel::independent(share(0.1));
        let one = |packets| not_whole_in_blocks(&channel, [packets], 4, 1).unwrap();
        let mixed = not_whole_in_blocks(&channel, [5, 2, 5, 9], 4, 1).unwrap();
        assert!((mixed - (2.0 * one(5) + one(2) + one(9)) / 4.0).abs() < 1e-15);
    }
}
