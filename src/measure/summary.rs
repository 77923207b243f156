//! The summary of one trial: takes its records, gives its metrics.

use super::display::{Display, FrameCounts};
use super::fate::Fate;
use super::gaps::{Freezes, Spread};
use super::histogram::Times;
use super::input::Input;
use super::metrics::{GroupShare, Metrics, Value};
use super::packets::Packets;
use super::statistics::jain_index;
use crate::endpoint::Direction;
use crate::record::{Event, Record, Sink};
use crate::rng::Seed;
use crate::time::{Duration, Time};
use crate::units::Bitrate;

/// What a summary must know about the run.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureConfig {
    /// When the warm-up ends and the window begins.
    pub warm_up: Time,
    /// When captures and the window end, and the drain begins.
    pub duration: Time,
    /// When the drain and the run end.
    pub end: Time,
    /// The time between two display ticks.
    pub display: Duration,
    /// How many flows are the contender's sessions; flows from this number on are neighbors.
    pub sessions: u16,
    /// The nominal rate of the bottleneck down, where there is one.
    pub capacity: Option<Bitrate>,
    /// How many flows each group of neighbors has, one group's behind the other's.
    pub neighbours: Vec<u16>,
}

/// Makes the metrics of one trial from its records.
#[derive(Clone, Debug)]
pub struct Summary {
    config: MeasureConfig,
    sessions: Vec<Session>,
    packets: Packets,
    /// Application bytes that arrived in the window at each neighbor.
    neighbours: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Session {
    display: Display,
    input: Input,
}

impl Summary {
    /// A summary of nothing yet. The seed gives the displays their phases: the same for all contenders.
    pub fn new(config: MeasureConfig, seed: Seed) -> Self {
        let session =
            |flow| Session { display: Display::of_session(&config, seed, flow), input: Input::new() };
        let sessions: Vec<_> = (0..config.sessions).map(session).collect();
        let packets = Packets::new(config.warm_up, config.duration, sessions.len());
        let neighbours = vec![0; config.neighbours.iter().copied().map(usize::from).sum()];
        Self { config, sessions, packets, neighbours }
    }

    /// The run was ended at `at`, before its time: the window ends there, and there is no drain. What was
    /// under way then counts as unfinished.
    pub fn cut(&mut self, at: Time) {
        self.config.end = self.config.end.min(at);
        self.config.duration = self.config.duration.min(at);
        self.packets.cut(at);
        for session in &mut self.sessions {
            session.display.cut(at);
        }
    }

    /// The metrics, after the last record.
    pub fn finish(mut self) -> Metrics {
        for session in &mut self.sessions {
            session.display.finish(self.config.end);
            session.input.finish();
        }
        let mut metrics = Metrics::new();
        self.set_ages(&mut metrics);
        self.set_motion(&mut metrics);
        self.set_frames(&mut metrics);
        self.set_losses(&mut metrics);
        self.set_costs(&mut metrics);
        self.set_rates(&mut metrics);
        self.set_sharing(&mut metrics);
        metrics
    }

    fn set_ages(&self, metrics: &mut Metrics) {
        let ages = self.pooled(|session| session.display.ages());
        for (key, q) in [("age_p50_ms", 0.5), ("age_p95_ms", 0.95), ("age_p99_ms", 0.99)] {
            metrics.set(key, ages.quantile_ms(q, NO_PICTURE));
        }
        metrics.set("age_max_ms", ages.max_ms(NO_PICTURE));
        let own = self.sessions.iter().map(|session| session.display.ages().quantile_ms(0.99, NO_PICTURE));
        let worst = own.filter_map(Value::number).reduce(f64::max);
        metrics.set("worst_session_age_p99_ms", worst.map_or(Value::Absent(NO_PICTURE), Value::Number));
    }

    fn set_motion(&self, metrics: &mut Metrics) {
        let mut freezes = Freezes::default();
        let mut spread = Spread::default();
        for session in &self.sessions {
            let gaps = session.display.gaps();
            let own = gaps.freezes();
            freezes.count += own.count;
            freezes.total += own.total;
            freezes.longest = freezes.longest.max(own.longest);
            spread.add(gaps.spread());
        }
        let watched = self.window_secs() * self.sessions.len() as f64;
        if self.counts().captured > 0 {
            metrics.set("freeze_count", Value::Number(freezes.count as f64));
            metrics.set("freeze_longest_ms", Value::Number(freezes.longest.as_millis_f64()));
            metrics.set("frozen_pct", percent(freezes.total.as_secs_f64(), watched, EMPTY_WINDOW));
        } else {
            for key in ["freeze_count", "freeze_longest_ms", "frozen_pct"] {
                metrics.set(key, Value::Absent(NO_PICTURE));
            }
        }
        let unevenness = spread.deviation_ms();
        metrics.set(
            "motion_unevenness_ms",
            unevenness.map_or(Value::Absent("the screen changed less than twice"), Value::Number),
        );
        let sharp_after = self.pooled(|session| session.display.sharp_after());
        metrics.set("sharp_after_p95_ms", sharp_after.quantile_ms(0.95, "no area stood still for 500 ms"));
    }

