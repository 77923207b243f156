//! `fhsim live`: a scenario in real time, on real sockets.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use clap::Args;
use framehawk_sim::drive::message::{Command, Message};
use framehawk_sim::drive::timing::{Quality, Timing};
use framehawk_sim::report::{table, verdict};
use framehawk_sim::runner::realtime::{self, Observer, RealTimeOutcome};
use framehawk_sim::scenario::{self, Scenario};

use super::selection::{Selection, seed_range};
use super::{Exit, Failure, output};

pub(super) mod trial;

use trial::Network;

/// Run a scenario in real time: real UDP sockets, and the kernel's TCP through the same link
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim live cafe-wifi
  fhsim live cafe-wifi --set duration=20s --no-tui
  fhsim live cafe-wifi --tcp model       where the kernel path is not to be had

Each contender has two network namespaces of its own, and everything between them crosses the scenario's
link, packet by packet. `fhsim doctor` says whether that works here, and what is missing where not.")]
pub(super) struct Live {
    #[command(flatten)]
    selection: Selection,
    /// The seed
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "seeds")]
    seed: u64,
    /// The seeds from A to B, one after the other
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    seeds: Option<(u64, u64)>,
    #[command(flatten)]
    network: Network,
    /// Says nothing beside the result
    #[arg(short, long)]
    quiet: bool,
}

impl Live {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let draft = self.selection.draft()?;
        let scenario = Scenario::new(&draft)?;
        if !self.quiet {
            for warning in scenario::warnings(&draft.file, &scenario) {
                output::tell(&format!("warning: {warning}"));
            }
        }
        let seeds: Vec<u64> = match self.seeds {
            Some((first, last)) => (first..=last).collect(),
            None => vec![self.seed],
        };
        let stage = Stage::default();
        let real = self.play(&scenario, &seeds, &stage)?;
        output::print(&table::draw(&draft, &real.outcome, output::look()))?;
        self.tell(&real);
        Ok(if real.outcome.complete { Exit::Success } else { Exit::Interrupted })
    }

    fn play(&self, scenario: &Scenario, seeds: &[u64], stage: &Stage) -> Result<RealTimeOutcome, Failure> {
        let start = |contender: usize, seed: u64| {
            let playing = self.network.start(&self.selection, scenario, contender, seed)?;
            stage.watch(playing.commands());
            Ok(playing)
        };
        let played = realtime::run(scenario, seeds, &stage.cancelled, stage, &start);
        played.map_err(|(contender, error)| self.network.failure(&contender, &error).into())
    }

    fn tell(&self, real: &RealTimeOutcome) {
        if self.quiet {
            return;
        }
        let timing = real.timing.iter().copied().reduce(Timing::worse).unwrap_or_default();
        output::tell(&format!("timing: {timing}"));
        if timing.quality() != Quality::Spoiled {
            for sentence in verdict::sentences(&real.outcome) {
                output::tell(&format!("verdict: {sentence}"));
            }
        }
    }
}

/// The trials under way, as those see them who watch them and interrupt them.
#[derive(Debug, Default)]
struct Stage {
    cancelled: AtomicBool,
    commands: Mutex<Vec<Sender<Command>>>,
}

impl Stage {
    /// A trial has begun, which takes commands there.
    fn watch(&self, commands: Sender<Command>) {
        if let Ok(mut all) = self.commands.lock() {
            all.push(commands);
        }
    }

    /// Tells all trials under way. Those that have ended no longer listen.
    fn command(&self, command: Command) {
        if command == Command::Stop {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        if let Ok(mut all) = self.commands.lock() {
            all.retain(|trial| trial.send(command).is_ok());
        }
    }
}

impl Observer for Stage {
    fn observe(&self, _: usize, _: &Message) {}
}
