//! A rate that follows the path's capacity and keeps its queue short.
//!
//! The receiver reports the dispersion of packet trains: how far apart packets arrive that left back to
//! back, as fast as the rate allowed. That is the rate of the slowest hop, whether packets are lost or
//! not, and even a single large frame tells it, so an application that is idle most of the time needs no
//! padding to be measured. The largest of the last [`ROUNDS`] rounds is the capacity C; with q the least
//! queueing delay of a round and T its target:
//!
//! | phase | rate | until |
//! | --- | --- | --- |
//! | up | C × 2 at the start; later C × 1.25, and faster with every round that shows growth | C stops growing, or q > T/2 |
//! | down | C × 0.75 | q ≤ T/4, or [`DOWN_ROUNDS`] rounds |
//! | cruise | C; less where q > T | [`CRUISE_ROUNDS`] rounds |
//!
//! A mark of congestion (ECN-CE) says what q > T/2 says, before the queue is that long: it ends a search, and
//! the rate goes down.
//!
//! Where q > 2T for two rounds, C becomes what arrived in the last one. Where it stands for two round
//! trips without any trains, C becomes 0.85 of what was sent meanwhile (GCC's decrease).
//!
//! A round is a round trip's worth of trains, so that time counts only while the rate holds something
//! back: an application that sends little proves nothing, and a rate once reached is kept over idle times
//! (RFC 7661). Sources: BBR's cycle and filter (Cardwell et al., ACM Queue 2016), packet trains (Jain and
//! Routhier 1986), the delay target of SCReAM (RFC 8298 §4.1) and the base delay of LEDBAT (RFC 6817
//! §3.4.2), the rules for UDP of RFC 8085 §3.1 and the circuit breakers of RFC 8083.
//!
//! | differs | there | here |
//! | --- | --- | --- |
//! | delivery rate | BBR: what is acknowledged per time | the dispersion of trains, which losses do not change |
//! | queue | BBR: a window of two bandwidth-delay products | a target for the queueing delay |
//! | losses | SCReAM: each one halves; GCC: 10 % reduce | radio links lose 5 to 20 % without a queue, so only heavy losses count, and they count only if a lower rate makes them fewer |
//! | marks | SCReAM: the window falls to 0.9 of itself, once a round trip | the rate falls to [`DOWN`] of C, once a round, until the queue is gone; C is measured, and stays |
//! | a queue that others fill | SCReAM, GCC raise their target | the target follows it slowly, see [`Target`] |

use std::collections::VecDeque;

use crate::time::{Duration, Time};
use crate::units::Bitrate;

use super::{Controller, Sample, Train};

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
    /// never below 150 kbit/s (GCC's floor for video is of that order); targets 30 ms, half of
    /// SCReAM's: jitter of a few milliseconds must not look like a queue, and a deadline of 100 ms must
    /// be kept.
    fn default() -> Self {
        Self {
            start: Bitrate::from_bps(2_000_000),
            least: Bitrate::from_bps(150_000),
            most: Bitrate::from_bps(1_000_000_000),
            target: Duration::from_millis(30),
        }
    }
}

/// The controller.
#[derive(Debug)]
pub(super) struct Delay {
    limits: Limits,
    /// Bits per second.
    rate: f64,
    phase: Phase,
    round: Round,
    /// How many rounds have ended.
    rounds: u64,
    /// The rates of the last rounds that no later round exceeded, with their round, largest first.
    peaks: VecDeque<(u64, f64)>,
    target: Target,
    /// Consecutive rounds with a queue of twice the target.
    severe: u32,
    standing: Option<Standing>,
    losses: LossTest,
}

/// A queue of more than twice the target that does not go away.
#[derive(Clone, Copy, Debug)]
struct Standing {
    since: Time,
    samples: u32,
    /// Bytes that had been sent at its beginning.
    sent: u64,
}

/// What the rate is trying.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Whether the path takes more than the capacity known.
    Up {
        /// By how much more.
        gain: f64,
        /// Rounds in which it did not.
        stalled: u32,
    },
    /// To drain the queue.
    Down {
        /// Rounds left.
        left: u32,
    },
    /// Nothing.
    Cruise {
        /// Rounds left.
        left: u32,
    },
}

/// The trains of the current round.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    bytes: u64,
    time: Duration,
    /// The least queueing delay, in seconds.
    queue: Option<f64>,
}

