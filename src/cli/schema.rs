//! `fhsim schema`: the JSON schemas of what goes in and what comes out.

use anyhow::Context;
use clap::{Args, ValueEnum};
use framehawk_sim::report::bench::json::BenchReport;
use framehawk_sim::report::json::Report;
use framehawk_sim::report::live::LiveEvent;
use framehawk_sim::scenario::file::ScenarioFile;

use super::{Failure, output};

/// Print the JSON schema of scenarios or of results
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of what
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// What a scenario may say; editors complete and check with it
    Scenario,
    /// What `fhsim run --format json` prints, and what --out writes
    Result,
    /// What `fhsim bench strategy --format json` prints
    Bench,
    /// What `fhsim live --format ndjson` prints, line by line
    Live,
}

impl Schema {
    pub(super) fn run(self) -> Result<(), Failure> {
        let schema = match self.of {
            Of::Scenario => schemars::schema_for!(ScenarioFile),
            Of::Result => schemars::schema_for!(Report),
            Of::Bench => schemars::schema_for!(BenchReport),
            Of::Live => schemars::schema_for!(LiveEvent),
        };
        output::print(&(serde_json::to_string_pretty(&schema).context("cannot write the schema")? + "\n"))
    }
}
