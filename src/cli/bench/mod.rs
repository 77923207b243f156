//! `fhsim bench`: what error corrections bring, and what they cost.

use clap::{Args, Subcommand};

use super::{Exit, Failure};

mod codec;
mod list;
mod strategy;
mod timing;

/// Compare error corrections: what they give and what they cost
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Codec(codec::Codec),
    Strategy(Box<strategy::Strategy>),
}

impl Bench {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Codec(codec) => codec.run(),
            What::Strategy(strategy) => strategy.run(),
        }
    }
}
