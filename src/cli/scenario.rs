//! `fhsim scenario`: what there is, what is in it, and whether it is right.

use std::fmt::Write;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use framehawk_sim::scenario::{self, parse, warnings};

use super::selection::{Selection, find, names};
use super::{Failure, output};

/// List, show and check scenarios
#[derive(Debug, Args)]
pub(super) struct Scenario {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All scenarios: those in ./scenarios and those that are built in
    List,
    /// A scenario as it is written, or with --effective, --set or --format as it would be run
    Show {
        #[command(flatten)]
        selection: Selection,
        /// With all defaults
        #[arg(long)]
        effective: bool,
        /// The format of the effective scenario
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Says whether a scenario is right, and what could be meant otherwise
    Check {
        #[command(flatten)]
        selection: Selection,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Toml,
    Json,
}

impl Scenario {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List => list(),
            Action::Show { selection, effective, format } => {
                let as_run = effective || format.is_some() || !selection.sets.is_empty();
                show(&selection, as_run.then_some(format.unwrap_or(Format::Toml)))
            }
            Action::Check { selection } => check(&selection),
        }
    }
}

fn list() -> Result<(), Failure> {
    let names = names();
    let width = names.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, _) in &names {
        let about = match find(name).and_then(|sources| parse(sources, &[])) {
            Ok(draft) => draft.file.about.map_or(String::new(), |about| about.value),
            Err(_) => format!("(wrong: see `fhsim scenario check {name}`)"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", format!("{name:width$}  {about}").trim_end());
    }
    output::print(&text)
}

fn show(selection: &Selection, as_run: Option<Format>) -> Result<(), Failure> {
    let Some(format) = as_run else {
        return output::print(find(&selection.scenario)?.scenario());
    };
    let draft = selection.draft()?;
    let text = match format {
        Format::Toml => toml::to_string_pretty(&draft.file).context("cannot write the scenario as TOML")?,
        Format::Json => serde_json::to_string_pretty(&draft.file).context("cannot write it as JSON")? + "\n",
    };
    output::print(&text)
}

fn check(selection: &Selection) -> Result<(), Failure> {
    let draft = selection.draft()?;
    let scenario = scenario::Scenario::new(&draft)?;
    for warning in warnings(&draft.file, &scenario) {
        output::tell(&format!("warning: {warning}"));
    }
    let (contenders, rules) = (draft.file.contender.len(), draft.file.expect.rules.len());
    let plural = |number: usize, noun: &str| {
        if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
    };
    output::print(&format!(
        "ok: {}, {}, {}\n",
        draft.sources.name(),
        plural(contenders, "contender"),
        plural(rules, "rule")
    ))
}
