//! What codes should leave, by formula: exact laws of loss after repair, to stand beside what was
//! measured and to choose redundancy by.
//!
//! Channels are those of Gilbert and Elliott, stepped by packet ([`Channel`]); independent losses are
//! the one without memory. A law is a sum of positive terms, so that the smallest chances keep their
//! digits.
//!
//! | law | where |
//! | --- | --- |
//! | any k of n packets are enough: Reed–Solomon, interleaved or not, on bursts too | [`block`] |
//! | frames that are blocks, or are cut into them | [`frame`] |
//! | parity over rows, columns, and both | [`parity`] |
//! | repetition, in-band redundancy | [`copies`] |
//! | retransmission | [`arq`] |
//! | random linear codes, RaptorQ's bound | [`random`] |
//!
//! Sliding windows have no closed form: `lab::rank` measures what they leave.

pub mod arq;
pub mod block;
mod channel;
pub mod copies;
pub mod frame;
pub mod parity;
pub mod random;

use std::iter;

use super::Scheme;
use super::reed_solomon::{FRAME_MAX, PerFrame};
use super::xor_2d::Layout;
use crate::units::Probability;

pub use block::{LossCount, losses_exceed};
pub use channel::Channel;

/// The share of source packets that stay lost with this code, where source and repair packets follow
/// each other on the wire without a pause. Blocks of a number of packets are all full; blocks by frame
/// are those of `frames`, the numbers of packets of frames as they come (the mean is over packets).
///
/// None where the code has no closed form (parity in two dimensions has one on independent losses only), or
/// frames are needed and there are none, or one has more packets
/// than are protected together.
pub fn residual(scheme: &Scheme, channel: &Channel, frames: Option<&[u16]>) -> Option<f64> {
    match scheme {
        Scheme::None => Some(channel.mean_loss()),
        Scheme::Repeat(repeat) => {
            let distances = copies::distances(u32::from(repeat.copies()), u32::from(repeat.spacing()));
            Some(copies::residual(channel, &distances))
        }
        Scheme::Red(red) => Some(copies::residual(channel, &vec![1; usize::from(red.depth())])),
        Scheme::Xor(xor) => Some(parity::column(channel, u32::from(xor.columns()), usize::from(xor.rows()))),
        Scheme::Xor2d(xor) if xor.layout() == Layout::Even && channel.is_independent() => {
            let loss = Probability::new(channel.mean_loss())?;
            parity::two_dimensional(loss, usize::from(xor.columns()), usize::from(xor.rows()))
        }
        Scheme::ReedSolomon(block) => {
            let (channel, k) = (channel.every(u32::from(block.interleave())), usize::from(block.source()));
            Some(block::residual(&channel, k, usize::from(block.repair())))
        }
        Scheme::ReedSolomonPerFrame(per_frame) => {
            let frames = frames?.iter().copied().filter(|&packets| packets > 0);
            if frames.clone().any(|packets| usize::from(packets) > FRAME_MAX) {
                return None;
            }
            let lost = |packets| f64::from(packets) * per_frame_residual(channel, *per_frame, packets);
            let packets: f64 = frames.clone().map(f64::from).sum();
            (packets > 0.0).then(|| frames.map(lost).sum::<f64>() / packets)
        }
        _ => None,
    }
}

/// The share of frames that are not whole with this code, by the assumptions of [`residual`]: of frames of
/// so many packets each as they come, which begin anywhere in the blocks of a number of packets.
///
/// None as there. Repetition and frames of several
/// blocks have one on independent losses only, interleaved blocks none.
pub fn frames_not_whole(scheme: &Scheme, channel: &Channel, frames: &[u16]) -> Option<f64> {
    let packets = frames.iter().copied().filter(|&packets| packets > 0);
    let in_blocks = |source: u8, repair: u8| {
        let frames = packets.clone().map(usize::from);
        frame::not_whole_in_blocks(channel, frames, usize::from(source), usize::from(repair))
    };
    match scheme {
        Scheme::None => frame::not_whole(channel, packets.map(|packets| (usize::from(packets), 0))),
        Scheme::Red(red) => {
            let depth = usize::from(red.depth());
            frame::mean(packets, |k| copies::run_of_losses(channel, usize::from(k) + depth, depth + 1))
        }
        Scheme::Repeat(_) if channel.is_independent() => {
            let left = Channel::independent(Probability::new(residual(scheme, channel, None)?)?);
            frame::not_whole(&left, packets.map(|packets| (usize::from(packets), 0)))
        }
        Scheme::Xor(xor) if xor.columns() == 1 => in_blocks(xor.rows(), 1),
        Scheme::ReedSolomon(block) if block.interleave() == 1 => in_blocks(block.source(), block.repair()),
        Scheme::ReedSolomonPerFrame(per_frame) => {
            let known = |k: u16| {
                let apart = channel.is_independent() || per_frame.cut(usize::from(k)).len() == 1;
                apart && usize::from(k) <= FRAME_MAX
            };
            let fails = |&(source, repair): &(usize, usize)| losses_exceed(channel, source + repair, repair);
            let whole = |k: u16| {
                per_frame.cut(usize::from(k)).iter().map(|block| 1.0 - fails(block)).product::<f64>()
            };
            if packets.clone().all(known) { frame::mean(packets, |k| 1.0 - whole(k)) } else { None }
        }
        _ => None,
    }
}

