//! PIE: drops what comes with a probability that a controller adapts to how long packets wait.
//!
//! Source: RFC 8033, sections 4 and 5; tc-pie(8) for names and defaults.
//!
//! | | RFC 8033 | Linux | here |
//! | --- | --- | --- | --- |
//! | how long packets wait | from a measured rate, or from timestamps | the last packet sent, by its timestamp | as Linux |
//! | randomness | uniform; derandomized (section 5.4) in cable modems | derandomized | as Linux |
//! | burst allowance | reduced with every update | reduced by the time between packets sent | as Linux |
//! | start | off until a third of the queue is full (section 5.3, optional) | always on | as Linux |
//! | congestion marks | while the probability is at most 10 % | the same | the same |
//! | first update | not said | 500 ms after the queue is made | one period after the start |

use std::fmt::Debug;

use crate::record::DropReason;
use crate::rng::Stream;
use crate::time::{Duration, Time};

use super::super::config::PieConfig;
use super::super::{Backlog, Meta, Queued};
use super::{Discipline, Drops, Fifo, mark};

/// How long a burst passes untouched after the queue has been short (MAX_BURST, section 4.4).
const BURST: Duration = Duration::from_millis(150);
/// A wait longer than this raises the probability faster (appendices A and B).
const LONG_WAIT: Duration = Duration::from_millis(250);
/// The most that the probability rises in one update, where it is at least a tenth; and what a long wait
/// adds.
const STEP: f64 = 0.02;
/// Above this probability packets are dropped that could be marked (section 5.1).
const MARK_MAX: f64 = 0.1;

/// One queue under PIE.
#[derive(Clone, Debug)]
pub struct Pie<P> {
    fifo: Fifo<P>,
    config: PieConfig,
    /// A queue shorter than this is left alone.
    spared_bytes: u64,
    luck: Stream,
    update_at: Time,
    controller: Controller,
    /// The probabilities of all packets since the last drop, added up (section 5.4).
    accumulated: f64,
    sent_at: Option<Time>,
}

/// What the probability follows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Controller {
    probability: f64,
    /// How long the last packet sent had waited; as of the last update, too.
    wait: Duration,
    wait_before: Duration,
    burst_left: Duration,
}

impl<P> Pie<P> {
    /// An empty queue for packets of up to `mtu` bytes, whose luck comes from `luck`.
    pub fn new(config: &PieConfig, mtu: u32, luck: Stream) -> Self {
        let controller = Controller {
            probability: 0.0,
            wait: Duration::ZERO,
            wait_before: Duration::ZERO,
            burst_left: BURST,
        };
        Self {
            fifo: Fifo::new(),
            config: *config,
            spared_bytes: 2 * u64::from(mtu),
            luck,
            update_at: Time::ZERO + config.update,
            controller,
            accumulated: 0.0,
            sent_at: None,
        }
    }

    /// Does the updates that are due. Nothing that they look at changes between two packets, so they need
    /// no timer.
    fn update(&mut self, now: Time) {
        while self.update_at <= now {
            let before = self.controller;
            let waits = self.fifo.bytes > 0;
            if self.controller.update(&self.config, waits) {
                (self.sent_at, self.accumulated) = (None, 0.0);
            }
            self.update_at += self.config.update;
            if self.controller == before && self.update_at <= now {
                // So would all the others that are due be.
                let missed = now.since(self.update_at).as_nanos() / self.config.update.as_nanos();
                self.update_at += self.config.update * (missed + 1);
            }
        }
    }

    /// Whether a packet that comes is to be dropped or marked (sections 4.1 and 5.4).
    fn strikes(&mut self, meta: &Meta) -> bool {
        let Controller { probability, wait, burst_left, .. } = self.controller;
        let calm = wait < self.config.target / 2 && probability < 0.2;
        if !burst_left.is_zero() || calm || self.fifo.bytes < self.spared_bytes {
            return false;
        }
        self.accumulated = if probability > 0.0 { self.accumulated + probability } else { 0.0 };
        if self.accumulated < 0.85 {
            return false;
        }
        self.accumulated >= 8.5 || self.luck.unit(meta.key()) < probability
    }
}

