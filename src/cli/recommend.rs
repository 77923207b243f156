//! `fhsim recommend`: which strategy is right for a scenario.

use clap::{Args, ValueEnum};
use framehawk_sim::lab::recommend::{Answer, recommend};
use framehawk_sim::lab::search::{Question, SearchError};
use framehawk_sim::measure::statistics::SEEDS_MIN;
use framehawk_sim::report::bench::table;
use framehawk_sim::scenario::Draft;
use framehawk_sim::scenario::quantity::Written;
use framehawk_sim::time::Duration;

use super::conduct::Manner;
use super::selection::{Selection, find, seeds};
use super::shell::quoted;
use super::{Exit, Failure, output};

/// Find the cheapest error correction that is good enough for a scenario
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim recommend cafe-wifi-no-retries
  fhsim recommend bench --deadline 150ms --max-overhead 25% --target 99.5%
  fhsim recommend my.toml --format toml >> my.toml

The search has seeds of its own; the finalists are measured again on fresh ones, and the choice is made on
those alone. Where nothing reaches the target, or no code is needed, it says so.")]
pub(super) struct Recommend {
    #[command(flatten)]
    selection: Selection,
    /// The most that repair may cost, in bytes over the source's bytes
    #[arg(long, value_name = "SHARE", value_parser = overhead, default_value = "25%")]
    max_overhead: f64,
    /// When frames are too late, counted from their capture [default: as in the scenario]
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    deadline: Option<Duration>,
    /// How many frames should be on time
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "99.5%")]
    target: f64,
    /// On how many seeds the finalists are measured, or from which to which: 20 or 1..20
    #[arg(long, value_name = "N", value_parser = enough_seeds, default_value = "20")]
    seeds: (u64, u64),
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The Pareto front, the recommendation and why
    Table,
    /// Only the recommendation, to be appended to a scenario
    Toml,
}

impl Recommend {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let draft = self.selection.draft()?;
        let sets: Vec<String> = self.selection.sets.iter().cloned().chain(self.deadlines(&draft)).collect();
        let sources = find(&self.selection.scenario)?;
        let question =
            Question { sources: &sources, sets: &sets, budget: self.max_overhead, target: self.target };
        let (first, last) = self.seeds;
        let seeds: Vec<u64> = (first..=last).collect();
        match self.manner.conduct(|conduct| recommend(&question, &seeds, conduct))? {
            Ok(answer) => {
                output::print(&self.text(&answer, &draft))?;
                if !self.manner.quiet {
                    output::tell(&format!("reproduce: {}", self.command()));
                }
                Ok(Exit::Success)
            }
            Err(SearchError::Interrupted) => {
                output::tell("interrupted before there was an answer");
                Ok(Exit::Interrupted)
            }
            Err(SearchError::Scenario(problems)) => Err(problems.into()),
            Err(error) => Err(Failure::Other(error.into())),
        }
    }

    /// Overrides that set the deadline of all that travels down.
    fn deadlines(&self, draft: &Draft) -> Vec<String> {
        let Some(deadline) = self.deadline else { return Vec::new() };
        let names = draft.file.traffic.down.names();
        names.map(|name| format!("traffic.down.{name:?}.deadline={}", deadline.written())).collect()
    }

    fn text(&self, answer: &Answer, draft: &Draft) -> String {
        let reason = wrapped(&answer.reason, 100);
        let mut strategy = answer.strategy.clone();
        // To be pasted it needs a name that the scenario does not have yet.
        while draft.file.contender.get(&strategy.name).is_some() {
            strategy.name = format!("new-{}", strategy.name);
        }
        let fragment = strategy.to_text();
        if self.format == Format::Toml {
            let comment: String = reason.lines().map(|line| format!("# {line}\n")).collect();
            return format!("\n{comment}{fragment}");
        }
        let shown: Vec<usize> = (0..answer.cell.front.len())
            .filter(|&one| answer.cell.front[one] || one == answer.choice)
            .collect();
        format!("{}\n{reason}\n{fragment}", table::excerpt(&answer.cell, &shown, output::look()))
    }

    fn command(&self) -> String {
        let mut words = vec![format!("fhsim recommend {}", quoted(&self.selection.scenario))];
        words.push(format!("--max-overhead {}% --target {}%", self.max_overhead, self.target));
        words.extend(self.deadline.map(|deadline| format!("--deadline {}", deadline.written())));
        words.push(format!("--seeds {}..{}", self.seeds.0, self.seeds.1));
        words.extend(self.selection.sets.iter().map(|set| format!("--set {}", quoted(set))));
        words.join(" ")
    }
}

/// The text in lines of at most `width` characters, each with its end.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut line = 0;
    // A number and its percent sign stay together.
    for word in text.replace(" %", "\u{a0}%").split(' ') {
        let word = word.replace('\u{a0}', " ");
        let letters = word.chars().count();
        if line > 0 && line + 1 + letters > width {
            lines.push('\n');
            line = 0;
        } else if line > 0 {
            lines.push(' ');
            line += 1;
        }
        lines.push_str(&word);
        line += letters;
    }
    lines.push('\n');
    lines
}

/// Percent from 0 to 1000: repair may well cost more than the source.
fn overhead(text: &str) -> Result<f64, String> {
    percent(text, 1000.0)
}

fn share(text: &str) -> Result<f64, String> {
    percent(text, 100.0)
}

fn percent(text: &str, most: f64) -> Result<f64, String> {
    let number = text.strip_suffix('%').ok_or("a unit is missing: write for example 25%")?;
    let value: f64 = number.trim().parse().map_err(|_| format!("`{number}` is no number"))?;
    if (0.0..=most).contains(&value) { Ok(value) } else { Err(format!("it is from 0% to {most}%")) }
}

fn enough_seeds(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = seeds(text)?;
    let few = last - first < SEEDS_MIN as u64 - 1;
    if few {
        Err(format!("at least {SEEDS_MIN} seeds are needed to tell luck from merit"))
    } else {
        Ok((first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_need_their_sign_and_their_range() {
        assert_eq!(overhead("25%"), Ok(25.0));
        assert_eq!(overhead("150 %"), Ok(150.0));
        assert_eq!(share("99.5%"), Ok(99.5));
        for wrong in ["25", "x%", "-1%", "1001%", "NaN%", ""] {
            assert!(overhead(wrong).is_err(), "{wrong:?}");
        }
        assert!(share("100.1%").is_err() && enough_seeds("4").is_err() && enough_seeds("5").is_ok());
    }

    #[test]
    fn long_sentences_are_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree\n");
        assert_eq!(wrapped("longer than that", 3), "longer\nthan\nthat\n");
        assert_eq!(wrapped("all of 100 % of it", 10), "all of\n100 % of\nit\n");
    }
}
