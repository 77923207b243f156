//! A grid of links, and every strategy on each of them.
//!
//! A cell is the base scenario with other losses and another round trip, the same in both directions:
//!
//! | axis | what it sets |
//! | --- | --- |
//! | loss, burst | `path.*.loss`: `iid`, or `gilbert` (steps by packet) for mean bursts above 1 |
//! | round trip | `path.*.delay` to half of it; deadlines move with the way there and keep their slack |
//!
//! What no axis sets stays as the base has it. All strategies of a cell meet the same seeds, so their
//! differences are paired.

use std::sync::atomic::Ordering;

use crate::fec::Scheme;
use crate::runner::{self, Conduct, ContenderOutcome, Outcome, Progress, RunError};
use crate::scenario::problem::Problems;
use crate::scenario::quantity::Written;
use crate::scenario::source::Sources;
use crate::scenario::{Contender, Draft, Lineup, Protocol, Scenario, parse_lineup};
use crate::time::Duration;
use crate::units::Probability;

use super::pareto::{self, Point};
use super::{expected, rank};

/// What cells differ in. Empty axes leave the base as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axes {
    /// Shares of packets lost.
    pub loss: Vec<Probability>,
    /// Mean lengths of runs of losses, in packets; up to 1 is independent loss. Needs `loss`.
    pub burst: Vec<f64>,
    /// Round trips on the empty path.
    pub round_trip: Vec<Duration>,
}

/// Why there is no such cell.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidAxes {
    /// Bursts of which share of packets?
    #[error("bursts need a loss: which share of the packets is lost in them?")]
    BurstWithoutLoss,
    /// Not a length of bursts.
    #[error("bursts have a mean length of 1 to 10000 packets, not {0}")]
    Burst(f64),
    /// A chain that would have to turn bad more often than always.
    #[error(
        "bursts of {burst} packets on average cannot make {loss} loss: between them there is at least one packet"
    )]
    Unreachable {
        /// The share of packets lost.
        loss: Probability,
        /// The mean burst.
        burst: f64,
    },
    /// Longer than any scenario's delay.
    #[error("round trips are at most 120 s, not {0}")]
    RoundTrip(Duration),
}

/// Where on the grid a cell is; nothing where the base scenario is as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// The share of packets lost, in each direction.
    pub loss: Option<Probability>,
    /// The mean length of runs of losses; none where losses are independent.
    pub burst: Option<f64>,
    /// The round trip on the empty path.
    pub round_trip: Option<Duration>,
}

/// One link with all strategies.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Where it is.
    pub place: Place,
    /// The deadline of what travels down, where all of that has the same.
    pub deadline: Option<Duration>,
    /// The scenario, whose contenders are the strategies.
    pub scenario: Scenario,
}

/// The cells, in the order of the axes: loss, then burst, then round trip.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The base scenario with the strategies as its contenders.
    pub base: Draft,
    /// The cells; at least one.
    pub cells: Vec<Cell>,
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub struct CellOutcome {
    /// Where it is.
    pub place: Place,
    /// The deadline of what travels down, where all of that has the same.
    pub deadline: Option<Duration>,
    /// All metrics of all strategies; differences are those to the first strategy.
    pub outcome: Outcome,
    /// For each strategy, whether it is on the Pareto front.
    pub front: Vec<bool>,
    /// For each strategy, the share of source packets that should be lost for good by formula.
    pub expected: Vec<Option<f64>>,
    /// For each strategy, what a sweep of its code alone came to; nothing where no sweep was made.
    pub swept: Vec<Option<rank::Residual>>,
}

/// What came of a grid.
#[derive(Clone, Debug)]
pub struct GridOutcome {
    /// The cells that have at least one whole seed.
    pub cells: Vec<CellOutcome>,
    /// Whether these are all cells, with all seeds.
    pub complete: bool,
}

