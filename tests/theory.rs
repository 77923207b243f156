//! Closed forms of loss after repair: the values of an independent implementation, and codes at work.
//!
//! Codes run without contents, which recover the same packets as with them (`lab::rank`), in 64 batches
//! that know nothing of each other. Five standard errors from as many batches leave a chance of a wrong
//! alarm below one in 100,000, once and for all, since seeds are fixed.

use framehawk_sim::fec::raptorq::RaptorQ;
use framehawk_sim::fec::red::Red;
use framehawk_sim::fec::reed_solomon::PerPackets;
use framehawk_sim::fec::repeat::Repeat;
use framehawk_sim::fec::rlc::Rlc;
use framehawk_sim::fec::theory::random::raptorq_failure_bound;
use framehawk_sim::fec::theory::{self, Channel, block, copies, losses_exceed};
use framehawk_sim::fec::xor::Xor;
use framehawk_sim::fec::xor_2d::{Layout, Xor2d};
use framehawk_sim::fec::{DecodeEvent, Repair, Scheme, SourceMeta};
use framehawk_sim::frame::{FrameId, Priority};
use framehawk_sim::lab::rank::{Plan, Residual, sweep};
use framehawk_sim::rng::{Seed, below};
use framehawk_sim::time::Time;
use framehawk_sim::units::Probability;

fn share(p: f64) -> Probability {
    Probability::new(p).unwrap()
}

fn independent(loss: f64) -> Channel {
    Channel::independent(share(loss))
}

/// The channel of Gilbert with this mean loss and mean burst.
fn gilbert(loss: f64, burst: f64) -> Channel {
    Channel::gilbert(share(loss), burst).unwrap()
}

fn reed_solomon(source: usize, repair: usize) -> Scheme {
    Scheme::ReedSolomon(PerPackets::new(source as u32, repair as u32, None).unwrap())
}

/// What a code leaves of `packets` source packets without a deadline.
fn measure(scheme: &Scheme, channel: &Channel, packets: u32) -> Residual {
    let plan = Plan { packets, deadline_slots: 2_000, frames: &[] };
    sweep(scheme, channel, &plan, Seed(2)).expect("the code has a twin without contents")
}

/// Compares what a code leaves of 400,000 packets with its law.
fn expect(scheme: &Scheme, channel: &Channel) {
    let theory = theory::residual(scheme, channel, None).expect("the code has a closed form");
    let measured = measure(scheme, channel, 400_000);
    let (left, bound) = (measured.share(), 5.0 * measured.error);
    assert!((left - theory).abs() < bound, "{scheme}: {left:e}, not {theory:e} ± {bound:e}");
    assert!(measured.error < 0.1 * theory, "{scheme}: too few packets to tell: ± {bound:e} of {theory:e}");
}

/// Within half a unit of the last digit of `digits` significant ones.
fn agrees(value: f64, printed: f64, digits: i32) -> bool {
    (value / printed - 1.0).abs() < 0.5 * 10.0_f64.powi(1 - digits)
}

/// The blocks of the tables.
const BLOCKS: [(usize, usize); 5] = [(4, 1), (10, 3), (20, 4), (32, 8), (50, 10)];

#[test]
fn any_k_of_n_on_independent_losses_leaves_what_the_binomial_law_says() {
    let printed = [
        (0.01, [3.94e-4, 2.06e-6, 7.61e-7, 4.67e-11, 4.02e-12]),
        (0.02, [1.55e-3, 3.07e-5, 2.09e-5, 1.81e-8, 5.25e-9]),
        (0.05, [9.27e-3, 9.78e-4, 1.29e-3, 2.98e-5, 3.22e-5]),
        (0.10, [3.44e-2, 1.11e-2, 1.93e-2, 3.66e-3, 6.66e-3]),
        (0.20, [1.18e-1, 8.83e-2, 1.41e-1, 1.06e-1, 1.54e-1]),
    ];
    for (loss, residuals) in printed {
        let channel = independent(loss);
        for ((k, r), residual) in BLOCKS.into_iter().zip(residuals) {
            let theory = block::residual(&channel, k, r);
            assert!(agrees(theory, residual, 3), "({k},{r}) at {loss}: {theory:e}, not {residual:e}");
            // Rarer failures than these need more packets than a test should send.
            if theory > 5e-4 {
                expect(&reed_solomon(k, r), &channel);
            }
        }
    }
}

