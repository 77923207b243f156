//! The real sockets of the sessions, each with its door.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::alarm::Alarm;
use super::bells::Bells;
use super::ports::{Claim, Lease, LivePorts};
use super::trial::TURN;
use super::{LiveError, SocketReport};
use crate::drive::clock::Clock;
use crate::drive::ends::{end_of, sends};
use crate::drive::udp::{Inbox, UdpPort};
use crate::endpoint::{Arrival, Direction, Ecn, Flow};
use crate::record::Malformed;
use crate::session::door::{Door, DoorConfig, Reason, State};
use crate::time::Time;
use crate::transport::Packet;

/// Datagrams that one socket may bring in before the next one gets its turn. More than may be sent in the
/// meantime, so that a receive buffer does not fill because of it.
const BUDGET: usize = 2 * TURN;

/// The socket of one end, and what stands between it and the transport.
#[derive(Debug)]
struct Gate {
    port: UdpPort,
    /// The same socket, as the runtime watches it.
    watch: UdpSocket,
    door: Door,
    /// The server's port, given back when the sockets are closed.
    claim: Option<Claim>,
    /// Packets that were to go out.
    posted: u64,
    /// Packets that were let in.
    admitted: u64,
}

/// The gates of all sessions that have sockets, numbered as the ends are: gate 2·f is the server's end of
/// flow f, gate 2·f + 1 the person's.
#[derive(Debug)]
pub(super) struct Gates {
    gates: Vec<Gate>,
    /// The doors' time: from before the handshakes on.
    clock: Clock,
    inbox: Inbox,
    bells: Bells,
    /// The gates that can be read, as far as is known.
    readable: Vec<usize>,
}

/// What has come in at a gate.
pub(super) type Arrived = Result<Arrival<Packet>, Malformed>;

impl Gates {
    /// Sockets and doors for so many sessions.
    pub(super) fn new(
        sessions: usize,
        ports: &LivePorts,
        config: &DoorConfig,
        segmentation: bool,
    ) -> Result<Self, LiveError> {
        let mut gates = Vec::with_capacity(2 * sessions);
        for _ in 0..sessions {
            let Lease { udp: server, claim } = ports.lease()?;
            let address = server.local_addr();
            let person = UdpPort::bind(SocketAddr::new(address.ip(), 0)).map_err(LiveError::Socket)?;
            let doors =
                [Door::server(config.clone(), secret()?), Door::client(config.clone(), secret()?, address)];
            for ((mut port, door), claim) in [server, person].into_iter().zip(doors).zip([Some(claim), None])
            {
                port.set_segmentation(segmentation);
                gates.push(Gate::new(port, door, claim).map_err(LiveError::Socket)?);
            }
        }
        let bells = Bells::new(gates.len());
        Ok(Self { gates, clock: Clock::start(), inbox: Inbox::default(), bells, readable: Vec::new() })
    }

