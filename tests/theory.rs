//! Closed forms of loss after repair, against codes at work.
//!
//! Codes run without contents (symbols of type `()`), which recover the same packets as with them.
//! Channels run on from packet to packet, so that every block begins in the stationary state and the
//! mean over blocks is exactly that of the formula. Its standard error is taken from the means of
//! batches of packets, long against the channel's memory; five of them leave a chance of a wrong alarm
//! below one in a million, once and for all, since seeds are fixed.

use framehawk_sim::fec::reed_solomon::PerPackets;
use framehawk_sim::fec::repeat::Repeat;
use framehawk_sim::fec::xor::Xor;
use framehawk_sim::fec::{DecodeEvent, Flush, Scheme, SourceMeta};
use framehawk_sim::frame::{FrameId, Priority};
use framehawk_sim::rng::{Draws, Seed, below, unit};
use framehawk_sim::time::Time;

/// The channel of Gilbert: every packet is lost in the bad state and none in the good one. `p` is the
/// probability of going bad with each packet, `q` of recovering.
#[derive(Clone, Copy, Debug)]
struct Gilbert {
    p: f64,
    q: f64,
}

impl Gilbert {
    /// The channel with this mean loss and mean length of bursts in packets.
    fn new(loss: f64, burst: f64) -> Self {
        let q = 1.0 / burst;
        Self { p: loss * q / (1.0 - loss), q }
    }

    /// Independent losses, as the channel that forgets its state.
    fn independent(loss: f64) -> Self {
        Self { p: loss, q: 1.0 - loss }
    }

    fn loss(self) -> f64 {
        self.p / (self.p + self.q)
    }

    /// The probability of the bad state `steps` packets after a state.
    fn bad_after(self, bad: bool, steps: i32) -> f64 {
        let memory = (1.0 - self.p - self.q).powi(steps);
        self.loss() + (f64::from(u8::from(bad)) - self.loss()) * memory
    }
}

/// Residual loss and probability of failure of a block of `k` source and `r` repair packets of which
/// any k are enough, its packets `depth` apart on the wire.
///
/// The exact dynamic programme over the channel's state, the packets lost and the sources lost among
/// them (Elliott 1963 in matrix form).
fn block_on_gilbert(channel: Gilbert, k: usize, r: usize, depth: i32) -> (f64, f64) {
    let n = k + r;
    // `chances[bad][lost][lost sources]` after each packet.
    let mut chances = vec![vec![vec![0.0; k + 1]; n + 1]; 2];
    chances[0][0][0] = 1.0 - channel.loss();
    chances[1][1][1] = channel.loss();
    for packet in 1..n {
        let source = usize::from(packet < k);
        let mut next = vec![vec![vec![0.0; k + 1]; n + 1]; 2];
        for (bad, by_lost) in chances.iter().enumerate() {
            let turns_bad = channel.bad_after(bad == 1, depth);
            for lost in 0..=packet {
                for lost_sources in 0..=lost.min(k) {
                    let chance = by_lost[lost][lost_sources];
                    next[0][lost][lost_sources] += chance * (1.0 - turns_bad);
                    if lost_sources + source <= k {
                        next[1][lost + 1][lost_sources + source] += chance * turns_bad;
                    }
                }
            }
        }
        chances = next;
    }
    let failed =
        || chances.iter().flat_map(|by_lost| &by_lost[r + 1..]).flat_map(|row| row.iter().enumerate());
    let lost: f64 = failed().map(|(sources, chance)| sources as f64 * chance).sum();
    (lost / k as f64, failed().map(|(_, chance)| chance).sum())
}

/// The probability of exactly `j` events in `n` independent trials.
fn binomial(n: usize, j: usize, e: f64) -> f64 {
    let ways: f64 = (0..j).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    ways * e.powi(j as i32) * (1.0 - e).powi((n - j) as i32)
}

/// Residual loss of a block on independent losses: the packet is lost, and r others at least.
fn block_residual(k: usize, r: usize, e: f64) -> f64 {
    e * (r..k + r).map(|j| binomial(k + r - 1, j, e)).sum::<f64>()
}

