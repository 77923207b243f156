//! `fhsim live`: a scenario in real time, on real sockets.

use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use framehawk_sim::drive::message::Command;
use framehawk_sim::drive::timing::{Quality, Timing};
use framehawk_sim::report::json::Report;
use framehawk_sim::report::live::{LiveEnd, LiveEvent, LiveStart};
use framehawk_sim::report::{table, verdict};
use framehawk_sim::runner::realtime::{self, RealTimeOutcome};
use framehawk_sim::scenario::{self, Draft, Scenario};

use self::remote::{Guest, Machines};
use self::trial::Network;
use super::selection::{Selection, seed_range};
use super::shell::quoted;
use super::view::knobs::Knobs;
use super::view::{Board, lines, terminal};
use super::{Exit, Failure, output};

mod remote;
pub(super) mod trial;

/// Run a scenario in real time: real UDP sockets, and the kernel's TCP through the same link
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim live cafe-wifi
  fhsim live cafe-wifi --set duration=20s --no-tui
  fhsim live cafe-wifi --tcp model       where the kernel path is not to be had
  fhsim live cafe-wifi --listen 0.0.0.0  on the server's machine, and then on the person's:
  fhsim live cafe-wifi --connect 192.0.2.7

Each contender has two network namespaces of its own, and everything between them crosses the scenario's
link, packet by packet. `fhsim doctor` says whether that works here, and what is missing where not.

Exit codes: 0 success, 1 failure, 2 usage, 3 bad scenario, 130 interrupted")]
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
    #[command(flatten)]
    machines: Machines,
    /// A line for each contender and second instead of a screen
    #[arg(long)]
    no_tui: bool,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Says nothing beside the result
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people; at the end, when the screen is gone
    Table,
    /// For programs: an event a line, as they come; `fhsim schema live` describes them
    Ndjson,
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
        if let Some(listen) = &self.machines.listen {
            return self.machines.serve(listen, &draft, scenario);
        }
        let (guest, scenario) = match &self.machines.connect {
            Some(server) => {
                let (guest, scenario) = self.machines.visit(server, &draft, scenario)?;
                (Some(guest), scenario)
            }
            None => (None, self.network.playable(scenario, self.quiet)?),
        };
        let real = self.play(&draft, &scenario, guest.as_ref())?;
        match self.format {
            Format::Table => output::print(&table::draw(&draft, &real.outcome, output::look()))?,
            Format::Ndjson => event(&self.end(&draft, &real))?,
        }
        if !self.quiet {
            tell(&real);
            if let Some(guest) = guest {
                guest.tell();
            }
        }
        Ok(if real.outcome.complete { Exit::Success } else { Exit::Interrupted })
    }

    /// Plays the trials in threads of their own and shows them in this one.
    fn play(
        &self,
        draft: &Draft,
        scenario: &Scenario,
        guest: Option<&Guest>,
    ) -> Result<RealTimeOutcome, Failure> {
        let seeds = self.seeds();
        let board = Board::new(scenario, name(draft), &seeds);
        let stage = Arc::new(Stage::default());
        let ports = Network::ports(scenario);
        let start = |contender: usize, seed: u64| {
            let playing = match guest {
                Some(guest) => {
                    let stage = Arc::clone(&stage);
                    guest.start(contender, seed, move || stage.command(Command::Stop))
                }
                None => self.network.start(&self.selection, scenario, contender, seed, &ports),
            }?;
            stage.watch(playing.commands());
            Ok(playing)
        };
        thread::scope(|scope| {
            let (playing, done) = mpsc::channel::<()>();
            let (seeds, board_of_trials, stage_of_trials) = (&seeds, &board, &stage);
            let start = &start;
            let trials = scope.spawn(move || {
                let _playing = playing;
                realtime::run(scenario, seeds, &stage_of_trials.cancelled, board_of_trials, start)
            });
            let shown = self.show(draft, scenario, &board, &stage, &done);
            if shown.is_err() {
                stage.command(Command::Stop);
            }
            let played = trials.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            shown?;
            if !self.quiet {
                ports
                    .skipped()
                    .iter()
                    .for_each(|held| output::tell(&format!("skipped a port that is held: {held}")));
            }
            played.map_err(|(contender, error)| match guest {
                Some(_) => anyhow!("{contender}: {error}").into(),
                None => self.network.failure(&contender, &error).into(),
            })
        })
    }

    /// Shows the trials until they are over.
    fn show(
        &self,
        draft: &Draft,
        scenario: &Scenario,
        board: &Board<'_>,
        stage: &Arc<Stage>,
        done: &Receiver<()>,
    ) -> Result<(), Failure> {
        // Between two machines there is nothing to see before a trial is over.
        let visible = self.machines.connect.is_none();
        if self.format == Format::Table && visible && !self.no_tui && !self.quiet && terminal::is_at_hand() {
            let losses = scenario.path.down.loss.as_ref();
            let knobs = Knobs::new(losses.map_or(Some((0.0, 1.0)), |loss| loss.model.means()));
            terminal::watch(board, knobs, output::look(), &|command| stage.command(command), done)?;
            return Ok(());
        }
        stop_on_interrupt(stage)?;
        if self.format == Format::Ndjson {
            let contenders = scenario.contenders.iter().map(|one| one.name.clone()).collect();
            let start = LiveStart::new(name(draft), &self.seeds(), scenario.duration, contenders);
            event(&LiveEvent::Start(start))?;
            let mut written = Ok(());
            board.every_second(done, |scene| {
                if written.is_ok() {
                    written = event(&lines::event(scene));
                }
            });
            return written;
        }
        if self.quiet || !visible {
            // It ends by the other end of the channel being dropped.
            let _ = done.recv();
            return Ok(());
        }
        output::tell(&lines::heading());
        board.every_second(done, |scene| {
            let lines = lines::lines(scene, output::look());
            if !lines.is_empty() {
                output::tell(&lines);
            }
        });
        Ok(())
    }

    fn seeds(&self) -> Vec<u64> {
        match self.seeds {
            Some((first, last)) => (first..=last).collect(),
            None => vec![self.seed],
        }
    }

    fn end(&self, draft: &Draft, real: &RealTimeOutcome) -> LiveEvent {
        let sets = self.selection.sets.iter().map(|set| format!(" --set {}", quoted(set)));
        let command = format!(
            "fhsim live {}{}{}",
            quoted(&self.selection.scenario),
            self.seeds.map_or_else(
                || format!(" --seed {}", self.seed),
                |(first, last)| format!(" --seeds {first}..{last}")
            ),
            sets.collect::<String>()
        );
        let sentences = verdict::sentences(&real.outcome);
        LiveEvent::End(Box::new(LiveEnd {
            result: Report::new(draft, &self.selection.sets, command, &real.outcome, &[], sentences),
            timing: real.timing.iter().copied().map(Into::into).collect(),
        }))
    }
}

