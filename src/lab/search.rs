//! The search for good strategies on one link: the catalogue first, then steps from the best of the best
//! families.
//!
//! What is searched for is the cheapest strategy that reaches the target within a budget. The best of
//! many noisy candidates looks better than it is (the winner's curse), so that nothing here is a result:
//! the [`Finalists`](Search::finalists) are to be measured again on seeds that the search has not seen.

use std::sync::atomic::Ordering;

use crate::runner::{Conduct, Progress, RunError};
use crate::scenario::problem::Problems;
use crate::scenario::source::Sources;
use crate::scenario::{Lineup, parse_lineup};

use super::catalogue::{self, Strategy};
use super::grid::{COST, CellOutcome, GAIN, Grid, Place};
use super::refine::{neighbors, shape};

/// How many families of codes are refined in each round.
const FAMILIES: usize = 3;

/// How many rounds of refinement there are.
const ROUNDS: usize = 2;

/// How many finalists are measured again, beside the plain ones.
const FINALISTS: usize = 10;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The scenario.
    pub sources: &'a Sources,
    /// Its overrides.
    pub sets: &'a [String],
    /// The most that repair may cost, in percent of the source's bytes.
    pub budget: f64,
    /// How many frames should be on time, in percent.
    pub target: f64,
}

impl Question<'_> {
    /// Whether so many frames on time are enough. Targets count to the tenth of a point, as everything in
    /// tables: a hundredth less is not worth another third of the bytes.
    pub fn reached_by(&self, gain: f64) -> bool {
        gain >= self.target - 0.05
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] Problems),
    /// A trial came to nothing.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is nothing that could be on time.
    #[error("the scenario sends no frames of a picture down, so none can be on time")]
    NoFrames,
    /// It was interrupted.
    #[error("interrupted before there was an answer")]
    Interrupted,
}

/// A strategy that was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What it is.
    pub strategy: Strategy,
    /// How far from simple it is: codes with retransmission come behind those without, and otherwise
    /// families come in the order of the catalogue.
    pub complexity: (bool, usize),
    gain: f64,
    cost: f64,
}

/// A search under way.
#[derive(Debug)]
pub struct Search<'a> {
    question: &'a Question<'a>,
    conduct: Conduct<'a>,
    seeds: &'a [u64],
    tried: Vec<Tried>,
    /// How many trials are done.
    done: usize,
}

impl<'a> Search<'a> {
    /// Searches on these seeds.
    ///
    /// # Errors
    /// Where the scenario is wrong, has no frames, or the search was interrupted.
    pub fn new(
        question: &'a Question<'a>,
        seeds: &'a [u64],
        conduct: &Conduct<'a>,
    ) -> Result<Self, SearchError> {
        let mut search = Self { question, conduct: *conduct, seeds, tried: Vec::new(), done: 0 };
        search.attempt(catalogue::strategies().into_iter().zip(0..).collect())?;
        for _ in 0..ROUNDS {
            let steps = search.steps();
            if !steps.is_empty() {
                search.attempt(steps)?;
            }
        }
        Ok(search)
    }

    /// Those worth measuring again: the plain ones that every answer is compared with, the best of each
    /// family within the budget, those next to them, and of the others the cheapest beyond the budget that
    /// reaches the target. Each is there once.
    pub fn finalists(&self) -> Vec<Tried> {
        let ranked = self.ranked();
        let plain = self.tried.iter().filter(|one| !has_code(&one.strategy));
        let affordable = || ranked.iter().copied().filter(|one| one.cost <= self.question.budget);
        let mut finalists: Vec<&Tried> = plain.collect();
        let room = finalists.len() + FINALISTS;
        for one in best_of_families(affordable()).into_iter().take(FINALISTS / 2).chain(affordable()) {
            if finalists.len() < room && !contains(&finalists, one) {
                finalists.push(one);
            }
        }
        // A plain strategy may be beyond a small budget, too.
        let beyond = self.tried.iter().filter(|one| {
            let dear = one.cost > self.question.budget && self.question.reached_by(one.gain);
            dear && !contains(&finalists, one)
        });
        let cheapest = beyond.min_by(|a, b| a.cost.total_cmp(&b.cost));
        finalists.extend(cheapest);
        finalists.into_iter().cloned().collect()
    }