/// Residual loss of a scheme on a channel, with its standard error from `batches` batches of `batch`
/// source packets.
fn measure(scheme: &Scheme, channel: Gilbert, batches: u32, batch: u32) -> (f64, f64) {
    let (mut encoder, mut decoder) = (scheme.encoder::<()>(), scheme.decoder::<()>());
    let mut draws = Seed(2).stream("channel").at(0);
    let mut bad = unit(&mut draws) < channel.loss();
    let mut lost_on_wire = |draws: &mut Draws| {
        let lost = bad;
        bad = unit(draws) < channel.bad_after(bad, 1);
        lost
    };
    let residual: Vec<f64> = (0..batches)
        .map(|index| {
            let mut missing = 0_i64;
            for esi in index * batch..(index + 1) * batch {
                encoder.push_source(Time::ZERO, &meta(esi), &());
                if lost_on_wire(&mut draws) {
                    missing += 1;
                } else {
                    decoder.push_source(Time::ZERO, esi, &());
                }
                if index + 1 == batches && esi + 1 == batches * batch {
                    encoder.flush(Time::ZERO, Flush::Shutdown);
                }
                while let Some(repair) = encoder.poll_repair(Time::ZERO) {
                    if !lost_on_wire(&mut draws) {
                        decoder.push_repair(Time::ZERO, &repair.header, &()).expect("a true header");
                    }
                }
                let recovered = |event: &DecodeEvent<()>| matches!(event, DecodeEvent::Recovered { .. });
                let events = std::iter::from_fn(|| decoder.poll_event());
                missing -= events.filter(recovered).count() as i64;
                // Far behind any block of the schemes here.
                decoder.expire(esi.saturating_sub(1_000));
            }
            missing as f64 / f64::from(batch)
        })
        .collect();
    let n = f64::from(batches);
    let mean = residual.iter().sum::<f64>() / n;
    let variance = residual.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn meta(esi: u32) -> SourceMeta {
    let (frame, priority) = (FrameId(0), Priority::Delta);
    SourceMeta { esi, frame, frame_end: false, priority, deadline: Time::NEVER, size: 1200 }
}

/// Compares a measured residual loss with the formula's.
fn expect(what: &str, (measured, error): (f64, f64), theory: f64) {
    let bound = 5.0 * error;
    assert!((measured - theory).abs() < bound, "{what}: {measured:e}, not {theory:e} ± {bound:e}");
    assert!(error < 0.1 * theory, "{what}: too few packets to tell: ± {error:e} of {theory:e}");
}

fn reed_solomon(source: u32, repair: u32) -> Scheme {
    Scheme::ReedSolomon(PerPackets::new(source, repair, None).unwrap())
}

/// Within half a unit of the last digit of `digits` significant ones.
fn agrees(value: f64, printed: f64, digits: i32) -> bool {
    (value / printed - 1.0).abs() < 0.5 * 10.0_f64.powi(1 - digits)
}

#[test]
fn any_k_of_n_on_independent_losses_leaves_what_the_binomial_law_says() {
    let printed = [
        (4, 1, [1.55e-3, 9.27e-3, 3.44e-2, 1.18e-1]),
        (10, 3, [3.07e-5, 9.78e-4, 1.11e-2, 8.83e-2]),
        (20, 4, [2.09e-5, 1.29e-3, 1.93e-2, 1.41e-1]),
    ];
    for (k, r, residuals) in printed {
        for (e, residual) in [0.02, 0.05, 0.1, 0.2].into_iter().zip(residuals) {
            let theory = block_residual(k, r, e);
            assert!(agrees(theory, residual, 3), "({k},{r}) at {e}: {theory:e}, not {residual:e}");
            // Rarer failures than these need more packets than a test should send.
            if theory > 5e-4 {
                let scheme = reed_solomon(k as u32, r as u32);
                let measured = measure(&scheme, Gilbert::independent(e), 400, 1_000);
                expect(&format!("({k},{r}) at {e}"), measured, theory);
            }
        }
    }
}

#[test]
fn parity_over_a_row_leaves_the_losses_that_have_company() {
    for (k, e) in [(4, 0.05_f64), (10, 0.02), (10, 0.1)] {
        let theory = e * (1.0 - (1.0 - e).powi(k));
        let scheme = Scheme::Xor(Xor::row(k as u32, None).unwrap());
        expect(&format!("row of {k}"), measure(&scheme, Gilbert::independent(e), 400, 1_000), theory);
    }
}

#[test]
fn the_code_of_udpspeeder_fails_as_often_as_its_block_loses_more_than_ten() {
    // The failure of (20,10) at 10 % is too rare to be counted, so it is summed: the chance of j losses
    // times the share of blocks with j losses that failed. That share is 0 or 1, so that no chance is
    // left in it: eleven losses cannot all be repair packets.
    let scheme = reed_solomon(20, 10);
    let mut fails = 0.0;
    for losses in 0..=30 {
        let rounds = 50_u64;
        let failed = (0..rounds).filter(|&round| block_fails(&scheme, losses, round)).count();
        fails += binomial(30, losses, 0.1) * failed as f64 / rounds as f64;
    }
    let theory: f64 = (11..=30).map(|j| binomial(30, j, 0.1)).sum();
    assert!(agrees(theory, 8.908e-5, 4), "{theory:e}");
    assert!((fails - theory).abs() < 1e-6 * theory, "{fails:e}, not {theory:e}");
}

#[test]
fn blocks_on_bursts_leave_what_the_dynamic_programme_says() {
    // Mean loss, mean burst, k, r, and the residual loss that an independent implementation printed.
    let cases = [
        (0.05, 2.0, 4, 1, 3.53e-2),
        (0.05, 4.0, 4, 1, 4.47e-2),
        (0.05, 4.0, 10, 3, 3.51e-2),
        (0.05, 4.0, 20, 4, 3.28e-2),
        (0.10, 4.0, 10, 3, 7.28e-2),
        (0.05, 2.0, 50, 10, 4.05e-3),
    ];
    for (loss, burst, k, r, printed) in cases {
        let channel = Gilbert::new(loss, burst);
        let (theory, _) = block_on_gilbert(channel, k, r, 1);
        assert!(agrees(theory, printed, 3), "({k},{r}) at {loss}, {burst}: {theory:e}, not {printed:e}");
        let measured = measure(&reed_solomon(k as u32, r as u32), channel, 400, 1_000);
        expect(&format!("({k},{r}) at {loss}, {burst}"), measured, theory);
    }
}

#[test]
fn the_dynamic_programme_without_memory_is_the_binomial_law() {
    for (k, r, e) in [(4, 1, 0.05), (10, 3, 0.1), (20, 4, 0.2)] {
        let (residual, failure) = block_on_gilbert(Gilbert::independent(e), k, r, 1);
        let fails: f64 = (r + 1..=k + r).map(|j| binomial(k + r, j, e)).sum();
        assert!((residual / block_residual(k, r, e) - 1.0).abs() < 1e-9);
        assert!((failure / fails - 1.0).abs() < 1e-9);
    }
}

#[test]
fn interleaved_parity_on_bursts_is_a_block_whose_packets_are_that_far_apart() {
    let cases = [(0.05, 2.0, 4, 4, 1.26e-2), (0.05, 4.0, 4, 4, 2.68e-2), (0.05, 8.0, 4, 4, 3.92e-2)];
    for (loss, burst, columns, rows, printed) in cases {
        let channel = Gilbert::new(loss, burst);
        let (theory, _) = block_on_gilbert(channel, rows, 1, columns);
        assert!(
            agrees(theory, printed, 3),
            "{columns}x{rows} at {loss}, {burst}: {theory:e}, not {printed:e}"
        );
        let scheme = Scheme::Xor(Xor::interleaved(columns as u32, rows as u32, None).unwrap());
        expect(&format!("{columns}x{rows} at {burst}"), measure(&scheme, channel, 400, 1_600), theory);
    }
}

#[test]
fn a_copy_helps_against_bursts_as_far_as_it_is_away() {
    // One copy `spacing` source packets later is 2·spacing + 1 packets later on the wire.
    for (spacing, printed) in [(0, 2.500e-2), (4, 2.557e-3)] {
        let channel = Gilbert::new(0.05, 2.0);
        let theory = channel.loss() * channel.bad_after(true, 2 * spacing + 1);
        assert!(agrees(theory, printed, 4), "{theory:e}, not {printed:e}");
        let scheme = Scheme::Repeat(Repeat::new(1, spacing as u32).unwrap());
        expect(&format!("copy after {spacing}"), measure(&scheme, channel, 400, 1_000), theory);
    }
}

#[test]
fn on_independent_losses_each_copy_multiplies_by_the_loss() {
    for (copies, e) in [(1_u32, 0.05_f64), (2, 0.2)] {
        let scheme = Scheme::Repeat(Repeat::new(copies, 3).unwrap());
        let theory = e.powi(copies as i32 + 1);
        expect(&format!("{copies} copies"), measure(&scheme, Gilbert::independent(e), 400, 1_000), theory);
    }
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
