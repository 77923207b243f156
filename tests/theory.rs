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
        for bad in 0..2 {
            let turns_bad = channel.bad_after(bad == 1, depth);
            for lost in 0..=packet {
                for lost_sources in 0..=lost.min(k) {
                    let chance = chances[bad][lost][lost_sources];
                    next[0][lost][lost_sources] += chance * (1.0 - turns_bad);
                    if lost_sources + source <= k {
                        next[1][lost + 1][lost_sources + source] += chance * turns_bad;
                    }
                }
            }
        }
        chances = next;
    }
    let failed = || chances.iter().flat_map(|by_lost| &by_lost[r + 1..]).flat_map(|row| row.iter().enumerate());
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
            let mut missing = 0_u32;
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
                missing -= events.filter(recovered).count() as u32;
                // Far behind any block of the schemes here.
                decoder.expire(esi.saturating_sub(1_000));
            }
            f64::from(missing) / f64::from(batch)
        })
        .collect();
    let n = f64::from(batches);
    let mean = residual.iter().sum::<f64>() / n;
    let variance = residual.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn meta(esi: u32) -> SourceMeta {
    let (frame, priority) = (FrameId(0), Priority::Delta);
    SourceMeta { esi, frame, frame_end: false, priority, deadline: Time::NEVER }
}
