//! The real sockets of the sessions, each with its door.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use super::alarm::Alarm;
use super::bells::Bells;
use super::gate::{Arrived, Gate};
use super::ports::LivePorts;
use super::{LiveError, SocketReport};
use crate::drive::clock::Clock;
use crate::drive::ends::{end_of, sends};
use crate::drive::udp::Inbox;
use crate::endpoint::{Arrival, Direction, Flow};
use crate::session::clock_offset::ClockOffset;
use crate::session::door::{DoorConfig, State};
use crate::time::Time;
use crate::transport::Packet;

/// The gates of all sessions that have sockets.
///
/// Where both ends of the sessions are here, they are numbered as the ends are: gate 2·f is the server's
/// end of flow f, gate 2·f + 1 the person's. Else gate f is the end of flow f that is here.
#[derive(Debug)]
pub(super) struct Gates {
    gates: Vec<Gate>,
    /// The direction in which the ends here send, where the others are elsewhere.
    half: Option<Direction>,
    /// The server's port of each session.
    ports: Vec<u16>,
    /// The doors' time: from before the handshakes on.
    clock: Clock,
    inbox: Inbox,
    bells: Bells,
    /// The gates that can be read, as far as is known.
    readable: Vec<usize>,
}

impl Gates {
    /// Sockets and doors for both ends of so many sessions.
    pub(super) fn both(
        sessions: usize,
        ports: &LivePorts,
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let (mut gates, mut numbers) = (Vec::with_capacity(2 * sessions), Vec::new());
        for _ in 0..sessions {
            let server = Gate::server(ports, config, segmentation)?;
            let address = server.port.local_addr();
            let from = SocketAddr::new(address.ip(), 0);
            gates.extend([server, Gate::person(from, address, config, segmentation)?]);
            numbers.push(address.port());
        }
        Ok(Self::of(gates, None, numbers))
    }

    /// Sockets and doors for the servers' ends of so many sessions.
    pub(super) fn servers(
        sessions: usize,
        ports: &LivePorts,
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let gates: Result<Vec<Gate>, LiveError> =
            (0..sessions).map(|_| Gate::server(ports, config, segmentation)).collect();
        let gates = gates?;
        let numbers = gates.iter().map(|gate| gate.port.local_addr().port()).collect();
        Ok(Self::of(gates, Some(Direction::Down), numbers))
    }

    /// Sockets and doors for the persons' ends of the sessions whose servers' ends are there.
    pub(super) fn persons(
        servers: &[SocketAddr],
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let person = |&server: &SocketAddr| {
            let any =
                if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            Gate::person(SocketAddr::new(any, 0), server, config, segmentation)
        };
        let gates: Result<Vec<Gate>, LiveError> = servers.iter().map(person).collect();
        let numbers = servers.iter().map(SocketAddr::port).collect();
        Ok(Self::of(gates?, Some(Direction::Up), numbers))
    }

    fn of(gates: Vec<Gate>, half: Option<Direction>, ports: Vec<u16>) -> Self {
        let bells = Bells::new(gates.len());
        let (clock, inbox, readable) = (Clock::start(), Inbox::default(), Vec::new());
        Self { gates, half, ports, clock, inbox, bells, readable }
    }

    /// Opens every session. Nothing impairs this: it is over before the trial starts.
    pub(super) async fn open(&mut self, alarm: &mut Alarm) -> Result<(), LiveError> {
        loop {
            self.tend()?;
            if self.are_open() {
                return Ok(());
            }
            self.linger(alarm, Time::NEVER).await?;
        }
    }

    /// Sends what the doors have to say by now.
    pub(super) fn tend(&mut self) -> Result<(), LiveError> {
        let now = self.clock.now();
        for gate in &mut self.gates {
            if gate.door.poll_timeout().is_some_and(|due| due <= now) {
                gate.knock(now)?;
            }
            if let State::Failed(failure) = gate.door.state() {
                return Err(failure.into());
            }
        }
        Ok(())
    }

    /// Waits until a door has something to say, or until `until`, or for a moment; takes in what comes before
    /// `until`, which is for the doors.
    pub(super) async fn linger(&mut self, alarm: &mut Alarm, until: Time) -> Result<(), LiveError> {
        let due = self.gates.iter().filter_map(|gate| gate.door.poll_timeout()).min();
        let soon = self.clock.now() + super::PERIOD;
        alarm.set(&self.clock, due.unwrap_or(soon).min(soon).min(until)).map_err(LiveError::Socket)?;
        self.wait(alarm).await.map_err(LiveError::Socket)?;
        if self.clock.now() >= until {
            return Ok(());
        }
        self.receive(&mut |_, _, _| ()).map_err(LiveError::Socket)
    }

    /// Whether all sessions are open.
    pub(super) fn are_open(&self) -> bool {
        self.gates.iter().all(|gate| matches!(gate.door.state(), State::Open { .. }))
    }

    /// The doors' clock.
    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is known of the clock at the other end, as seen from the doors' clock here: by the session that
    /// knows it best.
    pub(super) fn offset(&self) -> Option<&ClockOffset> {
        let known = self.gates.iter().filter_map(|gate| gate.door.clock());
        known
            .filter_map(|clock| Some((clock.bound()?, clock)))
            .min_by_key(|(bound, _)| *bound)
            .map(|(_, clock)| clock)
    }