    /// Opens every session. Nothing impairs this: it is over before the trial starts.
    pub(super) async fn open(&mut self, alarm: &mut Alarm) -> Result<(), LiveError> {
        loop {
            let now = self.clock.now();
            for gate in &mut self.gates {
                gate.knock(now)?;
                if let State::Failed(failure) = gate.door.state() {
                    return Err(failure.into());
                }
            }
            if self.gates.iter().all(|gate| matches!(gate.door.state(), State::Open { .. })) {
                return Ok(());
            }
            let due = self.gates.iter().filter_map(|gate| gate.door.poll_timeout()).min();
            alarm.set(&self.clock, due.unwrap_or(now + super::PERIOD)).map_err(LiveError::Socket)?;
            self.wait(alarm).await.map_err(LiveError::Socket)?;
            self.receive(&mut |_, _, _| ()).map_err(LiveError::Socket)?;
        }
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

    /// Whether the end of `flow` that sends in `direction` has a socket.
    pub(super) fn has(&self, flow: Flow, direction: Direction) -> bool {
        end_of(flow, direction) < self.gates.len()
    }

    /// Takes a packet that the end of `flow` which sends in `direction` sends; it leaves with the next
    /// [`Gates::flush`].
    pub(super) fn post(&mut self, flow: Flow, direction: Direction, arrival: &Arrival<Packet>) {
        let gate = &mut self.gates[end_of(flow, direction)];
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
            let (flow, direction) = (Flow((number / 2) as u16), sends(number).reverse());
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

    /// Packets that were sent and have not arrived: lost by this machine, or still in a socket.
    pub(super) fn missing(&self) -> u64 {
        let pairs =
            self.gates.as_chunks::<2>().0.iter().flat_map(|[one, other]| [(one, other), (other, one)]);
        pairs.map(|(from, to)| from.posted.saturating_sub(to.arrived())).sum()
    }

    /// Packets that this machine certainly lost, as far as it says so.
    pub(super) fn drops(&self) -> u64 {
        // Reading its list of sockets takes longer than a packet may wait: a tenth of a millisecond here.
        let missing = self.missing();
        if missing == 0 {
            return 0;
        }
        let ours: u64 =
            self.gates.iter().map(|gate| gate.port.counts()).map(|c| c.overflowed + c.refused).sum();
        // Strangers' datagrams are dropped at a full socket too; only what is missing can be ours.
        (ours + self.kernel_drops()).min(missing)
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
    pub(super) fn ports(&self) -> Vec<u16> {
        self.gates.iter().filter_map(|gate| gate.claim.as_ref()).map(Claim::port).collect()
    }

    /// What has gone through the sockets so far.
    pub(super) fn report(&self) -> SocketReport {
        let mut report = SocketReport { missing: self.missing(), ..SocketReport::default() };
        for gate in &self.gates {
            report.counts += gate.port.counts();
            report.refused += gate.door.refused();
        }
        report
    }
}

impl Gate {
    fn new(port: UdpPort, door: Door, claim: Option<Claim>) -> io::Result<Self> {
        let watch = UdpSocket::from_std(port.socket().try_clone()?)?;
        Ok(Self { port, watch, door, claim, posted: 0, admitted: 0 })
    }

    /// Sends what the door has to say of its own accord.
    fn knock(&mut self, now: Time) -> Result<(), LiveError> {
        let mut letter = BytesMut::new();
        while let Some(to) = self.door.poll_transmit(now, &mut letter) {
            self.port.push(to, Ecn::NotEct, |out| out.extend_from_slice(&letter));
            letter.clear();
        }
        self.flush().map_err(LiveError::Socket)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.port.flush()? {
            exhausted(&self.watch, Interest::WRITABLE);
        }
        Ok(())
    }

    fn receive(&mut self, now: Time, inbox: &mut Inbox, each: &mut dyn FnMut(Arrived)) -> io::Result<()> {
        let Self { port, door, admitted, .. } = self;
        // At most one answer to each datagram, while the socket is busy with reading.
        let mut letters = Vec::new();
        let drained =
            port.recv(inbox, BUDGET, |from, ecn, datagram| match door.admit(now, from, datagram) {
                Some(packet) => {
                    *admitted += 1;
                    each(Packet::decode(packet).map(|packet| Arrival { packet, ecn }));
                }
                None => {
                    let mut letter = BytesMut::new();
                    while let Some(to) = door.poll_transmit(now, &mut letter) {
                        letters.push((to, letter.split()));
                    }
                }
            })?;
        if drained {
            exhausted(&self.watch, Interest::READABLE);
        }
        for (to, letter) in letters {
            self.port.push(to, Ecn::NotEct, |out| out.extend_from_slice(&letter));
        }
        Ok(())
    }

    /// Packets of the session that arrived here, those among them that came twice too: a link may
    /// duplicate, and a door keeps the second one out.
    fn arrived(&self) -> u64 {
        self.admitted + self.door.refused().of(Reason::Replayed)
    }
}

/// Tells the runtime that the kernel has no more to read, or no room to write: else it would not say
/// when that changes. Nothing can change in between: one thread does the work and hears the news.
fn exhausted(watch: &UdpSocket, interest: Interest) {
    let _ = watch.try_io(interest, || Err::<(), _>(ErrorKind::WouldBlock.into()));
}

fn ready(poll: Poll<io::Result<()>>) -> io::Result<bool> {
    match poll {
        Poll::Ready(Ok(())) => Ok(true),
        Poll::Ready(Err(error)) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(false),
    }
}

fn secret() -> Result<[u8; 32], LiveError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| LiveError::Socket(io::Error::other(error)))?;
    Ok(secret)
}
