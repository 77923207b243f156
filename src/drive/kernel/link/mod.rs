//! Runs any two programs at the two ends of an impaired path.

mod flows;
mod statistics;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

pub use statistics::{OneWay, Statistics};

use self::flows::Flows;
use super::namespace::{Namespaces, Side};
use super::processes::{RunError, Signals, exit_code, pass_on, reap};
use super::relay::{Relay, Strays};
use super::sys;
use super::wait::{Patience, Waiter};
use crate::drive::clock::Clock;
use crate::drive::links::Links;
use crate::drive::timing::{Lateness, Timing};
use crate::impair::config::PathConfig;
use crate::rng::Seed;
use crate::time::{Duration, Time};

/// What runs across a path.
#[derive(Debug)]
pub struct Programs {
    /// The shell command at the server's end, if any. It runs until the client's ends.
    pub server: Option<String>,
    /// The program at the person's end.
    pub client: Command,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// How the client's program ended, as a shell tells it.
    pub code: u8,
    /// What the link did.
    pub statistics: Statistics,
    /// How many flows there were.
    pub flows: usize,
    /// Packets that were still on their way.
    pub under_way: usize,
    /// How well time was kept, and the machine's own losses.
    pub timing: Timing,
    /// What was lost or left out beside the link.
    pub strays: Strays,
}

/// Why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The kernel path is not to be had, or a program could not be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The server's program was over before anything could talk to it.
    #[error("the server's command ended with exit code {0} before the client's was started")]
    NoServer(u8),
    /// The relay failed.
    #[error("cannot carry packets across the link: {0}")]
    Relay(#[from] io::Error),
}

/// How long the client's program waits until something listens at the server's end.
const LISTEN: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long the server's program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `programs` at the ends of `path` until the client's ends. The calling process must have one
/// thread only, and should be run by [`run_alone`](super::processes::run_alone), so that nothing that
/// the programs start stays behind.
///
/// # Errors
/// [`LinkError`].
pub fn run(
    path: &PathConfig,
    seed: Seed,
    programs: Programs,
    patience: Patience,
) -> Result<Ended, LinkError> {
    let (namespaces, tuns) = Namespaces::make(path.mtu, |_| ()).map_err(RunError::from)?;
    let mut link = Link {
        relay: Relay::new(tuns, Links::new(path, seed), Flows::default()),
        waiter: Waiter::new(patience)?,
        signals: Signals::listen()?,
        clock: Clock::start(),
        lateness: Lateness::default(),
        statistics: Statistics::default(),
        server: None,
        client: None,
    };
    if let Some(command) = &programs.server {
        link.start_server(&namespaces, command)?;
    }
    let client = start(&namespaces, Side::Person, programs.client)?;
    link.client = Some(Program { process: client, ended: None });
    // Not before the programs are started, which would run before others as well.
    sys::raise_priority();
    link.relay_until(Time::NEVER, |link| link.client.as_ref().is_some_and(|client| client.ended.is_some()))?;
    link.stop_server()?;
    link.close(namespaces)
}

/// A path in use, and the programs at its ends.
struct Link {
    relay: Relay<Flows>,
    waiter: Waiter,
    signals: Signals,
    clock: Clock,
    lateness: Lateness,
    statistics: Statistics,
    server: Option<Program>,
    client: Option<Program>,
}

/// A program that was started.
struct Program {
    process: Pid,
    ended: Option<ExitStatus>,
}

impl Link {
    /// Starts the server's program and waits until something listens there.
    fn start_server(&mut self, namespaces: &Namespaces, command: &str) -> Result<(), LinkError> {
        let mut shell = Command::new("sh");
        // In a group of its own, so that Ctrl-C ends the client's program first.
        shell.args(["-c", command]).stdin(Stdio::null()).process_group(0);
        let process = start(namespaces, Side::Server, shell)?;
        self.server = Some(Program { process, ended: None });
        let latest = self.clock.now() + LISTEN;
        namespaces.enter(Side::Server).map_err(RunError::from)?;
        while self.clock.now() < latest && !anything_listens() {
            let look = self.clock.now() + LOOK;
            self.relay_until(look, |_| false)?;
            if let Some(status) = self.server.as_ref().and_then(|server| server.ended) {
                return if status.success() { Ok(()) } else { Err(LinkError::NoServer(exit_code(status))) };
            }
        }
        Ok(())
    }

