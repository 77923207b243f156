//! `fhsim bench strategy`: every strategy on every link of a grid.

use std::path::Path;

use clap::{Args, ValueEnum};
use framehawk_sim::lab::catalogue;
use framehawk_sim::lab::grid::{Axes, Grid, GridOutcome, InvalidAxes};
use framehawk_sim::report::bench::json::BenchReport;
use framehawk_sim::report::bench::{csv, table};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{Contender, Lineup, Protocol, parse};
use framehawk_sim::time::Duration;
use framehawk_sim::units::Probability;

use super::list::{List, bursts, durations, shares};
use super::timing;
use crate::cli::conduct::Manner;
use crate::cli::selection::{find, seeds};
use crate::cli::shell::quoted;
use crate::cli::{Exit, Failure, output};

/// Rank strategies on simulated links: frames on time against overhead
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fhsim bench strategy
  fhsim bench strategy --loss 1,2,5% --burst iid,4 --rtt 20,100ms
  fhsim bench strategy --scenario cafe-wifi --strategies none,retransmit,rs-10-3,tcp-bbr
  fhsim bench strategy --loss 5% --set contender.rs-10-3.udp.retransmit=deadline

Without --loss and --rtt the link is as the scenario has it. Strategies are those of the catalogue (`all`)
and the scenario's own contenders, by name.")]
pub(super) struct Strategy {
    /// The scenario that links are made of: a path or a name
    #[arg(long, value_name = "SCENARIO", default_value = "bench")]
    scenario: String,
    /// Shares of packets lost in each direction, such as 1,2,5%
    #[arg(long, value_name = "LIST", value_parser = shares)]
    loss: Option<List<Probability>>,
    /// Mean runs of losses in packets, such as iid,2,4 [default: iid]; needs --loss
    #[arg(long, value_name = "LIST", value_parser = bursts)]
    burst: Option<List<f64>>,
    /// Round trips, such as 20,100ms; deadlines keep their slack beyond the way there
    #[arg(long, value_name = "LIST", value_parser = durations::<Duration>)]
    rtt: Option<List<Duration>>,
    /// Strategies by name, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    strategies: Vec<String>,
    /// How many seeds, or from which to which: 20 or 1..20 [default: the scenario's `seeds`]
    #[arg(long, value_name = "N", value_parser = seeds)]
    seeds: Option<(u64, u64)>,
    /// Sets any key of the scenario by its dotted path; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Sweeps each code alone, without contents, over ten million packets, for losses too rare to be seen in
    /// sessions; in the table and in JSON
    #[arg(long)]
    sweep: bool,
    /// Measures what each code takes in processor time on this machine; in the table only
    #[arg(long)]
    cpu: bool,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs; `fhsim schema bench` describes it
    Json,
    /// A row for each link, strategy and seed
    Csv,
}

impl Strategy {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let places = self.axes().places().map_err(|error| self.usage(error))?;
        let sources = find(&self.scenario)?;
        let chosen = catalogue::choose(&self.strategies, &contenders(&sources))
            .map_err(|unknown| Failure::Usage(unknown.to_string()))?;
        let lineup = Lineup { name: catalogue::NAME, text: catalogue::TEXT, chosen: &chosen };
        let grid = Grid::new(&sources, &self.sets, &lineup, &places)?;
        let (first, last) = self.seeds.unwrap_or((1, u64::from(grid.base.file.seeds.value)));
        let seeds: Vec<u64> = (first..=last).collect();
        let mut outcome =
            self.manner.conduct(|conduct| grid.run(&seeds, conduct))?.map_err(anyhow::Error::from)?;
        if outcome.cells.is_empty() {
            output::tell("interrupted before any seed was complete: there is no result");
            return Ok(Exit::Interrupted);
        }
        if self.sweep {
            if !self.manner.quiet {
                output::tell("sweeping the codes alone, about a second each");
            }
            outcome.sweep(&grid, SWEPT);
        }
        let command = self.command((first, last));
        output::print(&self.text(&grid, &outcome, &command))?;
        if !self.manner.quiet {
            output::tell(&format!("reproduce: {command}"));
        }
        Ok(if outcome.complete { Exit::Success } else { Exit::Interrupted })
    }

    fn axes(&self) -> Axes {
        Axes {
            loss: self.loss.as_ref().map_or_else(Vec::new, |list| list.values.clone()),
            burst: self.burst.as_ref().map_or_else(Vec::new, |list| list.values.clone()),
            round_trip: self.rtt.as_ref().map_or_else(Vec::new, |list| list.values.clone()),
        }
    }

    /// Which option is wrong, and why.
    fn usage(&self, error: InvalidAxes) -> Failure {
        let (option, text) = match error {
            InvalidAxes::RoundTrip(_) => ("rtt", self.rtt.as_ref().map(|list| &list.text)),
            _ => ("burst", self.burst.as_ref().map(|list| &list.text)),
        };
        Failure::Usage(format!("--{option} {}: {error}", text.map_or("", String::as_str)))
    }

    fn text(&self, grid: &Grid, outcome: &GridOutcome, command: &str) -> String {
        let name = grid.base.sources.name();
        match self.format {
            Format::Table => {
                let short = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
                let cpu = self.cpu.then(|| cpu_times(grid));
                table::draw(short, grid.base.file.duration.value, outcome, cpu.as_deref(), output::look())
            }
            Format::Json => {
                BenchReport::new(name.to_owned(), &self.sets, command.to_owned(), outcome).to_text()
            }
            Format::Csv => csv::table(outcome),
        }
    }

    /// A command that gives the same result; what cannot change it is left out.
    fn command(&self, (first, last): (u64, u64)) -> String {
        let mut words = vec!["fhsim bench strategy".to_owned()];
        let mut add = |option: &str, value: &str| words.push(format!("--{option} {}", quoted(value)));
        add("scenario", &self.scenario);
        if let Some(list) = &self.loss {
            add("loss", &list.text);
        }
        if let Some(list) = &self.burst {
            add("burst", &list.text);
        }
        if let Some(list) = &self.rtt {
            add("rtt", &list.text);
        }
        add("strategies", &self.strategies.join(","));
        add("seeds", &format!("{first}..{last}"));
        self.sets.iter().for_each(|set| add("set", set));
        if self.sweep {
            words.push("--sweep".to_owned());
        }
        words.join(" ")
    }
}

/// The source packets of a sweep.
const SWEPT: u32 = 10_000_000;

/// The source packets of a frame whose processor time is measured, and how often it is.
const FRAME: u32 = 8;
const SAMPLES: usize = 9;

/// The microseconds that each strategy's code takes a frame; none for TCP, which has no code.
fn cpu_times(grid: &Grid) -> Vec<Option<f64>> {
    let strategies = grid.cells.first().map_or(&[][..], |cell| &cell.scenario.contenders);
    let time = |strategy: &Contender| match &strategy.protocol {
        Protocol::Udp { scheme, .. } => Some(timing::cost(scheme, FRAME, SAMPLES).both_us()),
        Protocol::Tcp(_) | Protocol::Quic(_) => None,
    };
    strategies.iter().map(time).collect()
}

/// The names of the scenario's own contenders. Where it is wrong, its errors come when it is read with
/// all overrides.
fn contenders(sources: &Sources) -> Vec<String> {
    parse(sources.clone(), &[])
        .map_or_else(|_| Vec::new(), |draft| draft.file.contender.names().map(str::to_owned).collect())
}
