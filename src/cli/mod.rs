//! The command line: results go to stdout, progress and verdict to stderr.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | success; a reader that went away is one too |
//! | 1 | it failed |
//! | 2 | wrong usage |
//! | 3 | the scenario or a file it names is wrong |
//! | 99 | an expectation of the scenario is not met |
//! | 130 | interrupted |

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use framehawk_sim::scenario::problem::Problems;

mod bench;
mod conduct;
mod doctor;
mod explain;
mod folder;
mod link;
mod live;
mod output;
mod ports;
mod progress;
mod recommend;
mod run;
mod scenario;
mod schema;
mod selection;
mod shell;
mod verify;
mod view;

/// Over this link, for this traffic: what does the person at the screen see under TCP, what under UDP
/// with error correction, and what does it cost in bytes?
#[derive(Debug, Parser)]
#[command(name = "fhsim", version, arg_required_else_help = false, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Live(live::Live),
    Verify(verify::Verify),
    Bench(bench::Bench),
    Recommend(recommend::Recommend),
    Scenario(scenario::Scenario),
    Explain(explain::Explain),
    Link(link::Link),
    Doctor(doctor::Doctor),
    Ports(ports::Ports),
    Schema(schema::Schema),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    KernelTrial(live::trial::KernelTrial),
    #[command(hide = true, name = link::INNER)]
    LinkInner(link::Link),
}

/// How the program ends when nothing went wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Unmet,
    Interrupted,
    /// As a program that it ran.
    As(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Unmet => 99,
            Exit::Interrupted => 130,
            Exit::As(code) => code,
        })
    }
}

/// Why the program could not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The scenario is wrong.
    Scenario(Problems),
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// Says it on stderr; the exit code.
    pub(crate) fn report(&self) -> u8 {
        let (text, code) = match self {
            Self::Usage(text) => (format!("error: {text}"), 2),
            Self::Scenario(problems) => (problems.draw(true), 3),
            Self::Other(error) if is_broken_pipe(error) => return 0,
            Self::Other(error) => (format!("error: {error:#}"), 1),
        };
        // Where stderr is gone, there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "{text}");
        code
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Scenario(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            None => output::print(FIRST_STEPS),
            Some(Command::Run(run)) => return run.run(),
            Some(Command::Live(live)) => return live.run(),
            Some(Command::Verify(verify)) => return verify.run(),
            Some(Command::Bench(bench)) => return bench.run(),
            Some(Command::Recommend(recommend)) => return recommend.run(),
            Some(Command::Scenario(scenario)) => scenario.run(),
            Some(Command::Explain(explain)) => explain.run(),
            Some(Command::Link(link)) => return link.run(),
            Some(Command::Doctor(doctor)) => doctor.run(),
            Some(Command::Ports(ports)) => ports.run(),
            Some(Command::Schema(schema)) => schema.run(),
            #[cfg(target_os = "linux")]
            Some(Command::KernelTrial(trial)) => trial.run(),
            Some(Command::LinkInner(link)) => return link.run_inner(),
        }?;
        Ok(Exit::Success)
    }
}

const FIRST_STEPS: &str = "\
Seven commands to try:

  fhsim scenario list                    what there is to run
  fhsim run cafe-wifi                    one scenario, every contender in it
  fhsim run cafe-wifi --set path.down.loss.iid.rate=2%
                                         the same with two of a hundred packets lost
  fhsim live cafe-wifi                   the same in real time, with the kernel's own TCP
  fhsim recommend cafe-wifi              which error correction is right there
  fhsim explain age_p99_ms               what a number means
  fhsim scenario show cafe-wifi          a scenario to copy and change

All commands and options: fhsim --help
";