    fn set_frames(&self, metrics: &mut Metrics) {
        let counts = self.counts();
        let share = |count: u64| percent(count as f64, counts.captured as f64, NO_PICTURE);
        metrics.set("frames_on_time_pct", share(counts.on_time));
        for (fate, count) in Fate::ALL.into_iter().zip(counts.fates) {
            metrics.set(fate_key(fate), share(count));
        }
        let delays = self.pooled(|session| session.display.delays());
        let quantiles =
            [("frame_delay_p50_ms", 0.5), ("frame_delay_p95_ms", 0.95), ("frame_delay_p99_ms", 0.99)];
        for (key, q) in quantiles {
            metrics.set(key, delays.quantile_ms(q, NO_PICTURE));
        }
        let input = self.pooled(|session| session.input.delay());
        metrics.set("keys_delay_p95_ms", input.quantile_ms(0.95, "no input was captured"));
    }

    fn set_losses(&self, metrics: &mut Metrics) {
        const NOTHING_SENT: &str = "no packet was sent";
        let loss = self.packets.loss;
        let share = |count: u64| percent(count as f64, loss.sent as f64, NOTHING_SENT);
        metrics.set("network_loss_pct", share(loss.random + loss.queue));
        metrics.set("network_loss_random_pct", share(loss.random));
        metrics.set("network_loss_queue_pct", share(loss.queue));
        metrics.set("network_marked_pct", share(loss.marked));
        let runs = loss.in_runs - loss.following;
        metrics.set("loss_burst_mean", ratio(loss.in_runs as f64, runs as f64, "no packet was lost"));
        let residual = percent(loss.sources_lost as f64, loss.sources as f64, "no source packet was sent");
        metrics.set("residual_loss_pct", residual);
        let recovery = &self.packets.recovery_delay;
        for (key, q) in [("recovery_delay_p50_ms", 0.5), ("recovery_delay_p95_ms", 0.95)] {
            metrics.set(key, recovery.quantile_ms(q, "no source packet was recovered by repair packets"));
        }
        let queue = &self.packets.queue_delay;
        for (key, q) in [("queue_delay_p50_ms", 0.5), ("queue_delay_p95_ms", 0.95)] {
            metrics.set(key, queue.quantile_ms(q, "no packet was delivered"));
        }
        let (sum, count) = self.packets.jitter;
        metrics
            .set("interarrival_jitter_ms", ratio(sum * 1e3, count as f64, "no source packet was delivered"));
    }

    fn set_costs(&self, metrics: &mut Metrics) {
        let bytes = self.packets.bytes;
        let over_source = |total: u64| {
            let source = bytes.source as f64;
            percent(total as f64 - source, source, "no source packet was sent")
        };
        metrics.set("repair_overhead_pct", over_source(bytes.payload));
        metrics.set("wire_overhead_pct", over_source(bytes.wire));
        metrics.set("feedback_bps", self.rate(bytes.feedback));
    }

    fn set_rates(&self, metrics: &mut Metrics) {
        let counts = self.counts();
        metrics.set("offered_rate_bps", self.rate(counts.captured_bytes));
        metrics.set("source_rate_bps", self.rate(counts.delivered_bytes));
        metrics.set("goodput_bps", self.rate(self.packets.goodput_bytes().sum()));
        let used = match (self.config.capacity, self.rate(self.packets.bytes.delivered_down)) {
            (None, _) => Value::Absent("the path down has no bottleneck"),
            (Some(_), Value::Absent(reason)) => Value::Absent(reason),
            (Some(capacity), Value::Number(rate)) => {
                percent(rate, capacity.bps() as f64, "the bottleneck's rate is 0")
            }
        };
        metrics.set("capacity_used_pct", used);
        metrics.set("jain_index", fairness(self.packets.goodput_bytes()));
    }

