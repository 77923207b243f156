//! `fhsim bench`: strategies against each other.

use clap::{Args, Subcommand};

use super::{Exit, Failure};

mod cpu;
mod list;
mod strategy;

/// Compare error corrections: what they give and what they cost
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Strategy(strategy::Strategy),
}

impl Bench {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Strategy(strategy) => strategy.run(),
        }
    }
}