impl Axes {
    /// The places of the grid. A loss of 0 has no bursts, and is there once for each round trip.
    ///
    /// # Errors
    /// The first combination that cannot be.
    pub fn places(&self) -> Result<Vec<Place>, InvalidAxes> {
        if self.loss.is_empty() && !self.burst.is_empty() {
            return Err(InvalidAxes::BurstWithoutLoss);
        }
        if let Some(&burst) = self.burst.iter().find(|burst| !(1.0..=10_000.0).contains(*burst)) {
            return Err(InvalidAxes::Burst(burst));
        }
        if let Some(&long) = self.round_trip.iter().find(|trip| **trip > ROUND_TRIP_MAX) {
            return Err(InvalidAxes::RoundTrip(long));
        }
        let mut places = Vec::new();
        for loss in each(&self.loss) {
            for burst in each(&self.burst) {
                let burst = burst.filter(|burst| *burst > 1.0);
                if let (Some(loss), Some(burst)) = (loss, burst)
                    && loss.get() > burst * (1.0 - loss.get())
                {
                    return Err(InvalidAxes::Unreachable { loss, burst });
                }
                let burst = burst.filter(|_| loss != Some(Probability::ZERO));
                places.extend(each(&self.round_trip).map(|round_trip| Place { loss, burst, round_trip }));
            }
        }
        let mut once: Vec<Place> = Vec::new();
        for place in places {
            if !once.contains(&place) {
                once.push(place);
            }
        }
        Ok(once)
    }
}

/// Twice the longest delay of a link.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(120);

/// The values of an axis; where it has none, nothing is set once.
fn each<T: Copy>(axis: &[T]) -> impl Iterator<Item = Option<T>> {
    let nothing = axis.is_empty().then_some(None);
    axis.iter().copied().map(Some).chain(nothing)
}

impl Grid {
    /// The grid over the scenario in `sources` with the overrides `sets`, with the contenders of
    /// `lineup` as strategies; overrides reach them as well.
    ///
    /// # Errors
    /// What is wrong with the scenario, the overrides or the strategies.
    pub fn new(
        sources: &Sources,
        sets: &[String],
        lineup: &Lineup<'_>,
        places: &[Place],
    ) -> Result<Self, Problems> {
        let base = parse_lineup(sources.clone(), sets, lineup)?;
        let cell = |place: &Place| {
            let all: Vec<String> = sets.iter().cloned().chain(place.overrides(&base)).collect();
            let draft = parse_lineup(sources.clone(), &all, lineup)?;
            let scenario = Scenario::new(&draft)?;
            Ok(Cell { place: *place, deadline: deadline(&draft), scenario })
        };
        let cells = places.iter().map(cell).collect::<Result<_, Problems>>()?;
        Ok(Self { base, cells })
    }

    /// Adds a strategy called `name` to every cell: the UDP strategy `like` with another code. This is
    /// how a code from outside joins. Nothing is added where no UDP strategy has that name.
    pub fn add(&mut self, name: &str, like: &str, code: &Scheme) {
        for cell in &mut self.cells {
            let contenders = &mut cell.scenario.contenders;
            let model = contenders.iter().find(|one| one.name == like).map(|one| one.protocol.clone());
            if let Some(Protocol::Udp { down, up, .. }) = model {
                let protocol = Protocol::Udp { down, up, scheme: code.clone() };
                contenders.push(Contender { name: name.to_owned(), protocol });
            }
        }
    }

    /// Runs all cells with all seeds. A run that is cancelled keeps what is whole.
    ///
    /// # Errors
    /// As [`runner::run`].
    pub fn run(&self, seeds: &[u64], conduct: &Conduct<'_>) -> Result<GridOutcome, RunError> {
        let trials = |cell: &Cell| cell.scenario.contenders.len() * seeds.len();
        let all = self.cells.iter().map(trials).sum();
        let (mut outcomes, mut before, mut complete) = (Vec::new(), 0, true);
        for cell in &self.cells {
            if conduct.cancelled.load(Ordering::Relaxed) {
                complete = false;
                break;
            }
            let progress = Part { before, all, whole: conduct.progress };
            let outcome = runner::run(&cell.scenario, seeds, &Conduct { progress: &progress, ..*conduct })?;
            before += trials(cell);
            complete &= outcome.complete;
            if !outcome.seeds.is_empty() {
                outcomes.push(CellOutcome::new(cell, outcome));
            }
        }
        Ok(GridOutcome { cells: outcomes, complete })
    }
}