/// The share of a frame's packets that stay lost: its source packets come first, then the repair packets
/// of its blocks, one block's after the other's.
fn per_frame_residual(channel: &Channel, scheme: PerFrame, packets: u16) -> f64 {
    let blocks = scheme.cut(usize::from(packets));
    let (mut behind, mut between, mut lost) = (usize::from(packets), 0, 0.0);
    for (source, repair) in blocks {
        behind -= source;
        let gap = (behind + between) as u32 + 1;
        let sources = iter::repeat_n((1, true), source);
        let repairs = iter::repeat_n((gap, false), repair.min(1));
        let others = iter::repeat_n((1, false), repair.saturating_sub(1));
        lost += source as f64 * block::residual_at(channel, sources.chain(repairs).chain(others));
        between += repair;
    }
    lost / f64::from(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::reed_solomon::PerPackets;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    fn close(a: Option<f64>, b: Option<f64>) -> bool {
        (a.unwrap() / b.unwrap() - 1.0).abs() < 1e-12
    }

    #[test]
    fn a_frame_of_one_block_is_the_block_whatever_the_cut() {
        let channel = Channel::gilbert(share(0.1), 3.0).unwrap();
        let by_frame = Scheme::ReedSolomonPerFrame(PerFrame::new(20, 2).unwrap());
        let by_packets = Scheme::ReedSolomon(PerPackets::new(20, 4, None).unwrap());
        let frames = [20, 20, 0];
        assert!(close(residual(&by_frame, &channel, Some(&frames)), residual(&by_packets, &channel, None)));
        let blocks = Some(losses_exceed(&channel, 24, 4));
        assert!(close(frames_not_whole(&by_frame, &channel, &frames), blocks));
    }

    #[test]
    fn the_blocks_of_a_large_frame_stand_in_a_row_on_independent_losses() {
        // 430 packets in blocks of (143, 29), (143, 29) and (144, 29).
        let channel = Channel::independent(share(0.15));
        let scheme = Scheme::ReedSolomonPerFrame(PerFrame::new(20, 0).unwrap());
        let blocks = [(143, 29), (143, 29), (144, 29)];
        let lost: f64 = blocks.map(|(k, r)| k as f64 * block::residual(&channel, k, r)).iter().sum();
        assert!(close(residual(&scheme, &channel, Some(&[430])), Some(lost / 430.0)));
        let whole: f64 = blocks.map(|(k, r)| 1.0 - losses_exceed(&channel, k + r, r)).iter().product();
        assert!(close(frames_not_whole(&scheme, &channel, &[430]), Some(1.0 - whole)));
        let bursts = Channel::gilbert(share(0.15), 4.0).unwrap();
        assert_eq!(frames_not_whole(&scheme, &bursts, &[430]), None);
        assert!(residual(&scheme, &bursts, Some(&[430])).is_some());
    }

    #[test]
    fn what_needs_frames_has_no_law_without_them() {
        let channel = Channel::independent(share(0.1));
        let scheme = Scheme::ReedSolomonPerFrame(PerFrame::new(20, 2).unwrap());
        assert_eq!(residual(&scheme, &channel, None), None);
        assert_eq!(residual(&scheme, &channel, Some(&[])), None);
        assert_eq!(frames_not_whole(&Scheme::None, &channel, &[]), None);
    }

    #[test]
    fn every_law_is_a_share_and_none_grows_by_the_code() {
        let bursts = Channel::gilbert(share(0.05), 4.0).unwrap();
        // On bursts a long frame may suffer from a weak code: it spreads over more of them.
        let independent = Channel::independent(share(0.05));
        let frames = [1, 7, 40, 300];
        for scheme in Scheme::all() {
            if let Some(left) = residual(&scheme, &bursts, Some(&frames)) {
                assert!((0.0..=0.05 + 1e-12).contains(&left), "{scheme}: {left}");
            }
            if let Some(broken) = frames_not_whole(&scheme, &independent, &frames) {
                let without = frames_not_whole(&Scheme::None, &independent, &frames).unwrap();
                assert!((0.0..=without + 1e-12).contains(&broken), "{scheme}: {broken}");
            }
        }
    }
}
