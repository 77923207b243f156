//! `fhsim explain`: what the numbers mean.

use std::fmt::Write;

use clap::Args;
use framehawk_sim::measure::{METRICS, Metric};
use framehawk_sim::scenario::nearest;

use super::{Failure, output};

/// Say what a metric means; without a name, list all
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The metric's name, as in JSON and in rules
    metric: Option<String>,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Some(word) = self.metric else { return output::print(&list()) };
        if let Some(metric) = METRICS.iter().find(|metric| metric.key == word) {
            return output::print(&page(metric));
        }
        let meant = nearest(&word, METRICS.iter().map(|metric| metric.key))
            .map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        Err(Failure::Usage(format!("unknown metric `{word}`{meant}\n`fhsim explain` lists all")))
    }
}

fn list() -> String {
    let width = METRICS.iter().map(|metric| metric.key.len()).max().unwrap_or(0);
    METRICS.iter().fold(String::new(), |mut text, metric| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:width$}  {}", metric.key, metric.title);
        text
    })
}

fn page(metric: &Metric) -> String {
    let unit = if metric.unit.is_empty() { String::new() } else { format!(" ({})", metric.unit) };
    let text = format!("{}: {}{unit}\n\n{}\n", metric.key, metric.title, metric.about);
    // A definition that leans on another one is of no use without it.
    let other = metric.about.strip_prefix("As ").and_then(|rest| rest.split([',', ' ']).next());
    match other.and_then(|key| METRICS.iter().find(|metric| metric.key == key)) {
        Some(other) => format!("{text}\n{}", page(other)),
        None => text,
    }
}