    /// Measures these strategies on `seeds`.
    ///
    /// # Errors
    /// Where it was interrupted.
    pub fn measure(&mut self, strategies: &[Strategy], seeds: &[u64]) -> Result<CellOutcome, SearchError> {
        let text: String = strategies.iter().map(Strategy::to_text).collect();
        let names: Vec<String> = strategies.iter().map(|strategy| strategy.name.clone()).collect();
        let lineup = Lineup { name: catalogue::NAME, text: &text, chosen: &names };
        let question = self.question;
        let grid = Grid::new(question.sources, question.sets, &lineup, &[Place::default()])?;
        let progress = Onwards { done: self.done, whole: self.conduct.progress };
        let mut outcome = grid.run(seeds, &Conduct { progress: &progress, ..self.conduct })?;
        self.done += strategies.len() * seeds.len();
        match outcome.cells.pop() {
            Some(cell) if outcome.complete && !self.conduct.cancelled.load(Ordering::Relaxed) => Ok(cell),
            _ => Err(SearchError::Interrupted),
        }
    }

    /// Tries these strategies, each with the place of its family in the catalogue.
    fn attempt(&mut self, candidates: Vec<(Strategy, usize)>) -> Result<(), SearchError> {
        let strategies: Vec<Strategy> = candidates.iter().map(|(strategy, _)| strategy.clone()).collect();
        let cell = self.measure(&strategies, self.seeds)?;
        for ((strategy, family), measured) in candidates.into_iter().zip(&cell.outcome.contenders) {
            let (Some(gain), Some(cost)) = (measured.mean(GAIN), measured.mean(COST)) else {
                return Err(SearchError::NoFrames);
            };
            let complexity = (has_code(&strategy) && retransmits(&strategy), family);
            self.tried.push(Tried { strategy, complexity, gain, cost });
        }
        Ok(())
    }

    /// What is one step from the best of the best families, was not tried yet, and can be at all.
    fn steps(&self) -> Vec<(Strategy, usize)> {
        let mut steps: Vec<(Strategy, usize)> = Vec::new();
        let codes = self.ranked().into_iter().filter(|one| has_code(&one.strategy));
        for best in best_of_families(codes).into_iter().take(FAMILIES) {
            for mut strategy in neighbors(&best.strategy) {
                let known = self.tried.iter().map(|one| &one.strategy).chain(steps.iter().map(|one| &one.0));
                let (mut new, mut name_free) = (true, true);
                for other in known {
                    new &= other.table != strategy.table;
                    name_free &= other.name != strategy.name;
                }
                if !name_free {
                    strategy.name = format!("{}_{}", strategy.name, self.tried.len() + steps.len());
                }
                if new && self.is_code(&strategy) {
                    steps.push((strategy, best.complexity.1));
                }
            }
        }
        steps
    }

    /// Whether the scenario takes it.
    fn is_code(&self, strategy: &Strategy) -> bool {
        let text = strategy.to_text();
        let chosen = std::slice::from_ref(&strategy.name);
        let lineup = Lineup { name: catalogue::NAME, text: &text, chosen };
        parse_lineup(self.question.sources.clone(), self.question.sets, &lineup).is_ok()
    }

    /// From the best to the worst: first what reaches the target within the budget, from cheap to dear;
    /// then what is within the budget, from most to fewest frames on time; then the rest by what it costs.
    fn ranked(&self) -> Vec<&Tried> {
        let question = self.question;
        let key = |one: &Tried| match (one.cost <= question.budget, question.reached_by(one.gain)) {
            (true, true) => (0, one.cost),
            (true, false) => (1, -one.gain),
            (false, _) => (2, one.cost),
        };
        let mut ranked: Vec<&Tried> = self.tried.iter().collect();
        ranked.sort_by(|a, b| {
            let ((class, value), (other_class, other)) = (key(a), key(b));
            class.cmp(&other_class).then(value.total_cmp(&other)).then(a.complexity.cmp(&b.complexity))
        });
        ranked
    }
}