#[test]
fn blocks_fail_as_often_as_printed() {
    let printed = [
        (4, 1, 0.01, 9.80e-4),
        (4, 1, 0.2, 2.63e-1),
        (10, 3, 0.05, 3.10e-3),
        (20, 4, 0.1, 8.51e-2),
        (32, 8, 0.05, 1.30e-4),
        (50, 10, 0.05, 1.72e-4),
        (50, 10, 0.2, 6.77e-1),
    ];
    for (k, r, loss, failure) in printed {
        let theory = losses_exceed(&independent(loss), k + r, r);
        assert!(agrees(theory, failure, 3), "({k},{r}) at {loss}: {theory:e}, not {failure:e}");
    }
}

#[test]
fn blocks_on_bursts_leave_what_the_dynamic_programme_says() {
    // Mean loss, mean burst, and the residual losses of the blocks, packets side by side and 4 apart.
    let printed = [
        (0.01, 2.0, [6.91e-3, 2.90e-3, 1.99e-3, 2.79e-4, 1.27e-4], [1.37e-3, 3.28e-5, 1.14e-5, 0.0, 0.0]),
        (
            0.02,
            4.0,
            [1.78e-2, 1.37e-2, 1.24e-2, 6.32e-3, 4.83e-3],
            [1.00e-2, 2.36e-3, 1.53e-3, 9.97e-5, 4.66e-5],
        ),
        (
            0.05,
            1.5,
            [2.70e-2, 8.94e-3, 8.26e-3, 1.37e-3, 1.21e-3],
            [9.80e-3, 1.09e-3, 1.40e-3, 3.56e-5, 3.77e-5],
        ),
        (
            0.05,
            2.0,
            [3.53e-2, 1.76e-2, 1.57e-2, 4.67e-3, 4.05e-3],
            [1.26e-2, 1.77e-3, 2.04e-3, 8.08e-5, 8.00e-5],
        ),
        (
            0.05,
            4.0,
            [4.47e-2, 3.51e-2, 3.28e-2, 1.91e-2, 1.68e-2],
            [2.68e-2, 8.80e-3, 8.14e-3, 1.33e-3, 1.18e-3],
        ),
        (
            0.05,
            8.0,
            [4.79e-2, 4.39e-2, 4.29e-2, 3.42e-2, 3.17e-2],
            [3.92e-2, 2.35e-2, 2.10e-2, 8.10e-3, 7.01e-3],
        ),
        (
            0.10,
            4.0,
            [8.98e-2, 7.28e-2, 7.15e-2, 4.94e-2, 4.95e-2],
            [5.93e-2, 2.87e-2, 3.47e-2, 1.31e-2, 1.70e-2],
        ),
    ];
    for (loss, burst, side_by_side, apart) in printed {
        let channel = gilbert(loss, burst);
        for (place, (k, r)) in BLOCKS.into_iter().enumerate() {
            let theory = block::residual(&channel, k, r);
            let residual = side_by_side[place];
            assert!(
                agrees(theory, residual, 3),
                "({k},{r}) at {loss}, {burst}: {theory:e}, not {residual:e}"
            );
            if theory > 4e-3 {
                expect(&reed_solomon(k, r), &channel);
            }
            let (theory, residual) = (block::residual(&channel.every(4), k, r), apart[place]);
            // Zero stands for values that were printed with two digits, and are checked below.
            let same = residual == 0.0 || agrees(theory, residual, 3);
            assert!(same, "({k},{r}) 4 apart at {loss}, {burst}: {theory:e}, not {residual:e}");
        }
    }
    let far = gilbert(0.01, 2.0).every(4);
    assert!(agrees(block::residual(&far, 32, 8), 1.2e-8, 2));
    assert!(agrees(block::residual(&far, 50, 10), 1.4e-9, 2));
}