impl<P: Debug> Discipline<P> for Pie<P> {
    fn enqueue(&mut self, now: Time, mut packet: Queued<P>, drops: &mut Drops<P>) {
        self.update(now);
        if self.fifo.packets.len() >= self.config.limit {
            self.accumulated = 0.0;
            drops.push((packet, DropReason::QueueFull));
        } else if self.strikes(&packet.meta) {
            self.accumulated = 0.0;
            if self.config.ecn && self.controller.probability <= MARK_MAX && mark(&mut packet) {
                self.fifo.push(packet);
            } else {
                drops.push((packet, DropReason::QueueManaged));
            }
        } else {
            self.fifo.push(packet);
        }
    }

    fn dequeue(&mut self, now: Time, _: &mut Drops<P>) -> Option<Queued<P>> {
        self.update(now);
        let packet = self.fifo.pop()?;
        let waits = self.fifo.bytes > 0;
        self.controller.wait = if waits { now.since(packet.entered) } else { Duration::ZERO };
        let since = self.sent_at.replace(now).map_or(Duration::ZERO, |last| now.since(last));
        self.controller.burst_left = self.controller.burst_left.saturating_sub(since);
        Some(packet)
    }

    fn backlog(&self) -> Backlog {
        self.fifo.backlog()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Meta)) {
        self.fifo.for_each(visit);
    }
}

impl Controller {
    /// One update of the probability (section 4.2). True where the queue has been short for two of them
    /// and bursts are allowed afresh (section 4.4).
    fn update(&mut self, config: &PieConfig, waits: bool) -> bool {
        let (wait, before) = (self.wait.as_secs_f64(), self.wait_before.as_secs_f64());
        let scale = self.scale() / 16.0;
        let mut change = scale * f64::from(config.alpha) * (wait - config.target.as_secs_f64())
            + scale * f64::from(config.beta) * (wait - before);
        if change > STEP && self.probability >= 0.1 {
            change = STEP;
        }
        if self.wait > LONG_WAIT {
            change += STEP;
        }
        self.probability = (self.probability + change).clamp(0.0, 1.0);
        if self.wait.is_zero() && self.wait_before.is_zero() && !waits {
            self.probability -= self.probability / 64.0;
        }
        let half = config.target / 2;
        let short = self.probability == 0.0 && self.wait < half && self.wait_before < half;
        self.wait_before = self.wait;
        if short {
            self.burst_left = BURST;
        }
        short
    }