impl GridOutcome {
    /// Sweeps the codes of `grid`, of which this came, alone over `packets` source packets in each cell.
    pub fn sweep(&mut self, grid: &Grid, packets: u32) {
        for (outcome, Cell { scenario, .. }) in self.cells.iter_mut().zip(&grid.cells) {
            let sweep = |one| expected::swept(scenario, one, packets);
            outcome.swept = scenario.contenders.iter().map(sweep).collect();
        }
    }
}

impl Place {
    /// What it sets in the base scenario.
    fn overrides(&self, base: &Draft) -> Vec<String> {
        let mut sets = Vec::new();
        for direction in ["down", "up"] {
            if let Some(loss) = self.loss {
                let loss = loss.get();
                sets.push(match self.burst {
                    Some(burst) => {
                        format!("path.{direction}.loss={{gilbert={{loss={loss:?},burst={burst:?}}}}}")
                    }
                    None => format!("path.{direction}.loss={{iid={{rate={loss:?}}}}}"),
                });
            }
            if let Some(round_trip) = self.round_trip {
                let delay = round_trip / 2;
                sets.push(format!("path.{direction}.delay={}", delay.written()));
                sets.extend(moved_deadlines(base, direction, delay));
            }
        }
        sets
    }
}

/// The deadlines of a direction with the slack that they have beyond the delay of the base.
fn moved_deadlines(base: &Draft, direction: &str, delay: Duration) -> Vec<String> {
    let file = &base.file;
    let (traffic, link) = match direction {
        "down" => (&file.traffic.down, &file.path.down),
        _ => (&file.traffic.up, &file.path.up),
    };
    let moved = |deadline: Duration| (deadline.saturating_sub(link.delay.value) + delay).written();
    traffic
        .iter()
        .map(|(name, one)| {
            format!("traffic.{direction}.{:?}.deadline={}", name.value, moved(one.deadline.value))
        })
        .collect()
}

fn deadline(draft: &Draft) -> Option<Duration> {
    let mut deadlines = draft.file.traffic.down.iter().map(|(_, traffic)| traffic.deadline.value);
    let first = deadlines.next()?;
    deadlines.all(|other| other == first).then_some(first)
}

impl CellOutcome {
    fn new(cell: &Cell, outcome: Outcome) -> Self {
        let point = |one: &ContenderOutcome| Some(Point { gain: one.mean(GAIN)?, cost: one.mean(COST)? });
        let points: Vec<Option<Point>> = outcome.contenders.iter().map(point).collect();
        let scenario = &cell.scenario;
        let expected = scenario.contenders.iter().map(|one| expected::residual(scenario, one)).collect();
        let front = pareto::front(&points);
        Self { place: cell.place, deadline: cell.deadline, front, expected, swept: Vec::new(), outcome }
    }
}

/// The metric of the gain.
pub const GAIN: &str = "frames_on_time_pct";

/// The metric of the cost.
pub const COST: &str = "repair_overhead_pct";

/// The progress of a cell as a part of the whole.
#[derive(Debug)]
struct Part<'a> {
    before: usize,
    all: usize,
    whole: &'a (dyn Progress + 'a),
}

