//! `fhsim run`: one scenario, every contender in it, on the same paths.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use framehawk_sim::report::expected::{Judged, judge};
use framehawk_sim::report::json::Report;
use framehawk_sim::report::{csv, table, verdict};
use framehawk_sim::runner::{self, Conduct};
use framehawk_sim::scenario::{self, Draft, Scenario};

use super::conduct::Manner;
use super::selection::{Selection, seed_range};
use super::shell::quoted;
use super::{Exit, Failure, folder, output};

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
            folder::claim(folder)?;
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
        let expectations = judge(&draft, &outcome, None);
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
            folder::write(folder, &draft, &outcome, &report)?;
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
        } else if expectations.iter().any(Judged::is_unmet) {
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

fn tell(expectations: &[Judged], sentences: &[String], command: &str) {
    for judged in expectations {
        output::tell(&format!("expected: {judged}"));
    }
    for sentence in sentences {
        output::tell(&format!("verdict: {sentence}"));
    }
    output::tell(&format!("reproduce: {command}"));
}
