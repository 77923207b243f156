//! One trial over the kernel path: the ends of every session on ordinary sockets in the two namespaces,
//! and the relay between them, in one loop of one thread.
//!
//! A turn of the loop does what is due, in the order of due times and as of its due time; then it takes
//! what the devices and the sockets have; then it waits. Nothing waits for another thread, so that
//! nothing is late for one's sake.

mod sockets;
mod watch;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, TryRecvError};

use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{UsageWho, getrusage};

use self::sockets::Sockets;
pub use self::sockets::{Carrier, SetUpError, UdpEnds};
use self::watch::TrialWatch;
use super::namespace::{Namespaces, Side, Unavailable};
use super::relay::{BATCH, Relay};
use super::sys;
use super::tun::Tun;
use super::wait::{Patience, Waiter};
use crate::drive::clock::Clock;
use crate::drive::ends::{Ends, sends};
use crate::drive::host::Host;
use crate::drive::links::Links;
use crate::drive::message::{Command, Message, Teller};
use crate::drive::timing::{Lateness, Timing};
use crate::endpoint::{Direction, Endpoint};
use crate::record::{Discard, Record, Sink};
use crate::time::{Duration, Time};

/// A place to play trials in: two namespaces, with a device in each.
#[derive(Debug)]
pub struct Stage {
    namespaces: Namespaces,
    tuns: [Tun; 2],
}

/// A trial, ready to begin.
#[derive(Debug)]
pub struct Trial {
    /// Each session's sockets, and its server and its person.
    pub sessions: Vec<(Carrier, [Host; 2])>,
    /// The path.
    pub links: Links<super::IpPacket>,
    /// When it ends.
    pub end: Time,
    /// How to wait.
    pub patience: Patience,
}

/// Why a trial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no kernel path here.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A socket could not be had.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// A system call failed on the way.
    #[error("the system refused to go on: {0}")]
    System(#[from] io::Error),
}

impl Stage {
    /// Makes one; for the calling thread, which must be the only one of its process.
    ///
    /// # Errors
    /// Which step failed, why, and what can be done.
    pub fn make(mtu: u32) -> Result<Self, Unavailable> {
        let (namespaces, tuns) = Namespaces::make(mtu, |_| {})?;
        Ok(Self { namespaces, tuns })
    }

    /// Does something, as making a socket, in the namespace of an end.
    ///
    /// # Errors
    /// Where the thread cannot go there.
    pub fn at<T>(&self, side: Side, what: impl FnOnce() -> T) -> Result<T, Unavailable> {
        self.namespaces.enter(side)?;
        Ok(what())
    }

    /// Lets every TCP connection made from now on ask for explicit congestion notification: a socket cannot
    /// ask for itself, so it is all of them or none.
    ///
    /// # Errors
    /// What writing the sysctl says.
    pub fn ask_for_ecn(&self) -> Result<(), TrialError> {
        for side in [Side::Server, Side::Person] {
            self.at(side, || fs::write("/proc/sys/net/ipv4/tcp_ecn", "1"))??;
        }
        Ok(())
    }

    /// Plays a trial to its end, or until a command ends it.
    ///
    /// # Errors
    /// [`TrialError`]; bad luck on the link is none.
    pub fn play(
        self,
        trial: Trial,
        commands: &Receiver<Command>,
        tell: &mut dyn FnMut(Message),
    ) -> Result<(), TrialError> {
        let Trial { sessions, links, end, patience } = trial;
        let (carriers, hosts): (Vec<_>, Vec<_>) = sessions.into_iter().unzip();
        let watch = TrialWatch::new(&carriers);
        let mut player = Player {
            namespaces: self.namespaces,
            relay: Relay::new(self.tuns, links, watch),
            ends: Ends::new(hosts),
            sockets: Sockets::new(carriers),
            clock: Clock::start(),
            waiter: Waiter::new(patience)?,
            lateness: Lateness::default(),
            reached: Time::ZERO,
            cpu_before: Duration::ZERO,
        };
        // Where it is refused the machine is late more often, which is told.
        sys::raise_priority();
        player.introduce()?;
        player.play(end, commands, tell)
    }
}

/// A trial as it is played.
struct Player {
    namespaces: Namespaces,
    relay: Relay<TrialWatch>,
    ends: Ends<Host>,
    sockets: Sockets,
    clock: Clock,
    waiter: Waiter,
    lateness: Lateness,
    /// Everything before has been done.
    reached: Time,
    cpu_before: Duration,
}

impl Player {
    /// How long the ends have to find each other; on a path without losses they need milliseconds.
    const INTRODUCTION: Duration = Duration::from_secs(5);
    /// How often the timing is told.
    const TIMING_EVERY: Duration = Duration::from_millis(500);
    /// How long commands wait at most.
    const COMMANDS_EVERY: Duration = Duration::from_millis(50);

    /// Lets the ends over UDP find each other, while the path does nothing to packets.
    fn introduce(&mut self) -> Result<(), TrialError> {
        let give_up = Time::ZERO + Self::INTRODUCTION;
        loop {
            let now = self.clock.now();
            if self.sockets.introduce(now)? {
                return Ok(());
            }
            if now > give_up {
                return Err(SetUpError::NoIntroduction.into());
            }
            self.relay.work(&self.clock, &mut self.lateness, &mut Discard)?;
            let until = self.sockets.introduction_at().unwrap_or(give_up).min(give_up);
            self.wait(Some(until))?;
        }
    }

