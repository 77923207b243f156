//! What came of a scenario: every metric of every contender, over seeds and against the baseline.

use super::sharing::{self, NeighbourOutcome};
use crate::measure::statistics::{interval, mean, paired_difference};
use crate::measure::{METRICS, Metrics, Value};
use crate::scenario::Scenario;
use crate::scenario::expect::Results;

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
    /// The lowest and the highest port that the sessions of a contender were given.
    pub ports: (u16, u16),
}

impl Outcome {
    /// What came of `scenario` with these seeds; `trials` has the metrics of each contender, seed by seed.
    pub(super) fn new(
        scenario: &Scenario,
        seeds: Vec<u64>,
        complete: bool,
        trials: Vec<Vec<Metrics>>,
        ports: (u16, u16),
    ) -> Self {
        let baseline = trials.get(scenario.baseline).cloned().unwrap_or_default();
        let neighbours: Vec<_> =
            (0..trials.len()).map(|place| sharing::neighbours(scenario, place, &trials)).collect();
        let contenders = scenario.contenders.iter().zip(trials).zip(neighbours).enumerate();
        let contenders = contenders.map(|(place, ((contender, per_seed), neighbours))| ContenderOutcome {
            name: contender.name.clone(),
            transport: contender.protocol.to_string(),
            tcp: contender.protocol.is_tcp(),
            congestion_controlled: contender.protocol.is_congestion_controlled(),
            summaries: METRICS.iter().map(|metric| Summary::new(metric.key, &per_seed)).collect(),
            differences: if place == scenario.baseline {
                Vec::new()
            } else {
                let difference = |key| Difference::new(key, &per_seed, &baseline);
                METRICS.iter().filter_map(|metric| difference(metric.key)).collect()
            },
            neighbours,
            per_seed,
        });
        Self { seeds, complete, baseline: scenario.baseline, contenders: contenders.collect(), ports }
    }
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
    /// What each group of neighbours had beside it, in the order of the scenario.
    pub neighbours: Vec<NeighbourOutcome>,
}

/// A metric over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The metric's name.
    pub key: &'static str,
    /// Its mean.
    pub mean: Value,
    /// The 95 % interval of the mean; none with too few seeds.
    pub interval: Option<(f64, f64)>,
}

/// A metric's difference between two contenders, over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The metric's name.
    pub key: &'static str,
    /// The mean of the differences.
    pub mean: f64,
    /// Its 95 % interval; none with too few seeds.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    fn new(key: &'static str, per_seed: &[Metrics]) -> Self {
        Self::of(key, values(key, per_seed))
    }

    /// The summary of values, one a seed. Where one of them is absent there is none over all of them:
    /// leaving out the seeds on which nothing arrived would flatter whoever lost everything there.
    pub(super) fn of(key: &'static str, values: impl Iterator<Item = Value>) -> Self {
        match numbers(values) {
            Ok(numbers) => Self {
                key,
                mean: mean(&numbers).map_or(Value::Absent("no seed is complete"), Value::Number),
                interval: interval(&numbers).map(|interval| (interval.low, interval.high)),
            },
            Err(reason) => Self { key, mean: Value::Absent(reason), interval: None },
        }
    }
}

impl Difference {
    fn new(key: &'static str, this: &[Metrics], that: &[Metrics]) -> Option<Self> {
        let (this, that) = (numbers(values(key, this)).ok()?, numbers(values(key, that)).ok()?);
        let differences: Vec<f64> = this.iter().zip(&that).map(|(this, that)| this - that).collect();
        let interval = paired_difference(&this, &that).map(|(_, interval)| (interval.low, interval.high));
        Some(Self { key, mean: mean(&differences)?, interval })
    }
}

/// The values of a metric, seed by seed.
fn values(key: &str, per_seed: &[Metrics]) -> impl Iterator<Item = Value> {
    per_seed.iter().map(move |metrics| metrics.get(key).unwrap_or(Value::Absent("not measured")))
}

/// All of them as numbers, or why one is absent.
fn numbers(values: impl Iterator<Item = Value>) -> Result<Vec<f64>, &'static str> {
    values
        .map(|value| match value {
            Value::Number(number) => Ok(number),
            Value::Absent(reason) => Err(reason),
        })
        .collect()
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

impl Outcome {
    fn find(&self, contender: &str, metric: &str) -> Result<&Summary, &'static str> {
        let contender = self.contenders.iter().find(|one| one.name == contender);
        contender.and_then(|contender| contender.summary(metric)).ok_or("not measured")
    }
}

impl Results for Outcome {
    fn mean(&self, contender: &str, metric: &str) -> Result<f64, &'static str> {
        match self.find(contender, metric)?.mean {
            Value::Number(number) => Ok(number),
            Value::Absent(reason) => Err(reason),
        }
    }

    fn interval(&self, contender: &str, metric: &str) -> Result<(f64, f64), &'static str> {
        let summary = self.find(contender, metric)?;
        match (summary.interval, summary.mean) {
            (Some(interval), _) => Ok(interval),
            (None, Value::Absent(reason)) => Err(reason),
            (None, Value::Number(_)) => Err("too few seeds for an interval"),
        }
    }
}