impl Delay {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            rate: limits.start.bps() as f64,
            phase: START,
            round: Round::default(),
            rounds: 0,
            peaks: VecDeque::new(),
            target: Target { now: limits.target.as_secs_f64(), adapted: Time::ZERO },
            severe: 0,
            standing: None,
            losses: LossTest::default(),
        }
    }

    /// The capacity of the path, in bits per second, as far as it is known.
    fn capacity(&self) -> f64 {
        self.peaks.front().map_or(self.limits.start.bps() as f64, |&(_, peak)| peak)
    }

    /// Takes the rate of a round into the filter of the largest.
    fn note(&mut self, measured: f64) {
        self.rounds += 1;
        while self.peaks.back().is_some_and(|&(_, peak)| peak <= measured) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((self.rounds, measured));
        while self.peaks.front().is_some_and(|&(round, _)| round + ROUNDS <= self.rounds) {
            self.peaks.pop_front();
        }
    }

    /// Forgets what the path once carried.
    fn forget(&mut self, capacity: f64) {
        self.peaks.clear();
        self.peaks.push_back((self.rounds, capacity));
    }

    /// A round trip's worth of trains has arrived, with this rate and this queueing delay.
    fn end_round(&mut self, measured: f64, queue: f64) {
        let target = self.target.now;
        let before = self.capacity();
        // Trains cannot arrive faster than they left; where they seem to, something held them up.
        self.note(measured.min(self.rate));
        self.severe = if queue > 2.0 * target { self.severe + 1 } else { 0 };
        if self.severe == SEVERE_ROUNDS {
            self.severe = 0;
            self.forget(measured.min(before));
        }
        self.standing = None;
        self.phase = self.next_phase(self.capacity() > before * GROWTH, queue, target);
        self.set_rate(queue, target);
    }

    fn next_phase(&self, grew: bool, queue: f64, target: f64) -> Phase {
        match self.phase {
            Phase::Up { .. } if queue > target / 2.0 => Phase::Down { left: DOWN_ROUNDS },
            Phase::Up { gain, .. } if grew => Phase::Up { gain: (gain * PROBE).min(GAIN_MAX), stalled: 0 },
            Phase::Up { gain, stalled } if stalled + 1 < STALLED_ROUNDS => {
                Phase::Up { gain, stalled: stalled + 1 }
            }
            Phase::Up { .. } => Phase::Down { left: 1 },
            Phase::Down { left } if left > 1 && queue > target / 4.0 => Phase::Down { left: left - 1 },
            Phase::Down { .. } => Phase::Cruise { left: CRUISE_ROUNDS },
            Phase::Cruise { .. } if queue > target => Phase::Down { left: DOWN_ROUNDS },
            Phase::Cruise { left } if left > 1 => Phase::Cruise { left: left - 1 },
            Phase::Cruise { .. } => Phase::Up { gain: PROBE, stalled: 0 },
        }
    }

    /// Notes how long the queue has been too long while the rate held nothing back, so that no round
    /// ended: many senders together can fill a queue that no rate of theirs limits. Once it has stood for
    /// two round trips, less is sent than was.
    fn watch_queue(&mut self, sample: &Sample, queue: f64) {
        let target = self.target.now;
        if queue <= 2.0 * target {
            self.standing = None;
            return;
        }
        let begin = Standing { since: sample.now, samples: 0, sent: sample.sent };
        let standing = *self.standing.insert({
            let standing = self.standing.unwrap_or(begin);
            Standing { samples: standing.samples + 1, ..standing }
        });
        let stood = sample.now.since(standing.since);
        if stood < sample.round_trip.max(ROUND_MIN) * 2 || standing.samples < STANDING_SAMPLES {
            return;
        }
        let sent = (sample.sent - standing.sent) as f64 * 8.0 / stood.as_secs_f64();
        self.standing = None;
        self.forget(self.rate.min(sent) * STANDING_SHARE);
        self.phase = Phase::Cruise { left: CRUISE_ROUNDS };
        self.set_rate(queue, target);
    }

    fn set_rate(&mut self, queue: f64, target: f64) {
        let gain = match self.phase {
            Phase::Up { gain, .. } => gain,
            Phase::Down { .. } => DOWN,
            Phase::Cruise { .. } => 1.0,
        };
        // A queue of three targets halves the rate.
        let excess = (queue / target - 1.0).clamp(0.0, 2.0) / 4.0;
        let (least, most) = (self.limits.least.bps() as f64, self.limits.most.bps() as f64);
        self.rate = (self.capacity() * gain * (1.0 - excess)).clamp(least, most);
    }
}

impl Controller for Delay {
    fn rate(&self) -> Option<Bitrate> {
        Some(Bitrate::from_bps_f64(self.rate))
    }