fn contains(finalists: &[&Tried], one: &Tried) -> bool {
    finalists.iter().any(|other| other.strategy == one.strategy)
}

/// The first of each family, in their order.
fn best_of_families<'t>(ranked: impl Iterator<Item = &'t Tried>) -> Vec<&'t Tried> {
    let (mut shapes, mut best) = (Vec::new(), Vec::new());
    for one in ranked {
        let shape = shape(&one.strategy);
        if !shapes.contains(&shape) {
            shapes.push(shape);
            best.push(one);
        }
    }
    best
}

/// Whether the strategy has any error correction; all presets have.
pub fn has_code(strategy: &Strategy) -> bool {
    udp(strategy, "fec").is_some_and(|fec| fec.as_str() != Some("none")) || udp(strategy, "preset").is_some()
}

/// Whether the strategy sends lost packets again.
pub fn retransmits(strategy: &Strategy) -> bool {
    udp(strategy, "retransmit").is_some_and(|value| value.as_str() != Some("never"))
}

fn udp<'s>(strategy: &'s Strategy, key: &str) -> Option<&'s toml::Value> {
    strategy.table.get("udp")?.get(key)
}

/// Progress behind what is done already; how much there will be in all is not known.
#[derive(Debug)]
struct Onwards<'a> {
    done: usize,
    whole: &'a (dyn Progress + 'a),
}

impl Progress for Onwards<'_> {
    fn advance(&self, done: usize, all: usize) {
        self.whole.advance(self.done + done, self.done + all);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::scenario::built_in;

    /// What a strategy of the catalogue is said to have given and cost.
    fn tried(name: &str, gain: f64, cost: f64) -> Tried {
        let strategies = catalogue::strategies();
        let family = strategies.iter().position(|one| one.name == name).unwrap();
        let strategy = strategies[family].clone();
        let complexity = (has_code(&strategy) && retransmits(&strategy), family);
        Tried { strategy, complexity, gain, cost }
    }

    /// The finalists among these within a budget; they are also found to be a lineup of the bench.
    fn finalists(tried: Vec<Tried>, budget: f64) -> Vec<String> {
        let base = built_in::find(built_in::SCENARIOS, "bench").unwrap();
        let sources = Sources::built_in(base.name, base.text);
        let question = Question { sources: &sources, sets: &[], budget, target: 99.5 };
        let (cancelled, progress) = (AtomicBool::new(false), Nobody);
        let conduct = Conduct { threads: None, cancelled: &cancelled, progress: &progress };
        let search = Search { question: &question, conduct, seeds: &[], tried, done: 0 };
        let finalists = search.finalists();
        let names: Vec<String> = finalists.iter().map(|one| one.strategy.name.clone()).collect();
        let text: String = finalists.iter().map(|one| one.strategy.to_text()).collect();
        let lineup = Lineup { name: catalogue::NAME, text: &text, chosen: &names };
        parse_lineup(sources.clone(), &[], &lineup).unwrap_or_else(|problems| panic!("{problems}"));
        names
    }

    #[derive(Debug)]
    struct Nobody;

    impl Progress for Nobody {
        fn advance(&self, _done: usize, _all: usize) {}
    }

    #[test]
    fn a_plain_strategy_beyond_a_small_budget_is_a_finalist_once() {
        let all = || {
            vec![
                tried("none", 60.0, 0.0),
                tried("retransmit", 99.9, 5.0),
                tried("rs-10-3", 99.8, 30.0),
                tried("repeat", 99.9, 100.0),
            ]
        };
        assert_eq!(finalists(all(), 1.0), ["none", "retransmit", "rs-10-3"]);
        assert_eq!(finalists(all(), 50.0), ["none", "retransmit", "rs-10-3", "repeat"]);
        assert_eq!(finalists(all().into_iter().take(2).collect(), 1.0), ["none", "retransmit"]);
    }
}
