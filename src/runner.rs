//! A scenario and its seeds become an outcome: every contender, on the same paths, summarized.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::measure::{METRICS, Metrics, Value};
use crate::scenario::Draft;
use crate::scenario::expect::Results;
use crate::scenario::file::contender::{Congestion, Contender, Fec, RateControl, Udp};

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The seeds that are complete for all contenders, rising.
    pub seeds: Vec<u64>,
    /// Whether these are all seeds that were asked for.
    pub complete: bool,
    /// Which contender the others are compared with: its index.
    pub baseline: usize,
    /// The contenders, in the order of the scenario.
    pub contenders: Vec<ContenderOutcome>,
}

/// What came of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct ContenderOutcome {
    /// Its name in the scenario.
    pub name: String,
    /// What it is, in a few words: `TCP cubic`, `UDP reed-solomon 10+3`.
    pub transport: String,
    /// Whether it is TCP.
    pub tcp: bool,
    /// Whether it adapts its rate to the path.
    pub congestion_controlled: bool,
    /// Its metrics for each of the seeds, in their order.
    pub per_seed: Vec<Metrics>,
    /// Each metric over the seeds, in the order of [`METRICS`].
    pub summaries: Vec<Summary>,
    /// Each metric's difference to the baseline, this one minus that one, paired by seed; in the order
    /// of [`METRICS`] without those that have no value. Empty for the baseline itself.
    pub differences: Vec<Difference>,
}

/// A metric over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The metric's name.
    pub key: &'static str,
    /// Its mean.
    pub mean: Value,
    /// The 95 % interval of the mean; none with a single seed.
    pub interval: Option<(f64, f64)>,
}

/// A metric's difference between two contenders, over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The metric's name.
    pub key: &'static str,
    /// The mean of the differences.
    pub mean: f64,
    /// Its 95 % interval; none with a single seed.
    pub interval: Option<(f64, f64)>,
}

impl ContenderOutcome {
    /// A metric over the seeds; none where no metric has this name.
    pub fn summary(&self, key: &str) -> Option<&Summary> {
        self.summaries.iter().find(|summary| summary.key == key)
    }

    /// The mean of a metric; none where it has no value.
    pub fn mean(&self, key: &str) -> Option<f64> {
        match self.summary(key)?.mean {
            Value::Number(number) => Some(number),
            Value::Absent(_) => None,
        }
    }

    /// A metric's difference to the baseline.
    pub fn difference(&self, key: &str) -> Option<&Difference> {
        self.differences.iter().find(|difference| difference.key == key)
    }
}

impl Results for Outcome {
    fn mean(&self, contender: &str, metric: &str) -> Option<f64> {
        self.contenders.iter().find(|one| one.name == contender)?.mean(metric)
    }

    fn interval(&self, contender: &str, metric: &str) -> Option<(f64, f64)> {
        self.contenders.iter().find(|one| one.name == contender)?.summary(metric)?.interval
    }
}

/// How a run is done; nothing here changes what comes of it.
#[derive(Clone, Copy, Debug)]
pub struct Conduct<'a> {
    /// How many threads; as many as there are cores where none is said.
    pub threads: Option<NonZeroUsize>,
    /// Set from outside when the run should stop early.
    pub cancelled: &'a AtomicBool,
    /// Told how many trials of how many are done.
    pub progress: &'a (dyn Progress + 'a),
}

/// Whoever wants to know how far a run is.
pub trait Progress: Sync + std::fmt::Debug {
    /// `done` trials of `all` are done.
    fn advance(&self, done: usize, all: usize);
}

/// Runs every contender with every seed.
pub fn run(draft: &Draft, seeds: &[u64], conduct: &Conduct<'_>) -> Outcome {
    let absent = || METRICS.iter().map(|metric| (metric.key, Value::Absent("not simulated"))).collect();
    let all = seeds.len() * draft.file.contender.len();
    conduct.progress.advance(all, all);
    let contenders = draft.file.contender.iter().map(|(name, contender)| ContenderOutcome {
        name: name.value.clone(),
        transport: transport(contender),
        tcp: matches!(contender, Contender::Tcp(_)),
        congestion_controlled: !matches!(contender, Contender::Udp(udp) if udp.rate != RateControl::Delay),
        per_seed: seeds.iter().map(|_| absent()).collect(),
        summaries: METRICS
            .iter()
            .map(|metric| Summary { key: metric.key, mean: Value::Absent("not simulated"), interval: None })
            .collect(),
        differences: Vec::new(),
    });
    Outcome {
        seeds: seeds.to_vec(),
        complete: !conduct.cancelled.load(Ordering::Relaxed),
        baseline: baseline(draft),
        contenders: contenders.collect(),
    }
}

/// The contender with which the others are compared: the one that is named, or the first TCP, or the
/// first.
fn baseline(draft: &Draft) -> usize {
    let contenders = &draft.file.contender;
    let named = draft.file.expect.baseline.as_ref();
    named
        .and_then(|name| contenders.names().position(|other| other == name.as_str()))
        .or_else(|| contenders.iter().position(|(_, contender)| matches!(contender, Contender::Tcp(_))))
        .unwrap_or(0)
}

/// A transport in a few words.
fn transport(contender: &Contender) -> String {
    match contender {
        Contender::Tcp(tcp) => match tcp.congestion {
            Congestion::Reno => "TCP reno".to_owned(),
            Congestion::Cubic => "TCP cubic".to_owned(),
            Congestion::Bbr => "TCP bbr".to_owned(),
        },
        Contender::Udp(udp) => format!("UDP {}", correction(udp)),
    }
}

fn correction(udp: &Udp) -> String {
    match &udp.fec {
        Fec::None => "none".to_owned(),
        Fec::Repeat(repeat) => format!("repeat ×{}", repeat.copies.value + 1),
        Fec::Xor(xor) => format!("xor {}+1", *xor.source),
        Fec::ReedSolomon(code) => match (&code.source, &code.repair, &code.per_frame) {
            (Some(source), Some(repair), _) => format!("reed-solomon {}+{}", **source, **repair),
            (_, _, Some(per_frame)) => format!("reed-solomon +{} %", *per_frame.percent),
            _ => "reed-solomon".to_owned(),
        },
    }
}