    fn play(
        &mut self,
        end: Time,
        commands: &Receiver<Command>,
        tell: &mut dyn FnMut(Message),
    ) -> Result<(), TrialError> {
        self.relay.watch().begin();
        self.lateness = Lateness::default();
        self.cpu_before = cpu_time()?;
        self.clock = Clock::start();
        tell(Message::Started { ports: self.sockets.ports() });
        for number in 0..self.ends.all().len() {
            self.call(number, Time::ZERO, &mut Teller(tell), |host, now, sink| host.handle_ready(now, sink));
        }
        let (mut timing_at, mut commands_at) = (Time::ZERO + Self::TIMING_EVERY, Time::ZERO);
        while self.reached < end {
            self.turn(end, &mut Teller(tell))?;
            if self.reached >= commands_at {
                commands_at = self.reached + Self::COMMANDS_EVERY;
                if self.obey(commands) {
                    break;
                }
                self.sockets.take_samples(&mut |sample| tell(Message::Tcp(sample)));
                if let Some(failure) = self.sockets.failure() {
                    return Err(SetUpError::Broken(failure).into());
                }
            }
            if self.reached >= timing_at {
                timing_at = self.reached + Self::TIMING_EVERY;
                tell(Message::Timing(self.timing()?));
            }
            let next = [self.relay.next_at(), self.ends.next().map(|(at, _)| at), Some(commands_at)];
            self.wait(Time::earliest(next).map(|at| at.min(end)))?;
        }
        tell(Message::Timing(self.timing()?));
        tell(Message::Closed { under_way: self.relay.links().under_way() });
        Ok(())
    }

    /// Does everything that is due and takes everything that has come.
    fn turn(&mut self, end: Time, sink: &mut dyn Sink) -> Result<(), TrialError> {
        self.do_due(self.clock.now().min(end), sink);
        for direction in Direction::BOTH {
            let mut taken = 0;
            while taken < BATCH
                && let Some(incoming) = self.relay.read(direction, &self.clock)?
                && incoming.at <= end
            {
                taken += incoming.count();
                self.do_due(incoming.at, sink);
                self.relay.admit(incoming, sink);
            }
        }
        for number in self.sockets.ready() {
            let now = self.clock.now().min(end);
            self.do_due(now, sink);
            if self.sockets.is_tcp(number) {
                self.call(number, now, sink, |host, now, sink| host.handle_ready(now, sink));
            } else {
                for arrival in self.sockets.receive(number, now)? {
                    self.call(number, now, sink, |host, now, sink| host.handle_packet(now, arrival, sink));
                }
            }
        }
        Ok(())
    }

    /// Does what is due until `until`, in order; what is due at an end after what arrives there.
    fn do_due(&mut self, until: Time, sink: &mut dyn Sink) {
        loop {
            let packet = self.relay.links().next().map(|(at, _)| at).filter(|&at| at <= until);
            let alarm = self.ends.next().filter(|&(at, _)| at <= until);
            match (packet, alarm) {
                (Some(at), alarm) if alarm.is_none_or(|(alarm, _)| at <= alarm) => {
                    self.relay.deliver(at, &self.clock, &mut self.lateness, sink);
                }
                (_, Some((at, number))) => {
                    self.lateness.note(at, self.clock.now());
                    let now = at.max(self.reached);
                    self.call(number, now, sink, Endpoint::handle_timeout);
                }
                _ => break,
            }
        }
        self.reached = self.reached.max(until);
    }

    /// Does something with an end, sends what it has to send, and notes what its application has read:
    /// source packets arrive, and then the frames that they make whole.
    fn call(
        &mut self,
        number: usize,
        now: Time,
        sink: &mut dyn Sink,
        what: impl FnOnce(&mut Host, Time, &mut dyn Sink),
    ) {
        let Self { ends, sockets, relay, .. } = self;
        if !sockets.is_tcp(number) {
            ends.call(number, now, sockets, sink, |host, sink| what(host, now, sink));
            sockets.flush(number);
            return;
        }
        let mut records: Vec<Record> = Vec::new();
        ends.call(number, now, sockets, &mut records, |host, sink| what(host, now, sink));
        if let Some(position) = sockets.position(number) {
            relay.watch().handle_read(now, number / 2, sends(number).reverse(), position, sink);
        }
        records.iter().for_each(|record| sink.record(record));
    }

    /// Does as it is told; whether that is to stop.
    fn obey(&mut self, commands: &Receiver<Command>) -> bool {
        loop {
            match commands.try_recv() {
                Ok(Command::Loss { share, burst }) => {
                    self.relay.links().set_loss(share, burst);
                }
                Ok(Command::Repair(steps)) => {
                    self.ends.all_mut().iter_mut().for_each(|host| host.adjust_repair(steps));
                }
                Ok(Command::Stop) => return true,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn wait(&mut self, until: Option<Time>) -> io::Result<()> {
        let waiting = self.sockets.waiting();
        let relay = self.relay.fds();
        let mut fds: Vec<PollFd<'_>> = relay.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        fds.extend(waiting.iter().map(|(_, socket, interest)| PollFd::new(socket.as_fd(), *interest)));
        self.waiter.wait(&mut fds, &self.clock, until)?;
        let ready = waiting.iter().zip(&fds[relay.len()..]);
        let ready = ready.filter(|(_, fd)| fd.any() == Some(true)).map(|((number, ..), _)| *number).collect();
        self.sockets.set_ready(ready);
        Ok(())
    }

    fn timing(&mut self) -> io::Result<Timing> {
        let strays = self.relay.strays()?;
        let used = cpu_time()?.saturating_sub(self.cpu_before);
        Ok(Timing {
            socket_drops: self.namespaces.socket_drops()? + self.sockets.dropped(),
            device_drops: strays.overflowed + strays.refused,
            cpu: used.as_secs_f64() / self.clock.now().as_secs_f64().max(1e-9),
            ..self.lateness.timing()
        })
    }
}

/// The processor time that this process has used.
fn cpu_time() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs();
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}