#[test]
fn parity_over_a_row_leaves_the_losses_that_have_company() {
    for (k, loss) in [(4, 0.05), (10, 0.02), (10, 0.1)] {
        expect(&Scheme::Xor(Xor::row(k, None).unwrap()), &independent(loss));
    }
}

#[test]
fn interleaved_parity_on_bursts_is_a_block_whose_packets_are_that_far_apart() {
    for (loss, burst) in [(0.05, 2.0), (0.05, 4.0), (0.05, 8.0)] {
        expect(&Scheme::Xor(Xor::interleaved(4, 4, None).unwrap()), &gilbert(loss, burst));
    }
}

#[test]
fn parity_in_two_dimensions_leaves_what_its_cores_say() {
    for (columns, rows, loss) in [(4, 4, 0.1), (10, 5, 0.1), (10, 5, 0.2)] {
        expect(&Scheme::Xor2d(Xor2d::new(columns, rows, Layout::Even, None).unwrap()), &independent(loss));
    }
}

#[test]
fn interleaved_blocks_on_bursts_are_blocks_whose_packets_are_that_far_apart() {
    for (k, r, depth) in [(4, 1, 4), (10, 3, 4), (10, 3, 2)] {
        let block = PerPackets::new(k, r, None).unwrap().interleaved(depth).unwrap();
        expect(&Scheme::ReedSolomon(block), &gilbert(0.05, 4.0));
    }
}

#[test]
fn in_band_redundancy_leaves_the_runs_longer_than_its_depth() {
    for depth in [1, 2] {
        let scheme = Scheme::Red(Red::new(depth).unwrap());
        for channel in [gilbert(0.05, 2.0), independent(0.2)] {
            expect(&scheme, &channel);
        }
        // Frames of five packets: about 80,000, whose fates are not independent where a run goes over
        // two of them, for which half of them are left out of the error.
        let (channel, frames) = (gilbert(0.05, 2.0), [5]);
        let theory = theory::frames_not_whole(&scheme, &channel, &frames).unwrap();
        let plan = Plan { packets: 400_000, deadline_slots: 100, frames: &frames };
        let measured = sweep(&scheme, &channel, &plan, Seed(2)).unwrap();
        let share = measured.frames_not_whole as f64 / measured.frames as f64;
        let bound = 5.0 * (theory * (1.0 - theory) / (measured.frames as f64 / 2.0)).sqrt();
        assert!((share - theory).abs() < bound, "{share}, not {theory} ± {bound}");
    }
}

#[test]
fn a_copy_helps_against_bursts_as_far_as_it_is_away() {
    // One copy `spacing` source packets later is 2·spacing + 1 packets later on the wire.
    for (spacing, printed) in [(0, 2.500e-2), (4, 2.557e-3)] {
        let channel = gilbert(0.05, 2.0);
        let theory = copies::residual(&channel, &[2 * spacing + 1]);
        assert!(agrees(theory, printed, 4), "{theory:e}, not {printed:e}");
        expect(&Scheme::Repeat(Repeat::new(1, spacing).unwrap()), &channel);
    }
    // Several copies, on a channel that lets some packets through in bursts and loses some without.
    let channel = Channel::gilbert_elliott(share(0.05), share(0.2), share(0.02), share(0.7));
    for (copies, spacing) in [(2, 0), (2, 1), (3, 2)] {
        expect(&Scheme::Repeat(Repeat::new(copies, spacing).unwrap()), &channel);
    }
}