    /// How strongly the probability reacts: less where it is small, or it would swing (section 4.2).
    fn scale(&self) -> f64 {
        let mut scale = 1.0;
        if self.probability < 0.1 {
            scale /= 2.0;
        }
        let mut below = 0.01;
        while below >= 0.9e-6 && self.probability < below {
            scale /= 4.0;
            below /= 10.0;
        }
        scale
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::waiting;
    use super::*;
    use crate::endpoint::Ecn;
    use crate::rng::Seed;

    const MS: Duration = Duration::from_millis(1);

    fn pie(config: PieConfig) -> Pie<()> {
        Pie::new(&config, 1500, Seed(1).stream("test"))
    }

    fn controller(probability: f64, wait: u64, wait_before: u64) -> Controller {
        Controller { probability, wait: MS * wait, wait_before: MS * wait_before, burst_left: Duration::ZERO }
    }

    #[test]
    fn the_probability_follows_the_controller_of_the_rfc() {
        let config = PieConfig::default();
        // RFC 8033, section 4.2: p += α (wait − target) + β (wait − wait before), α = 1/8 and β = 5/4 per
        // second, both scaled down by the size of p.
        for (p, scale) in [
            (0.0, 1.0 / 2048.0),
            (5e-6, 1.0 / 512.0),
            (5e-5, 1.0 / 128.0),
            (5e-4, 1.0 / 32.0),
            (5e-3, 1.0 / 8.0),
            (0.05, 1.0 / 2.0),
            (0.5, 1.0),
        ] {
            let mut one = controller(p, 25, 20);
            one.update(&config, true);
            let expected = p + scale * (0.125 * 0.010 + 1.25 * 0.005);
            assert!((one.probability - expected).abs() < 1e-12, "{p}: {} {expected}", one.probability);
            assert_eq!(one.wait_before, MS * 25);
        }
    }

    #[test]
    fn steps_are_bounded_and_long_waits_raise_it_faster() {
        let config = PieConfig::default();
        let updated = |p, wait, before, waits| {
            let mut one = controller(p, wait, before);
            one.update(&config, waits);
            one.probability
        };
        assert!((updated(0.2, 200, 0, true) - 0.22).abs() < 1e-12, "at most 2 % a step");
        assert!((updated(0.2, 300, 0, true) - 0.24).abs() < 1e-12, "and 2 % more beyond 250 ms");
        assert_eq!(updated(0.999, 300, 0, true), 1.0);
        assert_eq!(updated(0.0, 0, 0, true), 0.0);
        // An idle queue forgets: the controller's own step, and a 64th of what is left.
        let own = 0.5 - 0.125 * 0.015;
        assert!((updated(0.5, 0, 0, false) - own * 63.0 / 64.0).abs() < 1e-12);
        assert!((updated(0.5, 0, 0, true) - own).abs() < 1e-12);
    }

    /// Offers a packet each millisecond to a queue that sends one every two, from `from` for `turns`: the
    /// turns at which packets were dropped, and marked.
    fn overload(pie: &mut Pie<()>, ecn: Ecn, from: Time, turns: u64) -> (Vec<u64>, Vec<u64>) {
        let (mut dropped, mut marked) = (Vec::new(), Vec::new());
        for turn in 0..turns {
            let now = from + MS * turn;
            let mut drops = Vec::new();
            pie.enqueue(now, waiting(now, 0, turn, 1500, ecn), &mut drops);
            if let Some((_, reason)) = drops.pop() {
                assert_eq!(reason, DropReason::QueueManaged);
                dropped.push(turn);
            } else if pie.fifo.packets.back().unwrap().transmit.ecn == Ecn::Ce {
                marked.push(turn);
            }
            if turn % 2 == 0 {
                pie.dequeue(now, &mut Vec::new());
            }
        }
        (dropped, marked)
    }

    #[test]
    fn a_burst_passes_and_a_standing_queue_does_not() {
        let mut pie = pie(PieConfig::default());
        let (dropped, _) = overload(&mut pie, Ecn::NotEct, Time::from_secs(1), 20_000);
        assert!(dropped[0] > 150, "no drop within the burst allowance, but at {}", dropped[0]);
        // Half of what comes is too much: in the long run half of it is dropped.
        let late = dropped.iter().filter(|&&turn| turn >= 10_000).count();
        assert!((4_700..5_300).contains(&late), "{late} of 10000");
        let wait = pie.controller.wait.as_millis_f64();
        assert!((5.0..40.0).contains(&wait), "{wait} ms where the target is 15");
    }

    #[test]
    fn marks_replace_drops_while_the_probability_is_small() {
        let mut pie = pie(PieConfig { ecn: true, ..PieConfig::default() });
        let (dropped, marked) = overload(&mut pie, Ecn::Ect0, Time::from_secs(1), 20_000);
        assert!(marked[0] < dropped[0], "{marked:?}");
        let last = *marked.last().unwrap();
        assert!(last < 5_000, "marks do not relieve this queue: above 10 % it drops, but {last} was marked");
    }

    #[test]
    fn updates_that_were_missed_are_those_that_would_have_been() {
        let overloaded = || {
            let mut pie = pie(PieConfig::default());
            overload(&mut pie, Ecn::NotEct, Time::from_secs(1), 2_000);
            while pie.dequeue(Time::from_secs(3), &mut Vec::new()).is_some() {}
            pie
        };
        let (mut often, mut once) = (overloaded(), overloaded());
        let end = Time::from_secs(500);
        for second in 3..=500 {
            often.update(Time::from_secs(second));
        }
        once.update(end);
        assert_eq!((often.controller, often.update_at), (once.controller, once.update_at));
        assert_eq!(once.controller.burst_left, BURST);
        assert!(once.update_at > end && once.update_at <= end + once.config.update);
    }

    #[test]
    fn a_full_queue_drops_what_comes() {
        let mut pie = pie(PieConfig { limit: 2, ..PieConfig::default() });
        let mut drops = Vec::new();
        for index in 0..3 {
            pie.enqueue(Time::ZERO, waiting(Time::ZERO, 0, index, 1500, Ecn::NotEct), &mut drops);
        }
        assert_eq!((drops.len(), drops[0].1), (1, DropReason::QueueFull));
    }
}
