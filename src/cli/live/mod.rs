//! `fhsim live`: a scenario in real time, on real sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use framehawk_sim::drive::message::Command;
use framehawk_sim::report::live::{LiveEnd, LiveEvent, LiveStart};
use framehawk_sim::report::table;
use framehawk_sim::runner::{realtime, rest};
use framehawk_sim::scenario::{self, Draft, Scenario};
use framehawk_sim::time::Duration;

use self::remote::{Guest, Machines};
use self::result::Over;
use self::stage::{Stage, stop_on_interrupt};
use self::trial::Network;
use super::selection::{Selection, seed_range};
use super::shell::quoted;
use super::view::knobs::Knobs;
use super::view::{Board, lines, terminal};
use super::{Exit, Failure, folder, output};

mod remote;
mod result;
mod stage;
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

Keys of the view, which change all contenders alike:
  + and -  more and less loss              1 to 8  losses from none to 20 % in bursts of 16
  b and B  shorter and longer bursts       f and F  less and more repair, for codes with a fixed amount
  space    hold the view                   t  only the table    s  save the screen as text
  q        end, with the table of what there is

Each contender has two network namespaces of its own, and everything between them crosses the scenario's
link, packet by packet. `fhsim doctor` says whether that works here, and what is missing where not.

Exit codes: 0 success, 1 failure, 2 usage, 3 bad scenario, 99 an expectation is not met, 130 interrupted;
1 too where this machine lost packets and there are expectations, which then cannot be judged")]
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
    /// Writes result.json, with how well time was kept, result.csv and scenario.toml (as it was run) into
    /// this folder
    #[arg(long, value_name = "DIR", conflicts_with = "listen")]
    out: Option<PathBuf>,
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
        if let Some(folder) = &self.out {
            folder::claim(folder)?;
        }
        let scenario = Scenario::new(&draft)?;
        if !self.quiet {
            for warning in scenario::warnings(&draft.file, &scenario) {
                output::tell(&format!("warning: {warning}"));
            }
        }
        if let Some(listen) = &self.machines.listen {
            return self.machines.serve(listen, &draft, scenario);
        }
        if !self.quiet {
            tell_of_rest(&scenario, self.seeds.map_or(self.seed, |(first, _)| first));
        }
        let (guest, scenario) = match &self.machines.connect {
            Some(server) => {
                let (guest, scenario) = self.machines.visit(server, &draft, scenario)?;
                (Some(guest), scenario)
            }
            None => (None, self.network.playable(scenario, self.quiet)?),
        };
        let over = self.play(&draft, &scenario, guest.as_ref())?;
        let report = over.report(&draft, &self.selection.sets, self.command());
        if let Some(folder) = &self.out {
            folder::write(folder, &draft, &over.real.outcome, &report)?;
        }
        match self.format {
            Format::Table => output::print(&table::draw(&draft, &over.real.outcome, output::look()))?,
            Format::Ndjson => event(&LiveEvent::End(Box::new(LiveEnd { result: report })))?,
        }
        if !self.quiet {
            over.tell();
            if let Some(guest) = guest {
                guest.tell();
            }
        }
        over.exit()
    }

    /// Plays the trials in threads of their own and shows them in this one.
    fn play(&self, draft: &Draft, scenario: &Scenario, guest: Option<&Guest>) -> Result<Over, Failure> {
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
                realtime::run(scenario, seeds, stage_of_trials.cancelled(), board_of_trials, start)
            });
            let shown = self.show(draft, scenario, &board, &stage, &done);
            if shown.is_err() {
                stage.command(Command::Stop);
            }
            let played = trials.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            shown?;
            let real = played.map_err(|(contender, error)| match guest {
                Some(_) => anyhow!("{contender}: {error}"),
                None => self.network.failure(&contender, &error),
            })?;
            let skipped = ports.skipped();
            if !self.quiet && !skipped.0.is_empty() {
                output::tell(&format!("skipped ports that are held: {skipped}"));
            }
            Ok(Over::new(draft, real, stage.is_altered()))
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
        // Between two machines most there is to see comes when a trial is over.
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
            if !visible {
                let _ = done.recv();
                return Ok(());
            }
            return board.every_second(done, |scene| event(&lines::event(scene)));
        }
        if self.quiet {
            // It ends by the other end of the channel being dropped.
            let _ = done.recv();
            return Ok(());
        }
        if !visible {
            output::tell(
                "what comes to this end; the figures of both ends come with the table, since telling them now \
                 would load the network that is measured",
            );
            board.every_second_of_progress(done, |contender, seed, progress| {
                output::tell(&lines::progress(contender, seed, progress, scenario.duration));
            });
            return Ok(());
        }
        output::tell(&lines::heading());
        board.every_second(done, |scene| {
            let lines = lines::lines(scene, output::look());
            if !lines.is_empty() {
                output::tell(&lines);
            }
            Ok(())
        })
    }

    fn seeds(&self) -> Vec<u64> {
        match self.seeds {
            Some((first, last)) => (first..=last).collect(),
            None => vec![self.seed],
        }
    }

    /// A command that does the same again; what changes nothing is left out.
    fn command(&self) -> String {
        let mut words = vec!["fhsim live".to_owned(), quoted(&self.selection.scenario)];
        words.push(match self.seeds {
            Some((first, last)) => format!("--seeds {first}..{last}"),
            None => format!("--seed {}", self.seed),
        });
        words.extend(self.selection.sets.iter().map(|set| format!("--set {}", quoted(set))));
        words.extend(self.network.words().map(str::to_owned));
        words.extend(self.machines.connect.iter().map(|server| format!("--connect {}", quoted(server))));
        words.join(" ")
    }
}

/// Says where a run begins with a rest, because all contenders look alike until it is over.
fn tell_of_rest(scenario: &Scenario, seed: u64) {
    let rest = rest::at_start(scenario, seed);
    if rest < LONG_REST {
        return;
    }
    let seconds = rest.as_secs_f64().min(scenario.duration.as_secs_f64());
    let busy = (1..=SEEDS_TRIED).find(|&seed| rest::at_start(scenario, seed) < AT_ONCE);
    let advice = busy.map_or(String::new(), |seed| format!("; with --seed {seed} there is work at once"));
    output::tell(&format!(
        "note: the screen mostly rests for the first {seconds} s, and contenders look alike{advice}"
    ));
}

/// A shorter rest than this needs no word: what is sent evenly has 9 s.
const LONG_REST: Duration = Duration::from_secs(12);
/// A shorter rest than this is none: there is more to send than later.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How many seeds are tried for one without a rest.
const SEEDS_TRIED: u64 = 20;

fn event(event: &LiveEvent) -> Result<(), Failure> {
    output::print(&event.to_line())
}

fn name(draft: &Draft) -> &str {
    let name = draft.sources.name();
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name)
}