#[test]
fn on_independent_losses_each_copy_multiplies_by_the_loss() {
    for (copies, loss) in [(1, 0.05), (2, 0.2)] {
        expect(&Scheme::Repeat(Repeat::new(copies, 3).unwrap()), &independent(loss));
    }
}

#[test]
fn without_a_code_all_losses_are_left() {
    expect(&Scheme::None, &gilbert(0.1, 4.0));
}

#[test]
fn retransmissions_on_bursts_help_as_far_as_they_are_away() {
    // Every lost packet is sent again `distance` slots later, `tries` times at most, beside all others:
    // the channel's states are those of the slots, so that a try reads the fate of its slot.
    let (channel, distance, slots) = (gilbert(0.1, 4.0), 6, 400_000_u64);
    let fates = fates(channel, slots);
    for tries in 1..=3 {
        let all = |slot: u64| (0..=tries).all(|attempt| fates[(slot + attempt * distance) as usize]);
        let counted = slots - tries * distance;
        let lost = (0..counted).filter(|&slot| all(slot)).count() as f64 / counted as f64;
        let theory = theory::arq::residual(&channel, tries as u32, distance as u32);
        // Packets near each other share bursts: about 13 of them (1 + λ over 1 − λ for λ = 0.72, twice)
        // count as one trial.
        let bound = 5.0 * (theory * (1.0 - theory) / (counted as f64 / 13.0)).sqrt();
        assert!((lost - theory).abs() < bound, "{tries}: {lost:e}, not {theory:e} ± {bound:e}");
    }
}

/// The fates of the packets of so many slots, drawn state by state.
fn fates(channel: Channel, slots: u64) -> Vec<bool> {
    let mut draws = Seed(4).stream("fates").at(0);
    let mut chance = |p: f64| framehawk_sim::rng::chance(&mut draws, share(p));
    let mut bad = chance(channel.shares()[1]);
    (0..slots)
        .map(|_| {
            let lost = chance(channel.losses()[usize::from(bad)]);
            bad ^= chance(channel.leaving()[usize::from(bad)]);
            lost
        })
        .collect()
}

#[test]
fn more_parity_hardly_helps_frames_whose_state_is_drawn_once() {
    // The channel of Tambur's simulator: its state changes from frame to frame, so that inside a frame
    // losses are independent. Twice the parity takes only a quarter of what is left.
    let channel = Channel::gilbert_elliott(share(0.068), share(0.852), share(0.04), share(0.5)).frozen();
    let printed = [
        (4, 1, 7.37e-2, 4.02e-2),
        (4, 2, 4.96e-2, 3.06e-2),
        (8, 4, 5.96e-2, 3.28e-2),
        (16, 8, 6.83e-2, 3.52e-2),
    ];
    for (k, r, failure, residual) in printed {
        assert!(agrees(losses_exceed(&channel, k + r, r), failure, 3), "({k},{r})");
        assert!(agrees(block::residual(&channel, k, r), residual, 3), "({k},{r})");
    }
}

#[test]
fn the_code_of_udpspeeder_fails_as_often_as_its_block_loses_more_than_ten() {
    // The failure of (20,10) at 10 % is too rare to be counted, so it is summed: the chance of j losses
    // times the share of blocks with j losses that failed. That share is 0 or 1, so that no chance is
    // left in it: eleven losses cannot all be repair packets.
    let (scheme, channel) = (reed_solomon(20, 10), independent(0.1));
    let mut fails = 0.0;
    for (losses, chance) in block::losses(&channel, 30).into_iter().enumerate() {
        let rounds = 50_u64;
        let failed = (0..rounds).filter(|&round| block_fails(&scheme, losses, round)).count();
        fails += chance * failed as f64 / rounds as f64;
    }
    let theory = losses_exceed(&channel, 30, 10);
    assert!(agrees(theory, 8.908e-5, 4), "{theory:e}");
    assert!((fails - theory).abs() < 1e-6 * theory, "{fails:e}, not {theory:e}");
}