    /// What the neighbors had, each group and all together.
    fn set_sharing(&self, metrics: &mut Metrics) {
        if self.neighbours.is_empty() {
            const NONE: &str = "there is no neighbour";
            metrics.set("neighbour_goodput_bps", Value::Absent(NONE));
            metrics.set("path_jain_index", Value::Absent(NONE));
            return;
        }
        metrics.set("neighbour_goodput_bps", self.rate(self.neighbours.iter().sum()));
        let all = self.packets.goodput_bytes().chain(self.neighbours.iter().copied());
        metrics.set("path_jain_index", fairness(all));
        let mut rest = &self.neighbours[..];
        for &count in &self.config.neighbours {
            let (group, behind) = rest.split_at(usize::from(count));
            rest = behind;
            metrics.add_neighbours(GroupShare {
                goodput_bps: self.rate(group.iter().sum()),
                jain_index: fairness(group.iter().copied()),
            });
        }
    }

    /// Takes a record of a neighbor, the `place`-th of all.
    fn record_neighbour(&mut self, place: usize, record: &Record) {
        let Some(goodput) = self.neighbours.get_mut(place) else { return };
        if let Event::SourceArrived { bytes, .. } = record.event
            && record.direction == Direction::Down
            && self.config.warm_up <= record.at
            && record.at < self.config.duration
        {
            *goodput += u64::from(bytes);
        }
    }

    fn pooled(&self, times: impl Fn(&Session) -> &Times) -> Times {
        let mut pooled = Times::new();
        for session in &self.sessions {
            pooled.add(times(session));
        }
        pooled
    }

    fn counts(&self) -> FrameCounts {
        let mut sum = FrameCounts::default();
        for session in &self.sessions {
            let own = session.display.counts();
            sum.captured += own.captured;
            sum.on_time += own.on_time;
            sum.captured_bytes += own.captured_bytes;
            sum.delivered_bytes += own.delivered_bytes;
            for (sum, own) in sum.fates.iter_mut().zip(own.fates) {
                *sum += own;
            }
        }
        sum
    }

    fn window_secs(&self) -> f64 {
        self.config.duration.since(self.config.warm_up).as_secs_f64()
    }

    /// Bytes of the window in bits per second.
    fn rate(&self, bytes: u64) -> Value {
        ratio(bytes as f64 * 8.0, self.window_secs(), EMPTY_WINDOW)
    }
}

impl Sink for Summary {
    fn record(&mut self, record: &Record) {
        let flow = usize::from(record.flow.0);
        let Some(session) = self.sessions.get_mut(flow) else {
            return self.record_neighbour(flow - self.sessions.len(), record);
        };
        let at = record.at;
        match (record.direction, record.event) {
            (Direction::Down, event) if session.display.handle(at, &event) => {}
            (Direction::Up, Event::FrameCaptured { frame, deadline, regions, .. }) => {
                let counts = self.config.warm_up <= at && at < self.config.duration;
                if counts && regions.is_empty() && deadline < Time::NEVER {
                    session.input.capture(frame, at);
                }
            }
            (Direction::Up, Event::FrameDecoded { frame }) => session.input.decode(frame, at),
            _ => self.packets.record(record),
        }
    }
}

/// The metric that holds a fate's share.
fn fate_key(fate: Fate) -> &'static str {
    match fate {
        Fate::Shown => "frames_shown_pct",
        Fate::Superseded => "frames_superseded_pct",
        Fate::Undecodable => "frames_undecodable_pct",
        Fate::Unrepairable => "frames_unrepairable_pct",
        Fate::Late => "frames_late_pct",
        Fate::NeverSent => "frames_never_sent_pct",
        Fate::Unfinished => "frames_unfinished_pct",
    }
}

/// Jain's index of what sessions received.
fn fairness(bytes: impl Iterator<Item = u64>) -> Value {
    let shares: Vec<f64> = bytes.map(|bytes| bytes as f64).collect();
    if shares.len() < 2 {
        return Value::Absent("there is only one session");
    }
    jain_index(&shares).map_or(Value::Absent("no session received anything"), Value::Number)
}

fn ratio(part: f64, whole: f64, none: &'static str) -> Value {
    if whole > 0.0 { Value::Number(part / whole) } else { Value::Absent(none) }
}

fn percent(part: f64, whole: f64, none: &'static str) -> Value {
    ratio(100.0 * part, whole, none)
}

const NO_PICTURE: &str = "no frame of a picture was captured";
const EMPTY_WINDOW: &str = "the window has no length";

#[cfg(test)]
mod tests;
