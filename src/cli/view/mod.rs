//! What a run in real time looks like while it goes on: a screen that is drawn anew ten times a second, a
//! line a second, or events for programs. All of them show the same [`Scene`].
//!
//! The trials tell a [`Board`] what happens, from whatever threads; whoever draws asks it for the scene.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};

use framehawk_sim::drive::clock::Clock;
use framehawk_sim::drive::message::{Message, Progress};
use framehawk_sim::drive::timing::Timing;
use framehawk_sim::measure::{Glance, Recent};
use framehawk_sim::record::Sink;
use framehawk_sim::runner;
use framehawk_sim::runner::realtime::Observer;
use framehawk_sim::scenario::Scenario;
use framehawk_sim::time::{Duration, Time};

mod draw;
pub(super) mod knobs;
pub(super) mod lines;
mod notation;
pub(super) mod terminal;

/// How far behind the clock the displays are looked at where no records come: what happened before that
/// has been told by then.
const LAG: Duration = Duration::from_millis(200);

/// Takes what the trials tell, and shows it.
#[derive(Debug)]
pub(super) struct Board<'a> {
    scenario: &'a Scenario,
    name: String,
    seeds: Vec<u64>,
    lanes: Vec<Mutex<Lane>>,
}

/// One contender.
#[derive(Debug)]
struct Lane {
    /// How many of its trials have started.
    started: usize,
    clock: Option<Clock>,
    recent: Recent,
    ports: Vec<u16>,
    timing: Option<Timing>,
    progress: Option<Progress>,
    status: Status,
}

/// How far a contender's trial is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is being set up.
    Waiting,
    Running,
    Over,
    Failed(String),
}

/// What there is to see at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    /// The scenario's name.
    pub(super) name: String,
    /// The seed that is played now.
    pub(super) seed: u64,
    /// The time of the furthest trial.
    pub(super) now: Time,
    /// When captures end.
    pub(super) duration: Time,
    pub(super) contenders: Vec<Shown>,
    /// The worst of all contenders' timing; none before any has told of it.
    pub(super) timing: Option<Timing>,
}

/// One contender in a scene.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) transport: String,
    pub(super) tcp: bool,
    pub(super) congestion_controlled: bool,
    pub(super) ports: Vec<u16>,
    pub(super) status: Status,
    pub(super) glance: Glance,
}

impl<'a> Board<'a> {
    /// A board for all contenders of `scenario`, called `name`, which are played with these seeds one after
    /// the other.
    pub(super) fn new(scenario: &'a Scenario, name: &str, seeds: &[u64]) -> Self {
        let first = seeds.first().copied().unwrap_or_default();
        let lane = |_| {
            Mutex::new(Lane {
                started: 0,
                clock: None,
                recent: runner::recent(scenario, first),
                ports: Vec::new(),
                timing: None,
                progress: None,
                status: Status::Waiting,
            })
        };
        let lanes = scenario.contenders.iter().map(lane).collect();
        Self { scenario, name: name.to_owned(), seeds: seeds.to_vec(), lanes }
    }

    /// What there is to see now.
    pub(super) fn scene(&self) -> Scene {
        let mut scene = Scene {
            name: self.name.clone(),
            seed: self.seed(0),
            now: Time::ZERO,
            duration: self.scenario.duration,
            contenders: Vec::new(),
            timing: None,
        };
        for (contender, lane) in self.scenario.contenders.iter().zip(&self.lanes) {
            let mut lane = lock(lane);
            let now = lane.clock.map_or(Time::ZERO, |clock| clock.now());
            if lane.status == Status::Running {
                lane.recent.advance(now.saturating_sub(LAG));
            }
            let glance = lane.recent.glance();
            // A trial that is over stands still.
            let now = if lane.status == Status::Running { now } else { glance.now };
            scene.now = scene.now.max(now);
            scene.seed = scene.seed.max(self.seed(lane.started.saturating_sub(1)));
            scene.timing = match (scene.timing, lane.timing) {
                (Some(one), Some(other)) => Some(one.worse(other)),
                (one, other) => one.or(other),
            };
            scene.contenders.push(Shown {
                name: contender.name.clone(),
                transport: contender.protocol.to_string(),
                tcp: contender.protocol.is_tcp(),
                congestion_controlled: contender.protocol.is_congestion_controlled(),
                ports: lane.ports.clone(),
                status: lane.status.clone(),
                glance,
            });
        }
        scene
    }

    /// Gives every second's scene to `each`, until the other end of `done` is dropped or `each` fails.
    pub(super) fn every_second<E>(
        &self,
        done: &Receiver<()>,
        mut each: impl FnMut(&Scene) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut shown = 0;
        loop {
            let into = self.scene().now.as_nanos() % SECOND.as_nanos();
            let rest = std::time::Duration::from_nanos(SECOND.as_nanos() - into);
            match done.recv_timeout(rest) {
                Err(RecvTimeoutError::Timeout) => {
                    // Trials start some time after the waiting does, so the second may not be over.
                    let scene = self.scene();
                    let second = scene.now.as_nanos() / SECOND.as_nanos();
                    if second != shown {
                        shown = second;
                        each(&scene)?;
                    }
                }
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Gives to `each`, every second until the other end of `done` is dropped, what has come to this end of
    /// the trials that are running: the contender, the seed, and how far it is.
    pub(super) fn every_second_of_progress(
        &self,
        done: &Receiver<()>,
        mut each: impl FnMut(&str, u64, &Progress),
    ) {
        let second = std::time::Duration::from_nanos(SECOND.as_nanos());
        while done.recv_timeout(second) == Err(RecvTimeoutError::Timeout) {
            for (contender, lane) in self.scenario.contenders.iter().zip(&self.lanes) {
                let lane = lock(lane);
                if let Some(progress) = lane.progress.filter(|_| lane.status == Status::Running) {
                    each(&contender.name, self.seed(lane.started.saturating_sub(1)), &progress);
                }
            }
        }
    }

    fn seed(&self, trial: usize) -> u64 {
        self.seeds.get(trial).copied().unwrap_or_default()
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl Observer for Board<'_> {
    fn observe(&self, contender: usize, message: &Message) {
        let Some(lane) = self.lanes.get(contender) else { return };
        let mut lane = lock(lane);
        match message {
            Message::Started { ports } => {
                if lane.started > 0 {
                    lane.recent = runner::recent(self.scenario, self.seed(lane.started));
                }
                lane.started += 1;
                lane.clock = Some(Clock::start());
                lane.ports.clone_from(ports);
                lane.progress = None;
                lane.status = Status::Running;
            }
            Message::Record(record) => lane.recent.record(record),
            Message::Timing(timing) => lane.timing = Some(*timing),
            Message::Progress(progress) => lane.progress = Some(*progress),
            Message::Tcp(_) | Message::Note(_) | Message::Clock(_) => {}
            Message::Closed { .. } => lane.status = Status::Over,
            Message::Failed(why) => lane.status = Status::Failed(why.clone()),
        }
    }
}

/// A lane is as good as its last message, whoever panicked since.
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