    fn handle_feedback(&mut self, sample: &Sample) {
        let queue = sample.queue.as_secs_f64();
        if let Some(loss) = self.losses.heavy(sample) {
            self.forget(self.capacity() * (1.0 - loss / 2.0));
            self.phase = Phase::Cruise { left: CRUISE_ROUNDS };
            self.set_rate(queue, self.target.now);
        }
        if sample.marked > 0 && !matches!(self.phase, Phase::Down { .. }) {
            self.phase = Phase::Down { left: DOWN_ROUNDS };
            self.set_rate(queue, self.target.now);
        }
        self.target.adapt(sample.now, queue, self.limits.target.as_secs_f64());
        self.watch_queue(sample, queue);
        self.round.add(&sample.train, queue);
        let round = self.round;
        if round.time >= sample.round_trip.max(ROUND_MIN)
            && let Some(queue) = round.queue
        {
            self.round = Round::default();
            let measured = round.bytes as f64 * 8.0 / round.time.as_secs_f64();
            self.end_round(measured, queue);
        }
    }

    fn handle_silence(&mut self) {
        self.forget((self.rate / 2.0).max(self.limits.least.bps() as f64));
        self.rate = self.capacity();
        self.phase = START;
        self.round = Round::default();
    }
}

/// The queueing delay to stay below, in seconds. It follows a queue that stays longer, slowly, because
/// then others keep it so and would leave nothing to who waits for it to go (GCC adapts its threshold
/// for the same reason), and comes back down even more slowly.
#[derive(Clone, Copy, Debug)]
struct Target {
    now: f64,
    adapted: Time,
}

impl Target {
    fn adapt(&mut self, now: Time, queue: f64, least: f64) {
        let elapsed = now.since(self.adapted).as_secs_f64().min(TARGET_STEP_MAX);
        self.adapted = now;
        let follows_in = if queue > self.now { TARGET_RISES_IN } else { TARGET_FALLS_IN };
        self.now = (self.now + (queue - self.now) * elapsed / follows_in).clamp(least, TARGET_MAX);
    }
}

impl Round {
    fn add(&mut self, train: &Train, queue: f64) {
        if train.bytes > 0 {
            self.bytes += u64::from(train.bytes);
            self.time += train.time;
            self.queue = Some(self.queue.map_or(queue, |least| least.min(queue)));
        }
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

/// How the first search begins.
const START: Phase = Phase::Up { gain: GAIN_MAX, stalled: 0 };

/// By how much the rate exceeds the capacity known at the most: slow start's doubling.
const GAIN_MAX: f64 = 2.0;

/// By how much a later search exceeds the capacity at first, enough to see growth through the noise, and
/// by what it goes on faster with every round that shows growth.
const PROBE: f64 = 1.25;

/// The share of the capacity that is sent to drain a queue.
const DOWN: f64 = 0.75;

/// Rounds that the filter of the largest rate remembers: longer than a cycle.
const ROUNDS: u64 = 12;

/// How long a time down lasts at the most: a queue of a round trip is gone after it.
const DOWN_ROUNDS: u32 = 4;

/// Rounds between a time down and the next search.
const CRUISE_ROUNDS: u32 = 4;

/// A search ends after this many rounds without growth: what was sent at a higher rate is seen a round
/// trip later at the earliest.
const STALLED_ROUNDS: u32 = 3;

/// Growth of the capacity known that makes a search go on; half of what a probe would show.
const GROWTH: f64 = 1.1;

/// A queue of twice the target for so many rounds means that the path has become slower, and the filter
/// of the largest rate must not remember otherwise.
const SEVERE_ROUNDS: u32 = 2;

/// How fast the target follows a longer queue, in seconds: slower than our own queues go away.
const TARGET_RISES_IN: f64 = 6.0;

/// How fast it comes back, in seconds: slower than the cycles of a loss-based sender.
const TARGET_FALLS_IN: f64 = 10.0;

/// The longest time between two samples that counts, in seconds: a lone one says little.
const TARGET_STEP_MAX: f64 = 0.1;

/// The longest target, in seconds: longer queues serve nobody's deadline.
const TARGET_MAX: f64 = 0.3;

/// Samples that a standing queue takes: the jitter of fewer could look like one.
const STANDING_SAMPLES: u32 = 4;

/// The share of what was sent that is sent after a queue has stood (GCC's decrease).
const STANDING_SHARE: f64 = 0.85;

/// The shortest round: shorter trains tell more of jitter than of the path.
const ROUND_MIN: Duration = Duration::from_millis(20);

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