fn event(event: &LiveEvent) -> Result<(), Failure> {
    output::print(&event.to_line())
}

fn name(draft: &Draft) -> &str {
    let name = draft.sources.name();
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name)
}

/// What is to be said beside the result: how well time was kept, and what the figures show if it was.
fn tell(real: &RealTimeOutcome) {
    let timing = real.timing.iter().copied().reduce(Timing::worse).unwrap_or_default();
    output::tell(&format!("timing: {timing}"));
    if let Some(clock) = real.clock {
        output::tell(&format!("clocks: {clock}"));
    }
    for (contender, note) in &real.notes {
        output::tell(&format!("{contender}: {note}"));
    }
    if timing.quality() != Quality::Spoiled {
        for sentence in verdict::sentences(&real.outcome) {
            output::tell(&format!("verdict: {sentence}"));
        }
    }
}

/// The first Ctrl-C ends the trials with what they have, the second at once.
fn stop_on_interrupt(stage: &Arc<Stage>) -> anyhow::Result<()> {
    let stage = Arc::clone(stage);
    on_interrupt(move || {
        let first = !stage.cancelled.load(Ordering::Relaxed);
        stage.command(Command::Stop);
        first
    })
}

/// Calls `stop` at every Ctrl-C, and ends the process where it says that there is nothing to stop.
fn on_interrupt(mut stop: impl FnMut() -> bool + Send + 'static) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if !stop() {
            process::exit(130);
        }
    })
    .context("cannot listen to Ctrl-C")
}

/// The trials under way, as those see them who command them.
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
