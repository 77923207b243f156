//! The command line of framehawk-sim: parse, call, print the error, exit code.

use std::process::ExitCode;

use clap::Parser;

mod cli;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}
