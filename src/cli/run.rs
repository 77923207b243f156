//! `fhsim run`: one scenario, every contender in it, on the same paths.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use framehawk_sim::report::json::Report;
use framehawk_sim::report::{csv, table, verdict};
use framehawk_sim::runner::{self, Conduct, Outcome};
use framehawk_sim::scenario::expect::{Evaluation, Rule};
use framehawk_sim::scenario::{self, Draft, Scenario};

use super::conduct::Manner;
use super::selection::{Selection, seed_range};
use super::shell::quoted;
use super::{Exit, Failure, output};

/// Run a scenario: every contender in it, on the same paths
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim run cafe-wifi
  fhsim run cafe-wifi --set path.down.delay=80ms --seeds 1..30
  fhsim run my.toml --format json | jq '.contenders[].metrics.age_p99_ms'

Exit codes: 0 success, 1 failure, 2 usage, 3 bad scenario, 99 an expectation is not met, 130 interrupted")]
pub(super) struct Run {
    #[command(flatten)]
    selection: Selection,
    /// One seed only
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// The seeds from A to B, both included [default: 1 to the scenario's `seeds`]
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    seeds: Option<(u64, u64)>,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Writes result.json, result.csv and scenario.toml (as it was run) into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs; `fhsim schema result` describes it
    Json,
    /// A row for each contender and seed
    Csv,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let draft = self.selection.draft()?;
        if let Some(folder) = &self.out {
            claim(folder)?;
        }
        let seeds = self.seeds(&draft);
        let scenario = Scenario::new(&draft)?;
        if !self.manner.quiet {
            for warning in scenario::warnings(&draft.file, &scenario) {
                output::tell(&format!("warning: {warning}"));
            }
        }
        let run = |conduct: &Conduct<'_>| runner::run(&scenario, &seeds, conduct);
        let outcome = self.manner.conduct(run)?.map_err(anyhow::Error::from)?;
        if outcome.seeds.is_empty() {
            output::tell("interrupted before any seed was complete: there is no result");
            return Ok(Exit::Interrupted);
        }
        let rules = scenario::rules(&draft.file);
        let expectations: Vec<(Rule, Evaluation)> = rules
            .into_iter()
            .map(|rule| {
                let evaluation = rule.evaluate(&outcome);
                (rule, evaluation)
            })
            .collect();
        let sentences = verdict::sentences(&outcome);
        let command = self.command(&seeds);
        let report = Report::new(
            &draft,
            &self.selection.sets,
            command.clone(),
            &outcome,
            &expectations,
            sentences.clone(),
        );
        if let Some(folder) = &self.out {
            write(folder, &draft, &outcome, &report)?;
        }
        output::print(&match self.format {
            Format::Table => table::draw(&draft, &outcome, output::look()),
            Format::Json => report.to_text(),
            Format::Csv => csv::table(&outcome),
        })?;
        if !self.manner.quiet {
            tell(&expectations, &sentences, &command);
        }
        Ok(if !outcome.complete {
            Exit::Interrupted
        } else if expectations.iter().any(|(_, evaluation)| !evaluation.met) {
            Exit::Unmet
        } else {
            Exit::Success
        })
    }

    fn seeds(&self, draft: &Draft) -> Vec<u64> {
        match (self.seed, self.seeds) {
            (Some(seed), _) => vec![seed],
            (None, Some((first, last))) => (first..=last).collect(),
            (None, None) => (1..=u64::from(draft.file.seeds.value)).collect(),
        }
    }

    /// A command that gives the same result; what cannot change it is left out.
    fn command(&self, seeds: &[u64]) -> String {
        let mut words = vec!["fhsim".to_owned(), "run".to_owned(), quoted(&self.selection.scenario)];
        match (seeds.first(), seeds.last()) {
            (Some(first), Some(last)) if first == last => words.push(format!("--seed {first}")),
            (Some(first), Some(last)) => words.push(format!("--seeds {first}..{last}")),
            _ => {}
        }
        words.extend(self.selection.sets.iter().map(|set| format!("--set {}", quoted(set))));
        words.join(" ")
    }
}

fn tell(expectations: &[(Rule, Evaluation)], sentences: &[String], command: &str) {
    for (rule, evaluation) in expectations {
        let side = |value: Result<f64, _>| value.map_or("no value".to_owned(), significant);
        let word = if evaluation.met { "met" } else { "NOT MET" };
        let (left, right) = (side(evaluation.left), side(evaluation.right));
        let reason = evaluation.reason().map_or(String::new(), |reason| format!("; {reason}"));
        output::tell(&format!("expected: {}: {word} ({left} and {right}{reason})", rule.text));
    }
    for sentence in sentences {
        output::tell(&format!("verdict: {sentence}"));
    }
    output::tell(&format!("reproduce: {command}"));
}

/// A number with four digits that say something, or all of those before the point.
fn significant(value: f64) -> String {
    let whole = value.abs() as u64;
    let places = if whole == 0 { 4 } else { 3_usize.saturating_sub(whole.ilog10() as usize) };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

const FILES: [&str; 3] = ["result.json", "result.csv", "scenario.toml"];

/// Makes the folder for the results; refuses one that holds anything else, so that no run can overwrite
/// what is not its own.
fn claim(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        if !FILES.iter().any(|file| name == *file) {
            bail!("{} holds something else: {}", folder.display(), name.display());
        }
    }
    Ok(())
}

fn write(folder: &Path, draft: &Draft, outcome: &Outcome, report: &Report) -> anyhow::Result<()> {
    let scenario = toml::to_string_pretty(&draft.file).context("cannot write the scenario as TOML")?;
    for (name, text) in FILES.iter().zip([report.to_text(), csv::table(outcome), scenario]) {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        for (value, text) in [
            (0.0, "0"),
            (0.123_456, "0.1235"),
            (1.5, "1.5"),
            (99.999, "100"),
            (100.0, "100"),
            (123.456, "123.5"),
            (4_350_000.4, "4350000"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
