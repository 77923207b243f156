//! Half of a trial: the other ends of the sessions are on another machine.
//!
//! Both machines play the same scenario with the same seed, the server's with the link down in front of
//! its sockets, the person's with the link up. Neighbors have both their ends at the server. The doors
//! compare the clocks before the start and all the time after it; the server names the start on its clock,
//! and the person's clock is set by it and steered, so that both ends speak of the same time.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError};

use serde::{Deserialize, Serialize};

use super::LiveError;
use super::alarm::Alarm;
use super::gates::Gates;
use crate::drive::clock::Clock;
use crate::drive::message::{ClockReading, Command};
use crate::endpoint::Direction;
use crate::time::{Duration, Time};

/// Which half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Half {
    /// The servers' ends, on ports of the range.
    Server,
    /// The persons' ends: where the server's end of each session is.
    Person(Vec<SocketAddr>),
}

/// What the halves of a trial tell each other, beside the sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cue {
    /// The server has these ports, session by session.
    Ports(Vec<u16>),
    /// The person's sessions are open, and it knows the server's clock.
    Ready,
    /// The trial starts when the doors' clock of the server reads this.
    Start(Time),
    /// What the other half was told.
    Command(Command),
}

/// How one half talks to the other.
pub struct Cues<'a> {
    /// Tells the other half.
    pub tell: &'a mut dyn FnMut(Cue),
    /// What the other half tells; where that ends, so does the trial.
    pub hear: &'a Receiver<Cue>,
}

impl std::fmt::Debug for Cues<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cues")
    }
}

/// What a trial knows of its other half.
#[derive(Debug)]
pub(super) struct Other<'a> {
    pub(super) cues: Cues<'a>,
    /// The direction in which the ends here send.
    sends: Direction,
    /// When the trial starts, on the doors' clock of the server.
    start: Time,
    /// When the clock is compared with the server's again.
    steer_at: Time,
    /// Whether it is known that nothing will be heard any more.
    gone: bool,
}

/// How many round trips the person waits for before it believes that it knows the server's clock.
const ROUND_TRIPS: u64 = 8;

/// How long after it is named the start is: the person has to hear of it before.
const LEAD: Duration = Duration::from_millis(500);

/// How long a half waits for the other one to get ready: longer than doors knock.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the person's clock is steered.
const STEERING: Duration = Duration::from_millis(100);

impl<'a> Other<'a> {
    pub(super) fn new(half: &Half, cues: Cues<'a>) -> Self {
        let sends = match half {
            Half::Server => Direction::Down,
            Half::Person(_) => Direction::Up,
        };
        Self { cues, sends, start: Time::NEVER, steer_at: Time::ZERO, gone: false }
    }

    /// Opens the sessions, agrees on a start with the other half, and waits for it. The clock of the trial.
    pub(super) async fn meet(
        &mut self,
        gates: &mut Gates,
        alarm: &mut Alarm,
        commands: &Receiver<Command>,
    ) -> Result<Clock, LiveError> {
        if self.sends == Direction::Down {
            (self.cues.tell)(Cue::Ports(gates.ports().to_vec()));
        }
        let give_up = gates.clock().now() + PATIENCE;
        let (mut ready, mut begins) = (false, None);
        loop {
            gates.tend()?;
            self.check_stop(commands)?;
            let now = gates.clock().now();
            if let Some(at) = begins.filter(|&at| at <= now) {
                return Ok(gates.clock().starting(at));
            }
            if now >= give_up {
                return Err(LiveError::Alone);
            }
            let known = gates.offset().is_some_and(|clock| clock.count() >= ROUND_TRIPS);
            if self.sends == Direction::Up && !ready && known && gates.are_open() {
                (self.cues.tell)(Cue::Ready);
                ready = true;
            }
            match self.cues.hear.try_recv() {
                Ok(Cue::Ready) if self.sends == Direction::Down && begins.is_none() => {
                    self.start = now + LEAD;
                    begins = Some(self.start);
                    (self.cues.tell)(Cue::Start(self.start));
                }
                Ok(Cue::Start(start)) if ready && begins.is_none() => {
                    self.start = start;
                    begins = Some(on_our_clock(gates, start, now).ok_or(LiveError::Start)?);
                }
                Ok(Cue::Command(Command::Stop)) | Err(TryRecvError::Disconnected) => {
                    return Err(LiveError::Stopped);
                }
                Ok(_) | Err(TryRecvError::Empty) => {}
            }
            gates.linger(alarm, begins.unwrap_or(Time::NEVER)).await?;
        }
    }

    fn check_stop(&mut self, commands: &Receiver<Command>) -> Result<(), LiveError> {
        if commands.try_iter().any(|command| command == Command::Stop) {
            (self.cues.tell)(Cue::Command(Command::Stop));
            return Err(LiveError::Stopped);
        }
        Ok(())
    }

    /// What the other half was told since; to stop, once, where it is gone.
    pub(super) fn command(&mut self) -> Option<Command> {
        loop {
            match self.cues.hear.try_recv() {
                Ok(Cue::Command(command)) => return Some(command),
                Ok(_) => {}
                Err(TryRecvError::Disconnected) if !self.gone => {
                    self.gone = true;
                    return Some(Command::Stop);
                }
                Err(_) => return None,
            }
        }
    }

    /// Whether the end with this number is here. Those of the first `sessions` flows are divided, all
    /// others are at the server.
    pub(super) const fn is_here(&self, number: usize, sessions: usize) -> bool {
        match self.sends {
            Direction::Down => number.is_multiple_of(2) || number >= 2 * sessions,
            Direction::Up => !number.is_multiple_of(2) && number < 2 * sessions,
        }
    }

    /// Lets the doors ask for the time, and keeps the person's clock with the server's.
    pub(super) fn keep_time(&mut self, gates: &mut Gates, clock: &mut Clock) -> Result<(), LiveError> {
        if self.sends == Direction::Down {
            return Ok(());
        }
        gates.tend()?;
        let now = gates.clock().now();
        let Some(offset) = gates.offset().filter(|_| now >= self.steer_at) else { return Ok(()) };
        let Some(ahead) = offset.offset_at(now) else { return Ok(()) };
        self.steer_at = now + STEERING;
        let nanos = |time: Time| i128::from(time.as_nanos());
        let behind = nanos(now) + i128::from(ahead) - nanos(self.start) - nanos(clock.now());
        let skew = offset.skew_ppm().unwrap_or_default() * 1e-6;
        clock.steer(i64::try_from(behind).unwrap_or_default(), skew);
        Ok(())
    }

    /// What the person knows of the server's clock.
    pub(super) fn reading(&self, gates: &Gates) -> Option<ClockReading> {
        let clock = gates.offset().filter(|_| self.sends == Direction::Up)?;
        let offset_ns = clock.offset_at(gates.clock().now())?;
        Some(ClockReading { offset_ns, skew_ppm: clock.skew_ppm(), bound: clock.bound()? })
    }
}

/// When the doors' clock here reads what stands for `start` of the server's; none where that has passed, or
/// is further ahead than any server would say.
fn on_our_clock(gates: &Gates, start: Time, now: Time) -> Option<Time> {
    let ahead = gates.offset()?.offset_at(now)?;
    let at = i128::from(start.as_nanos()) - i128::from(ahead);
    let at = Time::from_nanos(u64::try_from(at).ok()?);
    (at > now && at <= now + LEAD * 2).then_some(at)
}
