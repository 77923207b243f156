//! A rate that keeps the queue short: a law of the family of SCReAM and GCC.
//!
//! Sources: SCReAM (RFC 8298 §4.1), Google congestion control (draft-ietf-rmcat-gcc-02 §5–6), the base
//! delay of LEDBAT (RFC 6817 §3.4.2), the rules for UDP of RFC 8085 §3.1 and the circuit breakers of RFC
//! 8083. With q the queueing delay (least one-way delay of a feedback interval, less the least of the
//! last ten seconds), T its target and round = round trip, at least [`ROUND_MIN`]:
//!
//! | state | when | rate |
//! | --- | --- | --- |
//! | start | until q > T/2 or losses are heavy | doubles every round; at its end back to what it was a round ago |
//! | growth | q ≤ T | × 1 + [`GAIN`] (1 − q/T) every round (SCReAM's off-target gain) |
//! | overuse | q > T, once a round | × (1 − d) / (1 + dq/dt), because dq/dt is rate/capacity − 1; d = (q − T/2) / [`DRAIN`], within [`DRAIN_SHARE`], drains the queue |
//! | loss | heavy and ours | × 1 − loss/2 (GCC's loss-based controller) |
//! | silence | no answer | halved, then growth as at the start |
//!
//! The rate grows only while it holds packets back and half of it at least was used in the last round: an
//! application that sends little, or in bursts with long pauses, proves nothing (RFC 7661 §4.3; Linux's
//! `tcp_is_cwnd_limited` has the same half). A rate once reached is kept over idle times.
//!
//! | differs | there | here |
//! | --- | --- | --- |
//! | what is controlled | SCReAM a window, GCC a rate | a rate |
//! | losses | SCReAM: each one halves; GCC: 10 % reduce | radio links lose 5 to 20 % without a queue, so only heavy losses count, and they count only if a lower rate makes them fewer |
//! | a queue that others fill | both raise their target | after [`FUTILE_MAX`] reductions that did not shorten the queue, what is there counts as the base |

use crate::time::{Duration, Time};
use crate::units::Bitrate;

use super::{Controller, Sample};

/// The settings of the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The rate before anything is known.
    pub start: Bitrate,
    /// The rate below which it never goes.
    pub least: Bitrate,
    /// The rate above which it never goes.
    pub most: Bitrate,
    /// The queueing delay that it aims to stay below.
    pub target: Duration,
}

impl Default for Limits {
    /// Starts at 2 Mbit/s, which is ten packets in a round trip of 60 ms (RFC 8085 §3.1.2 allows ten);
    /// never below 150 kbit/s (GCC's floor for video is of that order); targets 20 ms, a fifth of a
    /// usual deadline and a third of SCReAM's.
    fn default() -> Self {
        Self {
            start: Bitrate::from_bps(2_000_000),
            least: Bitrate::from_bps(150_000),
            most: Bitrate::from_bps(1_000_000_000),
            target: Duration::from_millis(20),
        }
    }
}

/// The controller.
#[derive(Debug)]
pub(super) struct Delay {
    limits: Limits,
    /// Bits per second.
    rate: f64,
    starting: bool,
    base: Base,
    /// The last sample: when, and the queueing delay in seconds.
    last: Option<(Time, f64)>,
    /// dq/dt, smoothed over a round.
    slope: f64,
    /// The last reduction for a queue: when, and the queueing delay then.
    reduced: Option<(Time, f64)>,
    /// Consecutive reductions that did not shorten the queue.
    futile: u32,
    losses: LossTest,
    usage: Usage,
}

