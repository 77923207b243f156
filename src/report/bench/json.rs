//! A grid as JSON: means and intervals of every strategy on every link. `fhsim schema bench` prints the
//! schema.

use schemars::JsonSchema;
use serde::Serialize;

use crate::lab::grid::{CellOutcome, GridOutcome};
use crate::lab::rank::Residual;
use crate::report::json::{
    ByMetric, DifferenceReport, FORMAT_VERSION, absent, differences, intervals, means,
};
use crate::runner::ContenderOutcome;

/// The result of one `fhsim bench strategy`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "framehawk-sim bench")]
pub struct BenchReport {
    /// The version of this format: 1.
    pub format_version: u32,
    /// The version of the program.
    pub tool_version: String,
    /// A command that gives the same result again.
    pub command: String,
    /// The name or path of the scenario.
    pub scenario: String,
    /// What `--set` changed, as it was written.
    pub overrides: Vec<String>,
    /// Whether these are all cells with all seeds that were asked for.
    pub complete: bool,
    /// The links: loss by loss, then burst by burst, then round trip by round trip.
    pub cells: Vec<CellReport>,
}

/// One link.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CellReport {
    /// The share of packets lost in each direction; null where it is as in the scenario.
    pub loss_pct: Option<f64>,
    /// The mean run of losses, in packets; null where losses are independent or as in the scenario.
    pub burst: Option<f64>,
    /// The round trip on the empty path; null where it is as in the scenario.
    pub rtt_ms: Option<f64>,
    /// The deadline of what travels down; null where it has several.
    pub deadline_ms: Option<f64>,
    /// The seeds that are complete for all strategies, as decimal strings.
    pub seeds: Vec<String>,
    /// The strategies, in the order in which they were named.
    pub strategies: Vec<StrategyReport>,
}

/// One strategy on one link.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StrategyReport {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub transport: String,
    /// Whether it is on the Pareto front of `frames_on_time_pct` against `repair_overhead_pct`.
    pub front: bool,
    /// The `residual_loss_pct` that a formula gives, for full blocks and without pauses; null where there
    /// is none.
    pub theory_residual_loss_pct: Option<f64>,
    /// The `residual_loss_pct` of a sweep of the code alone, with its 95 % interval (`--sweep`); null where
    /// none was made.
    pub swept_residual_loss_pct: Option<f64>,
    /// The 95 % interval of `swept_residual_loss_pct`.
    pub swept_interval_pct: Option<[f64; 2]>,
    /// Each metric's mean over the seeds; null where it has none.
    pub metrics: ByMetric<Option<f64>>,
    /// The 95 % interval of each mean; null where it has none.
    pub intervals: ByMetric<Option<[f64; 2]>>,
    /// Why a metric has no value.
    pub absent: ByMetric<String>,
    /// Each metric minus that of the first strategy, paired by seed; empty for the first one.
    pub differences: ByMetric<DifferenceReport>,
}

impl BenchReport {
    /// The report of a grid: what was run by which command, and what came of it.
    pub fn new(scenario: String, overrides: &[String], command: String, outcome: &GridOutcome) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            scenario,
            overrides: overrides.to_vec(),
            complete: outcome.complete,
            cells: outcome.cells.iter().map(cell).collect(),
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

fn cell(cell: &CellOutcome) -> CellReport {
    let [loss_pct, burst, rtt_ms, deadline_ms] = axes(cell);
    let strategies = cell.outcome.contenders.iter().zip(cell.front.iter().zip(&cell.expected));
    CellReport {
        loss_pct,
        burst,
        rtt_ms,
        deadline_ms,
        seeds: cell.outcome.seeds.iter().map(u64::to_string).collect(),
        strategies: strategies
            .enumerate()
            .map(|(place, (one, (front, expected)))| {
                strategy(one, *front, *expected, cell.swept.get(place).copied().flatten())
            })
            .collect(),
    }
}

/// Loss in percent, burst, round trip and deadline in milliseconds.
pub(super) fn axes(cell: &CellOutcome) -> [Option<f64>; 4] {
    let place = &cell.place;
    // A share that was written in percent is written so again: 7 % is not 7.000000000000001 %.
    let percent = |share: f64| libm::round(share * 1e12) / 1e10;
    [
        place.loss.map(|loss| percent(loss.get())),
        place.burst,
        place.round_trip.map(|round_trip| round_trip.as_millis_f64()),
        cell.deadline.map(|deadline| deadline.as_millis_f64()),
    ]
}

fn strategy(
    outcome: &ContenderOutcome,
    front: bool,
    expected: Option<f64>,
    swept: Option<Residual>,
) -> StrategyReport {
    StrategyReport {
        name: outcome.name.clone(),
        transport: outcome.transport.clone(),
        front,
        theory_residual_loss_pct: expected.map(|share| share * 100.0),
        swept_residual_loss_pct: swept.map(|swept| swept.share() * 100.0),
        swept_interval_pct: swept.map(|swept| swept.interval.map(|end| end * 100.0)),
        metrics: means(outcome),
        intervals: intervals(outcome),
        absent: absent(outcome),
        differences: differences(outcome),
    }
}
