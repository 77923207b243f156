//! Which strategy is right for a link: the cheapest that reaches the target within a budget, and the
//! simplest where costs cannot be told apart.
//!
//! | step | seeds |
//! | --- | --- |
//! | [`search`](super::search): the catalogue, then parameters around the best | eight of its own |
//! | the finalists again, paired | those that were asked for, which the search has not seen |
//! | the choice, from the second measurement only | |
//!
//! A choice made on the search's own figures would promise too much: the best of many noisy candidates
//! is partly the luckiest. Fresh seeds take that out, except that the choice among a dozen finalists is
//! a small search again; the intervals are for one strategy at a time, and the sentence says where the
//! target lies within one.

use crate::measure::statistics::paired_difference;
use crate::runner::{Conduct, ContenderOutcome};

use super::catalogue::Strategy;
use super::grid::{COST, CellOutcome, GAIN};
use super::search::{Question, Search, SearchError, Tried, has_code, retransmits};

/// On how many seeds the search looks.
const SEARCH_SEEDS: u64 = 8;

/// Differences in frames or in bytes that nobody feels, in points.
const SAME: f64 = 0.5;

/// The answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The finalists, measured on fresh seeds, with the Pareto front among them.
    pub cell: CellOutcome,
    /// Which of them is recommended.
    pub choice: usize,
    /// What it is.
    pub strategy: Strategy,
    /// Whether it reaches the target within the budget.
    pub reached: bool,
    /// Why it is recommended, in sentences.
    pub reason: String,
}

/// Answers `question`; finalists are measured on `seeds`, of which five at least are needed.
///
/// # Errors
/// Where the scenario is wrong, has no frames, or the search was interrupted.
pub fn recommend(
    question: &Question<'_>,
    seeds: &[u64],
    conduct: &Conduct<'_>,
) -> Result<Answer, SearchError> {
    let own = search_seeds(seeds);
    let mut search = Search::new(question, &own, conduct)?;
    let finalists = search.finalists();
    let strategies: Vec<Strategy> = finalists.iter().map(|one| one.strategy.clone()).collect();
    let cell = search.measure(&strategies, seeds)?;
    let measured: Option<Vec<Finalist<'_>>> = finalists
        .iter()
        .zip(&cell.outcome.contenders)
        .map(|(one, outcome)| Finalist::new(one, outcome))
        .collect();
    let measured = measured.ok_or(SearchError::NoFrames)?;
    let (choice, reached) = choose(&measured, question).ok_or(SearchError::NoFrames)?;
    let reason = reason(&measured, choice, reached, question);
    let strategy = strategies[choice].clone();
    Ok(Answer { cell, choice, strategy, reached, reason })
}

/// Seeds that are not among `seeds`: those behind the last.
fn search_seeds(seeds: &[u64]) -> Vec<u64> {
    let last = seeds.iter().max().copied().unwrap_or(0);
    (1..=SEARCH_SEEDS).map(|step| last.wrapping_add(step)).collect()
}

/// A finalist with what it gave and cost, seed by seed.
#[derive(Clone, Debug)]
struct Finalist<'a> {
    tried: &'a Tried,
    gain: f64,
    cost: f64,
    /// The 95 % interval of the gain.
    sure: Option<(f64, f64)>,
    gains: Vec<f64>,
}

impl<'a> Finalist<'a> {
    fn new(tried: &'a Tried, outcome: &ContenderOutcome) -> Option<Self> {
        let values = |key| -> Option<Vec<f64>> {
            outcome.per_seed.iter().map(|metrics| metrics.get(key)?.number()).collect()
        };
        Some(Self {
            tried,
            gain: outcome.mean(GAIN)?,
            cost: outcome.mean(COST)?,
            sure: outcome.summary(GAIN)?.interval,
            gains: values(GAIN)?,
        })
    }

    fn name(&self) -> &str {
        &self.tried.strategy.name
    }

    /// Whether it has about as many frames on time as `best`: not shown to have fewer, and not much fewer
    /// where seeds are too few to show anything.
    fn gives_as_much_as(&self, best: &Self) -> bool {
        let shown = paired_difference(&self.gains, &best.gains);
        best.gain - self.gain <= SAME && shown.is_none_or(|(_, interval)| !interval.excludes(0.0))
            || self.gain >= best.gain
    }

    /// Whether it costs about as little as `least`.
    fn costs_as_little_as(&self, least: &Self) -> bool {
        self.cost <= least.cost + SAME
    }
}