    /// Relays until it is `done`, or `until` has come.
    fn relay_until(&mut self, until: Time, done: impl Fn(&Self) -> bool) -> io::Result<()> {
        while !done(self) && self.clock.now() < until {
            self.relay.work(&self.clock, &mut self.lateness, &mut self.statistics)?;
            let [down, up] = self.relay.fds();
            let mut fds = [down, up, self.signals.0.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let next = self.relay.next_at().unwrap_or(Time::NEVER).min(until);
            self.waiter.wait(&mut fds, &self.clock, (next != Time::NEVER).then_some(next))?;
            if fds[2].any() == Some(true) {
                self.heed_signals()?;
            }
        }
        Ok(())
    }

    /// Notes which programs have ended, and passes on what should end the client's.
    fn heed_signals(&mut self) -> io::Result<()> {
        for signal in self.signals.read()? {
            if let Some(client) = &self.client {
                pass_on(&signal, client.process);
            }
        }
        while let Some((process, status)) = reap() {
            for program in [&mut self.server, &mut self.client].into_iter().flatten() {
                if program.process == process {
                    program.ended = Some(status);
                }
            }
        }
        Ok(())
    }

    /// Asks the server's program to end, and sees to it that it does.
    fn stop_server(&mut self) -> io::Result<()> {
        let Some(server) = self.server.as_ref().filter(|server| server.ended.is_none()) else {
            return Ok(());
        };
        let group = server.process;
        // Where it has just ended, there is nobody to ask.
        let _ = killpg(group, Signal::SIGTERM);
        let latest = self.clock.now() + GRACE;
        self.relay_until(latest, |link| link.server.as_ref().is_none_or(|server| server.ended.is_some()))?;
        let _ = killpg(group, Signal::SIGKILL);
        Ok(())
    }

    /// Sums up.
    fn close(mut self, mut namespaces: Namespaces) -> Result<Ended, LinkError> {
        let strays = self.relay.strays()?;
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(io::Error::from)?;
        let timing = Timing {
            socket_drops: namespaces.socket_drops()?,
            device_drops: strays.overflowed + strays.refused,
            cpu: std::time::Duration::from(used).as_secs_f64() / self.clock.now().as_secs_f64(),
            ..self.lateness.timing()
        };
        Ok(Ended {
            code: self.client.and_then(|client| client.ended).map_or(1, exit_code),
            statistics: self.statistics,
            flows: self.relay.watch().len(),
            under_way: self.relay.links().under_way().len(),
            timing,
            strays,
        })
    }
}

/// Starts a program at an end of the path.
fn start(namespaces: &Namespaces, side: Side, mut command: Command) -> Result<Pid, RunError> {
    namespaces.enter(side)?;
    command
        .env("FHSIM_ADDRESS", side.address().to_string())
        .env("FHSIM_PEER", side.peer().address().to_string());
    match sys::unblock_signals(&mut command).spawn() {
        Ok(child) => Ok(Pid::from_raw(child.id().cast_signed())),
        Err(error) => Err(RunError::Start { program: command.get_program().display().to_string(), error }),
    }
}

/// Whether there is a socket that waits for others in the namespace that the calling thread is in.
fn anything_listens() -> bool {
    ["tcp", "tcp6", "udp", "udp6"].iter().any(|protocol| {
        // Without IPv6 there are no tables of it.
        let table = fs::read_to_string(format!("/proc/thread-self/net/{protocol}")).unwrap_or_default();
        table.lines().count() > 1
    })
}