impl Delay {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            rate: limits.start.bps() as f64,
            starting: true,
            base: Base::default(),
            last: None,
            slope: 0.0,
            reduced: None,
            futile: 0,
            losses: LossTest::default(),
            usage: Usage::default(),
        }
    }

    fn grow(&mut self, elapsed: f64, round: f64, queue: f64) {
        let target = self.limits.target.as_secs_f64();
        let rounds = (elapsed / round).min(1.0);
        self.rate *=
            if self.starting { libm::exp2(rounds) } else { 1.0 + GAIN * (1.0 - queue / target) * rounds };
    }

    /// Lowers the rate to drain the queue, unless that was done within this round or has been enough.
    fn reduce(&mut self, now: Time, round: f64, queue: f64) {
        let target = self.limits.target.as_secs_f64();
        let drain = ((queue - target / 2.0) / DRAIN).clamp(DRAIN_SHARE.0, DRAIN_SHARE.1);
        if self.slope <= -drain {
            return;
        }
        if let Some((at, before)) = self.reduced {
            if now.since(at).as_secs_f64() < round {
                return;
            }
            self.futile = if queue < before { 0 } else { self.futile + 1 };
            if self.futile == FUTILE_MAX {
                self.base = Base::default();
                self.futile = 0;
                self.reduced = None;
                return;
            }
        }
        self.rate *= (1.0 - drain) / (1.0 + self.slope.clamp(-drain, 1.0));
        self.reduced = Some((now, queue));
    }
}

impl Controller for Delay {
    fn rate(&self) -> Option<Bitrate> {
        Some(Bitrate::from_bps_f64(self.rate))
    }

    fn handle_feedback(&mut self, sample: &Sample) {
        let queue = self.base.queue(sample.now, sample.delay);
        let (at, before) = self.last.replace((sample.now, queue)).unwrap_or((sample.now, queue));
        let elapsed = sample.now.since(at).as_secs_f64();
        let round = sample.round_trip.max(ROUND_MIN).as_secs_f64();
        let used = self.usage.rate(sample, round);
        let target = self.limits.target.as_secs_f64();
        if elapsed > 0.0 {
            self.slope += ((queue - before) / elapsed - self.slope) * (elapsed / round).min(1.0);
        }
        if self.starting && queue > target / 2.0 {
            self.starting = false;
            self.rate /= 2.0;
            self.reduced = Some((sample.now, queue));
        }
        if queue > target {
            self.reduce(sample.now, round, queue);
        } else if queue < target / 2.0 || self.reduced.is_none() {
            self.reduced = None;
            self.futile = 0;
            if sample.limited && self.rate <= 2.0 * used {
                self.grow(elapsed, round, queue);
            }
        }
        if let Some(loss) = self.losses.heavy(sample) {
            self.starting = false;
            self.rate *= 1.0 - loss / 2.0;
        }
        self.rate = self.rate.clamp(self.limits.least.bps() as f64, self.limits.most.bps() as f64);
    }

    fn handle_silence(&mut self) {
        self.rate = (self.rate / 2.0).max(self.limits.least.bps() as f64);
        self.starting = true;
        self.last = None;
    }
}

/// How much of the rate is used.
#[derive(Debug, Default)]
struct Usage {
    /// When this round began, and the bytes sent since.
    began: Time,
    bytes: u64,
    /// The rate at which the last whole round sent, in bits per second.
    last: f64,
}

impl Usage {
    /// The rate that was used in the last whole round.
    fn rate(&mut self, sample: &Sample, round: f64) -> f64 {
        self.bytes += sample.sent;
        let elapsed = sample.now.since(self.began).as_secs_f64();
        if elapsed >= round {
            self.last = self.bytes as f64 * 8.0 / elapsed;
            self.began = sample.now;
            self.bytes = 0;
        }
        self.last
    }
}

/// The base delay: the least relative one-way delay of the last ten seconds.
#[derive(Debug, Default)]
struct Base {
    /// The least delay of each of the last seconds that had samples, relative to `zero`, newest last.
    least: [Option<i32>; BASE_SECONDS],
    second: u64,
    /// The first sample, which all others are relative to, so that they do not wrap.
    zero: Option<u32>,
}