/// The right one and whether it reaches the target; none where there is nothing within the budget.
///
/// Where some reach the target, it is the cheapest of them; and of those that cost about as little, the
/// simplest. Where none does, it is the one with the most frames on time; and of those that give about as
/// much, the cheapest.
fn choose(finalists: &[Finalist<'_>], question: &Question<'_>) -> Option<(usize, bool)> {
    let within = || (0..finalists.len()).filter(|&one| finalists[one].cost <= question.budget);
    let reaching = || within().filter(|&one| question.reached_by(finalists[one].gain));
    let by = |value: fn(&Finalist<'_>) -> f64| {
        move |a: &usize, b: &usize| value(&finalists[*a]).total_cmp(&value(&finalists[*b]))
    };
    if let Some(least) = reaching().min_by(by(|one| one.cost)) {
        let equals = reaching().filter(|&one| finalists[one].costs_as_little_as(&finalists[least]));
        return equals.min_by_key(|&one| finalists[one].tried.complexity).map(|one| (one, true));
    }
    let best = within().max_by(by(|one| one.gain))?;
    let equals = within().filter(|&one| finalists[one].gives_as_much_as(&finalists[best]));
    equals.min_by(by(|one| one.cost)).map(|one| (one, false))
}

/// Why, in sentences no stronger than the evidence.
fn reason(finalists: &[Finalist<'_>], choice: usize, reached: bool, question: &Question<'_>) -> String {
    let chosen = &finalists[choice];
    let (target, budget) = (percent(question.target), percent(question.budget));
    let gives = format!("{} of the frames are on time{}", percent(chosen.gain), interval(chosen));
    let code = has_code(&chosen.tried.strategy);
    let first = match (reached, code, retransmits(&chosen.tried.strategy)) {
        (true, false, false) => format!("No error correction is needed: without any, {gives}."),
        (true, false, true) => format!(
            "Retransmission alone is the better choice: {gives}, for {}.{}",
            bytes(chosen.cost),
            cheapest_code(finalists, question)
        ),
        (true, true, _) => format!(
            "{} is the cheapest that reaches {target}: {gives}, for {}.{}",
            chosen.name(),
            bytes(chosen.cost),
            plain_ones(finalists)
        ),
        (false, ..) => {
            let what = match (code, retransmits(&chosen.tried.strategy)) {
                (false, false) => "no error correction at all".to_owned(),
                (false, true) => "retransmission alone".to_owned(),
                (true, _) => chosen.name().to_owned(),
            };
            format!(
                "Nothing that costs at most {budget} more bytes reaches {target}. The best choice is {what}: {gives}, for {}.{}",
                bytes(chosen.cost),
                beyond(finalists, question)
            )
        }
    };
    let near = reached && chosen.sure.is_some_and(|(low, _)| low < question.target);
    let doubt = if near {
        format!(" Whether it is {target} or a little less, more seeds would tell.")
    } else {
        String::new()
    };
    first + &doubt
}

/// What a code would cost, where one reaches the target too.
fn cheapest_code(finalists: &[Finalist<'_>], question: &Question<'_>) -> String {
    let codes = finalists.iter().filter(|one| has_code(&one.tried.strategy) && question.reached_by(one.gain));
    codes.min_by(|a, b| a.cost.total_cmp(&b.cost)).map_or_else(String::new, |code| {
        format!(" The cheapest code that gets there, {}, takes {}.", code.name(), percent(code.cost))
    })
}

/// What comes without a code.
fn plain_ones(finalists: &[Finalist<'_>]) -> String {
    let gain = |again: bool| {
        let plain = finalists
            .iter()
            .find(|one| !has_code(&one.tried.strategy) && retransmits(&one.tried.strategy) == again);
        plain.map(|one| percent(one.gain))
    };
    match (gain(true), gain(false)) {
        (Some(again), Some(never)) => {
            format!(" Retransmission alone has {again} on time, and no repair at all {never}.")
        }
        _ => String::new(),
    }
}

/// What would reach the target for more.
fn beyond(finalists: &[Finalist<'_>], question: &Question<'_>) -> String {
    let dear = finalists.iter().filter(|one| one.cost > question.budget && question.reached_by(one.gain));
    dear.min_by(|a, b| a.cost.total_cmp(&b.cost)).map_or_else(
        || " Nothing that was tried reaches it for more bytes either.".to_owned(),
        |one| format!(" {} reaches it for {}.", one.name(), percent(one.cost)),
    )
}

fn interval(finalist: &Finalist<'_>) -> String {
    match finalist.sure.map(|(low, high)| (percent(low), percent(high))) {
        Some((low, high)) if low != high => format!(" (95 %: {low} to {high})"),
        _ => String::new(),
    }
}

fn bytes(cost: f64) -> String {
    if cost < 0.005 { "no more bytes".to_owned() } else { format!("{} more bytes", percent(cost)) }
}

/// With two digits behind the point: a target is missed by less than a tenth, too.
fn percent(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
