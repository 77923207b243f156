//! A grid as CSV (RFC 4180): a row for each cell, strategy and seed, a column for each metric.

use std::fmt::Write;

use crate::lab::grid::{CellOutcome, GridOutcome};
use crate::measure::{METRICS, Value};
use crate::report::csv::field;

/// The whole table with its header row; a value that is absent, or an axis that is not set, is an empty
/// field.
pub fn table(outcome: &GridOutcome) -> String {
    let mut text = String::from(
        "loss_pct,burst,rtt_ms,deadline_ms,strategy,transport,front,theory_residual_loss_pct,seed",
    );
    for metric in METRICS {
        text.push(',');
        text.push_str(metric.key);
    }
    text.push('\n');
    for cell in &outcome.cells {
        rows(cell, &mut text);
    }
    text
}

fn rows(cell: &CellOutcome, text: &mut String) {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let [loss, burst, round_trip, deadline] = super::json::axes(cell).map(number);
    let strategies = cell.outcome.contenders.iter().zip(cell.front.iter().zip(&cell.expected));
    for (strategy, (front, expected)) in strategies {
        let theory = number(expected.map(|share| share * 100.0));
        for (seed, metrics) in cell.outcome.seeds.iter().zip(&strategy.per_seed) {
            let (name, transport) = (field(&strategy.name), field(&strategy.transport));
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{loss},{burst},{round_trip},{deadline},{name},{transport},{front},{theory},{seed}"
            );
            for metric in METRICS {
                let _ = match metrics.get(metric.key) {
                    Some(Value::Number(number)) if number.is_finite() => write!(text, ",{number}"),
                    _ => write!(text, ","),
                };
            }
            text.push('\n');
        }
    }
}
