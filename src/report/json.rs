//! An outcome as JSON: for programs, and for whoever wants to compute something else from it.
//!
//! Units are in the keys, numbers are finite or null with a reason in `absent`, and seeds are strings,
//! because 64-bit numbers lose digits in JavaScript. `fhsim schema result` prints the schema.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::expected::Judged;
use super::real_time::RealTimeReport;
use crate::measure::{METRICS, Metrics, Value};
use crate::runner::{ContenderOutcome, NeighbourOutcome, Outcome, Summary};
use crate::scenario::Draft;

/// The version of this format; it changes when a key changes its meaning or goes.
pub const FORMAT_VERSION: u32 = 1;

/// The result of one `fhsim run` or `fhsim live`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "framehawk-sim result")]
pub struct Report {
    /// The version of this format: 1.
    pub format_version: u32,
    /// The version of the program.
    pub tool_version: String,
    /// A command that does the same again; in virtual time it gives the same result.
    pub command: String,
    /// What was run.
    pub scenario: ScenarioReport,
    /// The seeds that are complete for all contenders, as decimal strings.
    pub seeds: Vec<String>,
    /// Whether these are all seeds that were asked for.
    pub complete: bool,
    /// The name of the contender with which the others are compared.
    pub baseline: Option<String>,
    /// The contenders, in the order of the scenario.
    pub contenders: Vec<ContenderReport>,
    /// What was expected, and whether it came so.
    pub expectations: Vec<Expectation>,
    /// What the results show: at most two short sentences a contender, and one for each group of neighbours
    /// that it starves.
    pub verdict: Vec<String>,
    /// How a run in real time went; absent where time was virtual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_time: Option<RealTimeReport>,
}

/// What was run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ScenarioReport {
    /// The name or path of the scenario.
    pub name: String,
    /// The scenario as it was written.
    pub supplied: serde_json::Value,
    /// What `--set` changed, as it was written.
    pub overrides: Vec<String>,
    /// The scenario as it was run: with the overrides and all defaults.
    pub effective: serde_json::Value,
}

/// One contender.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ContenderReport {
    /// Its name in the scenario.
    pub name: String,
    /// What it is, in a few words.
    pub transport: String,
    /// Whether it adapts its rate to the path.
    pub congestion_controlled: bool,
    /// Each metric's mean over the seeds; null where it has none.
    pub metrics: ByMetric<Option<f64>>,
    /// The 95 % interval of each mean; null where it has none.
    pub intervals: ByMetric<Option<[f64; 2]>>,
    /// Why a metric has no value.
    pub absent: ByMetric<String>,
    /// Each metric minus the baseline's, paired by seed; empty for the baseline.
    pub differences: ByMetric<DifferenceReport>,
    /// What each group of neighbours had beside it, in the order of the scenario.
    pub neighbours: Vec<NeighbourReport>,
    /// The metrics of each seed.
    pub per_seed: Vec<SeedReport>,
}

/// A group of neighbours beside a contender.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NeighbourReport {
    /// Its name in the scenario.
    pub name: String,
    /// What carries it, in a few words.
    pub transport: String,
    /// How many they are.
    pub count: u16,
    /// The means over the seeds of their goodput together and of Jain's index of their goodputs; null where
    /// they have none.
    pub metrics: ByMetric<Option<f64>>,
    /// The 95 % interval of each mean; null where it has none.
    pub intervals: ByMetric<Option<[f64; 2]>>,
    /// Whether the contender starves them: `fhsim explain neighbour_goodput_bps` says what that is.
    pub starved: bool,
}

/// A difference to the baseline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DifferenceReport {
    /// Its mean over the seeds.
    pub mean: f64,
    /// The 95 % interval of the mean; null where it has none.
    pub interval: Option<[f64; 2]>,
}

/// One contender with one seed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SeedReport {
    /// The seed, as a decimal string.
    pub seed: String,
    /// Each metric; null where it has no value.
    pub metrics: ByMetric<Option<f64>>,
    /// Why a metric has no value.
    pub absent: ByMetric<String>,
}

/// A rule of the scenario.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Expectation {
    /// As it was written.
    pub rule: String,
    /// Whether it holds; null where that was not judged.
    pub met: Option<bool>,
    /// The value of its left side; null where it has none.
    pub left: Option<f64>,
    /// The value of its right side; null where it has none.
    pub right: Option<f64>,
    /// Why a side has no value, or why the rule was not judged; null where it was, on two values.
    pub reason: Option<String>,
}

/// Something for each metric, in the order in which everything lists them.
#[derive(Clone, Debug)]
pub struct ByMetric<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for ByMetric<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<T: JsonSchema> JsonSchema for ByMetric<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