    /// Waits until the alarm goes off or something can be received.
    pub(super) async fn wait(&mut self, alarm: &mut Alarm) -> io::Result<()> {
        poll_fn(|context| {
            let ready = self.look(context)?;
            match alarm.poll(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending if !ready => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    /// Looks which sockets can be read and written; whether there are any.
    pub(super) fn look(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        for number in self.bells.take(context.waker()) {
            let mut bell = Context::from_waker(self.bells.of(number));
            if ready(self.gates[number].watch.poll_recv_ready(&mut bell))? {
                self.readable.push(number);
            }
        }
        let mut writable = false;
        for gate in self.gates.iter().filter(|gate| gate.port.queued() > 0) {
            writable |= ready(gate.watch.poll_send_ready(context))?;
        }
        Ok(writable || !self.readable.is_empty())
    }

    /// The place of the gate of the end of `flow` that sends in `direction`.
    fn place(&self, flow: Flow, direction: Direction) -> usize {
        match self.half {
            None => end_of(flow, direction),
            Some(_) => usize::from(flow.0),
        }
    }

    /// Whether the end of `flow` that sends in `direction` has a socket.
    pub(super) fn has(&self, flow: Flow, direction: Direction) -> bool {
        self.place(flow, direction) < self.gates.len()
    }

    /// Takes a packet that the end of `flow` which sends in `direction` sends; it leaves with the next
    /// [`Gates::flush`].
    pub(super) fn post(&mut self, flow: Flow, direction: Direction, arrival: &Arrival<Packet>) {
        let place = self.place(flow, direction);
        let gate = &mut self.gates[place];
        gate.posted += 1;
        if let State::Open { peer } = gate.door.state() {
            gate.port.push(peer, arrival.ecn, |out| gate.door.seal(&arrival.packet, out));
        }
    }

    /// Hands over to the kernel what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.gates.iter_mut().filter(|gate| gate.port.queued() > 0).try_for_each(Gate::flush)
    }

    /// Reads what has come to the sockets that can be read, some of it from each. `each` gets every
    /// packet that a door lets in, with its session and the way it came.
    pub(super) fn receive(&mut self, each: &mut dyn FnMut(Flow, Direction, Arrived)) -> io::Result<()> {
        for number in mem::take(&mut self.readable) {
            let gate = &mut self.gates[number];
            let (flow, sends) = match self.half {
                None => (number / 2, sends(number)),
                Some(sends) => (number, sends),
            };
            let (flow, direction) = (Flow(flow as u16), sends.reverse());
            let now = self.clock.now();
            gate.receive(now, &mut self.inbox, &mut |arrived| each(flow, direction, arrived))?;
            // It is polled again, also when it is drained: so that its bell rings when more comes.
            self.bells.again(number);
        }
        Ok(())
    }

    /// Reads what has come to any socket, whatever the runtime knows of it.
    pub(super) fn receive_all(&mut self, each: &mut dyn FnMut(Flow, Direction, Arrived)) -> io::Result<()> {
        self.readable = (0..self.gates.len()).collect();
        self.receive(each)
    }

    /// Whether nothing is in a socket any more; nobody knows where the other ends are elsewhere.
    pub(super) fn are_drained(&self) -> bool {
        self.half.is_none() && self.missing() == 0
    }

    /// Packets that were sent and have not arrived: lost by this machine, or still in a socket. None that
    /// is known of where the other ends are elsewhere.
    fn missing(&self) -> u64 {
        if self.half.is_some() {
            return 0;
        }
        let pairs =
            self.gates.as_chunks::<2>().0.iter().flat_map(|[one, other]| [(one, other), (other, one)]);
        pairs.map(|(from, to)| from.posted.saturating_sub(to.arrived())).sum()
    }

    /// Packets that this machine certainly lost, as far as it says so.
    pub(super) fn drops(&self) -> u64 {
        // Reading its list of sockets takes longer than a packet may wait: a tenth of a millisecond here.
        let missing = self.missing();
        if missing == 0 && self.half.is_none() {
            return 0;
        }
        let ours: u64 =
            self.gates.iter().map(|gate| gate.port.counts()).map(|c| c.overflowed + c.refused).sum();
        let drops = ours + self.kernel_drops();
        // Strangers' datagrams are dropped at a full socket too; only what is missing can be ours.
        if self.half.is_none() { drops.min(missing) } else { drops }
    }

    #[cfg(target_os = "linux")]
    fn kernel_drops(&self) -> u64 {
        let drops = crate::drive::holders::drops().unwrap_or_default();
        self.gates.iter().filter_map(|gate| drops.get(&gate.port.local_addr())).sum()
    }

    /// Nobody tells; what is missing at the end does.
    #[cfg(not(target_os = "linux"))]
    fn kernel_drops(&self) -> u64 {
        0
    }

    /// The server's port of each session.
    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What has gone through the sockets so far.
    pub(super) fn report(&self) -> SocketReport {
        let mut report = SocketReport { missing: self.missing(), ..SocketReport::default() };
        for gate in &self.gates {
            report.counts += gate.port.counts();
            report.refused += gate.door.refused();
            report.posted += gate.posted;
            report.arrived += gate.arrived();
        }
        report
    }
}

fn ready(poll: Poll<io::Result<()>>) -> io::Result<bool> {
    match poll {
        Poll::Ready(Ok(())) => Ok(true),
        Poll::Ready(Err(error)) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(false),
    }
}