impl Progress for Part<'_> {
    fn advance(&self, done: usize, _all: usize) {
        self.whole.advance(self.before + done, self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::config::LossModel;
    use crate::lab::catalogue;
    use crate::scenario::built_in;

    fn percent(value: f64) -> Probability {
        Probability::new(value / 100.0).unwrap()
    }

    fn grid(base: &str, sets: &[&str], axes: &Axes) -> Grid {
        let base = built_in::find(built_in::SCENARIOS, base).unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let chosen = ["none".to_owned(), "rs-10-3".to_owned()];
        let lineup = Lineup { name: catalogue::NAME, text: catalogue::TEXT, chosen: &chosen };
        let sources = Sources::built_in(base.name, base.text);
        Grid::new(&sources, &sets, &lineup, &axes.places().unwrap())
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn the_places_are_all_combinations_in_their_order_and_no_loss_has_no_bursts() {
        let axes = Axes {
            loss: vec![percent(0.0), percent(5.0)],
            burst: vec![1.0, 4.0],
            round_trip: vec![Duration::from_millis(20), Duration::from_millis(100)],
        };
        let places = axes.places().unwrap();
        let place = |loss, burst, trip| Place {
            loss: Some(percent(loss)),
            burst,
            round_trip: Some(Duration::from_millis(trip)),
        };
        let expected = [
            place(0.0, None, 20),
            place(0.0, None, 100),
            place(5.0, None, 20),
            place(5.0, None, 100),
            place(5.0, Some(4.0), 20),
            place(5.0, Some(4.0), 100),
        ];
        assert_eq!(places, expected);
        assert_eq!(Axes::default().places().unwrap(), [Place::default()]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |loss: &[f64], burst: &[f64]| {
            let loss = loss.iter().map(|&loss| percent(loss)).collect();
            Axes { loss, burst: burst.to_vec(), round_trip: Vec::new() }.places().unwrap_err()
        };
        assert_eq!(error(&[], &[4.0]), InvalidAxes::BurstWithoutLoss);
        assert_eq!(error(&[5.0], &[0.5]), InvalidAxes::Burst(0.5));
        assert!(matches!(error(&[5.0], &[f64::NAN]), InvalidAxes::Burst(_)));
        // Two of three lost is the most that bursts of two allow.
        assert_eq!(error(&[70.0], &[2.0]), InvalidAxes::Unreachable { loss: percent(70.0), burst: 2.0 });
        let long = Axes { round_trip: vec![Duration::from_secs(121)], ..Axes::default() };
        assert_eq!(long.places().unwrap_err(), InvalidAxes::RoundTrip(Duration::from_secs(121)));
    }

    #[test]
    fn a_cell_sets_both_directions_and_deadlines_keep_their_slack() {
        let axes =
            Axes { loss: vec![percent(5.0)], burst: vec![4.0], round_trip: vec![Duration::from_millis(200)] };
        let cell = grid("cafe-wifi", &["traffic.down.screen.deadline=78ms"], &axes).cells.remove(0);
        for link in [&cell.scenario.path.down, &cell.scenario.path.up] {
            assert_eq!(link.delay, Duration::from_millis(100));
            let loss = link.loss.as_ref().map(|loss| &loss.model);
            assert!(matches!(loss, Some(LossModel::GilbertElliott(_))), "{loss:?}");
        }
        // 60 ms beyond the 18 ms there; the keys up keep their 82 ms.
        assert_eq!(cell.deadline, Some(Duration::from_millis(160)));
        let names: Vec<&str> = cell.scenario.contenders.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["none", "rs-10-3"]);
    }

    #[test]
    fn a_code_from_outside_joins_every_cell_like_another_strategy() {
        let axes = Axes { loss: vec![percent(1.0), percent(2.0)], ..Axes::default() };
        let mut grid = grid("bench", &[], &axes);
        grid.add("mine", "rs-10-3", &Scheme::None);
        grid.add("orphan", "nobody", &Scheme::None);
        for cell in &grid.cells {
            assert_eq!(cell.scenario.contenders.len(), 3);
            assert_eq!(cell.scenario.contenders[2].name, "mine");
        }
    }
}