impl Report {
    /// The report of a run in virtual time: what was run by which command, and what came of it.
    pub fn new(
        draft: &Draft,
        overrides: &[String],
        command: String,
        outcome: &Outcome,
        expectations: &[Judged],
        verdict: Vec<String>,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            scenario: ScenarioReport {
                name: draft.sources.name().to_owned(),
                supplied: value_of(&draft.supplied),
                overrides: overrides.to_vec(),
                effective: value_of(&draft.file),
            },
            seeds: outcome.seeds.iter().map(u64::to_string).collect(),
            complete: outcome.complete,
            baseline: outcome.contenders.get(outcome.baseline).map(|baseline| baseline.name.clone()),
            contenders: outcome.contenders.iter().map(|one| contender(one, &outcome.seeds)).collect(),
            expectations: expectations.iter().map(expectation).collect(),
            verdict,
            real_time: None,
        }
    }

    /// The JSON text, with line breaks and one at the end.
    pub fn to_text(&self) -> String {
        // Names are strings and numbers are finite or null, so every report can be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn value_of(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn contender(outcome: &ContenderOutcome, seeds: &[u64]) -> ContenderReport {
    ContenderReport {
        name: outcome.name.clone(),
        transport: outcome.transport.clone(),
        congestion_controlled: outcome.congestion_controlled,
        metrics: means(outcome),
        intervals: intervals(outcome),
        absent: absent(outcome),
        differences: differences(outcome),
        neighbours: outcome.neighbours.iter().map(neighbour).collect(),
        per_seed: seeds
            .iter()
            .zip(&outcome.per_seed)
            .map(|(seed, metrics)| per_seed(*seed, metrics))
            .collect(),
    }
}

fn neighbour(outcome: &NeighbourOutcome) -> NeighbourReport {
    let both = [outcome.goodput, outcome.jain_index];
    NeighbourReport {
        name: outcome.name.clone(),
        transport: outcome.transport.clone(),
        count: outcome.count,
        metrics: ByMetric(both.iter().map(|one| (one.key, number(one.mean).ok())).collect()),
        intervals: ByMetric(both.iter().map(|one| (one.key, ends(one.interval))).collect()),
        starved: outcome.starved.is_some(),
    }
}

pub(super) fn means(outcome: &ContenderOutcome) -> ByMetric<Option<f64>> {
    ByMetric(outcome.summaries.iter().map(|one| (one.key, number(one.mean).ok())).collect())
}

pub(super) fn intervals(outcome: &ContenderOutcome) -> ByMetric<Option<[f64; 2]>> {
    ByMetric(outcome.summaries.iter().map(|one| (one.key, ends(one.interval))).collect())
}

pub(super) fn absent(outcome: &ContenderOutcome) -> ByMetric<String> {
    let reason = |one: &Summary| Some((one.key, number(one.mean).err()?.to_owned()));
    ByMetric(outcome.summaries.iter().filter_map(reason).collect())
}

pub(super) fn differences(outcome: &ContenderOutcome) -> ByMetric<DifferenceReport> {
    let finite = outcome.differences.iter().filter(|difference| difference.mean.is_finite());
    ByMetric(
        finite
            .map(|one| (one.key, DifferenceReport { mean: one.mean, interval: ends(one.interval) }))
            .collect(),
    )
}

fn per_seed(seed: u64, metrics: &Metrics) -> SeedReport {
    let value = |key| metrics.get(key).map_or(Err("not measured"), number);
    SeedReport {
        seed: seed.to_string(),
        metrics: ByMetric(METRICS.iter().map(|metric| (metric.key, value(metric.key).ok())).collect()),
        absent: ByMetric(
            METRICS
                .iter()
                .filter_map(|metric| Some((metric.key, value(metric.key).err()?.to_owned())))
                .collect(),
        ),
    }
}

fn expectation(judged: &Judged) -> Expectation {
    let rule = judged.rule.text.clone();
    match &judged.evaluation {
        Ok(evaluation) => Expectation {
            rule,
            met: Some(evaluation.met),
            left: evaluation.left.ok(),
            right: evaluation.right.ok(),
            reason: evaluation.reason().map(str::to_owned),
        },
        Err(reason) => Expectation { rule, met: None, left: None, right: None, reason: Some(reason.clone()) },
    }
}

/// The number, or why there is none.
fn number(value: Value) -> Result<f64, &'static str> {
    match value {
        Value::Number(number) if number.is_finite() => Ok(number),
        Value::Number(_) => Err("not a finite number"),
        Value::Absent(reason) => Err(reason),
    }
}

fn ends(interval: Option<(f64, f64)>) -> Option<[f64; 2]> {
    interval.filter(|(low, high)| low.is_finite() && high.is_finite()).map(|(low, high)| [low, high])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_report_fits_its_schema_and_has_no_number_that_json_lacks() {
        for outcome in [example::outcome(), example::crowded()] {
            fits_the_schema(&example::report(&outcome));
        }
    }

    fn fits_the_schema(report: &Report) {
        let text = report.to_text();
        let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(value["contenders"][2]["metrics"]["frozen_pct"], serde_json::Value::Null);
        assert_eq!(value["contenders"][2]["absent"]["frozen_pct"], "not a finite number");
        assert_eq!(value["seeds"][0], "1");
    }

    #[test]
    fn metrics_keep_their_order() {
        let value = serde_json::to_value(example::report(&example::outcome())).unwrap();
        let keys: Vec<&String> = value["contenders"][0]["metrics"].as_object().unwrap().keys().collect();
        let all: Vec<&str> = METRICS.iter().map(|metric| metric.key).collect();
        assert_eq!(keys, all);
    }
}
