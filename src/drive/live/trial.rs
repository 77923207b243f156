//! A trial in real time: what is due, what arrives, and who waits for what.

use std::future::poll_fn;
use std::io;
use std::sync::mpsc::Receiver;
use std::task::Poll;

use super::alarm::Alarm;
use super::gate::Arrived;
use super::gates::Gates;
use super::half::{Cue, Half, Other};
use super::{LiveConfig, LiveError, PERIOD, SocketReport};
use crate::drive::clock::Clock;
use crate::drive::datagram::Datagram;
use crate::drive::ends::Ends;
use crate::drive::host::Host;
use crate::drive::links::Links;
use crate::drive::message::{Command, Message, Teller};
use crate::drive::timing::{Lateness, Timing};
use crate::endpoint::{Arrival, Direction, Flow};
use crate::record::{Event, Record, Sink};
use crate::time::{Duration, Time};

/// Things that are done in a row before the sockets get their turn.
pub(super) const TURN: usize = 256;

/// How often it is told how well time was kept.
const TIMING: Duration = Duration::from_millis(500);

/// How long what is in a socket when the trial ends may take to come out of it.
const DRAIN: Duration = Duration::from_millis(200);

/// A trial that is set up.
pub(super) struct Trial<'a> {
    ends: Ends<Host>,
    links: Links<Datagram>,
    gates: Gates,
    /// The other half, where it is on another machine.
    other: Option<Other<'a>>,
    alarm: Alarm,
    clock: Clock,
    /// The time of what was done last: times never go back.
    last: Time,
    end: Time,
    spin: Duration,
    lateness: Lateness,
    processor: Processor,
    tell: &'a mut dyn FnMut(Message),
}

impl<'a> Trial<'a> {
    /// Binds the sockets and opens the sessions.
    pub(super) async fn set_up(
        sessions: impl IntoIterator<Item = [Host; 2]>,
        links: Links<Datagram>,
        config: &LiveConfig,
        tell: &'a mut dyn FnMut(Message),
    ) -> Result<Self, LiveError> {
        let mut gates = Gates::both(config.sockets, &config.ports, &config.door, config.segmentation)?;
        let mut alarm = Alarm::new().map_err(LiveError::Socket)?;
        gates.open(&mut alarm).await?;
        Ok(Self::new(Ends::new(sessions), links, gates, alarm, Clock::start(), config, tell))
    }

    /// Binds the sockets of one half, opens the sessions, and waits for the start.
    pub(super) async fn set_up_half(
        sessions: impl IntoIterator<Item = [Host; 2]>,
        links: Links<Datagram>,
        config: &LiveConfig,
        half: &Half,
        mut other: Other<'a>,
        commands: &Receiver<Command>,
        tell: &'a mut dyn FnMut(Message),
    ) -> Result<Self, LiveError> {
        let ends = Ends::new(sessions);
        let mut gates = match half {
            Half::Server => Gates::servers(config.sockets, &config.ports, &config.door, config.segmentation),
            Half::Person(servers) => Gates::persons(servers, &config.door, config.segmentation),
        }?;
        let mut alarm = Alarm::new().map_err(LiveError::Socket)?;
        let clock = other.meet(&mut gates, &mut alarm, commands).await?;
        Ok(Self { other: Some(other), ..Self::new(ends, links, gates, alarm, clock, config, tell) })
    }

    fn new(
        ends: Ends<Host>,
        links: Links<Datagram>,
        gates: Gates,
        alarm: Alarm,
        clock: Clock,
        config: &LiveConfig,
        tell: &'a mut dyn FnMut(Message),
    ) -> Self {
        let (processor, lateness) = (Processor::start(), Lateness::default());
        let (last, end, spin) = (Time::ZERO, config.end, config.spin);
        Self { ends, links, gates, other: None, alarm, clock, last, end, spin, lateness, processor, tell }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self, commands: &Receiver<Command>) -> Result<SocketReport, LiveError> {
        self.play(commands).await?;
        self.drain().await.map_err(LiveError::Socket)?;
        let report = self.gates.report();
        let timing = self.timing(if self.other.is_some() { self.gates.drops() } else { report.missing });
        if let Some(reading) = self.other.as_ref().and_then(|other| other.reading(&self.gates)) {
            (self.tell)(Message::Clock(reading));
        }
        if report.refused.total() > 0 {
            (self.tell)(Message::Note(format!("datagrams refused at open ports: {}", report.refused)));
        }
        (self.tell)(Message::Timing(timing));
        (self.tell)(Message::Closed { under_way: self.links.under_way() });
        Ok(report)
    }

    async fn play(&mut self, commands: &Receiver<Command>) -> Result<(), LiveError> {
        (self.tell)(Message::Started { ports: self.gates.ports().to_vec() });
        self.start();
        let (mut report, mut tick) = (Time::ZERO + TIMING, Time::ZERO + PERIOD);
        loop {
            let done = self.catch_up();
            self.gates.flush().map_err(LiveError::Socket)?;
            if let Some(other) = &mut self.other {
                other.keep_time(&mut self.gates, &mut self.clock)?;
            }
            let now = self.clock.now();
            if done && now >= self.end {
                return Ok(());
            }
            if now >= tick {
                self.obey(commands);
                tick = now + PERIOD;
            }
            let next = self.next_due().unwrap_or(Time::NEVER);
            self.wait(next.min(tick).min(self.end)).await.map_err(LiveError::Socket)?;
            self.receive().map_err(LiveError::Socket)?;
            // What has been sent has been read by now, if it is there.
            if now >= report {
                let timing = self.timing(self.gates.drops());
                (self.tell)(Message::Timing(timing));
                report = now + TIMING;
            }
        }
    }