impl Base {
    /// Takes a delay and gives the part of it that is above the base, in seconds.
    fn queue(&mut self, now: Time, delay: u32) -> f64 {
        let zero = *self.zero.get_or_insert(delay);
        let delay = delay.wrapping_sub(zero) as i32;
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.least.rotate_left(1);
            self.least[BASE_SECONDS - 1] = None;
        }
        let newest = &mut self.least[BASE_SECONDS - 1];
        *newest = Some(newest.map_or(delay, |least| least.min(delay)));
        let base = self.least.iter().flatten().min().copied().unwrap_or(delay);
        f64::from(delay.saturating_sub(base)) / 1e6
    }
}

/// Whether losses are heavy and come from sending too fast.
///
/// The first heavy loss is answered with a lower rate. If the losses do not become fewer by that, they
/// are the path's own, and only what comes on top of them counts from then on.
#[derive(Debug, Default)]
struct LossTest {
    since: Time,
    expected: u32,
    lost: u32,
    /// The share of losses that are the path's own.
    own: f64,
    /// The share at which the rate was lowered, in the last window.
    answered: Option<f64>,
}

impl LossTest {
    /// The share of losses to answer now, if any.
    fn heavy(&mut self, sample: &Sample) -> Option<f64> {
        self.expected = self.expected.saturating_add(sample.expected);
        self.lost = self.lost.saturating_add(sample.lost);
        if sample.now.since(self.since) < LOSS_WINDOW || self.expected < LOSS_PACKETS {
            return None;
        }
        let loss = (f64::from(self.lost) / f64::from(self.expected)).min(1.0);
        self.since = sample.now;
        (self.expected, self.lost) = (0, 0);
        self.own = match self.answered.take() {
            Some(before) if loss > LOSS_KEPT * before => loss,
            _ => self.own.min(loss),
        };
        if loss <= self.own + LOSS_HEAVY {
            return None;
        }
        self.answered = Some(loss);
        Some(loss - self.own)
    }
}

/// Growth of the rate per round when there is no queue: doubles in 14 rounds, and exceeds the capacity
/// by no more than a twentieth when the queue begins.
const GAIN: f64 = 0.05;

/// The seconds in which a queue above the target is to be drained to half the target.
const DRAIN: f64 = 0.5;

/// The least and the most of the capacity that is left unused to drain a queue.
const DRAIN_SHARE: (f64, f64) = (0.1, 0.5);

/// The shortest round: feedback comes no faster.
const ROUND_MIN: Duration = Duration::from_millis(40);

/// Reductions without effect before the queue counts as somebody else's: they leave two thirds of the
/// rate at most, and a queue of our own would have become shorter.
const FUTILE_MAX: u32 = 4;

/// Memory of the base delay in seconds: long enough to see an empty queue, short enough to follow a
/// change of route.
const BASE_SECONDS: usize = 10;

/// Losses are judged over a second and over no fewer packets than this, which puts one standard error
/// of a share of 15 % at 5 %.
const LOSS_PACKETS: u32 = 50;

/// See [`LOSS_PACKETS`].
const LOSS_WINDOW: Duration = Duration::from_secs(1);

/// The share above the path's own losses that counts as heavy: three standard errors, and what a full
/// queue causes when the rate is a sixth too high.
const LOSS_HEAVY: f64 = 0.15;

/// Losses that keep this share of themselves after a reduction are not caused by the rate.
const LOSS_KEPT: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_with_pauses_prove_no_more_than_they_use() {
        // 40 kB every 40 ms are 8 Mbit/s, however fast they leave; doubling may pass twice that once.
        let mut controller = Delay::new(Limits::default());
        for tick in 1..=3000 {
            controller.handle_feedback(&Sample {
                now: Time::from_millis(20 * tick),
                delay: 20_000,
                round_trip: Duration::from_millis(40),
                expected: 20,
                lost: 0,
                sent: if tick % 2 == 0 { 40_000 } else { 0 },
                limited: true,
            });
        }
        assert!((12e6..=32e6).contains(&controller.rate), "{}", controller.rate);
    }
}
