//! A scenario and its seeds become an outcome: every contender on the same paths, summarized.
//!
//! A trial is one contender, one scenario and one seed, on one thread. Trials are spread over all cores;
//! what comes out does not depend on how many there are.

pub mod agreement;
#[cfg(target_os = "linux")]
pub mod kernel;
pub mod loopback;
mod merge;
mod outcome;
pub mod realtime;
pub mod remote;
pub mod rest;
mod sharing;
mod trial;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

pub use self::outcome::{ContenderOutcome, Difference, Outcome, Summary};
pub use self::sharing::{NeighbourOutcome, Reference};
use crate::ledger::Imbalance;
use crate::measure::{Metrics, Recent};
use crate::record::Sink;
use crate::rng::Seed;
use crate::scenario::{Contender, Scenario};
use crate::session::ports::Exhausted;

/// How a run is done; nothing here changes what comes of it.
#[derive(Clone, Copy, Debug)]
pub struct Conduct<'a> {
    /// How many threads; as many as there are cores where none is said.
    pub threads: Option<NonZeroUsize>,
    /// Set from outside when the run should stop early.
    pub cancelled: &'a AtomicBool,
    /// Told how many trials of how many are done.
    pub progress: &'a (dyn Progress + 'a),
}

/// Whoever wants to know how far a run is.
pub trait Progress: Sync + std::fmt::Debug {
    /// `done` trials of `all` are done.
    fn advance(&self, done: usize, all: usize);
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// More sessions than ports.
    #[error(transparent)]
    Ports(#[from] Exhausted),
    /// A packet without a fate, or with two.
    #[error("contender {contender}, seed {seed}: {imbalance}; this is a bug, please report it")]
    Ledger {
        /// Whose trial.
        contender: String,
        /// Which seed.
        seed: u64,
        /// What is wrong.
        imbalance: Imbalance,
    },
    /// The system gave us no threads.
    #[error("cannot start the threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// A view of nothing yet for one contender of `scenario` with this seed.
pub fn recent(scenario: &Scenario, seed: u64) -> Recent {
    Recent::new(&trial::measured(scenario), Seed(seed))
}

/// Plays one trial in virtual time for whoever wants its records, and no metrics.
pub fn play(scenario: &Scenario, contender: &Contender, seed: u64, sink: &mut dyn Sink) {
    trial::simulate(scenario, contender, seed, sink);
}

/// Runs every contender with every seed. A run that is cancelled keeps the seeds that are complete for
/// all contenders.
///
/// # Errors
/// [`RunError`]; bad luck on the simulated network is never one.
pub fn run(scenario: &Scenario, seeds: &[u64], conduct: &Conduct<'_>) -> Result<Outcome, RunError> {
    let ports = trial::ports(scenario)?;
    let contenders = scenario.contenders.len();
    // Seed by seed, so that a run cut short has whole seeds.
    let trials: Vec<(u64, usize)> =
        seeds.iter().flat_map(|&seed| (0..contenders).map(move |contender| (seed, contender))).collect();
    let done = AtomicUsize::new(0);
    let play = |&(seed, contender): &(u64, usize)| {
        if conduct.cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let contender = &scenario.contenders[contender];
        let metrics = trial::run(scenario, contender, seed).map_err(|imbalance| RunError::Ledger {
            contender: contender.name.clone(),
            seed,
            imbalance,
        })?;
        conduct.progress.advance(done.fetch_add(1, Ordering::Relaxed) + 1, trials.len());
        Ok(Some(metrics))
    };
    let threads = conduct.threads.map_or(0, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let played: Result<Vec<Option<Metrics>>, RunError> =
        pool.install(|| trials.par_iter().with_max_len(1).map(play).collect());
    let played = played?;
    let mut complete = Vec::new();
    let mut by_contender: Vec<Vec<Metrics>> = vec![Vec::new(); contenders];
    for (&seed, trials) in seeds.iter().zip(played.chunks(contenders.max(1))) {
        let Some(metrics) = trials.iter().cloned().collect::<Option<Vec<_>>>() else { continue };
        complete.push(seed);
        by_contender.iter_mut().zip(metrics).for_each(|(all, one)| all.push(one));
    }
    let whole = complete.len() == seeds.len();
    Ok(Outcome::new(scenario, complete, whole, by_contender, ports))
}