    /// Lets the ends begin; where their other halves are elsewhere, the trial's clock runs already.
    fn start(&mut self) {
        let Self { ends, links, gates, other, clock, tell, .. } = self;
        let sink = &mut Teller(&mut **tell);
        match other {
            None => {
                *clock = Clock::start();
                ends.start(Time::ZERO, links, sink);
            }
            Some(other) => {
                let sessions = gates.ports().len();
                ends.start_some(|number| other.is_here(number, sessions), Time::ZERO, links, sink);
            }
        }
    }

    /// Does what is due, each thing at its due time; whether that was all of it.
    fn catch_up(&mut self) -> bool {
        for _ in 0..TURN {
            let now = self.clock.now();
            let Some(due) = self.next_due().filter(|&due| due <= now.min(self.end)) else { return true };
            self.lateness.note(due, now);
            self.last = self.last.max(due);
            self.step(self.last);
        }
        false
    }

    fn next_due(&self) -> Option<Time> {
        Time::earliest([self.links.next().map(|(at, _)| at), self.ends.next().map(|(at, _)| at)])
    }

    /// Does the next thing that is due: arrivals before alarms, as in virtual time.
    fn step(&mut self, at: Time) {
        let Self { ends, links, gates, tell, .. } = self;
        let mut sink = Teller(&mut **tell);
        match (links.next(), ends.next()) {
            (Some((arrives, direction)), alarm) if alarm.is_none_or(|(alarm, _)| arrives <= alarm) => {
                let Some((flow, arrival)) = links.poll(at, direction, &mut sink) else { return };
                match arrival {
                    Arrival { packet: Datagram::Udp(packet), ecn } if gates.has(flow, direction) => {
                        gates.post(flow, direction, &Arrival { packet, ecn });
                    }
                    other => ends.handle_packet(at, flow, direction, other, links, &mut sink),
                }
            }
            (_, Some((_, number))) => ends.handle_timeout(number, at, links, &mut sink),
            (_, None) => {}
        }
    }

    /// Waits until `at`, or until a socket has something. The last bit is spun where that is wanted.
    async fn wait(&mut self, at: Time) -> io::Result<()> {
        let early = at.saturating_sub(self.spin);
        if self.clock.now() < early {
            self.alarm.set(&self.clock, early)?;
            return self.gates.wait(&mut self.alarm).await;
        }
        // The runtime has to look for news of the sockets all the same.
        tokio::task::yield_now().await;
        poll_fn(|context| Poll::Ready(self.gates.look(context).map(|_| ()))).await
    }

    /// Hands to the ends what has come to their sockets.
    fn receive(&mut self) -> io::Result<()> {
        self.hand_over(Gates::receive)
    }

    /// Lets what is in the sockets come out of them.
    async fn drain(&mut self) -> io::Result<()> {
        let until = self.clock.now() + DRAIN;
        loop {
            self.gates.flush()?;
            self.hand_over(Gates::receive_all)?;
            let now = self.clock.now();
            if self.gates.are_drained() || now >= until {
                return Ok(());
            }
            self.wait((now + Duration::from_millis(1)).min(until)).await?;
        }
    }

    /// Gives every packet that comes through `way` to the end that it is for.
    fn hand_over(
        &mut self,
        way: impl FnOnce(&mut Gates, &mut dyn FnMut(Flow, Direction, Arrived)) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { ends, links, gates, clock, last, end, tell, .. } = self;
        let mut sink = Teller(&mut **tell);
        way(gates, &mut |flow, direction, arrived| {
            // What crossed the link before the end counts, although it is read a moment later.
            let now = clock.now().min(*end).max(*last);
            *last = now;
            match arrived {
                Ok(Arrival { packet, ecn }) => {
                    let arrival = Arrival { packet: packet.into(), ecn };
                    ends.handle_packet(now, flow, direction, arrival, links, &mut sink);
                }
                Err(reason) => {
                    sink.record(&Record { at: now, flow, direction, event: Event::Malformed(reason) });
                }
            }
        })
    }

    /// Does what it was told. A driver that nobody can tell anything any more goes on.
    fn obey(&mut self, commands: &Receiver<Command>) {
        for command in commands.try_iter() {
            if let Some(other) = &mut self.other {
                (other.cues.tell)(Cue::Command(command));
            }
            self.follow(command);
        }
        while let Some(command) = self.other.as_mut().and_then(Other::command) {
            self.follow(command);
        }
    }

    fn follow(&mut self, command: Command) {
        match command {
            Command::Stop => self.end = self.end.min(self.clock.now().max(self.last)),
            Command::Loss { share, burst } => {
                self.links.set_loss(share, burst);
            }
            Command::Repair(steps) => {
                self.ends.all_mut().iter_mut().for_each(|host| host.adjust_repair(steps));
            }
        }
    }

    fn timing(&self, socket_drops: u64) -> Timing {
        let cpu = self.processor.share(self.clock.now());
        Timing { socket_drops, cpu, ..self.lateness.timing() }
    }
}

/// How much of a core this thread uses.
#[derive(Debug)]
struct Processor {
    used: Duration,
}

impl Processor {
    fn start() -> Self {
        Self { used: used() }
    }

    /// The share of a core used from the start to `now`.
    fn share(&self, now: Time) -> f64 {
        used().saturating_sub(self.used).as_secs_f64() / now.as_secs_f64().max(1e-9)
    }
}

/// The processor time of this thread.
#[cfg(target_os = "linux")]
fn used() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(std::time::Duration::from);
    time.map_or(Duration::ZERO, |time| Duration::from_nanos(time.as_nanos() as u64))
}

/// The processor time of this thread: nobody tells.
#[cfg(not(target_os = "linux"))]
fn used() -> Duration {
    Duration::ZERO
}