/// Whether a block of (20,10) that loses `losses` packets at random misses a source packet afterwards.
fn block_fails(scheme: &Scheme, losses: usize, round: u64) -> bool {
    let (mut encoder, mut decoder) = (scheme.encoder::<()>(), scheme.decoder::<()>());
    let mut draws = Seed(3).stream("erasures").at(round << 8 | losses as u64);
    let mut left: Vec<usize> = (0..30).collect();
    for _ in 0..losses {
        left.swap_remove(below(&mut draws, left.len() as u64) as usize);
    }
    for esi in 0..20 {
        encoder.push_source(Time::ZERO, &meta(esi), &());
        if left.contains(&(esi as usize)) {
            decoder.push_source(Time::ZERO, esi, &());
        }
    }
    for row in 20..30 {
        let repair = encoder.poll_repair(Time::ZERO).expect("ten repair packets");
        if left.contains(&row) {
            decoder.push_repair(Time::ZERO, &repair.header, &()).expect("a true header");
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
    let recovered = events.iter().filter(|event| matches!(event, DecodeEvent::Recovered { .. })).count();
    left.iter().filter(|&&place| place < 20).count() + recovered < 20
}

fn meta(esi: u32) -> SourceMeta {
    let (frame, priority) = (FrameId(0), Priority::Delta);
    SourceMeta { esi, frame, frame_end: false, priority, deadline: Time::NEVER, size: 1_200 }
}

/// The bearer of 3GPP's comparisons: 100 packets a second, source and repair together, 240 ms for
/// delivery, and at most one packet in 100,000 lost for good (Roca et al., "Less latency and better
/// protection with AL-FEC sliding window codes", WiMob 2017; Steinwurf, "Comparing Rely and Reed
/// Solomon").
const BUDGET_SLOTS: u16 = 24;
const TARGET: f64 = 1e-5;

#[test]
fn blocks_for_a_constant_rate_and_a_budget_of_24_slots_need_the_known_repair_rates() {
    // A block of 25, so that what was sent in slot 0 can be recovered in slot 24. Loss, mean burst,
    // the block needed, and how many slots recovery takes.
    let known = [
        (independent(0.01), 21, 11.2),
        (independent(0.02), 20, 10.9),
        (independent(0.05), 18, 10.4),
        (independent(0.10), 15, 9.7),
        (independent(0.15), 13, 9.3),
        (independent(0.20), 11, 8.8),
        (gilbert(0.05, 2.0), 9, 7.2),
    ];
    for (channel, source, slots) in known {
        let n = usize::from(BUDGET_SLOTS) + 1;
        let enough = |&k: &usize| block::residual(&channel, k, n - k) <= TARGET;
        let most = (1..n).rev().find(enough);
        assert_eq!(most, Some(source), "{channel:?}");
        let plan = Plan { packets: 640_000, deadline_slots: BUDGET_SLOTS, frames: &[] };
        let measured = sweep(&reed_solomon(source, n - source), &channel, &plan, Seed(2)).unwrap();
        // Half a unit of the last digit, and five errors of a mean of recoveries with a deviation of 6
        // slots at most, in clumps of four at most.
        let took = measured.recovery_slots.unwrap();
        let recoveries = (measured.lost_on_wire - measured.lost) as f64;
        let bound = 0.05 + 5.0 * 6.0 / (recoveries / 4.0).sqrt();
        assert!((took - slots).abs() < bound, "{channel:?}: {took}, not {slots} ± {bound}");
        assert!(measured.interval[0] <= TARGET, "{measured:?}");
    }
}

#[test]
fn sliding_windows_for_the_same_budget_need_the_known_repair_rates() {
    // Loss, the repair packets for each source packet at which 10^7 packets of an independent
    // implementation left the target, how many slots recovery took, and the block's rate.
    let known = [
        (independent(0.01), 0.163, 4.1, 0.190),
        (independent(0.02), 0.213, 3.5, 0.250),
        (independent(0.05), 0.353, 2.7, 0.389),
        (independent(0.10), 0.592, 2.2, 0.667),
        (independent(0.15), 0.840, 1.9, 0.923),
        (independent(0.20), 1.141, 1.7, 1.273),
        (gilbert(0.05, 2.0), 1.493, 3.0, 1.778),
    ];
    for (channel, rate, slots, of_block) in known {
        // The window of RFC 8681 section 3.1: three quarters of the source packets that fit into the
        // budget at this code rate, with nonzero coefficients only.
        let window = (0.75 * f64::from(BUDGET_SLOTS) / (1.0 + rate)).round() as u32;
        let scheme =
            |rate: f64| Scheme::Rlc(Rlc::new(window, 1_000, (1_000.0 * rate).round() as u32, 15).unwrap());
        let plan = Plan { packets: 3_000_000, deadline_slots: BUDGET_SLOTS, frames: &[] };
        let measured = sweep(&scheme(rate), &channel, &plan, Seed(1)).unwrap();
        // Thirty losses are expected, in clumps of two or three: a deviation of a third. The known rates
        // come from a third of that error, and are rounded: a factor of two leaves room for both.
        let left = measured.share() / TARGET;
        assert!((0.5..=2.0).contains(&left), "{channel:?} at {rate}: {measured:?}");
        // Half a unit of the last digit, and rounding of the window.
        let took = measured.recovery_slots.unwrap();
        assert!((took - slots).abs() < 0.1, "{channel:?}: {took}, not {slots}");
        assert!((measured.overhead - rate).abs() < 1e-3 && rate < of_block);
    }
}

#[test]
fn raptorq_fails_no_more_often_than_its_standard_promises() {
    let trials = 3_000;
    for k in [10_u16, 26, 50] {
        // All source packets are lost, and random ones of a thousand repair packets arrive.
        let scheme = Scheme::RaptorQ(RaptorQ::per_packets(u32::from(k), 1_000, None).unwrap());
        let mut encoder = scheme.encoder::<()>();
        for esi in 0..u32::from(k) {
            encoder.push_source(Time::ZERO, &meta(esi), &());
        }
        let mut repairs: Vec<Repair<()>> = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).collect();
        let mut draws = Seed(6).stream("arrivals").at(u64::from(k));
        // How many tries failed with k, k + 1 and k + 2 packets.
        let mut failed = [0.0; 3];
        for _ in 0..trials {
            let mut decoder = scheme.decoder::<()>();
            for place in 0..usize::from(k) + 3 {
                let other = place + below(&mut draws, (repairs.len() - place) as u64) as usize;
                repairs.swap(place, other);
                let extra = place.checked_sub(usize::from(k));
                let is_recovered = |event: DecodeEvent<()>| matches!(event, DecodeEvent::Recovered { .. });
                if std::iter::from_fn(|| decoder.poll_event()).any(is_recovered) {
                    break;
                }
                if let Some(extra) = extra {
                    failed[extra] += 1.0;
                }
                let Repair { header, symbol } = &repairs[place];
                decoder.push_repair(Time::ZERO, header, symbol).expect("a true header");
            }
        }
        for (extra, failed) in (0..).zip(failed) {
            // What its bound lets fail on average, five deviations of Poisson's law, and one failure
            // more are exceeded once in 100,000 times; and it stays well below its bound.
            let most = raptorq_failure_bound(extra) * f64::from(trials);
            assert!(failed <= most + 5.0 * most.sqrt() + 1.0, "k {k}, {extra} more: {failed} of {trials}");
        }
        // It is no MDS code: with k packets one try in 160 or so fails.
        assert!(failed[0] > 0.0, "k {k}: none of {trials}");
    }
}
